"""Further pictures inside one picture file: sub-directories of a TIFF, entries of an icon.

Each comes as a file of its own, which a decoder opens like any other. Sources: TIFF 6.0 and Adobe
PageMaker 6.0 TIFF Technical Notes (tag 330, SubIFDs); the ICO file's directory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tutela.core import FaultKind

from .canvas import PictureFault

SUB_DIRECTORIES = 330
MOST_PARTS = 64
"""Further pictures that are opened in one file."""
_SIZES = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""TIFF's types of offsets, as ``struct`` has them."""


def tiff_parts(data: bytes) -> Iterator[bytes]:
    """The TIFF again for each of its sub-directories, which is then the first one.

    Raises ``PictureFault`` where there are too many.
    """
    order = "<" if data[:2] == b"II" else ">"
    wide = data[2:4] in {b"+\0", b"\0+"}
    for number, offset in enumerate(_sub_directories(data, order, wide), 1):
        if number > MOST_PARTS:
            raise PictureFault(
                FaultKind.OVER_LIMIT,
                f"It has many pictures in it; only the first {MOST_PARTS} were decoded.",
            )
        place = struct.pack(order + ("Q" if wide else "I"), offset)
        at = 8 if wide else 4
        yield data[:at] + place + data[at + len(place) :]


def _sub_directories(data: bytes, order: str, wide: bool) -> Iterator[int]:
    """Offsets of all directories named by tag 330, in whatever directory, each once."""
    head = struct.Struct(order + ("Q" if wide else "H"))
    entry = struct.Struct(order + ("HHQ8s" if wide else "HHI4s"))
    place = struct.Struct(order + ("Q" if wide else "I"))
    waiting = [(place.unpack_from(data, 8 if wide else 4)[0], False)]
    seen: set[int] = set()
    while waiting:
        at, nested = waiting.pop(0)
        if at in seen or not 8 <= at <= len(data) - head.size:
            continue
        seen.add(at)
        if nested:
            yield at
        (count,) = head.unpack_from(data, at)
        at += head.size
        for _ in range(count):
            if at + entry.size > len(data):
                break
            tag, kind, number, value = entry.unpack_from(data, at)
            if tag == SUB_DIRECTORIES and kind in _SIZES:
                waiting += [(one, True) for one in _offsets(data, order, kind, number, value)]
            at += entry.size
        if at + place.size <= len(data):
            waiting.append((place.unpack_from(data, at)[0], False))


def _offsets(data: bytes, order: str, kind: int, number: int, value: bytes) -> list[int]:
    one = struct.Struct(order + _SIZES[kind])
    number = min(number, MOST_PARTS + 1)
    if one.size * number > len(value):
        (at,) = struct.unpack(order + ("Q" if len(value) == 8 else "I"), value)
        value = data[at : at + one.size * number]
    return [
        one.unpack_from(value, at)[0]
        for at in range(0, len(value) // one.size * one.size, one.size)
    ][:number]


def ico_entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Format and file of every picture in an icon, when it has more than one.

    PNGs come as they are, bitmaps as an icon of one entry. Raises ``PictureFault`` where there
    are too many or one lies outside the file.
    """
    count = int.from_bytes(data[4:6], "little")
    if count < 2:
        return
    seen: set[tuple[int, int]] = set()
    for number in range(count):
        entry = data[6 + 16 * number : 22 + 16 * number]
        size, start = int.from_bytes(entry[8:12], "little"), int.from_bytes(entry[12:], "little")
        if (size, start) in seen:
            continue
        seen.add((size, start))
        if len(seen) > MOST_PARTS:
            raise PictureFault(
                FaultKind.OVER_LIMIT,
                f"It has {count} pictures in it; only the first {MOST_PARTS} were decoded.",
            )
        part = data[start : start + size]
        if len(part) < size or not part:
            raise PictureFault(FaultKind.TRUNCATED, "The ICO ends before its pictures do.")
        if part.startswith(b"\x89PNG"):
            yield "png", part
        else:
            alone = data[:4] + b"\1\0" + entry[:12] + (22).to_bytes(4, "little")
            yield "ico", alone + part
