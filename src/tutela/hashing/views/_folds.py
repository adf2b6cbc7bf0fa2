"""Padding and zooming are linear and separable, so they fold into the DCT's own matrix."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tutela.hashing.pdq import Spectrum

F32 = NDArray[np.float32]

SIDE = 64
SLOTS = 16
FALL = 6.0
"""Samples beyond the edge after which 1/e of its difference from the mean is left."""


@lru_cache(maxsize=64)
def _fold(stretch: float) -> F32:
    """16x64: PDQ's DCT of the 64 samples stretched about the middle (over 1: zoomed in).

    What lies outside is guessed as a first-order Markov line would go on: from the edge's value,
    falling off towards the line's mean.
    """
    at = (np.arange(SIDE) + 0.5 - SIDE / 2) / stretch + SIDE / 2 - 0.5
    outside = np.maximum(0, np.maximum(-at, at - (SIDE - 1)))
    at = np.clip(at, 0, SIDE - 1)
    low = np.minimum(at.astype(np.int64), SIDE - 2)
    share = at - low
    samples = np.zeros((SIDE, SIDE))
    samples[np.arange(SIDE), low] = 1 - share
    samples[np.arange(SIDE), low + 1] += share
    kept = np.exp(-outside / FALL)[:, None]
    samples = kept * samples + (1 - kept) / SIDE
    rows, columns = np.arange(1, SLOTS + 1)[:, None], np.arange(SIDE)[None, :]
    dct = np.sqrt(2 / SIDE) * np.cos(np.pi / 2 / SIDE * rows * (2 * columns + 1))
    matrix: F32 = np.ascontiguousarray(dct @ samples, dtype=np.float32)
    matrix.setflags(write=False)
    return matrix


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _transform(samples: F32, fold: F32) -> F32:
    half = np.zeros((SLOTS, SIDE), np.float32)
    for i in range(SLOTS):
        line = half[i]
        for k in range(SIDE):
            weight, row = fold[i, k], samples[k]
            for j in range(SIDE):
                line[j] += weight * row[j]
    out = np.empty((SLOTS, SLOTS), np.float32)
    for i in range(SLOTS):
        line = half[i]
        for j in range(SLOTS):
            weights = fold[j]
            total = np.float32(0.0)
            for k in range(SIDE):
                total += line[k] * weights[k]
            out[i, j] = total
    return out


def folded(samples: F32, stretch: float, quality: int = 0) -> Spectrum:
    """The spectrum of 64x64 samples padded (``stretch`` under 1) or zoomed (over 1) on all sides;
    ``quality`` is the picture's own, which such small changes keep."""
    return Spectrum(_transform(samples, _fold(stretch)), quality, samples)
