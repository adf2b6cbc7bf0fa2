"""Which frames of a long animation are looked at more closely than by their hash."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NOVEL_BITS = 8
"""In a long animation, a frame as near as this to one that is taken need not be taken."""
LONG_SHOWN = 4
"""A frame of a long animation shown for this many times what is usual is taken first."""


def most_different(hashes: Sequence[bytes], most: int, times: Sequence[float] = ()) -> list[int]:
    """The places, in order, of at most ``most`` hashes that stand for all of them.

    The first is taken, and those shown for far longer (``times``) than usual, up to a quarter of
    all; then again and again the one farthest from all taken (Gonzalez 1985), until none is
    farther than ``NOVEL_BITS``.
    """
    if not hashes:
        return []
    table = np.frombuffer(b"".join(hashes), np.uint64).reshape(len(hashes), -1)
    taken: list[int] = []
    apart = np.full(len(hashes), 8 * len(hashes[0]))
    for place in [0, *_shown_long(times, most // 4)]:
        if len(taken) < most and apart[place] > NOVEL_BITS:
            taken.append(place)
            apart = np.minimum(apart, np.bitwise_count(table ^ table[place]).sum(axis=1))
    while len(taken) < most:
        farthest = int(apart.argmax())
        if apart[farthest] <= NOVEL_BITS:
            break
        taken.append(farthest)
        apart = np.minimum(apart, np.bitwise_count(table ^ table[farthest]).sum(axis=1))
    return sorted(taken)


def _shown_long(times: Sequence[float], most: int) -> list[int]:
    """The places shown for more than ``LONG_SHOWN`` times what is usual, the longest first."""
    if not times:
        return []
    usual = float(np.median(times))
    long = [place for place, lasts in enumerate(times) if lasts > LONG_SHOWN * usual]
    return sorted(long, key=lambda place: -times[place])[:most]
