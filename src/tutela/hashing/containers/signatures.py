"""Looking for the beginnings of pictures, films and archives in bytes that belong to no format.

Every signature is checked further than its letters, so that chance does not find one in a
gigabyte of noise: a false find would hold an innocent upload.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tutela.core import MediaKind
from tutela.hashing.sniff import HEAD_BYTES, Format, sniff

_MEDIA = frozenset({MediaKind.PICTURE, MediaKind.ANIMATION, MediaKind.VIDEO, MediaKind.CONTAINER})
_TOO_WEAK = frozenset({"jxl", "svg", "html", "text", "mpegts", "ico", "pnm"})
_ARCHIVES = (b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"ustar")
_OTHERS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"RIFF", b"ftyp", b"%PDF-"),
    *(b"\xfd7zXZ\x00", b"\x1a\x45\xdf\xa3", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    *(b"MSCF\x00\x00\x00\x00", b"II*\x00", b"MM\x00*"),
)
_BEFORE = {b"ustar": 257, b"ftyp": 4}
"""How far in front of the word its file begins."""
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_ZIP_METHODS = frozenset({0, 1, 6, 8, 9, 12, 14, 93, 95, 97, 98, 99})
MAX_FIRST_BOX = 1 << 16


def format_at(data: bytes, at: int, *, first: bool = False) -> Format | None:
    """The format that begins here, as far as one can tell; ``first``: right behind an end."""
    form = sniff(data[at : at + HEAD_BYTES])
    if form.kind not in _MEDIA or (form.name in _TOO_WEAK and not (first and form.name == "pnm")):
        return None
    checks = {"jpeg": _is_jpeg, "zip": is_zip, "tiff": _is_tiff, "webm": _is_ebml, "mkv": _is_ebml}
    check = checks.get(form.name)
    if check is not None and not check(data, at):
        return None
    if data[at + 4 : at + 8] == b"ftyp" and not _is_ftyp(data, at):
        return None
    return form


def places(data: bytes, *, archives: bool = False) -> Iterator[tuple[int, Format]]:
    """Where pictures, films and archives (or only archives) begin, in order, and what they are."""
    found = []
    for word in _ARCHIVES if archives else _ARCHIVES + _OTHERS:
        before, at = _BEFORE.get(word, 0), data.find(word)
        while at >= 0:
            if at >= before:
                found.append((at - before, word))
            at = data.find(word, at + 1)
    for at, word in sorted(found):
        form = format_at(data, at)
        if form is not None and (word != b"ustar" or is_tar(data, at)):
            yield at, form


def is_zip(data: bytes, at: int) -> bool:
    """Whether a ZIP's local header (or end record) here makes sense."""
    if data[at : at + 4] != b"PK\x03\x04":
        return data[at : at + 4] == b"PK\x05\x06" and len(data) >= at + 22
    if len(data) < at + _LOCAL.size:
        return False
    _, version, flags, method, _, _, _, _, _, name, _ = _LOCAL.unpack_from(data, at)
    return (
        version & 0xFF <= 99
        and method in _ZIP_METHODS
        and not flags & 0xC000
        and 0 < name <= 4096
        and at + _LOCAL.size + name <= len(data)
    )


def is_tar(data: bytes, at: int) -> bool:
    """Whether a TAR header with a right checksum lies here."""
    head = data[at : at + 512]
    field = head[148:156].strip(b" \x00")
    if len(head) < 512 or not field or not all(c in b"01234567" for c in field):
        return False
    return int(field, 8) == sum(head[:148]) + 8 * 32 + sum(head[156:512])


def _is_jpeg(data: bytes, at: int) -> bool:
    """The first segment is followed by another marker."""
    length = int.from_bytes(data[at + 4 : at + 6])
    behind = at + 4 + length
    return length >= 2 and data[behind : behind + 1] == b"\xff"


def _is_ftyp(data: bytes, at: int) -> bool:
    size = int.from_bytes(data[at : at + 4])
    brand = data[at + 8 : at + 12]
    return (size == 1 or 16 <= size <= MAX_FIRST_BOX) and all(32 <= c < 127 for c in brand)


def _is_tiff(data: bytes, at: int) -> bool:
    """The first directory lies inside and has a sane number of entries in ascending order."""
    order = "<" if data[at : at + 2] == b"II" else ">"
    if data[at + 2 : at + 4] not in {b"*\0", b"\0*"} or len(data) < at + 8:
        return data[at + 2 : at + 4] in {b"+\0", b"\0+"}
    (offset,) = struct.unpack_from(order + "I", data, at + 4)
    if not 8 <= offset <= len(data) - at - 30:
        return False
    count, first = struct.unpack_from(order + "HH", data, at + offset)
    second = struct.unpack_from(order + "H", data, at + offset + 14)[0]
    return bool(2 <= count <= 512 and 254 <= first < second)


def _is_ebml(data: bytes, at: int) -> bool:
    return b"\x42\x82" in data[at : at + 64]
