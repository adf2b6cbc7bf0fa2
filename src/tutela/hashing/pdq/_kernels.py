"""The fast kernels: luma or RGB to the 64x64 samples, the 16x16 spectrum and its bits.

All release the GIL and are compiled once, then cached on disk. They sum in another order than
the reference, so values differ from it by rounding only; ``_exact.py`` has the reference's order
for the few pictures where that could show.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ._weights import SIDE, SLOTS

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

BITS = SLOTS * SLOTS
LOWER_MEDIAN = BITS // 2 - 1
"""Rank (from 0) of the value that the reference takes for the median of 256."""
MAX_QUALITY = 100
DIHEDRAL_SIGNS = ((0, 0), (2, 1), (3, 0), (1, 1), (1, 0), (2, 0), (0, 1), (3, 1))
"""For each of ``DIHEDRALS``: which values change sign (see ``_bits_of``), and whether rows and
columns are exchanged. Turning or mirroring a picture does no more to its DCT."""
QUALITY_STEP = 90
"""The reference's scale: quality is the sum of gradients over 90."""


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def samples_from_luma(
    luma: NDArray[np.generic],
    row_start: I64,
    row_count: I64,
    row_taps: F32,
    column_start: I64,
    column_count: I64,
    column_taps: F32,
) -> F32:
    """The 64x64 samples of an HxW luma (uint8 or float32, C-contiguous), by the ``Band`` of its
    height and that of its width."""
    width = luma.shape[1]
    line = np.zeros(width + len(column_taps), np.float32)
    samples = np.empty((SIDE, SIDE), np.float32)
    for r in range(SIDE):
        _sum_rows(luma, row_start[r], row_taps[: row_count[r], r], line[:width])
        _sum_columns(line, column_start, column_taps, samples[r])
    return samples


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def samples_from_rgb(
    rgb: U8,
    row_start: I64,
    row_count: I64,
    row_taps: F32,
    column_start: I64,
    column_count: I64,
    column_taps: F32,
) -> F32:
    """The 64x64 samples of HxWx3 uint8 (C-contiguous), given as Hx3W.

    The filter is linear, so the three channels go through its first half side by side and are
    weighed into luma (0.299, 0.587, 0.114) only then.
    """
    width = rgb.shape[1] // 3
    line = np.zeros(3 * width, np.float32)
    luma = np.zeros(width + len(column_taps), np.float32)
    samples = np.empty((SIDE, SIDE), np.float32)
    for r in range(SIDE):
        _sum_rows(rgb, row_start[r], row_taps[: row_count[r], r], line)
        for x in range(width):
            luma[x] = (
                np.float32(0.299) * line[3 * x]
                + np.float32(0.587) * line[3 * x + 1]
                + np.float32(0.114) * line[3 * x + 2]
            )
        _sum_columns(luma, column_start, column_taps, samples[r])
    return samples


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _sum_rows(plane: NDArray[np.generic], start: int, weights: F32, line: F32) -> None:
    """The weighted sum of ``len(weights)`` rows from ``start`` on; four at a time, to save
    passes over ``line``."""
    width = line.shape[0]
    count = len(weights)
    line[:] = np.float32(0.0)
    k = 0
    while k + 4 <= count:
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        y = start + k
        for x in range(width):
            line[x] += (
                w0 * np.float32(plane[y, x])
                + w1 * np.float32(plane[y + 1, x])
                + w2 * np.float32(plane[y + 2, x])
                + w3 * np.float32(plane[y + 3, x])
            )
        k += 4
    while k < count:
        w = weights[k]
        for x in range(width):
            line[x] += w * np.float32(plane[start + k, x])
        k += 1


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _sum_columns(line: F32, start: I64, taps: F32, out: F32) -> None:
    """The 64 samples of one line, side by side; ``line`` is padded by ``len(taps)``."""
    out[:] = np.float32(0.0)
    for t in range(len(taps)):
        for c in range(SIDE):
            out[c] += taps[t, c] * line[start[c] + t]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def spectrum_of(samples: F32, dct: F32, dct_t: F32) -> F32:
    """The 16x16 DCT of 64x64 samples; ``dct`` is the 16x64 matrix and ``dct_t`` its transpose."""
    half = np.zeros((SLOTS, SIDE), np.float32)
    out = np.zeros((SLOTS, SLOTS), np.float32)
    for i in range(SLOTS):
        for k in range(SIDE):
            weight = dct[i, k]
            for j in range(SIDE):
                half[i, j] += weight * samples[k, j]
        for k in range(SIDE):
            value = half[i, k]
            for j in range(SLOTS):
                out[i, j] += value * dct_t[k, j]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def quality_of(samples: F32, slack: float) -> int:
    """The quality, 0 to 100, if each gradient were larger by ``slack`` (which may be negative).

    The reference cuts each gradient, in hundredths of the range, to an integer and sums up. In
    single precision and without ``fastmath``, so that it equals the reference's on its samples.
    """
    more = np.float32(slack)
    total = 0
    for i in range(SIDE - 1):
        row = 0
        for j in range(SIDE):
            step = abs((samples[i, j] - samples[i + 1, j]) * np.float32(100) / np.float32(255))
            row += int(np.int32(max(step + more, np.float32(0))))
        total += row
    for i in range(SIDE):
        row = 0
        for j in range(SIDE - 1):
            step = abs((samples[i, j] - samples[i, j + 1]) * np.float32(100) / np.float32(255))
            row += int(np.int32(max(step + more, np.float32(0))))
        total += row
    return min(total // QUALITY_STEP, MAX_QUALITY)


@njit(cache=True, nogil=True, error_model="numpy")
def _rank(values: F32, rank: int) -> float:
    """The value of ``rank`` (from 0) by Hoare's selection; reorders ``values``."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return float(values[rank])


@njit(cache=True, nogil=True, error_model="numpy")
def _bits_of(dct: F32, flip: int, transpose: bool, out: U8, scratch: F32) -> float:
    """Writes the 32 bytes of one dihedral variant; returns the gap between its median and the
    next value in rank (0 where they tie).

    ``flip`` says which values change sign: 0 none, 1 even rows, 2 even columns, 3 where row and
    column sum to an odd number. The median is that of the changed values.
    """
    for i in range(SLOTS):
        for j in range(SLOTS):
            change = (
                (flip == 1 and i % 2 == 0)
                or (flip == 2 and j % 2 == 0)
                or (flip == 3 and (i + j) % 2 == 1)
            )
            scratch[i * SLOTS + j] = -dct[i, j] if change else dct[i, j]
    values = scratch[BITS:]
    values[:] = scratch[:BITS]
    median = _rank(values, LOWER_MEDIAN)
    above = np.inf
    count = 0
    out[:] = 0
    for i in range(SLOTS):
        for j in range(SLOTS):
            value = scratch[i * SLOTS + j]
            if value > median:
                above = min(above, float(value))
                count += 1
                bit = j * SLOTS + i if transpose else i * SLOTS + j
                out[(BITS - 1 - bit) >> 3] |= np.uint8(1 << (bit & 7))
    return above - median if count == BITS - 1 - LOWER_MEDIAN else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def plain_bits(dct: F32, out: U8) -> float:
    """Writes the 32 bytes of the hash, most significant bit first; returns the gap above
    the median, which tells how far rounding is from changing a bit."""
    return _bits_of(dct, 0, False, out, np.empty(2 * BITS, np.float32))


@njit(cache=True, nogil=True, error_model="numpy")
def dihedral_bits(dct: F32, out: U8) -> float:
    """Writes 8 x 32 bytes in the order of ``DIHEDRALS``; returns the smallest gap."""
    scratch = np.empty(2 * BITS, np.float32)
    gap = np.inf
    for index in range(8):
        flip, transpose = DIHEDRAL_SIGNS[index]
        gap = min(gap, _bits_of(dct, flip, transpose == 1, out[index], scratch))
    return gap
