"""Pictures written into text: ``data:`` URIs (RFC 2397) in SVG, HTML, CSS and the like, parts of
MIME messages, and long runs of Base64 or hexadecimal digits that begin as a picture or archive.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from tutela.core import FaultKind, MediaKind
from tutela.hashing.sniff import HEAD_BYTES, sniff
from tutela.settings import MIB

from .escapes import as_utf8, readings
from .member import BadMember
from .signatures import format_at

MAX_TEXT = 64 * MIB
"""Longer text is searched this far."""
MAX_SHAPES = 2_000
"""Shapes an SVG may have: vector drawings are not drawn, and enough shapes make a photograph."""

ALIKE = 16
"""Bytes by which finds are put together to tell repetitions."""
_BASE64 = rb"[A-Za-z0-9+/=_%\s-]"
_URI = re.compile(rb"data:([^,\"'<>()]{0,300}),", re.IGNORECASE)
_BASE64_RUN = re.compile(_BASE64 + rb"{16,}")
_PLAIN_RUN = re.compile(rb"[^\"'<>()\s]{16,}")
_DIGITS_RUN = re.compile(rb"[A-Za-z0-9+/=_\s-]{64,}")
_HEX_RUN = re.compile(rb"[0-9a-f\s]{64,}")
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-")
_HEX_LETTERS = frozenset(b"0123456789abcdef")
_STARTS = {
    **dict.fromkeys((b"/9j/", b"_9j_", b"iVBORw0KGgo", b"R0lGODdh", b"R0lGODlh", b"UklGR"), 0),
    **dict.fromkeys((b"UEsDB", b"JVBERi0", b"N3q8ryc", b"UmFyIRoH", b"SUkqA", b"TU0AK"), 0),
    **dict.fromkeys((b"GkXfo", b"H4sIA", b"0M8R4KGx"), 0),
    b"Z0eX": 6,
}
"""How pictures, films and archives begin in Base64, and how far behind their beginning."""
_HEX_STARTS = {
    **dict.fromkeys((b"ffd8ff", b"89504e470d0a1a0a", b"4749463837", b"4749463839", b"52494646"), 0),
    **dict.fromkeys((b"504b0304", b"377abcaf271c", b"526172211a07", b"255044462d", b"49492a00"), 0),
    **dict.fromkeys((b"4d4d002a", b"d0cf11e0a1b1"), 0),
    b"66747970": 8,
}
_PART = re.compile(
    rb"content-transfer-encoding:\s*base64[^\n]*\n(?:[^\r\n]+\r?\n)*\r?\n([A-Za-z0-9+/=\s]{16,})",
    re.IGNORECASE,
)
_SHAPE = re.compile(rb"<(?:\w+:)?(?:rect|path|circle|ellipse|line|poly\w+|use|image|text)\b", re.I)
_SHOWN = (b"image/", b"video/")
_FONTS = (b"wOFF", b"wOF2", b"OTTO", b"\0\1\0\0", b"true", b"ttcf", b"\0asm")


def members(reader: BinaryIO) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Names and contents of the media written into a text.

    White space is skipped as browsers do; without padding a word that follows is taken for data,
    which adds bytes behind the picture but hides none of it. Raises ``BadMember`` for a text that
    is longer than is searched, does not stay text, or draws a picture that is not drawn here.
    """
    reader.seek(0)
    data = reader.read(MAX_TEXT)
    more = bool(reader.read(1))
    text = as_utf8(data)
    if text is None:
        raise BadMember(FaultKind.UNKNOWN_FORMAT, "It begins as text but does not stay text.")
    known: dict[bytes, list[bytes]] = {}
    number = 0
    for reading in readings(text):
        for found in _media(reading):
            alike = known.setdefault(found[:ALIKE], [])
            if any(one.startswith(found) for one in alike):
                continue  # the same, or only its part in front of an escape
            alike.append(found)
            number += 1
            yield f"data-{number}", iter((found,))
    if more:
        raise BadMember(FaultKind.OVER_LIMIT, "The text is longer than is searched for pictures.")
    _check_drawing(text)


def _check_drawing(text: bytes) -> None:
    """Raises ``BadMember`` for drawings that could show a photograph and are not drawn here."""
    if text[:64].lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"%!PS") and b"image" in text:
        raise BadMember(FaultKind.UNSUPPORTED, "Pictures drawn by PostScript are not supported.")
    head = text[: 4 * HEAD_BYTES].lower()
    if b"<svg" in head and b"<html" not in head:
        shapes = sum(1 for _ in _SHAPE.finditer(text))
        if shapes > MAX_SHAPES:
            raise BadMember(FaultKind.UNSUPPORTED, f"A drawing of {shapes} shapes is not drawn.")


def _media(text: bytes) -> Iterator[bytes]:
    for found in _URI.finditer(text):
        yield from _of_uri(found.group(1).lower(), text, found.end())
    for found in _PART.finditer(text):
        data = _decoded(found.group(1))
        if sniff(data[:HEAD_BYTES]).kind is not MediaKind.UNREADABLE:
            yield data
    for found in _runs(text, _STARTS, _DIGITS_RUN, _LETTERS):
        data = _decoded(found.group())
        if format_at(data, 0) is not None:
            yield data
    for found in _runs(text.lower(), _HEX_STARTS, _HEX_RUN, _HEX_LETTERS):
        digits = b"".join(found.group().split())
        data = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
        if format_at(data, 0) is not None:
            yield data


def _runs(
    text: bytes, starts: dict[bytes, int], run: re.Pattern[bytes], letters: frozenset[int]
) -> Iterator[re.Match[bytes]]:
    """Runs of digits that begin with one of the words; not the middle of a longer one."""
    for word, before in starts.items():
        at = text.find(word)
        while at >= 0:
            begin = at - before
            behind = at + 1
            if begin == 0 or (begin > 0 and text[begin - 1] not in letters):
                found = run.match(text, begin)
                if found is not None:
                    yield found
                    behind = found.end()
            at = text.find(word, behind)


def _of_uri(head: bytes, text: bytes, start: int) -> Iterator[bytes]:
    """What a ``data:`` URI holds, where it is more than words, fonts and sounds."""
    if b"base64" in head:
        found = _BASE64_RUN.match(text, start)
        data = _decoded(found.group()) if found else b""
        known = sniff(data[:HEAD_BYTES]).kind is not MediaKind.UNREADABLE
        shown = head.lstrip().startswith(_SHOWN)
        packed = head.lstrip().startswith(b"application/") and not data.startswith(_FONTS)
        if data and (known or shown or packed):
            yield data
        return
    found = _PLAIN_RUN.match(text, start)
    if found is None or b"%" not in found.group():
        return
    data = unquote_to_bytes(found.group())
    if format_at(data, 0) is not None or b"data:" in data:
        yield data


def _decoded(written: bytes) -> bytes:
    plain = b"".join(unquote_to_bytes(written).split()).translate(bytes.maketrans(b"-_", b"+/"))
    plain = plain.partition(b"=")[0]  # padding ends it, whatever text follows
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except binascii.Error:
        return b""
