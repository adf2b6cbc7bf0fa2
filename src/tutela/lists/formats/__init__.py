"""Formats of list files, both ways. Adding one is a module here and a line in ``FORMATS``."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tutela.core import Signal
from tutela.errors import InvalidImport, InvalidInput

from ..records import ListInfo
from .base import Entry, Reading, ReadOptions
from .hma import HmaReading, write_hma
from .jsonlines import JsonLinesReading, write_jsonl
from .lines import CsvReading, write_csv
from .vics import VicsReading, refuse_other_purposes, write_vics

_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its name, media type, how it is read and written, and a check before writing."""

    name: str
    media_type: str
    read: type[Reading]
    write: Callable[[ListInfo, Iterable[Signal]], Iterator[bytes]]
    check: Callable[[ListInfo], None] = lambda _info: None


FORMATS = {
    made.name: made
    for made in (
        Format("csv", "text/csv", CsvReading, write_csv),
        Format("jsonl", "application/jsonl", JsonLinesReading, write_jsonl),
        Format("hma", "application/json", HmaReading, write_hma),
        Format("vics", "application/json", VicsReading, write_vics, refuse_other_purposes),
    )
}
"""Every format by its name."""


def format_named(name: str) -> Format:
    """The format of this name. Raises ``InvalidInput``."""
    try:
        return FORMATS[name]
    except KeyError:
        raise InvalidInput(
            "That format of lists is not known.",
            kept="Nothing was read or written.",
            next_step=f"Known: {', '.join(FORMATS)}.",
        ) from None


def open_reading(
    name: str | None, stream: BinaryIO, info: ListInfo, options: ReadOptions
) -> tuple[Reading, str]:
    """A reading of the stream in the format named, or in the one that its beginning shows.

    Raises ``InvalidInput`` for an unknown name, ``InvalidImport`` where nothing can be made out.
    """
    if name is None:
        head = stream.read(_HEAD)
        stream = io.BufferedReader(_Joined(head, stream))
        name = sniff(head)
    return format_named(name).read(stream, info, options), name


def sniff(head: bytes) -> str:
    """The name of the format that a file begins in. Raises ``InvalidImport``."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise InvalidImport("The file is empty.", kept="Nothing was imported.")
    if b"\x00" in text[:4096]:
        raise InvalidImport(
            "The file is not text.",
            kept="Nothing was imported.",
            next_step="Unpack it first; UTF-16 files have to be saved as UTF-8.",
        )
    if text[:1] == b"[":
        return "hma"
    if text[:1] == b"{":
        if b"odata.context" in text or b"odata.metadata" in text:
            return "vics"
        first = text.split(b"\n", 1)[0]
        return "hma" if b'"signals"' in first or b'"contents"' in text else "jsonl"
    return "csv"


class _Joined(io.RawIOBase):
    """What was read already, then the rest of the stream."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill the buffer from what is next."""
        view = memoryview(buffer)  # type: ignore[arg-type]  # io passes any writable buffer
        if self._head:
            taken = self._head[: len(view)]
            self._head = self._head[len(taken) :]
        else:
            taken = self._rest.read(len(view))
        view[: len(taken)] = taken
        return len(taken)


__all__ = [
    "FORMATS",
    "Entry",
    "Format",
    "ReadOptions",
    "Reading",
    "format_named",
    "open_reading",
    "sniff",
]
