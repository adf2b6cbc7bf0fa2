"""PDQ in the reference's own order of operations, in single precision.

Slower than ``_kernels``, and equal to the reference to the last bit of every float, also where
values tie (flat pictures, gradients, test charts). ``identical`` mode falls back on it when a
value lies so near the median that rounding could decide a bit.

Source: facebook/ThreatExchange, ``pdq/cpp/downscaling/downscaling.cpp`` (``box1DFloat``,
``decimateFloat``) and ``pdq/cpp/hashing/pdqhashing.cpp`` (``dct64To16``). No ``fastmath`` here.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ._weights import SIDE, SLOTS

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def box_down(source: F32, out: F32, window: int) -> None:
    """One box filter along the columns; every column keeps the reference's running sum."""
    height, width = source.shape
    half = (window + 2) // 2
    sums = np.zeros(width, np.float32)
    size = 0
    add, subtract, write = 0, 0, 0
    for _ in range(half - 1):
        for x in range(width):
            sums[x] += source[add, x]
        size += 1
        add += 1
    for _ in range(window - half + 1):
        size += 1
        divisor = np.float32(size)
        for x in range(width):
            sums[x] += source[add, x]
            out[write, x] = sums[x] / divisor
        add += 1
        write += 1
    divisor = np.float32(size)
    for _ in range(height - window):
        for x in range(width):
            total = sums[x] + source[add, x]
            total -= source[subtract, x]
            sums[x] = total
            out[write, x] = total / divisor
        add += 1
        subtract += 1
        write += 1
    for _ in range(half - 1):
        size -= 1
        divisor = np.float32(size)
        for x in range(width):
            sums[x] -= source[subtract, x]
            out[write, x] = sums[x] / divisor
        subtract += 1
        write += 1


@njit(cache=True, nogil=True, error_model="numpy")
def box_across(source: F32, out: F32, window: int) -> None:
    """One box filter along the rows, with the reference's running sum."""
    height, width = source.shape
    half = (window + 2) // 2
    for y in range(height):
        total = np.float32(0.0)
        size = 0
        add, subtract, write = 0, 0, 0
        for _ in range(half - 1):
            total += source[y, add]
            size += 1
            add += 1
        for _ in range(window - half + 1):
            total += source[y, add]
            size += 1
            out[y, write] = total / np.float32(size)
            add += 1
            write += 1
        divisor = np.float32(size)
        for _ in range(width - window):
            total += source[y, add]
            total -= source[y, subtract]
            out[y, write] = total / divisor
            add += 1
            subtract += 1
            write += 1
        for _ in range(half - 1):
            total -= source[y, subtract]
            size -= 1
            out[y, write] = total / np.float32(size)
            subtract += 1
            write += 1


@njit(cache=True, nogil=True, error_model="numpy")
def exact_samples(
    luma: F32, row_window: int, column_window: int, rows: I64, columns: I64
) -> F32:
    """The 64x64 samples of a float32 luma; overwrites ``luma``.

    ``row_window`` is the window along the rows (from the width), ``column_window`` along the
    columns; ``rows`` and ``columns`` are the sampled positions.
    """
    samples = np.empty((SIDE, SIDE), np.float32)
    if luma.shape[0] == SIDE and luma.shape[1] == SIDE:
        samples[:, :] = luma
        return samples
    other = np.empty_like(luma)
    for _ in range(2):
        box_across(luma, other, row_window)
        box_down(other, luma, column_window)
    for i in range(SIDE):
        for j in range(SIDE):
            samples[i, j] = luma[rows[i], columns[j]]
    return samples


@njit(cache=True, nogil=True, error_model="numpy")
def exact_spectrum(samples: F32, dct: F32) -> F32:
    """The 16x16 DCT, each sum taken from the first term to the last."""
    half = np.zeros((SLOTS, SIDE), np.float32)
    for i in range(SLOTS):
        for k in range(SIDE):
            for j in range(SIDE):
                half[i, j] += dct[i, k] * samples[k, j]
    out = np.empty((SLOTS, SLOTS), np.float32)
    for i in range(SLOTS):
        for j in range(SLOTS):
            total = np.float32(0.0)
            for k in range(SIDE):
                total += half[i, k] * dct[j, k]
            out[i, j] = total
    return out
