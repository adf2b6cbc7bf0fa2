"""The small plane that views are found on, and PDQ's samples of any rectangle or turn of it.

A picture is shrunk once, by averaging whole blocks, to 256–511 pixels a side (each side by its
own factor). Everything that views look for is seen there, and their hashes are within a few bits
of those of the full picture. All kernels release the GIL and are compiled once, then cached.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

SIDE = 64
"""PDQ's samples along each axis."""
LEAST = 256
"""Least side of the plane, where the picture has as much."""
ROWS_READ = 2
"""Rows of a block that are read: more would change little and cost memory bandwidth."""


def shrink(luma: U8) -> U8:
    """The plane of an HxW luma, uint8: each side averaged in blocks to 256–511 pixels."""
    rows, columns = _halvings(luma.shape[0]), _halvings(luma.shape[1])
    if rows == 0 and columns == 0:
        return np.ascontiguousarray(luma)
    return _average(np.ascontiguousarray(luma), rows, columns)


def _halvings(length: int) -> int:
    return max(0, (length // LEAST).bit_length() - 1)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add(line: F32, row: U8) -> None:
    for x in range(len(line)):
        line[x] += np.float32(row[x])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _halve(line: F32, half: F32) -> None:
    for x in range(len(half)):
        half[x] = line[2 * x] + line[2 * x + 1]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _round(line: F32, scale: np.float32, out: U8) -> None:
    for x in range(len(out)):
        out[x] = np.uint8(np.int32(line[x] * scale + np.float32(0.5)))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _average(luma: U8, row_halvings: int, column_halvings: int) -> U8:
    """Blocks of 2**row_halvings x 2**column_halvings; of a block's rows ``ROWS_READ`` at most."""
    rows = 1 << row_halvings
    height, width = luma.shape[0] >> row_halvings, luma.shape[1] >> column_halvings
    plane = np.empty((height, width), np.uint8)
    used = width << column_halvings
    # A line, its half, its quarter and so on, one after the other.
    lines = np.empty(2 * used, np.float32)
    read = min(rows, ROWS_READ)
    scale = np.float32(1.0 / (read << column_halvings))
    for y in range(height):
        lines[:used] = 0.0
        for k in range(read):
            _add(lines[:used], luma[y * rows + (2 * k + 1) * rows // (2 * read), :used])
        start, length = 0, used
        for _ in range(column_halvings):
            follows = start + length
            _halve(lines[start:follows], lines[follows : follows + length // 2])
            start, length = follows, length // 2
        _round(lines[start : start + width], scale, plane[y])
    return plane


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _tents(start: float, stop: float, size: int, first: NDArray[np.int64], weights: F32) -> int:
    """PDQ's blur and sampling of [start, stop) on an axis of ``size`` pixels: for each of the 64
    samples the first pixel and the weights, in rows of ``weights``; returns the widest row."""
    step = (stop - start) / SIDE
    reach = max(step / 2, 1.0)
    low, high = int(max(0.0, start)), int(min(float(size), math.ceil(stop)))
    widest = 1
    for k in range(SIDE):
        centre = start + (k + 0.5) * step
        a = max(low, math.floor(centre - reach))
        b = min(high, math.ceil(centre + reach))
        if b <= a:
            a = min(max(int(centre), low), high - 1)
            b = a + 1
        first[k] = a
        total = np.float32(0.0)
        for i in range(b - a):
            weight = max(1e-4, 1.0 - abs(a + i + 0.5 - centre) / reach)
            weights[k, i] = weight
            total += weights[k, i]
        for i in range(b - a):
            weights[k, i] /= total
        for i in range(b - a, weights.shape[1]):
            weights[k, i] = 0.0
        widest = max(widest, b - a)
    return widest


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def rectangle_samples(plane: U8, top: float, bottom: float, left: float, right: float) -> F32:
    """PDQ's 64x64 samples of the rectangle [top, bottom) x [left, right) of the plane."""
    height, width = plane.shape
    room_rows = int((bottom - top) / SIDE) + 4
    room_columns = int((right - left) / SIDE) + 4
    row_first, column_first = np.empty(SIDE, np.int64), np.empty(SIDE, np.int64)
    row_weights = np.empty((SIDE, room_rows), np.float32)
    column_weights = np.empty((SIDE, room_columns), np.float32)
    tall = _tents(top, bottom, height, row_first, row_weights)
    wide = _tents(left, right, width, column_first, column_weights)
    samples = np.empty((SIDE, SIDE), np.float32)
    line = np.empty(width + room_columns, np.float32)
    x0, x1 = int(max(0.0, left)), int(min(float(width), math.ceil(right)))
    part = line[x0:x1]
    for r in range(SIDE):
        line[:] = 0.0
        for k in range(tall):
            weight = row_weights[r, k]
            if weight > 0.0:
                _add_weighted(part, plane[row_first[r] + k, x0:x1], weight)
        for c in range(SIDE):
            first = column_first[c]
            samples[r, c] = _dot(line[first : first + wide], column_weights[c, :wide])
    return samples


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add_weighted(line: F32, row: U8, weight: np.float32) -> None:
    for x in range(len(line)):
        line[x] += weight * np.float32(row[x])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _dot(a: F32, b: F32) -> np.float32:
    total = np.float32(0.0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def warped(samples: F32, aspect: float, degrees: float, stretch_x: float, stretch_y: float) -> F32:
    """64x64 samples of the picture turned clockwise by ``degrees`` and stretched about its
    middle (over 1: zoomed in; under 1: padded with what lies at the edge).

    ``aspect`` is width over height of the picture that ``samples`` were taken of.
    """
    out = np.empty((SIDE, SIDE), np.float32)
    flat = samples.ravel()
    angle = -degrees * math.pi / 180.0
    cosine, sine = math.cos(angle), math.sin(angle)
    # Source position of sample (0, 0), and the steps per column and per row.
    middle, most = (SIDE - 1) / 2.0, np.float32(SIDE - 1)
    x_by_column, x_by_row = cosine / stretch_x, -sine / aspect / stretch_y
    y_by_column, y_by_row = sine * aspect / stretch_x, cosine / stretch_y
    for r in range(SIDE):
        x0 = np.float32(middle - middle * x_by_column + (r - middle) * x_by_row)
        y0 = np.float32(middle - middle * y_by_column + (r - middle) * y_by_row)
        dx, dy = np.float32(x_by_column), np.float32(y_by_column)
        for c in range(SIDE):
            x = min(max(x0 + dx * np.float32(c), np.float32(0.0)), most)
            y = min(max(y0 + dy * np.float32(c), np.float32(0.0)), most)
            i, j = min(np.uint32(y), np.uint32(SIDE - 2)), min(np.uint32(x), np.uint32(SIDE - 2))
            b, a = y - np.float32(i), x - np.float32(j)
            k = i * np.uint32(SIDE) + j
            above = flat[k] + a * (flat[k + np.uint32(1)] - flat[k])
            below = flat[k + np.uint32(SIDE)] + a * (
                flat[k + np.uint32(SIDE + 1)] - flat[k + np.uint32(SIDE)]
            )
            out[r, c] = above + b * (below - above)
    return out
