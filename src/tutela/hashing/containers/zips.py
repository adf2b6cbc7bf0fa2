"""ZIP archives: the central directory by the standard library, the members by hand.

Members are inflated here, in bounded pieces and whatever their checksum says, because a wrong CRC
or size must not hide a picture that other software shows. Without a usable central directory the
local headers are followed instead. Source: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tutela.core import FaultKind
from tutela.settings import MIB

from .compressed import decompress
from .member import BadMember

LOCAL = struct.Struct("<4sHHHHHIIIHH")
LOCAL_SIGNATURE = b"PK\x03\x04"
DESCRIPTOR_SIGNATURE = b"PK\x07\x08"
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


def entries(reader: BinaryIO) -> tuple[list[Entry], bool]:
    """The members, and whether the central directory could be used."""
    try:
        with zipfile.ZipFile(reader) as archive:
            return [
                Entry(
                    name=info.filename,
                    method=info.compress_type,
                    flags=info.flag_bits,
                    offset=info.header_offset,
                    packed=info.compress_size,
                    size=info.file_size,
                    crc=info.CRC,
                )
                for info in archive.infolist()
            ], True
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OSError, EOFError):
        return list(_by_local_headers(reader)), False


def is_folder(entry: Entry) -> bool:
    """A folder has a name that ends in a slash and nothing in it."""
    return entry.name.endswith("/") and not entry.size and not entry.packed


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


def _by_local_headers(reader: BinaryIO) -> Iterator[Entry]:
    """Members of an archive that is cut off, in the order in which they lie."""
    at = 0
    while True:
        reader.seek(at)
        window = reader.read(4 * MIB)
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
        follows = bool(flags & SIZE_FOLLOWS) or packed == 0xFFFF_FFFF
        yield Entry(
            name=name.decode("utf-8" if flags & UTF8 else "cp437", "replace"),
            method=method,
            flags=flags,
            offset=at,
            packed=None if follows else packed,
            size=size,
            crc=None if follows else crc,
        )
        at += LOCAL.size + name_length + extra + (0 if follows else packed)
