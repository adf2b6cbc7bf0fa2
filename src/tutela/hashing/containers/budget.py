"""How much one upload may unfold into: members, bytes, ratio, depth and CPU time, all counted once
for the whole upload, so that nesting cannot multiply them."""

from __future__ import annotations

import time
from collections.abc import Callable

from tutela.hashing.options import HashOptions
from tutela.settings import MIB

ENTRIES_PER_MEMBER = 10
"""Entries of archives, folders and links included, that may be read for each member allowed."""
RATIO = 200
"""Unpacked bytes may be this many times the upload's…"""
RATIO_FREE_BYTES = 64 * MIB
"""…once they are more than this."""

VIDEO_PIXELS = 1_000_000_000_000
"""Pixels of all frames decoded from one upload: four hours of 1920x1080 at 30 frames a second. The
time limit ends most films sooner; this bounds frames that cost next to nothing to repeat."""


class OverLimit(Exception):
    """A limit of the whole upload is reached; ``str()`` says which. Stays inside hashing."""


class Budget:
    """What is left for one upload. Not shared between threads."""

    def __init__(
        self, options: HashOptions, size: int, on_video: Callable[[], None] | None = None
    ) -> None:
        self.options = options
        self._members = options.max_members
        self._entries = options.max_members * ENTRIES_PER_MEMBER
        self._bytes = min(options.max_unpacked_bytes, max(RATIO * size, RATIO_FREE_BYTES))
        self._on_video = on_video
        self._deadline = time.process_time() + options.cpu_seconds
        self._video = False
        self._pixels = VIDEO_PIXELS

    def member(self) -> None:
        """Count one member. Raises ``OverLimit``."""
        if self._members <= 0:
            raise OverLimit(f"It holds more than {self.options.max_members} files.")
        self._members -= 1
        self.tick()

    def entry(self) -> None:
        """Count one entry of an archive that may be no member. Raises ``OverLimit``."""
        self._entries -= 1
        if self._entries < 0:
            raise OverLimit("Its table of contents is longer than an upload's may be.")
        self.tick()

    def unpacked(self, count: int) -> None:
        """Count unpacked bytes. Raises ``OverLimit``."""
        self._bytes -= count
        if self._bytes < 0:
            raise OverLimit("It unpacks to more bytes than one upload may.")

    def video(self) -> None:
        """A video was met: the longer time limit holds from now on for the whole upload."""
        if not self._video:
            self._video = True
            self._deadline = time.process_time() + self.options.video_cpu_seconds
            if self._on_video is not None:
                self._on_video()

    def frame(self, pixels: int) -> None:
        """Count one decoded frame of a video. Raises ``OverLimit``."""
        self._pixels -= pixels
        if self._pixels < 0:
            raise OverLimit("Its videos hold more pixels than one upload may.")

    def tick(self) -> None:
        """Raises ``OverLimit`` where the CPU time is used up."""
        if self.out_of_time():
            raise OverLimit("It takes more time to examine than one upload may.")

    def out_of_time(self) -> bool:
        """Whether the CPU time is used up."""
        return time.process_time() > self._deadline
