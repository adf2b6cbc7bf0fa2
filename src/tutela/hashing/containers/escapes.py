"""Text as bytes of UTF-8, and the ways of writing characters that browsers and readers undo.

HTML and XML references, escapes of JSON, JavaScript and CSS, and quoted-printable (RFC 2045).
"""

from __future__ import annotations

import binascii
import codecs
import html
import re
from collections.abc import Iterator

import numpy as np

_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_BLOCK_BYTES = 512
_FEW = 8
_CONTROLS = np.zeros(256, np.uint8)
_CONTROLS[[code for code in range(32) if code not in {7, 8, 9, 10, 11, 12, 13, 27}]] = 1
_ESCAPE = re.compile(
    rb"\\(?:u\{0*([0-9a-f]{1,2})\}|u00([0-9a-f]{2})|x([0-9a-f]{2})|(\r?\n)|([nrt])"
    rb"|0{0,4}([2-7][0-9a-f])[ \t\n]?|([/+=:;,]))",
    re.IGNORECASE,
)
_REFERENCE = re.compile(rb"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,24});?")


def as_utf8(data: bytes) -> bytes | None:
    """The text in UTF-8, or None where it does not stay text to its end.

    Other encodings of one byte a letter are let through: what is looked for is ASCII.
    """
    encoding = _BYTE_ORDER_MARKS.get(data[:2])
    if encoding is not None:
        try:
            data = data[2 : len(data) // 2 * 2].decode(encoding).encode()
        except UnicodeDecodeError:
            return None
    return None if _dense(data.rstrip(b"\0\x1a")) else data


def _dense(data: bytes) -> bool:
    """Whether some stretch is no text: one byte in 24 is a control character that texts do not
    have. Chat logs and the like have some; of packed or random bytes it is one in ten."""
    if not data:
        return False
    marks = _CONTROLS[np.frombuffer(data, np.uint8)]
    starts = np.arange(0, len(marks), _BLOCK_BYTES)
    counts = np.add.reduceat(marks, starts, dtype=np.intp)
    lengths = np.diff(np.append(starts, len(marks)))
    return bool((counts > np.maximum(_FEW, lengths // 24)).any())


def readings(text: bytes) -> Iterator[bytes]:
    """The text with its escapes undone, where it has any, and then as it stands."""
    plain = _undone(text)
    if b"quoted-printable" in text.lower():
        yield _undone(binascii.a2b_qp(text))
    if plain != text:
        yield plain
    yield text


def _undone(text: bytes) -> bytes:
    if b"&" in text:
        text = _REFERENCE.sub(_character, text)
    if b"\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
    return text


def _character(found: re.Match[bytes]) -> bytes:
    return html.unescape(found.group().decode("ascii")).encode("utf-8", "replace")


def _unescaped(found: re.Match[bytes]) -> bytes:
    braced, long, short, fold, space, styled, plain = found.groups()
    if fold:
        return b""
    if space:
        return b" "
    if plain:
        return plain
    return bytes([int(braced or long or short or styled, 16)])
