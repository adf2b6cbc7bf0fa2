"""Where a file of a known format ends by its own structure; what lies behind is not part of it.

Sources: ITU-T T.81 annex B (JPEG), the PNG specification, GIF89a, RIFF, ISO/IEC 14496-12 boxes,
the bitmap file header, Netpbm. Sizes are bytes. ``None`` where the end is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

_ALONE = frozenset({0x00, 0x01, 0xFF, *range(0xD0, 0xD9)})
_SCAN = 0xDA
_END = 0xD9
_BOX_KIND = re.compile(rb"[A-Za-z0-9 \xa9_-]{4}")
_PNM_HEAD = re.compile(rb"P([456])((?:\s|#[^\n]*\n)+\d+){2,3}\s")


def jpeg_end(data: bytes, start: int = 0) -> int | None:
    """The place behind a JPEG's end marker; None where there is none."""
    at = jpeg_scan(data, start)
    if at is None:
        return None
    letters = np.frombuffer(data, np.uint8, offset=at)
    marks = np.flatnonzero(letters[:-1] == 0xFF)
    kinds = letters[marks + 1]
    real = (kinds != 0) & (kinds != 0xFF) & ((kinds < 0xD0) | (kinds > 0xD7))
    places = (marks[real] + at).tolist()
    behind = 0
    for place in places:
        if place < behind:
            continue  # inside a segment between two scans
        kind = data[place + 1]
        if kind == _END:
            return int(place) + 2
        if kind not in _ALONE:
            behind = place + 2 + int.from_bytes(data[place + 2 : place + 4])
    return None


def jpeg_scan(data: bytes, start: int = 0) -> int | None:
    """Where a JPEG's first scan begins, all segments before it being in order."""
    at, end = start + 2, len(data)
    while at + 4 <= end:
        if data[at] != 0xFF:
            at += 1
            continue
        kind = data[at + 1]
        if kind == _SCAN:
            return at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if kind == _END:
            return at
        if kind in _ALONE:
            at += 1 if kind == 0xFF else 2
            continue
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    return None


def png_end(data: bytes, start: int = 0) -> int | None:
    """The place behind IEND."""
    at = start + 8
    while at + 12 <= len(data):
        behind = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IEND":
            return behind
        at = behind
    return None


def gif_end(data: bytes, start: int = 0) -> int | None:
    """The place behind the trailer."""
    end = len(data)
    if start + 13 > end:
        return None
    at = start + 13 + _palette(data[start + 10])
    while at < end:
        kind = data[at]
        if kind == 0x3B:
            return at + 1
        if kind == 0x2C and at + 10 < end:
            at += 11 + _palette(data[at + 9])
        elif kind == 0x21:
            at += 2
        else:
            return None
        while at < end and data[at]:
            at += 1 + data[at]
        at += 1
    return None


def _palette(flags: int) -> int:
    return 3 << (1 + (flags & 7)) if flags & 0x80 else 0


def riff_end(data: bytes, start: int = 0) -> int | None:
    """The place behind the last of the RIFF chunks that follow each other (AVI has several)."""
    at = start
    while data[at : at + 4] == b"RIFF":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + (size & 1 if at + 8 + size < len(data) else 0)
    return at if start < at <= len(data) else None


def bmp_end(data: bytes, start: int = 0) -> int | None:
    """The place behind the rows of an uncompressed bitmap."""
    header = int.from_bytes(data[start + 14 : start + 18], "little")
    if header < 40 or len(data) < start + 54:
        return None
    pixels = int.from_bytes(data[start + 10 : start + 14], "little")
    width = int.from_bytes(data[start + 18 : start + 22], "little", signed=True)
    height = int.from_bytes(data[start + 22 : start + 26], "little", signed=True)
    bits = int.from_bytes(data[start + 28 : start + 30], "little")
    packing = int.from_bytes(data[start + 30 : start + 34], "little")
    if packing in {0, 3, 6}:
        length = (abs(width) * bits + 31) // 32 * 4 * abs(height)
    else:
        length = int.from_bytes(data[start + 34 : start + 38], "little")
    end = start + pixels + length
    return end if length and end <= len(data) else None


def pnm_end(data: bytes, start: int = 0) -> int | None:
    """The place behind the first picture of a binary PBM, PGM or PPM."""
    found = _PNM_HEAD.match(data[start : start + 4096])
    if found is None:
        return None
    kind = int(found.group(1))
    plain = re.sub(rb"#[^\n]*\n", b" ", found.group(0)[2:])
    numbers = [int(word) for word in plain.split()]
    wanted = 2 if kind == 4 else 3
    if len(numbers) != wanted:
        return None
    width, height = numbers[:2]
    row = (width + 7) // 8 if kind == 4 else width * (3 if kind == 6 else 1)
    if kind != 4 and numbers[2] > 255:
        row *= 2
    end = start + found.end() + row * height
    return end if end <= len(data) else None


def pdf_end(data: bytes, start: int = 0) -> int | None:
    """The place behind the last end-of-file comment."""
    at = data.rfind(b"%%EOF", start)
    return None if at < 0 else at + 5


def boxes(reader: BinaryIO) -> tuple[int | None, list[tuple[bytes, int, int]]]:
    """An ISO media file's end and its top boxes: kind, start and end of what is in them."""
    total = reader.seek(0, 2)
    at = 0
    found: list[tuple[bytes, int, int]] = []
    while at + 8 <= total:
        reader.seek(at)
        head = reader.read(16)
        size, kind, inside = int.from_bytes(head[:4]), head[4:8], at + 8
        if _BOX_KIND.fullmatch(kind) is None:
            return at, found
        if size == 1:
            size, inside = int.from_bytes(head[8:16]), at + 16
        elif size == 0:
            size = total - at
        if at + size < inside:
            return at, found
        found.append((kind, inside, min(at + size, total)))
        at += size
    return min(at, total), found


ENDS: dict[str, Callable[[bytes, int], int | None]] = {
    "jpeg": jpeg_end,
    "png": png_end,
    "gif": gif_end,
    "webp": riff_end,
    "avi": riff_end,
    "wav": riff_end,
    "bmp": bmp_end,
    "pnm": pnm_end,
    "pdf": pdf_end,
}
"""By the name of the sniffed format."""
BOXED = frozenset({"mp4", "mov", "m4a", "heic", "avif", "jp2", "jxl"})
"""Formats made of ISO boxes."""
