"""Where two pictures were put together: straight lines on which everything jumps at once."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

EDGE = 0.15
"""A seam leaves at least this share of the picture on either side."""
SHARE = 0.4
"""Share of the stretches of a line that must jump by more than their surroundings do."""
JUMP = 5.0
"""Least jump, in levels of 255, that counts."""
STRETCH = 8
"""Pixels along the line that are averaged: texture evens out, a seam stays."""


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def column_seam(plane: U8, top: int, bottom: int, left: int, right: int) -> tuple[int, float]:
    """The column at which the right picture begins, and the share of its stretches that jump;
    (0, 0.0) where no column has enough. Looks at the rectangle only."""
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
    best = 0
    for x in range(wide):
        if jumps[x] > jumps[best]:
            best = x
    share = float(jumps[best]) / max(1, stretches)
    if share < SHARE:
        return 0, 0.0
    return left + best, share


@njit(cache=True, nogil=True, error_model="numpy")
def row_seam(plane: U8, top: int, bottom: int, left: int, right: int) -> tuple[int, float]:
    """The row at which the lower picture begins, as ``column_seam``."""
    turned = np.ascontiguousarray(plane[top:bottom, left:right].T)
    place, share = column_seam(turned, 0, right - left, 0, bottom - top)
    return (top + place if share else 0), share
