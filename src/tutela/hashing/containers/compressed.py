"""Compressed streams (gzip, bzip2, xz, deflate, LZMA), decompressed in bounded pieces.

Nothing here ever holds more than ``PIECE`` bytes of output, whatever the input claims.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from tutela.core import FaultKind
from tutela.settings import MIB

from .member import BadMember

PIECE = MIB
LZMA_MEMORY = 256 * MIB
"""Largest dictionary a stream may ask for."""


class _Decompressor(Protocol):
    """What bz2 and lzma offer."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Zlib:
    """zlib with the interface of bz2 and lzma."""

    def __init__(self, window: int) -> None:
        self._inner = zlib.decompressobj(window)
        self._waiting = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._waiting and not self._full

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    _full = False

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out = self._inner.decompress(self._waiting + data, max_length)
        self._waiting = self._inner.unconsumed_tail
        self._full = len(out) == max_length and not self._inner.eof
        return out


STREAMS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(-15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY),
}


def decompress(form: str, chunks: Iterable[bytes], *, joined: bool = False) -> Iterator[bytes]:
    """The plain bytes, piece by piece; ``joined`` where streams may follow each other (gzip…).

    Raises ``BadMember`` where the stream is damaged or ends too early, after all that could be
    had was given out.
    """
    make = STREAMS[form]
    stream = make()
    touched = False
    for chunk in chunks:
        data = chunk
        while True:
            if stream.eof:
                data = stream.unused_data or data
                if not joined or not data.strip(b"\0"):
                    return
                stream, touched = make(), False
            try:
                piece = stream.decompress(data, PIECE)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise BadMember(FaultKind.DAMAGED, "Its compressed data is damaged.") from error
            touched = touched or bool(data)
            data = b""
            if piece:
                yield piece
            if stream.eof:
                if stream.unused_data and joined:
                    continue
                break
            if stream.needs_input:
                break
    if touched and not stream.eof:
        raise BadMember(FaultKind.TRUNCATED, "Its compressed data ends too early.")
