"""What is kept in a file beside its own content: behind its end, in front, or in its middle.

A JPEG with a ZIP behind it opens as either, depending on who looks; phones keep films ("motion
photos") and further pictures behind a JPEG. Behind the end of a format that says where it ends,
pictures, films and archives are looked for; in any file a ZIP by its end record, other archives
by their signatures, and a PDF in the first 1,024 bytes, where readers of PDF look for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from tutela.core import FaultKind, MediaKind
from tutela.hashing.sniff import Format
from tutela.settings import MIB

from . import signatures, zips
from .ends import BOXED, ENDS, boxes, jpeg_scan
from .member import BadMember, read_chunks

MAX_SEARCHED = 64 * MIB
WINDOW = 16 * MIB
OVERLAP = 4096
PDF_HEAD = 1024
MOST = 64
"""Pictures and films looked for behind one file."""
_WHOLE_ALREADY = frozenset({"text", "html", "svg", "zip", "tar", "gzip", "bz2", "xz"})
"""Formats whose every byte is accounted for where they are opened."""
_FILM_BOXES = frozenset({b"mpvd"})
"""Boxes in which a HEIC keeps the film of a motion photo."""

Found = tuple[str, Iterator[bytes]]


def members(reader: BinaryIO, form: str) -> Iterator[Found]:
    """Names and contents of what a file of the format ``form`` holds beside its own content."""
    archive = None if form in {"zip", "tar"} else zips.find_directory(reader)
    if archive is not None:
        yield "appended.zip", _part(reader, archive.shift, None)
    yield from _document(reader, form)
    if form in BOXED:
        yield from _boxed(reader, archive is not None)
    elif form in ENDS:
        yield from _ended(reader, form, archive is not None)
    elif form not in _WHOLE_ALREADY:
        yield from _archives(reader, archive is not None)


def behind(reader: BinaryIO, start: int, *, zip_known: bool = False) -> Iterator[Found]:
    """Pictures, films and archives behind the place ``start``.

    Raises ``BadMember`` where there is more than can be looked through.
    """
    total = reader.seek(0, 2)
    reader.seek(start)
    data = reader.read(MAX_SEARCHED)
    if not data.strip(b"\0\xff\r\n \x1a"):
        data = b""
    free = 0
    for number, (at, form) in enumerate(_places(data), 1):
        if at < free:
            continue  # inside the one before
        if number > MOST:
            raise BadMember(FaultKind.OVER_LIMIT, "Too many files lie behind its end.")
        end = ENDS[form.name](data, at) if form.name in ENDS and form.name != "pdf" else None
        if not (form.name == "zip" and zip_known):
            film = form.kind is MediaKind.VIDEO
            name = "appended-film" if film else f"appended-{number}.{form.name}"
            yield name, _part(reader, start + at, None if end is None else start + end)
        if end is None:
            return
        free = end
    if total - start > MAX_SEARCHED:
        raise BadMember(FaultKind.OVER_LIMIT, "More lies behind its end than can be searched.")


def _places(data: bytes) -> Iterator[tuple[int, Format]]:
    """What begins right behind the end, padding aside, and what begins later."""
    padding = len(data) - len(data.lstrip(b"\0\r\n "))
    for at in sorted({0, padding}):
        form = signatures.format_at(data, at, first=True)
        if form is not None:
            yield at, form
            break
    yield from signatures.places(data)


def _part(reader: BinaryIO, start: int, end: int | None) -> Iterator[bytes]:
    reader.seek(start)
    if end is None:
        yield from read_chunks(reader)
        return
    at = start
    while at < end:
        reader.seek(at)
        chunk = reader.read(min(MIB, end - at))
        if not chunk:
            return
        at += len(chunk)
        yield chunk


def _document(reader: BinaryIO, form: str) -> Iterator[Found]:
    """A PDF that begins in the head of another format, other than as an archive's member."""
    if form == "pdf":
        return
    reader.seek(0)
    head = reader.read(PDF_HEAD)
    at = head.find(b"%PDF-")
    if at < 0 or (form == "tar" and at % 512 == 0):
        return
    if form == "zip" and at == zips.data_start(head):
        return
    yield "document.pdf", _part(reader, at, None)


def _ended(reader: BinaryIO, form: str, zip_known: bool) -> Iterator[Found]:
    reader.seek(0)
    data = reader.read(MAX_SEARCHED)
    end = ENDS[form](data, 0)
    whole = reader.seek(0, 2) == len(data)
    if form == "jpeg":
        before = data[: jpeg_scan(data) or 0]
        yield from _archive_in(reader, before, 0, zip_known)
    elif form != "pdf":
        yield from _archive_in(reader, data[:end], 0, zip_known)
    if end is None:
        if not whole or form == "pdf":
            yield from _archives(reader, zip_known)
        elif form == "jpeg":
            yield from _archive_in(reader, data, 2, zip_known)
    elif end < len(data):
        yield from behind(reader, end, zip_known=zip_known)


def _boxed(reader: BinaryIO, zip_known: bool) -> Iterator[Found]:
    end, found = boxes(reader)
    for kind, start, stop in found:
        if kind in _FILM_BOXES:
            yield "appended-film", _part(reader, start, stop)
    if end is not None and end < reader.seek(0, 2):
        yield from behind(reader, end, zip_known=zip_known)


def _archives(reader: BinaryIO, zip_known: bool) -> Iterator[Found]:
    """The first archive anywhere in a file whose end is not known."""
    total, at = reader.seek(0, 2), 0
    while at < total:
        reader.seek(at)
        data = reader.read(WINDOW + OVERLAP)
        for found in _archive_in(reader, data, at, zip_known):
            yield found
            return
        at += WINDOW


def _archive_in(reader: BinaryIO, data: bytes, shift: int, zip_known: bool) -> Iterator[Found]:
    for at, form in signatures.places(data, archives=True):
        if shift + at and not (form.name == "zip" and zip_known):
            yield f"appended-1.{form.name}", _part(reader, shift + at, None)
            return
