"""Pictures written into text: ``data:`` URIs in SVG, HTML, CSS and the like (RFC 2397)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from tutela.settings import MIB

MAX_TEXT = 64 * MIB
"""Longer text is searched this far."""

_URI = re.compile(
    rb"data:(?:image|video|application)/[A-Za-z0-9.+-]{1,60}(?:;[A-Za-z0-9=._-]{1,60}){0,4}"
    rb"[;\s]{1,8}base64\s{0,8},([A-Za-z0-9+/=_%\s-]{16,})",
    re.IGNORECASE,
)


def members(reader: BinaryIO) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Names and contents of the media written into a text.

    White space is skipped as browsers do; without padding a word that follows is taken for data,
    which adds bytes behind the picture but hides none of it.
    """
    reader.seek(0)
    text = reader.read(MAX_TEXT)
    if b"base64" not in text:
        return
    for number, found in enumerate(_URI.finditer(text), 1):
        data = _decoded(found.group(1))
        if data:
            yield f"data-{number}", iter((data,))


def _decoded(written: bytes) -> bytes:
    plain = b"".join(unquote_to_bytes(written).split()).translate(bytes.maketrans(b"-_", b"+/"))
    plain = plain.partition(b"=")[0]  # padding ends it, whatever text follows
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except binascii.Error:
        return b""
