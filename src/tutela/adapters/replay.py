"""A request's body kept until its decision is there, then given to the application.

In memory up to a bound, beyond it in an unlinked file encrypted under a key that exists in memory
only: what is refused must not have been on the platform's disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from tutela.hashing.source import KEY_BYTES, NONCE_BYTES, Source, counter_mode, new_memfd, write_all

CHUNK = 256 * 1024


class Replay:
    """Write it once, then read it once. ``memory`` is bytes kept before going to disk."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._fd = new_memfd()
        self._key: bytes | None = None
        self._size = 0

    def write(self, part: bytes) -> None:
        """Take in a part of the body. Raises ``OSError`` where there is no room."""
        if self._key is None and self._size + len(part) > self._memory:
            self._spill()
        if self._key is not None:
            part = self._stream.update(part)
        write_all(self._fd, part)
        self._size += len(part)

    def read(self) -> Iterator[bytes]:
        """The whole body in chunks."""
        with Source(os.dup(self._fd), self._size, key=self._key) as source, source.open() as reader:
            while chunk := reader.read(CHUNK):
                yield chunk

    def close(self) -> None:
        """Drop it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _spill(self) -> None:
        fd, name = tempfile.mkstemp(prefix="tutela-")
        os.unlink(name)
        self._key = os.urandom(KEY_BYTES)
        self._stream = counter_mode(self._key, bytes(NONCE_BYTES), 0)
        offset = 0
        while chunk := os.pread(self._fd, CHUNK, offset):
            write_all(fd, self._stream.update(chunk))
            offset += len(chunk)
        os.close(self._fd)
        self._fd = fd
