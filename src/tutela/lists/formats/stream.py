"""Reading one huge JSON document entry by entry, in constant memory.

The standard decoder wants the whole text. Here a window moves over it: values are decoded one at
a time with ``json.JSONDecoder.raw_decode`` and the window grows only while one value does not fit.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from .base import MAX_ENTRY_BYTES

_CHUNK = 64 * 1024
_SPACE = " \t\r\n\ufeff"

_decode = json.JSONDecoder().raw_decode


def _integer(digits: str) -> int | str:
    """An integer; as text where it is longer than Python converts, which no field is."""
    try:
        return int(digits)
    except ValueError:
        return digits


_decode_long = json.JSONDecoder(parse_int=_integer).raw_decode
"""Decodes values with integers of any length, in Python (``_decode`` is in C)."""


def _decoded(text: str, at: int) -> tuple[Any, int]:
    """The value at ``at`` and where it ends: -1 where no whole value is there."""
    try:
        return _decode(text, at)
    except (json.JSONDecodeError, RecursionError):
        return None, -1
    except ValueError:  # Python converts no integer of more than 4300 digits
        pass
    try:
        return _decode_long(text, at)
    except (json.JSONDecodeError, RecursionError):
        return None, -1


class JsonBroken(Exception):
    """The text is not JSON from here on."""


class JsonStream:
    """A cursor in a JSON document. Close it to give the stream back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        self._window = ""
        self._at = 0
        self._ended = False

    def close(self) -> None:
        """Let go of the underlying stream without closing it."""
        self._text.detach()

    def _grow(self) -> bool:
        if self._ended:
            return False
        size = max(_CHUNK, len(self._window) - self._at)
        more = self._text.read(size)
        if not more:
            self._ended = True
            return False
        self._window = self._window[self._at :] + more
        self._at = 0
        return True

    def peek(self) -> str:
        """The next character that is not space; empty at the end."""
        while True:
            while self._at < len(self._window):
                character = self._window[self._at]
                if character not in _SPACE:
                    return character
                self._at += 1
            if not self._grow():
                return ""

    def take(self, character: str) -> None:
        """Step over this character. Raises ``JsonBroken`` if another one is next."""
        if self.peek() != character:
            raise JsonBroken
        self._at += 1

    def value(self) -> Any:
        """Decode the next value. Raises ``JsonBroken``."""
        self.peek()
        while True:
            value, end = _decoded(self._window, self._at)
            if end >= 0 and (end < len(self._window) or self._ended):
                self._at = end
                return value
            if len(self._window) - self._at > MAX_ENTRY_BYTES or not self._grow():
                if end >= 0:
                    self._at = end
                    return value
                raise JsonBroken

    def items(self) -> Iterator[Any]:
        """The values of the array that begins here."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.peek() == "]":
                self.take("]")
                return
            self.take(",")

    def fields(self) -> Iterator[str]:
        """The keys of the object that begins here. After each one the caller takes its value,
        by ``value``, ``items`` or ``fields``, before asking for the next."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise JsonBroken
            self.take(":")
            yield key
            if self.peek() == "}":
                self.take("}")
                return
            self.take(",")
