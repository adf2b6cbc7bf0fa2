"""Texts that an application decodes: what JSON, form fields and the like may hold of pictures.

A picture inside JSON or a form's field is written as base64, as hexadecimal digits or as a
``data:`` URI, and the text around it may write any character another way: ``\\/`` and ``\\u002f``
(RFC 8259 §7), ``%2F`` and ``+`` (URL Standard §5.1), and both within one another. Here such a text
becomes the plain one that the application will read, and a cheap test says whether it can hold a
picture at all. Whether it does, Tutela says.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from tutela.hashing.sniff import HEAD_BYTES, HTML, SVG, TEXT, sniff

RUN = 256
"""Characters of base64 or digits without a break that are worth a look: 192 bytes of a picture."""
DIGITS = 4
"""Digits that such a run has at the least: among 256 characters of base64 of compressed data about
40 are expected (10 of 64), and fewer than 4 in one of 10¹⁴; in prose there are hardly any."""
DEPTH = 4
"""How often a text within a text is taken out of its escapes."""

_RUN = re.compile(rb"[A-Za-z0-9+/_=-]{%d}" % RUN)
_DIGIT = re.compile(rb"[0-9]")
_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_SPACE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_SPACES = b" \t\r\n\v\f"
_CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27})
_BLANKED = bytes(32 if code in _CONTROLS else code for code in range(256))


def is_text(head: bytes) -> bool:
    """Whether a body or part begins as a text does."""
    return sniff(head[:HEAD_BYTES]) in (TEXT, SVG, HTML)


def readings(text: bytes, *, urlencoded: bool = False) -> list[bytes]:
    """The texts that an application may read out of ``text`` and that may hold a picture.

    Empty for ordinary texts. Of an urlencoded text two are made where ``+`` might be a space or,
    as careless clients send it, itself.
    """
    if len(text) < RUN:
        return []
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = text.replace(b"\0", b"")  # what remains of ASCII in UTF-16 and UTF-32
    found = [text, plain(text)]
    if urlencoded and b"+" in text:
        found.append(plain(text.replace(b"+", b" ")))
    if urlencoded and b"%" in text:
        found.extend(value for value in map(_value, text.split(b"&")) if _binary(value))
    return [one for one in dict.fromkeys(found) if may_hold(one)]


def may_hold(text: bytes) -> bool:
    """Whether a picture may be written in a text: a long run as of base64, or binary data."""
    if len(text) < RUN:
        return False
    if _binary(text):
        return True
    dense = text.translate(None, _SPACES)
    return any(len(_DIGIT.findall(run.group())) >= DIGITS for run in _RUN.finditer(dense))


def plain(text: bytes) -> bytes:
    """A text out of its percent signs and backslashes, in UTF-8.

    Control characters become spaces: a script that names some in escapes is a text nevertheless.
    """
    for _ in range(DEPTH):
        before = text
        if b"%" in text:
            text = unquote_to_bytes(text)
        if b"\\" in text:
            text = _ESCAPE.sub(lambda escape: _meant(escape[0]), text)
        if text == before:
            break
    return text.translate(_BLANKED).decode("utf-8", "replace").encode()


def _value(pair: bytes) -> bytes:
    """What one ``name=value`` of an urlencoded text says, as bytes."""
    return unquote_to_bytes(pair.partition(b"=")[2].replace(b"+", b" "))


def _binary(text: bytes) -> bool:
    return len(text.translate(None, _CONTROLS)) != len(text)


@lru_cache(maxsize=4096)
def _meant(escape: bytes) -> bytes:
    """What one escape stands for."""
    if len(escape) == 6:
        return chr(int(escape[2:], 16)).encode("utf-8", "replace")
    return _SPACE.get(escape[1:], escape[1:])


class KeptText:
    """A text kept while it comes in, so that it can be read as the application will read it.

    Nothing is kept of what does not begin as a text, nor of one longer than ``most`` bytes: then
    ``too_long`` is true.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._text: bytearray | None = None
        self._begun = False
        self.too_long = False

    def write(self, part: bytes) -> None:
        """The next bytes."""
        if not self._begun:
            self._begun = True
            self._text = bytearray() if is_text(part) else None
        if self._text is None:
            return
        if len(self._text) + len(part) > self._most:
            self._text, self.too_long = None, True
            return
        self._text += part

    @property
    def is_text(self) -> bool:
        """Whether all so far is text that is kept."""
        return self._text is not None

    @property
    def size(self) -> int:
        """Bytes kept."""
        return len(self._text or b"")

    def readings(self, *, urlencoded: bool = False) -> list[bytes]:
        """The readings of the whole text, itself among them where it may hold a picture."""
        return readings(bytes(self._text or b""), urlencoded=urlencoded)

    def further(self, *, urlencoded: bool = False) -> list[bytes]:
        """The readings of a text that was itself examined already, as far as they differ."""
        text = bytes(self._text or b"")
        if not is_text(text):
            return []
        return [one for one in readings(text, urlencoded=urlencoded) if one != text]
