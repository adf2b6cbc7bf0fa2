"""An opaque badge or logo in a corner: where it ends, and the samples without it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

SIDE = 64
LEAST, MOST = 0.08, 0.45
"""Smallest and largest badge looked for, as shares of the picture's sides."""
SHARE = 0.55
"""Share of both inner edges that must jump."""
JUMP = 6.0
"""Least jump, in levels of 255, that counts."""
STRETCH = 4
"""Pixels along an edge that are averaged."""
ROUNDS = 30
"""Rounds of successive over-relaxation that settle the membrane."""
OVERSHOOT = 1.8
"""Its relaxation factor."""


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _jumps(part: U8, first: int, last: int) -> F32:
    """[stretch, x]: how many stretches from the top on jump at column x, summed downwards."""
    height, width = part.shape
    stretches = height // STRETCH
    counts = np.zeros((stretches + 1, width), np.float32)
    line = np.empty(width, np.float32)
    zero, half, one, three = np.float32(0), np.float32(0.5), np.float32(1), np.float32(3)
    least = np.float32(JUMP * STRETCH)
    for k in range(stretches):
        line[:] = 0.0
        for y in range(k * STRETCH, (k + 1) * STRETCH):
            for x in range(width):
                line[x] += np.float32(part[y, x])
        before, after = counts[k], counts[k + 1]
        for x in range(first, last):
            step = abs(line[x + 1] - line[x - 2])
            around = abs(line[x + 4] - line[x + 1]) + abs(line[x - 2] - line[x - 5])
            sharp = max(abs(line[x] - line[x - 1]), abs(line[x + 1] - line[x]))
            seen = (step > least + half * around) & (three * sharp > step)
            after[x] = before[x] + (one if seen else zero)
    return counts


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def badge(plane: U8) -> tuple[int, int, int, float]:
    """The likeliest badge: its corner (0 top left, 1 top right, 2 bottom left, 3 bottom right),
    height and width in pixels of the plane from that corner, and the share of its edges that is
    seen; a share of 0.0 where there is none."""
    rows, columns = plane.shape
    tall, wide = int(rows * MOST) + 6, int(columns * MOST) + 6
    low_y, low_x = max(6, int(rows * LEAST)), max(6, int(columns * LEAST))
    high_y, high_x = int(rows * MOST), int(columns * MOST)
    best_corner, best_y, best_x, best = 0, 0, 0, np.float32(SHARE)
    if rows < 48 or columns < 48:
        return 0, 0, 0, 0.0
    part = np.empty((tall, wide), np.uint8)
    need, column = np.empty(wide, np.float32), np.empty(wide, np.int64)
    for corner in range(4):
        for y in range(tall):
            source = y if corner < 2 else rows - 1 - y
            for x in range(wide):
                part[y, x] = plane[source, x if corner % 2 == 0 else columns - 1 - x]
        down = _jumps(part, low_x, high_x)
        along = _jumps(np.ascontiguousarray(part.T), low_y, high_y)
        across = np.ascontiguousarray(along.T)
        for x in range(low_x, high_x):
            need[x] = np.float32(1.0 / (x // STRETCH))
            column[x] = x // STRETCH
        for y in range(low_y, high_y):
            per = np.float32(1.0 / (y // STRETCH))
            edge, row = down[y // STRETCH], across[y]
            for x in range(low_x, high_x):
                share = edge[x] * per
                if share > best:
                    share = min(share, row[column[x]] * need[x])
                    if share > best:
                        best_corner, best_y, best_x, best = corner, y, x, share
    if best_y == 0:
        return 0, 0, 0, 0.0
    return best_corner, best_y, best_x, float(best)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def patched(samples: F32, corner: int, tall: float, wide: float) -> F32:
    """64x64 samples with a corner of ``tall`` x ``wide`` (shares of the sides) filled in like a
    membrane stretched from its two inner edges: the smoothest guess at what was there."""
    out = samples.copy()
    rows = min(SIDE - 2, int(np.ceil(tall * SIDE)))
    columns = min(SIDE - 2, int(np.ceil(wide * SIDE)))
    up, left = corner < 2, corner % 2 == 0
    # A sheet with the corner at (0, 0), its inner edges as last row and column.
    sheet = np.zeros((rows + 1, columns + 1), np.float32)
    for r in range(rows + 1):
        for c in range(columns + 1):
            y, x = r if up else SIDE - 1 - r, c if left else SIDE - 1 - c
            sheet[r, c] = samples[y, x]
    for r in range(rows):
        for c in range(columns):
            below, beside = np.float32(1.0 / (rows - r)), np.float32(1.0 / (columns - c))
            sheet[r, c] = (sheet[rows, c] * below + sheet[r, columns] * beside) / (below + beside)
    for _ in range(ROUNDS):
        for r in range(rows - 1, -1, -1):
            above = sheet[max(r - 1, 0)]
            row, under = sheet[r], sheet[r + 1]
            for c in range(columns - 1, -1, -1):
                around = above[c] + under[c] + row[max(c - 1, 0)] + row[c + 1]
                row[c] += np.float32(OVERSHOOT) * (np.float32(0.25) * around - row[c])
    for r in range(rows):
        for c in range(columns):
            y, x = r if up else SIDE - 1 - r, c if left else SIDE - 1 - c
            out[y, x] = sheet[r, c]
    return out
