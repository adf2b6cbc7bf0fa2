"""Files that begin as one thing and are another to the players that look further.

The first bytes name a format; these are the looks behind them that are cheap: behind a music tag,
at the boxes of a still picture, at the chunks of a score.
"""

from __future__ import annotations

from typing import BinaryIO

from tutela.core import MediaKind

from .id3 import chunk_tags, leading_tags, pictures, tag_size
from .sniff import HEAD_BYTES, MP3, Format, sniff

ISO_PICTURES = frozenset({"avif", "heic"})
"""Formats of still pictures whose files may hold a film's table (``moov``) all the same."""
SOUND_BEHIND_TAG = frozenset({"flac", "wav", "aac", "aiff", "ogg", "m4a"})
CHUNKED = frozenset({"wav", "aiff"})
MAX_BOXES = 4096


def behind_tag(reader: BinaryIO) -> Format:
    """What stands behind the ID3v2 tags at a file's start; MP3 where that says nothing else.

    Players skip the tags and go by what follows.
    """
    _, at = leading_tags(reader)
    reader.seek(at)
    form = sniff(reader.read(HEAD_BYTES))
    known = form.kind is MediaKind.VIDEO or form.name in SOUND_BEHIND_TAG
    return form if known else MP3


def tag_pictures(reader: BinaryIO, name: str) -> tuple[list[bytes], bool]:
    """The pictures in a sound file's ID3 tags, and whether all could be taken out."""
    tags, _ = leading_tags(reader)
    if name in CHUNKED:
        tags += chunk_tags(reader)
    found: list[bytes] = []
    whole = True
    for tag in tags:
        if tag_size(tag):
            ours, complete = pictures(tag)
            found += ours
            whole = whole and complete
    return found, whole


def holds_film(reader: BinaryIO) -> bool:
    """Whether an ISO media file has a film's table among its outer boxes, or the rest of it cannot
    be walked through (ISO/IEC 14496-12, 4.2)."""
    end = reader.seek(0, 2)
    at = 0
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return False
        reader.seek(at)
        head = reader.read(16)
        size = int.from_bytes(head[:4])
        if head[4:8] in {b"moov", b"moof"}:
            return True
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:16])
        if size < 8:
            return False  # zero: this box goes to the end of the file
        at += size
    return True


def is_score(reader: BinaryIO) -> bool:
    """Whether a MIDI file is chunks from its start to its end, tracks among them (RP-001)."""
    end = reader.seek(0, 2)
    at, tracks = 0, 0
    while at + 8 <= end:
        reader.seek(at)
        head = reader.read(8)
        kind, size = head[:4], int.from_bytes(head[4:])
        if not kind.isalnum() or (at == 0 and size != 6):
            return False
        tracks += kind == b"MTrk"
        at += 8 + size
    return tracks > 0 and at == end
