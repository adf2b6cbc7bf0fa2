"""Where things stand in a TOML text: ``tomllib`` gives the values, this gives their places.

Reads a text that ``tomllib`` has accepted already, so it only has to follow the shape: tables,
arrays of tables, keys (bare, quoted, dotted), strings of all four kinds, arrays, inline tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""A place by name: ``("rule", 2, "brake", "per_hour")``."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_ESCAPES = {"u": 4, "U": 8, "x": 2}
_TRIM = re.compile(r"[ \t]*\r?\n[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Place:
    """Offsets into the text: of the key (or table header), of its value, and, where the value is a
    string, of each of its characters and of its end."""

    key: int
    value: int
    characters: tuple[int, ...] = ()


@dataclass(slots=True)
class Lines:
    """The places of everything in one text."""

    text: str
    places: dict[Path, Place] = field(default_factory=dict)

    def line_column(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1, columns in characters."""
        before = self.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    def of_key(self, path: Path) -> tuple[int, int]:
        """Line and column of a key or table; of what is around it where it has no place itself."""
        while path and path not in self.places:
            path = path[:-1]
        return self.line_column(self.places[path].key) if path else (1, 1)

    def of_value(self, path: Path, character: int = 0) -> tuple[int, int]:
        """Line and column of a value, or of a ``character`` of it (from 0) if it is a string."""
        place = self.places.get(path)
        if place is None:
            return self.of_key(path)
        if not place.characters:
            return self.line_column(place.value)
        return self.line_column(place.characters[min(character, len(place.characters) - 1)])


def places(text: str) -> Lines:
    """The places of every table, key and value of a valid TOML text."""
    reader = _Reader(text)
    reader.whole()
    return Lines(text, reader.places)


class _Reader:
    """Walks the text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._arrays: dict[Path, int] = {}
        self.places: dict[Path, Place] = {}

    def whole(self) -> None:
        table: Path = ()
        while True:
            self._skip(_BLANK)
            if self._at >= len(self._text):
                return
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found.group()

    def _header(self) -> Path:
        start = self._at
        double = self._text.startswith("[[", start)
        self._at += 2 if double else 1
        names = self._key()
        self._at += 2 if double else 1
        path: Path = ()
        for name in names[:-1]:
            path = self._inside((*path, name))
        path = (*path, names[-1])
        if double:
            number = self._arrays.get(path, -1) + 1
            self._arrays[path] = number
            self.places.setdefault(path, Place(start, start))
            path = (*path, number)
        self.places[path] = Place(start, start)
        return path

    def _inside(self, path: Path) -> Path:
        """The table that a name in a header means: the last one, if it is an array of tables."""
        return (*path, self._arrays[path]) if path in self._arrays else path

    def _key(self) -> list[str]:
        names: list[str] = []
        while True:
            self._skip(_SPACE)
            if self._text[self._at] in "\"'":
                names.append(self._string()[0])
            else:
                names.append(self._skip(_BARE))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _pair(self, table: Path) -> None:
        self._skip(_SPACE)
        start = self._at
        names = self._key()
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        path = table
        for name in names[:-1]:
            path = (*path, name)
            self.places.setdefault(path, Place(start, start))
        self._value((*path, names[-1]), start)

    def _value(self, path: Path, key: int) -> None:
        start = self._at
        first = self._text[start]
        if first in "\"'":
            characters = self._string()[1]
            self.places[path] = Place(key, start, tuple(characters))
            return
        self.places[path] = Place(key, start)
        if first == "[":
            self._array(path)
        elif first == "{":
            self._table(path)
        else:
            self._skip(_SCALAR)

    def _array(self, path: Path) -> None:
        self._at += 1
        number = 0
        while True:
            self._skip(_BLANK)
            if self._text[self._at] == "]":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._value((*path, number), self._at)
            number += 1

    def _table(self, path: Path) -> None:
        self._at += 1
        while True:
            self._skip(_BLANK)
            if self._text[self._at] == "}":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._pair(path)

    def _string(self) -> tuple[str, list[int]]:
        """A string's text and the offset of each of its characters, and of its closing quote."""
        text, quote = self._text, self._text[self._at]
        fence = quote * 3 if text.startswith(quote * 3, self._at) else quote
        self._at += len(fence)
        if len(fence) == 3:
            self._skip(re.compile(r"\r?\n"))
        out: list[str] = []
        offsets: list[int] = []
        while not self._closes(fence):
            offsets.append(self._at)
            if text[self._at] == "\\" and quote == '"':
                trimmed = _TRIM.match(text, self._at + 1)
                if trimmed is not None:
                    offsets.pop()
                    self._at = trimmed.end()
                    continue
                out.append(self._escape())
            elif text.startswith("\r\n", self._at):
                out.append("\n")
                self._at += 2
            else:
                out.append(text[self._at])
                self._at += 1
        offsets.append(self._at)
        self._at += len(fence)
        return "".join(out), offsets

    def _closes(self, fence: str) -> bool:
        """Whether the string ends here. Up to two quotes may stand before a closing three."""
        if not self._text.startswith(fence, self._at):
            return False
        return len(fence) == 1 or not self._text.startswith(fence[0], self._at + 3)

    def _escape(self) -> str:
        letter = self._text[self._at + 1]
        length = _ESCAPES.get(letter)
        if length is None:
            self._at += 2
            return {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}.get(
                letter, letter
            )
        digits = self._text[self._at + 2 : self._at + 2 + length]
        self._at += 2 + length
        return chr(int(digits, 16))
