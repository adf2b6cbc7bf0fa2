"""Where the picture lies in what was put around it: borders, bars, captions, screens, collages.

A rectangle is (top, bottom, left, right) in pixels of the plane, ends not included.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]

LOOSE = 20
"""How far, in levels of 255, a pixel of a border may lie from the border's colour."""
TIGHT = 5
"""The same for borders that end at a faint step (white round a bright sky), and for pages."""
RINGING = 8
"""Pixels of the full picture in which JPEG blurs the inner edge of a border."""
UNIFORM = 0.97
"""Share of a line's pixels that must have the border's colour."""
BLURRED = 0.3
"""Share of the middle's fine detail under which a line is blurred."""
THIN = 0.04
"""Blurred bars are at least this share of the picture wide."""
PAGE = 0.45
"""Share of a line's pixels with the ground's colour from which on it belongs to a page (a caption
bar, a screen's controls) and not to the picture on it."""


@njit(cache=True, nogil=True, error_model="numpy")
def _share(line: U8, level: float, levels: float) -> float:
    count = 0
    for value in line:
        if abs(np.float32(value) - level) <= levels:
            count += 1
    return count / max(1, len(line))


@njit(cache=True, nogil=True, error_model="numpy")
def _level(line: U8) -> float:
    """The mean of the line's commonest values."""
    counts = np.zeros(33, np.int64)
    for value in line:
        counts[value >> 3] += 1
    best, most = 0, -1
    for k in range(32):
        near = counts[k] + counts[k + 1]
        if near > most:
            best, most = k, near
    total = 0
    for value in line:
        if best <= value >> 3 <= best + 1:
            total += value
    return total / max(1, most)


@njit(cache=True, nogil=True, error_model="numpy")
def trim(
    plane: U8, top: int, bottom: int, left: int, right: int, levels: float, slack: int
) -> Rectangle:
    """The rectangle without uniform lines along its sides, each side with a colour of its own.

    Where a side has such lines, up to ``slack`` more are taken that are uniform loosely. Gives
    the rectangle back as it is where there are none, or where nothing would be left.
    """
    box = (top, bottom, left, right)
    for _ in range(2):
        for side in range(4):
            if bottom - top < 8 or right - left < 8:
                return box
            level, taken, ringing = 0.0, 0, 0
            while bottom - top >= 8 and right - left >= 8:
                if side == 0:
                    line = plane[top, left:right]
                elif side == 1:
                    line = plane[bottom - 1, left:right]
                elif side == 2:
                    line = plane[top:bottom, left]
                else:
                    line = plane[top:bottom, right - 1]
                if taken == 0:
                    level = _level(line)
                if _share(line, level, levels) < UNIFORM:
                    if taken == 0 or ringing == slack or _share(line, level, LOOSE) < UNIFORM:
                        break
                    ringing += 1
                taken += 1
                top += side == 0
                bottom -= side == 1
                left += side == 2
                right -= side == 3
    return (top, bottom, left, right)


@njit(cache=True, nogil=True, error_model="numpy")
def _longest(page: NDArray[np.bool_]) -> tuple[int, int]:
    """The longest run of lines that are not page; single page lines do not break it."""
    best_start, best_stop, start = 0, 0, -1
    for k in range(len(page) + 1):
        inside = k < len(page) and not (
            page[k] and (k + 1 >= len(page) or page[k + 1] or k == 0 or page[k - 1])
        )
        if inside and start < 0:
            start = k
        if not inside and start >= 0:
            if k - start > best_stop - best_start:
                best_start, best_stop = start, k
            start = -1
    return best_start, best_stop


@njit(cache=True, nogil=True, error_model="numpy")
def cut(plane: U8, top: int, bottom: int, left: int, right: int) -> Rectangle:
    """The largest picture on a page of one colour: what is left without a caption's bar or a
    screen's controls. Gives the rectangle back as it is where no side is of one colour."""
    box = (top, bottom, left, right)
    for side in range(2):
        line = plane[top if side == 0 else bottom - 1, left:right]
        level = _level(line)
        if _share(line, level, TIGHT) < UNIFORM:
            continue
        page = np.empty(bottom - top, np.bool_)
        for y in range(top, bottom):
            page[y - top] = _share(plane[y, left:right], level, TIGHT) >= PAGE
        start, stop = _longest(page)
        if stop - start < 0.15 * (bottom - top):
            continue
        first, last = top + start, top + stop
        begin, end = left, right
        while begin < end and _share(plane[first:last, begin], level, LOOSE) >= 0.9:
            begin += 1
        while end > begin and _share(plane[first:last, end - 1], level, LOOSE) >= 0.9:
            end -= 1
        if end - begin < 0.2 * (right - left):
            continue
        return (first, last, begin, end)
    return box


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _fine(plane: U8, top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
    """How much fine detail each row of the rectangle has: its mean second difference."""
    out = np.empty(bottom - top, np.float32)
    for y in range(top, bottom):
        row = plane[y, left:right]
        total = np.int32(0)
        for x in range(1, len(row) - 1):
            total += abs(2 * np.int32(row[x]) - np.int32(row[x - 1]) - np.int32(row[x + 1]))
        out[y - top] = total / max(1, len(row) - 2)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _sharp_part(fine: NDArray[np.float32]) -> tuple[int, int]:
    """The lines between two blurred bars of about the same width; all where there are none."""
    length = len(fine)
    level = BLURRED * np.median(fine[length // 4 : length - length // 4])
    start, stop = 0, length
    while start < length // 2 and fine[start] < level:
        start += 1
    while stop > length // 2 and fine[stop - 1] < level:
        stop -= 1
    after = length - stop
    if min(start, after) < THIN * length or abs(start - after) > 0.25 * max(start, after):
        return 0, length
    return start, stop


@njit(cache=True, nogil=True, error_model="numpy")
def without_blur(plane: U8, top: int, bottom: int, left: int, right: int) -> Rectangle:
    """The sharp picture on a blurred ground, such as its own copy enlarged behind it. Gives the
    rectangle back as it is where no two opposite sides are blurred."""
    if bottom - top < 32 or right - left < 32:
        return (top, bottom, left, right)
    start, stop = _sharp_part(_fine(plane, top, bottom, left, right))
    rows = (top + start, top + stop)
    turned = np.ascontiguousarray(plane[rows[0] : rows[1], left:right].T)
    start, stop = _sharp_part(_fine(turned, 0, right - left, 0, rows[1] - rows[0]))
    return (rows[0], rows[1], left + start, left + stop)
