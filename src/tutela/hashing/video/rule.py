"""The vPDQ match rule: which share of each video's frames has a like in the other.

Source: facebook/ThreatExchange, ``vpdq/README.md`` and ``vpdq/cpp/vpdq/cpp/hashing/matchTwoHash``.
The numbers (distance, quality, shares that make a match) are the lists' to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutela.core import FrameHash

_BLOCK = 256


@dataclass(frozen=True, slots=True)
class VideoShares:
    """Fractions (0 to 1) of the frames of good quality that have a like on the other side."""

    query: float
    listed: float


def compare_videos(
    query: Sequence[FrameHash],
    listed: Sequence[FrameHash],
    *,
    radius: int = 31,
    min_quality: int = 50,
) -> VideoShares:
    """Compare two videos frame by frame, each with each; frames under ``min_quality`` are left out.

    Memory is proportional to one side times a block of the other.
    """
    ours, theirs = _bits(query, min_quality), _bits(listed, min_quality)
    if not len(ours) or not len(theirs):
        return VideoShares(0.0, 0.0)
    found = np.zeros(len(theirs), bool)
    count = 0
    for at in range(0, len(ours), _BLOCK):
        differing = ours[at : at + _BLOCK, None, :] ^ theirs[None, :, :]
        near = np.bitwise_count(differing).sum(axis=2, dtype=np.uint16) <= radius
        count += int(near.any(axis=1).sum())
        found |= near.any(axis=0)
    return VideoShares(count / len(ours), float(found.mean()))


def _bits(frames: Sequence[FrameHash], min_quality: int) -> NDArray[np.uint64]:
    good = b"".join(frame.pdq for frame in frames if frame.quality >= min_quality)
    return np.frombuffer(good, np.uint64).reshape(-1, 4)
