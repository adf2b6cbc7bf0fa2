"""The vPDQ rule: shares of frames that have a like on the other side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutela.core import FrameHash
from tutela.hashing.pdq import distance
from tutela.hashing.video import VideoShares, compare_videos


def frame(bits: bytes, quality: int = 100) -> FrameHash:
    return FrameHash(number=0, time=0.0, pdq=bits, quality=quality)


hashes = st.builds(
    lambda base, flips: bytes(
        b ^ (sum(1 << (f % 8) for f in set(flips) if f // 8 == at) & 0xFF)
        for at, b in enumerate(bytes([base]) * 32)
    ),
    st.sampled_from([0, 0xFF, 0x0F]),
    st.lists(st.integers(0, 255), max_size=40),
)
videos = st.lists(st.builds(frame, hashes, st.sampled_from([49, 50, 100])), max_size=12)


@given(query=videos, listed=videos, radius=st.integers(0, 40))
def test_shares_are_those_of_the_definition(
    query: list[FrameHash], listed: list[FrameHash], radius: int
) -> None:
    ours = [f.pdq for f in query if f.quality >= 50]
    theirs = [f.pdq for f in listed if f.quality >= 50]
    found = compare_videos(query, listed, radius=radius, min_quality=50)

    def share(those: list[bytes], others: list[bytes]) -> float:
        hit = [any(distance(a, b) <= radius for b in others) for a in those]
        return sum(hit) / len(hit) if hit and others else 0.0

    assert found.query == pytest.approx(share(ours, theirs))
    assert found.listed == pytest.approx(share(theirs, ours))


def test_long_videos_are_compared_in_blocks() -> None:
    ours = [frame(bytes([n % 256, n // 256]) + bytes(30)) for n in range(1000)]
    theirs = [*ours[:500], *(frame(b"\xff" * 32) for _ in range(500))]
    assert compare_videos(ours, theirs, radius=0) == VideoShares(0.5, 0.5)
    assert compare_videos([], ours) == VideoShares(0.0, 0.0)
