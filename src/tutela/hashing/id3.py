"""The pictures in ID3v2 tags, wherever a sound file keeps its tag.

Source: id3.org, ID3v2.2.0, v2.3.0 and v2.4.0 (frames ``PIC`` and ``APIC``); chunk ``id3 `` of RIFF
and ``ID3 `` of AIFF, as tagging software writes them.
"""

from __future__ import annotations

from typing import BinaryIO

MAX_TAG_BYTES = 64 << 20
MAX_CHUNKS = 10_000
MAX_TAGS = 8
TAG_HEAD = 10


def tag_size(head: bytes) -> int:
    """The bytes of the tag that these bytes begin, its head and footer included; 0 for none."""
    if len(head) < TAG_HEAD or head[:3] != b"ID3":
        return 0
    footer = TAG_HEAD if head[5] & 0x10 else 0
    return TAG_HEAD + _safe(head[6:10]) + footer


def leading_tags(reader: BinaryIO) -> tuple[list[bytes], int]:
    """The tags at the start of a file, and where they end."""
    tags: list[bytes] = []
    at = 0
    while len(tags) < MAX_TAGS:
        reader.seek(at)
        size = tag_size(reader.read(TAG_HEAD))
        if not size:
            break
        reader.seek(at)
        tags.append(reader.read(min(size, MAX_TAG_BYTES)))
        at += size
    return tags, at


def chunk_tags(reader: BinaryIO) -> list[bytes]:
    """The tags in the chunks of a WAV or AIFF."""
    reader.seek(0)
    order = "little" if reader.read(4) == b"RIFF" else "big"
    end = reader.seek(0, 2)
    tags: list[bytes] = []
    at = 12
    for _ in range(MAX_CHUNKS):
        reader.seek(at)
        head = reader.read(8)
        if len(head) < 8 or len(tags) >= MAX_TAGS:
            break
        size = int.from_bytes(head[4:], "little" if order == "little" else "big")
        if head[:4].lower() == b"id3 ":
            tags.append(reader.read(min(size, MAX_TAG_BYTES)))
        at += 8 + size + size % 2
        if at > end + 1:  # recorders that cannot go back leave the size of the sound open
            reader.seek(max(0, end - MAX_TAG_BYTES))
            rest = reader.read()
            found = rest.rfind(b"id3 ")
            tags += [rest[found + 8 :]] if rest[found + 8 : found + 11] == b"ID3" else []
        if at >= end:
            break
    return tags


def pictures(tag: bytes) -> tuple[list[bytes], bool]:
    """The pictures of a tag, and whether all that it says to hold could be taken out.

    Frames that are compressed or encrypted are not; no usual software writes those.
    """
    version, flags = tag[3], tag[5]
    body = tag[TAG_HEAD:]
    if flags & 0x80 and version < 4:
        body = body.replace(b"\xff\x00", b"\xff")
    found: list[bytes] = []
    whole = True
    at = _extended(body, version) if flags & 0x40 and version > 2 else 0
    width = 6 if version == 2 else 10
    while at + width <= len(body) and body[at]:
        name, size, marks = _frame(body, at, version)
        content = body[at + width : at + width + size]
        at += width + size
        if name not in {b"APIC", b"PIC"}:
            continue
        if len(content) < size or marks & (0x0C if version == 4 else 0xC0):
            whole = False
            continue
        if version == 4:
            content = content[4:] if marks & 0x01 else content
            content = content.replace(b"\xff\x00", b"\xff") if marks & 0x02 else content
        data = _data(content, name)
        found += [data] if data else []
    return found, whole and len(found) >= min(1, body.count(b"APIC\x00"))


def _frame(body: bytes, at: int, version: int) -> tuple[bytes, int, int]:
    """Name, size and format flags of the frame at a place."""
    if version == 2:
        return body[at : at + 3], int.from_bytes(body[at + 3 : at + 6]), 0
    raw = body[at + 4 : at + 8]
    return body[at : at + 4], _safe(raw) if version == 4 else int.from_bytes(raw), body[at + 9]


def _extended(body: bytes, version: int) -> int:
    return _safe(body[:4]) if version == 4 else 4 + int.from_bytes(body[:4])


def _data(content: bytes, name: bytes) -> bytes:
    """A picture frame's picture: behind encoding, media type, kind and description."""
    at = 4 if name == b"PIC" else content.find(b"\0", 1) + 1
    at += 1
    if content[:1] in {b"\x01", b"\x02"}:
        end = at
        while end + 1 < len(content) and content[end : end + 2] != b"\0\0":
            end += 2
        return content[end + 2 :]
    end = content.find(b"\0", at)
    return content[end + 1 :] if end >= 0 else b""


def _safe(four: bytes) -> int:
    """A number written in seven bits of each byte."""
    return sum((byte & 0x7F) << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=False))
