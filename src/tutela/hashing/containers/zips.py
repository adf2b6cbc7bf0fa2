"""ZIP archives, read by hand: in bounded pieces, one entry at a time, forgiving what others do.

A wrong checksum or size, or a missing table of contents, must not hide a picture that other
software shows; a table of ten million entries must cost nothing before the budget stops it.
Without a usable central directory the local headers are followed instead. Source: PKWARE APPNOTE
6.3.10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tutela.core import FaultKind
from tutela.settings import MIB

from .compressed import decompress
from .member import BadMember
from .scan import positions
from .signatures import is_zip

LOCAL = struct.Struct("<4sHHHHHIIIHH")
LOCAL_SIGNATURE = b"PK\x03\x04"
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
CENTRAL_SIGNATURE = b"PK\x01\x02"
SIGNATURE_OF_DIRECTORY = b"PK\x05\x05"
END = struct.Struct("<4sHHHHIIH")
END_SIGNATURE = b"PK\x05\x06"
WIDE_END = struct.Struct("<4sQHHIIQQQQ")
WIDE_END_SIGNATURE = b"PK\x06\x06"
LOCATOR = struct.Struct("<4sIQI")
LOCATOR_SIGNATURE = b"PK\x06\x07"
MAX_COMMENT = 65535
NOT_HERE = 0xFFFF_FFFF
"""A 32-bit field that says: look into the ZIP64 field."""
ENCRYPTED = 0x1 | 0x40 | 0x2000
SIZE_FOLLOWS = 0x8
UTF8 = 0x800
METHODS = {0: "stored", 8: "deflate", 12: "bzip2", 14: "lzma", 95: "xz"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member as the archive describes it. ``packed`` is None where its end is unknown."""

    name: str
    method: int
    flags: int
    offset: int
    packed: int | None
    size: int
    crc: int | None


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the central directory lies, how far the archive was moved by what precedes it, and the
    place behind its comment."""

    start: int
    size: int
    shift: int
    end: int


def find_directory(reader: BinaryIO) -> Directory | None:
    """The central directory, or None where there is none that can be used."""
    total = reader.seek(0, 2)
    tail_at = max(0, total - END.size - MAX_COMMENT)
    reader.seek(tail_at)
    tail = reader.read()
    ends = positions(tail, END_SIGNATURE)
    if not ends or len(tail) < ends[-1] + END.size:
        return None
    found = ends[-1]
    end_at = tail_at + found
    *_, size, offset, comment = END.unpack_from(tail, found)
    behind = end_at + END.size + comment
    if (wide := _wide_directory(reader, end_at)) is not None:
        end_at, size, offset = wide
    start = end_at - size
    if start < 0 or start < offset:
        return None
    reader.seek(start)
    if size >= CENTRAL.size and reader.read(4) == CENTRAL_SIGNATURE:
        return Directory(start, size, start - offset, behind)
    return None


def _wide_directory(reader: BinaryIO, end_at: int) -> tuple[int, int, int] | None:
    """ZIP64's word on the directory: where its end record lies, size and offset."""
    reader.seek(max(0, end_at - LOCATOR.size))
    locator = reader.read(LOCATOR.size)
    if len(locator) < LOCATOR.size or locator[:4] != LOCATOR_SIGNATURE:
        return None
    at = end_at - LOCATOR.size - WIDE_END.size
    reader.seek(max(0, at))
    record = reader.read(WIDE_END.size)
    if at < 0 or len(record) < WIDE_END.size or record[:4] != WIDE_END_SIGNATURE:
        return None
    *_, size, offset = WIDE_END.unpack(record)
    return at, size, offset


def entries(reader: BinaryIO, directory: Directory) -> Iterator[Entry]:
    """The members by the central directory, read as they are asked for.

    Raises ``BadMember`` where the directory breaks off before its end.
    """
    at, end = directory.start, directory.start + directory.size
    while at + CENTRAL.size <= end:
        reader.seek(at)
        header = reader.read(CENTRAL.size)
        if header[:4] == SIGNATURE_OF_DIRECTORY:
            return
        if len(header) < CENTRAL.size or header[:4] != CENTRAL_SIGNATURE:
            raise BadMember(FaultKind.DAMAGED, "The archive's table of contents is damaged.")
        fields = CENTRAL.unpack(header)
        flags, method, crc, packed, size = fields[3], fields[4], *fields[7:10]
        name_length, extra_length, comment_length, offset = *fields[10:13], fields[16]
        name = reader.read(name_length)
        extra = reader.read(extra_length)
        size, packed, offset = _widened(extra, size, packed, offset)
        yield Entry(
            name=_text(name, flags),
            method=method,
            flags=flags,
            offset=offset + directory.shift,
            packed=packed,
            size=size,
            crc=crc,
        )
        at += CENTRAL.size + name_length + extra_length + comment_length


