"""What is kept behind the end of a picture or film: an archive, or the film of a "motion photo".

A JPEG with a ZIP behind it opens as either, depending on who looks. ZIPs are found by their end
record, films behind a JPEG by the first box of an ISO media file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from tutela.core import MediaKind
from tutela.hashing.sniff import HEAD_BYTES, sniff
from tutela.settings import MIB

from . import zips
from .member import read_chunks
from .scan import positions

JPEG_START = b"\xff\xd8"
MAX_SEARCHED = 64 * MIB
LARGEST_FIRST_BOX = 256
LEAST_FILM = 1024


def members(reader: BinaryIO) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Names and contents of what is appended: at most one archive and one film."""
    archive = zips.find_directory(reader)
    if archive is not None:
        yield "appended.zip", _from(reader, archive.shift)
    film = _film_behind_jpeg(reader)
    if film:
        yield "appended-film", _from(reader, film)


def _from(reader: BinaryIO, start: int) -> Iterator[bytes]:
    reader.seek(start)
    yield from read_chunks(reader)


def _film_behind_jpeg(reader: BinaryIO) -> int:
    """Where the film begins; 0 where there is none."""
    reader.seek(0)
    if reader.read(2) != JPEG_START:
        return 0
    reader.seek(0)
    data = reader.read(MAX_SEARCHED)
    for at in positions(data, b"ftyp"):
        start = at - 4
        size = int.from_bytes(data[max(0, start) : at])
        if at >= LEAST_FILM and 16 <= size <= LARGEST_FIRST_BOX and len(data) - at >= LEAST_FILM:
            kind = sniff(data[start : start + HEAD_BYTES]).kind
            if kind in {MediaKind.VIDEO, MediaKind.PICTURE}:
                return start
    return 0
