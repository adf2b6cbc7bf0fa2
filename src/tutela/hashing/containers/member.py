"""One file taken out of a container: its name, its bytes in memory, and what was wrong with it."""

from __future__ import annotations

import io
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from tutela.core import Digests, Fault, FaultKind
from tutela.hashing.digests import Digester
from tutela.hashing.source import Source, new_memfd, write_all
from tutela.settings import MIB

from .budget import Budget

IN_HEAP = 4 * MIB
"""Members up to this stay in the heap; larger ones go to a memfd, outside the address space."""
MAX_NAME = 120
MAX_WHERE = 600


class BadMember(Exception):
    """A member's bytes cannot be had, or only up to here. Stays inside hashing."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


@dataclass(slots=True, kw_only=True)
class Member:
    """A member as far as it could be read. ``content`` is None where nothing is to be decoded."""

    name: str
    size: int
    digests: Digests
    content: BinaryIO | None
    fault: Fault | None = None

    def close(self) -> None:
        """Free its bytes."""
        if self.content is not None:
            self.content.close()


def unpack(name: str, chunks: Iterable[bytes], budget: Budget) -> Member:
    """Take in a member from its chunks, within the budget. Raises ``OverLimit``.

    A member over ``max_member_bytes`` is digested but not kept. ``BadMember`` raised by ``chunks``
    ends the member there and becomes its fault: what came before is examined all the same.
    """
    digester = Digester()
    kept: _Kept | None = _Kept()
    size, fault = 0, None
    try:
        for chunk in _until_bad(chunks):
            if isinstance(chunk, Fault):
                fault = chunk
                break
            budget.unpacked(len(chunk))
            size += len(chunk)
            digester.update(chunk)
            if kept is not None and size > budget.options.max_member_bytes:
                kept.close()
                kept = None
                fault = Fault(
                    kind=FaultKind.OVER_LIMIT, detail="This member is too large to be decoded."
                )
            if kept is not None:
                kept.write(chunk)
            budget.tick()
        content = kept.reader() if kept is not None else None
        kept = None
    finally:
        if kept is not None:
            kept.close()
    return Member(name=name, size=size, digests=digester.result(), content=content, fault=fault)


def _until_bad(chunks: Iterable[bytes]) -> Iterator[bytes | Fault]:
    try:
        yield from chunks
    except BadMember as bad:
        yield Fault(kind=bad.kind, detail=bad.detail)


class _Kept:
    """Bytes kept in the heap while few, else in a memfd."""

    def __init__(self) -> None:
        self._heap: io.BytesIO | None = io.BytesIO()
        self._fd = -1
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._heap is not None:
            if self._size <= IN_HEAP:
                self._heap.write(chunk)
                return
            self._fd = new_memfd()
            write_all(self._fd, self._heap.getbuffer())
            self._heap = None
        write_all(self._fd, chunk)

    def reader(self) -> BinaryIO:
        if self._heap is not None:
            self._heap.seek(0)
            return self._heap
        fd, self._fd = self._fd, -1
        with Source(fd, self._size) as source:
            return source.open()

    def close(self) -> None:
        self._heap = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def clean_name(name: str) -> str:
    """A member's name made harmless for answers, records and logs. It never becomes a path."""
    shown = "".join(
        c
        if unicodedata.category(c)[0] != "C" and c not in "\u2028\u2029"
        else "\N{REPLACEMENT CHARACTER}"
        for c in name[: 4 * MAX_NAME]
    ).strip()
    if len(shown) > MAX_NAME:
        shown = shown[: MAX_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return shown or "unnamed"


def below(where: str, name: str) -> str:
    """The path of a member inside the upload."""
    path = f"{where}/{name}" if where else name
    return path if len(path) <= MAX_WHERE else "\N{HORIZONTAL ELLIPSIS}" + path[-MAX_WHERE + 1 :]


def read_chunks(reader: object, size: int = MIB) -> Iterator[bytes]:
    """The rest of a stream in pieces."""
    stream = cast(BinaryIO, reader)
    while chunk := stream.read(size):
        yield chunk
