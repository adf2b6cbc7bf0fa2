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
def luma_of(rgb: NDArray[np.uint8]) -> F32:
    """Luma of HxWx3 as the reference's Python binding takes it: in double precision, rounded."""
    height, width = rgb.shape[:2]
    luma = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            luma[y, x] = np.float32(
                rgb[y, x, 0] * 0.299 + rgb[y, x, 1] * 0.587 + rgb[y, x, 2] * 0.114
            )
    return luma


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
def _sums_across(source: F32, y: int, window: int, sums: F32) -> None:
    """The running sums of one box filter along rows ``y`` to ``y + 3``; written to 4xW ``sums``.

    Four rows at once, because each row is a chain of dependent additions.
    """
    width = source.shape[1]
    half = (window + 2) // 2
    s0 = s1 = s2 = s3 = np.float32(0.0)
    for x in range(half - 1):
        s0 += source[y, x]
        s1 += source[y + 1, x]
        s2 += source[y + 2, x]
        s3 += source[y + 3, x]
    write = 0
    for x in range(half - 1, window):
        s0 += source[y, x]
        s1 += source[y + 1, x]
        s2 += source[y + 2, x]
        s3 += source[y + 3, x]
        sums[0, write], sums[1, write], sums[2, write], sums[3, write] = s0, s1, s2, s3
        write += 1
    for x in range(window, width):
        s0 = (s0 + source[y, x]) - source[y, x - window]
        s1 = (s1 + source[y + 1, x]) - source[y + 1, x - window]
        s2 = (s2 + source[y + 2, x]) - source[y + 2, x - window]
        s3 = (s3 + source[y + 3, x]) - source[y + 3, x - window]
        sums[0, write], sums[1, write], sums[2, write], sums[3, write] = s0, s1, s2, s3
        write += 1
    for x in range(width - window, width - window + half - 1):
        s0 -= source[y, x]
        s1 -= source[y + 1, x]
        s2 -= source[y + 2, x]
        s3 -= source[y + 3, x]
        sums[0, write], sums[1, write], sums[2, write], sums[3, write] = s0, s1, s2, s3
        write += 1


@njit(cache=True, nogil=True, error_model="numpy")
def exact_samples(luma: F32, row_window: int, column_window: int, rows: I64, columns: I64) -> F32:
    """The 64x64 samples of a float32 luma with sides of 5 or more; overwrites ``luma``.

    ``row_window`` is the window along the rows (from the width), ``column_window`` along the
    columns; ``rows`` and ``columns`` are the sampled positions. Of the second two passes only
    the sampled columns are kept.
    """
    height, width = luma.shape
    samples = np.empty((SIDE, SIDE), np.float32)
    if height == SIDE and width == SIDE:
        samples[:, :] = luma
        return samples
    sizes = np.empty(width, np.float32)
    half = (row_window + 2) // 2
    for x in range(width):
        sizes[x] = min(width, x + half) - max(0, x - (row_window - half))
    other = np.empty_like(luma)
    sums = np.empty((4, width), np.float32)
    for block in range(0, height, 4):
        y = min(block, height - 4)
        _sums_across(luma, y, row_window, sums)
        for k in range(4):
            for x in range(width):
                other[y + k, x] = sums[k, x] / sizes[x]
    box_down(other, luma, column_window)
    narrow = np.empty((height, SIDE), np.float32)
    for block in range(0, height, 4):
        y = min(block, height - 4)
        _sums_across(luma, y, row_window, sums)
        for k in range(4):
            for j in range(SIDE):
                narrow[y + k, j] = sums[k, columns[j]] / sizes[columns[j]]
    final = np.empty_like(narrow)
    box_down(narrow, final, column_window)
    for i in range(SIDE):
        samples[i] = final[rows[i]]
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
