"""How far a picture was turned, read off the wedges of one colour that turning leaves.

Turning by a few degrees on a canvas of the same size leaves a wedge along half of each side: deep
at one corner, nothing at the middle. Which corner tells the direction, its slope the angle.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

LEVELS = 20
"""How far, in levels of 255, a wedge's pixel may lie from the corner's."""
LEAST, MOST = 0.4, 15.0
"""Degrees under which a turn needs no undoing, and over which it is not looked for."""
DEEPEST = 0.35
"""The deepest wedge looked for, as a share of the side across."""


@njit(cache=True, nogil=True, error_model="numpy")
def _depth(plane: U8, side: int, place: int, level: int) -> int:
    """How many pixels from the side inwards have the level, at one place along it."""
    height, width = plane.shape
    across = height if side < 2 else width
    most = int(across * DEEPEST)
    for k in range(most):
        if side == 0:
            value = plane[k, place]
        elif side == 1:
            value = plane[height - 1 - k, place]
        elif side == 2:
            value = plane[place, k]
        else:
            value = plane[place, width - 1 - k]
        if abs(int(value) - level) > LEVELS:
            return k
    return most


@njit(cache=True, nogil=True, error_model="numpy")
def _typical(depths: NDArray[np.float64]) -> float:
    """The mean, with what lies more than 4 pixels from the median drawn in to there: finer than
    whole pixels, and not misled where the picture itself has the wedge's colour."""
    middle = np.median(depths)
    total = 0.0
    for depth in depths:
        total += min(max(depth, middle - 4), middle + 4)
    return total / len(depths)


@njit(cache=True, nogil=True, error_model="numpy")
def turned(plane: U8, height: int, width: int) -> float:
    """By how many degrees anticlockwise the picture was turned; 0.0 where no wedges are seen.

    ``height`` and ``width`` are the full picture's: the plane is shrunk unevenly.
    """
    rows, columns = plane.shape
    tall, wide = height / rows, width / columns
    best, best_agreeing = 0.0, 0
    for direction in range(2):
        slopes = np.zeros(4)
        for side in range(4):
            along = columns if side < 2 else rows
            # Anticlockwise: deep at top left, bottom right, left bottom, right top.
            from_start = (side in (0, 3)) == (direction == 0)
            corner_row = (0 if from_start else rows - 1) if side >= 2 else (rows - 1) * side
            corner_column = (
                (0 if from_start else columns - 1) if side < 2 else (columns - 1) * (side - 2)
            )
            level = int(plane[corner_row, corner_column])
            count = max(4, int(along * 0.1))
            near, far = np.empty(count), np.empty(count)
            for k in range(count):
                a = int(along * 0.05) + k
                b = int(along * 0.22) + k
                near[k] = _depth(plane, side, a if from_start else along - 1 - a, level)
                far[k] = _depth(plane, side, b if from_start else along - 1 - b, level)
            fall = _typical(near) - _typical(far)
            run = int(along * 0.22) - int(along * 0.05)
            slopes[side] = (
                fall * (tall if side < 2 else wide) / (run * (wide if side < 2 else tall))
            )
        middle = np.sort(slopes)
        slope = (middle[1] + middle[2]) / 2
        degrees = math.atan(slope) * 180 / math.pi
        if not LEAST <= degrees <= MOST:
            continue
        agreeing = 0
        for side in range(4):
            apart = abs(math.atan(slopes[side]) * 180 / math.pi - degrees)
            agreeing += apart <= 0.4 + 0.2 * degrees
        if agreeing >= 3 and agreeing > best_agreeing:
            best, best_agreeing = degrees if direction == 0 else -degrees, agreeing
    return best