def _widened(extra: bytes, *values: int) -> tuple[int, int, int]:
    """Size, packed size and offset, from the ZIP64 field where they did not fit."""
    wide = b""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:
            wide = extra[4 : 4 + length]
            break
        extra = extra[4 + length :]
    found = []
    for value in values:
        if value == NOT_HERE and len(wide) >= 8:
            found.append(int.from_bytes(wide[:8], "little"))
            wide = wide[8:]
        else:
            found.append(value)
    return found[0], found[1], found[2]


def _text(name: bytes, flags: int) -> str:
    return name.decode("utf-8" if flags & UTF8 else "cp437", "replace")


def is_folder(entry: Entry) -> bool:
    """A folder has a name that ends in a slash and nothing in it (deflate needs 2 bytes for it)."""
    return entry.name.endswith("/") and not entry.size and (entry.packed or 0) <= 2


def content(reader: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """A member's bytes in pieces. Raises ``BadMember``; what came before it stands."""
    if entry.flags & ENCRYPTED:
        raise BadMember(FaultKind.ENCRYPTED, "This member is encrypted.")
    form = METHODS.get(entry.method)
    if form is None:
        raise BadMember(
            FaultKind.UNSUPPORTED, f"Compression method {entry.method} cannot be opened."
        )
    reader.seek(entry.offset)
    header = reader.read(LOCAL.size)
    if len(header) < LOCAL.size or header[:4] != LOCAL_SIGNATURE:
        raise BadMember(FaultKind.DAMAGED, "This member is not where the archive says.")
    name_length, extra_length = LOCAL.unpack(header)[-2:]
    start = entry.offset + LOCAL.size + name_length + extra_length
    raw = _raw(reader, start, entry.packed)
    if form == "lzma":
        raw = _as_lzma_alone(raw)
    crc, size = 0, 0
    for piece in raw if form == "stored" else decompress(form, raw):
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        yield piece
    if form == "stored" and entry.packed is not None and size < entry.packed:
        raise BadMember(FaultKind.TRUNCATED, "This member ends too early.")
    if entry.crc is not None and crc != entry.crc:
        raise BadMember(FaultKind.DAMAGED, "This member does not match its checksum.")


def _raw(reader: BinaryIO, start: int, length: int | None) -> Iterator[bytes]:
    at, end = start, None if length is None else start + length
    while end is None or at < end:
        reader.seek(at)
        chunk = reader.read(MIB if end is None else min(MIB, end - at))
        if not chunk:
            return
        at += len(chunk)
        yield chunk


def _as_lzma_alone(raw: Iterator[bytes]) -> Iterator[bytes]:
    """ZIP's LZMA header (version, length, properties) as that of a ``.lzma`` file of any size."""
    first = next(raw, b"")
    if len(first) < 9 or first[2:4] != b"\x05\x00":
        raise BadMember(FaultKind.DAMAGED, "Its compressed data is damaged.")
    yield first[4:9] + b"\xff" * 8 + first[9:]
    yield from raw


def extent(reader: BinaryIO, entry: Entry) -> tuple[int, int]:
    """Where an entry's local header begins and its data ends."""
    reader.seek(entry.offset)
    header = reader.read(LOCAL.size)
    if len(header) < LOCAL.size or header[:4] != LOCAL_SIGNATURE:
        return entry.offset, entry.offset
    return entry.offset, entry.offset + data_start(header) + (entry.packed or 0)


def data_start(header: bytes) -> int:
    """Where a member's data begins behind the start of its local header."""
    name, extra = LOCAL.unpack_from(header)[-2:]
    return int(LOCAL.size + name + extra)


def gaps(known: list[tuple[int, int]], end: int) -> Iterator[tuple[int, int]]:
    """The parts of an archive in front of ``end`` that no member covers and that could hold one.

    Data descriptors and the program in front of a self-extracting archive lie there by right.
    """
    at = 0
    for start, behind in sorted(known):
        if start - at > LOCAL.size:
            yield at, start
        at = max(at, behind)
    if end - at > LOCAL.size:
        yield at, end


def local_entries(reader: BinaryIO, start: int = 0, end: int | None = None) -> Iterator[Entry]:
    """Members of an archive that is cut off, or of a part of one, in the order in which they lie.

    In a part, headers that make no sense are passed over.
    """
    at = start
    while end is None or at < end:
        reader.seek(at)
        window = reader.read(4 * MIB if end is None else min(4 * MIB, end - at))
        found = window.find(LOCAL_SIGNATURE)
        if found < 0:
            if len(window) < 4 * MIB:
                return
            at += len(window) - 3
            continue
        at += found
        reader.seek(at)
        header = reader.read(LOCAL.size)
        if len(header) < LOCAL.size:
            return
        _, _, flags, method, _, _, crc, packed, size, name_length, extra = LOCAL.unpack(header)
        name = reader.read(name_length)
        if end is not None and not is_zip(header + name, 0):
            at += 4
            continue
        follows = bool(flags & SIZE_FOLLOWS) or packed == NOT_HERE
        yield Entry(
            name=_text(name, flags),
            method=method,
            flags=flags,
            offset=at,
            packed=None if follows else packed,
            size=size,
            crc=None if follows else crc,
        )
        at += LOCAL.size + name_length + extra + (0 if follows else packed)
