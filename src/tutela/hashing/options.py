"""How to hash: one frozen value that travels to the decoder with every file."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import msgspec

from tutela.core import HashMode
from tutela.settings import MIB, HashingSettings


class VideoMode(StrEnum):
    """Which frames of a video are hashed.

    ``every``: each frame, as the reference vPDQ does at its finest; nothing shown is missed.
    ``second``: the first frame, and of each second the one shown at an instant drawn by chance, so
    that nobody can keep something harmless there; what is shown for less may be missed.
    ``keyframes``: frames that decode on their own (far cheaper; how many there are is the
    encoder's choice, so gaps longer than ten seconds are filled). ``off``: none; a video then is
    known by its digests only.
    """

    EVERY = "every"
    SECOND = "second"
    KEYFRAMES = "keyframes"
    OFF = "off"


class HashOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to compute and within what limits.

    ``max_pixels`` bounds one picture, ``max_frames`` the frames sampled from one animation,
    ``max_video_frames`` the frames kept of one video; ``max_depth``, ``max_members`` and
    ``max_unpacked_bytes`` bound everything taken out of one upload's containers together,
    ``max_member_bytes`` one member (a larger one is digested, not decoded). ``cpu_seconds`` and
    ``video_cpu_seconds`` are seconds of CPU time for one upload without and with video in it.
    """

    mode: HashMode = HashMode.LUMA
    views: bool = True
    video: VideoMode = VideoMode.EVERY
    max_pixels: int = 200_000_000
    max_frames: int = 64
    max_video_frames: int = 100_000
    max_depth: int = 3
    max_members: int = 2_000
    max_unpacked_bytes: int = 2048 * MIB
    max_member_bytes: int = 512 * MIB
    cpu_seconds: float = 20.0
    video_cpu_seconds: float = 600.0

    @classmethod
    def from_settings(cls, hashing: HashingSettings) -> Self:
        """The options that an operator's ``hashing`` settings ask for."""
        return cls(
            mode=HashMode(hashing.mode),
            views=hashing.views,
            video=VideoMode(hashing.video),
            max_pixels=hashing.max_pixels,
            max_frames=hashing.max_frames,
            max_video_frames=hashing.max_video_frames,
            max_depth=hashing.max_depth,
            max_members=hashing.max_members,
            max_unpacked_bytes=hashing.max_unpacked_bytes,
            cpu_seconds=hashing.cpu_seconds,
            video_cpu_seconds=hashing.video_cpu_seconds,
        )

    def replaced(self, **changes: object) -> Self:
        """A copy with some values changed (``mode=HashMode.IDENTICAL`` to hash a match again)."""
        return msgspec.structs.replace(self, **changes)
