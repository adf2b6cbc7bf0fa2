"""What a caller may hand over as a file, and how it is read again for a retry."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import IO, cast

CHUNK = 256 * 1024
"""Bytes read at a time."""

FileLike = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | Iterable[bytes]
AsyncFileLike = FileLike | AsyncIterable[bytes]


class Body:
    """A file to send. ``again`` says whether it can be sent once more after a failure: bytes,
    paths and seekable files can, streams cannot."""

    def __init__(self, file: AsyncFileLike) -> None:
        self._file = file
        self._start = 0
        self.name: str | None = None
        self.again = True
        if isinstance(file, (str, os.PathLike)):
            self.name = Path(file).name
        elif isinstance(file, (bytes, bytearray, memoryview)):
            pass
        elif hasattr(file, "read"):
            handle = cast("IO[bytes]", file)
            self.again = handle.seekable()
            self._start = handle.tell() if self.again else 0
            name = getattr(handle, "name", None)
            self.name = Path(name).name if isinstance(name, str) else None
        else:
            self.again = False

    def sync(self) -> bytes | Iterator[bytes]:
        """The content for one attempt of the blocking client."""
        file = self._file
        if isinstance(file, (bytes, bytearray, memoryview)):
            return bytes(file)
        if isinstance(file, (str, os.PathLike)):
            return _path_chunks(file)
        if hasattr(file, "read"):
            return self._handle_chunks(cast("IO[bytes]", file))
        if isinstance(file, Iterable):
            return iter(file)
        raise TypeError("An asynchronous stream needs the AsyncClient.")

    def asynchronous(self) -> bytes | AsyncIterator[bytes]:
        """The content for one attempt of the asynchronous client."""
        file = self._file
        if isinstance(file, AsyncIterable):
            return aiter(file)
        content = self.sync()
        return content if isinstance(content, bytes) else _from_iterator(content)

    def _handle_chunks(self, handle: IO[bytes]) -> Iterator[bytes]:
        if self.again:
            handle.seek(self._start)
        while chunk := handle.read(CHUNK):
            yield chunk


def _path_chunks(path: str | os.PathLike[str]) -> Iterator[bytes]:
    with Path(path).open("rb") as handle:
        while chunk := handle.read(CHUNK):
            yield chunk


async def _from_iterator(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
