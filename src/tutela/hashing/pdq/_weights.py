"""The fixed matrices of PDQ: the tent filter with decimation, and the DCT.

PDQ blurs the luma with two box filters along each axis, takes 64 samples along each, and
transforms those 64x64 values with a DCT. Up to the last step everything is linear and separable,
so for an axis of ``n`` pixels the blur and the sampling are one banded 64 x n matrix. Its rows
are tents about n/64 pixels wide that barely overlap.

Source: facebook/ThreatExchange, ``pdq/cpp/downscaling`` and ``pdq/cpp/hashing`` (window sizes,
the edge rule, sample positions and the DCT's slots are the reference's).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 64
"""Samples along each axis."""
SLOTS = 16
"""DCT slots kept along each axis."""


class Band(NamedTuple):
    """A banded 64 x n matrix, stored by taps so that the 64 samples are summed side by side.

    Sample ``k`` is the sum over ``t`` of ``taps[t, k]`` times pixel ``start[k] + t``. ``start`` is
    64 int64; ``taps`` is T x 64 float32, zero where a tent is shorter than T (there ``start + t``
    may run up to T past the end); ``length`` is each tent's own length, 64 int64.
    """

    start: NDArray[np.int64]
    length: NDArray[np.int64]
    taps: NDArray[np.float32]


def window_size(n: int) -> int:
    """Width in pixels of each box filter along an axis of ``n`` pixels."""
    return (n + 2 * SIDE - 1) // (2 * SIDE)


@lru_cache(maxsize=4)
def sample_positions(n: int) -> NDArray[np.int64]:
    """The 64 sampled positions along an axis of ``n`` pixels (centres, not corners)."""
    positions = ((np.arange(SIDE) + 0.5) * n / SIDE).astype(np.int64)
    positions.setflags(write=False)
    return positions


@lru_cache(maxsize=512)
def tent_band(n: int) -> Band:
    """Blur and sampling along an axis of ``n`` pixels as one banded matrix."""
    window = window_size(n)
    half = (window + 2) // 2
    # The box filter at position p averages pixels low[p]..high[p]; it shrinks at both edges.
    at = np.arange(n)
    low = np.maximum(0, at - (window - half))
    high = np.minimum(n - 1, at + half - 1)
    mean = 1.0 / (high - low + 1)
    start = np.empty(SIDE, np.int64)
    rows = []
    for k, centre in enumerate(sample_positions(n)):
        a, b = int(low[centre]), int(high[centre])
        left, right = int(low[a]), int(high[b])
        # Second pass: the average of the first pass's results at a..b, as running differences.
        steps = np.zeros(right - left + 2)
        np.add.at(steps, low[a : b + 1] - left, mean[a : b + 1])
        np.add.at(steps, high[a : b + 1] - left + 1, -mean[a : b + 1])
        row = np.cumsum(steps[:-1]) * mean[centre]
        start[k] = left
        rows.append(row)
    length = np.array([len(row) for row in rows])
    taps = np.zeros((int(length.max()), SIDE), np.float32)
    for k, row in enumerate(rows):
        taps[: len(row), k] = row
    for array in (start, length, taps):
        array.setflags(write=False)
    return Band(start, length, taps)


@lru_cache(maxsize=512)
def mirrored_band(n: int) -> Band:
    """The band that gives the samples of an axis read backwards, from its pixels as they lie.

    PDQ's windows are not symmetric, so that reading backwards is not the same as turning the
    samples round; with this band a turned picture is hashed without turning its pixels.
    """
    band = tent_band(n)
    taps = np.zeros_like(band.taps)
    for k, length in enumerate(band.length):
        taps[:length, k] = band.taps[:length, k][::-1]
    start = n - band.start - band.length
    for array in (start, taps):
        array.setflags(write=False)
    return Band(start, band.length, taps)


def _dct_matrix() -> NDArray[np.float32]:
    rows, columns = np.arange(1, SLOTS + 1)[:, None], np.arange(SIDE)[None, :]
    scale = np.float64(np.float32(np.sqrt(2.0 / SIDE)))
    angles = (np.pi / 2.0 / SIDE) * rows * (2 * columns + 1)
    matrix: NDArray[np.float32] = (scale * np.cos(angles)).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


DCT = _dct_matrix()
"""16 x 64 float32: slots 1 to 16 of the 64-point DCT-II."""
DCT_T = np.ascontiguousarray(DCT.T)
"""The same, 64 x 16."""
DCT_T.setflags(write=False)
