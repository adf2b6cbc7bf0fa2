"""Where two pictures were put together: straight lines on which everything jumps at once."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

EDGE = 0.15
"""A seam leaves at least this share of the picture on either side."""
SHARE = 0.33
"""Share of the stretches of a line that must jump by more than their surroundings do."""
JUMP = 5.0
"""Least jump, in levels of 255, that counts."""
APART = 0.1
"""Two seams lie at least this share of the picture apart."""
STRETCH = 8
"""Pixels along the line that are averaged: texture evens out, a seam stays."""


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def column_seams(plane: U8, top: int, bottom: int, left: int, right: int) -> tuple[int, int]:
    """The two likeliest columns at which another picture begins, likeliest first; 0 for one that
    does not jump along enough of its length. Looks at the rectangle only."""
    wide = right - left
    first = max(5, int(EDGE * wide))
    last = wide - first
    jumps = np.zeros(wide + 1, np.float32)
    line = np.empty(wide, np.float32)
    stretches = (bottom - top) // STRETCH
    for k in range(stretches):
        line[:] = 0.0
        for y in range(top + k * STRETCH, top + (k + 1) * STRETCH):
            for x in range(wide):
                line[x] += np.float32(plane[y, left + x])
        for x in range(first, last):
            step = abs(line[x + 1] - line[x - 2])
            around = abs(line[x - 2] - line[x - 5]) + abs(line[x + 4] - line[x + 1])
            sharp = max(abs(line[x] - line[x - 1]), abs(line[x + 1] - line[x]))
            if step > JUMP * STRETCH + around and 3 * sharp > step:
                jumps[x] += 1
    least = max(1.0, SHARE * stretches)
    best = second = 0
    for x in range(wide):
        if jumps[x] >= least and jumps[x] > jumps[best]:
            best = x
    for x in range(wide):
        if jumps[x] >= least and jumps[x] > jumps[second] and abs(x - best) >= APART * wide:
            second = x
    return left + best if best else 0, left + second if second else 0


@njit(cache=True, nogil=True, error_model="numpy")
def row_seams(plane: U8, top: int, bottom: int, left: int, right: int) -> tuple[int, int]:
    """The two likeliest rows at which another picture begins, as ``column_seams``."""
    turned = np.ascontiguousarray(plane[top:bottom, left:right].T)
    first, second = column_seams(turned, 0, right - left, 0, bottom - top)
    return top + first if first else 0, top + second if second else 0
