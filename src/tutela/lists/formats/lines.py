"""CSV: one signal a line, or one hash a line.

The first line names the columns, in any order; unknown columns are ignored. Hashes stand in
columns ``md5``, ``sha1``, ``sha256``, ``pdq`` (with ``quality``), or one a line in ``type`` and
``value``, where lines with the same ``upstream_id`` make one signal. A file without a header may
hold one hash a line: MD5 and SHA-1 as they are, the others as ``sha256:…`` and ``pdq:…`` (or as
they are where the operator says their type), or a type and a hash, such as ``sha256,…``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

import msgspec

from tutela.core import HashType, Signal, SignalHash
from tutela.errors import InvalidImport, InvalidInput

from ..records import ListInfo
from ..signals import derived_id, parse_hash
from .base import (
    MAX_ENTRY_BYTES,
    MAX_NOTE,
    Entry,
    Reading,
    Refused,
    check_purpose,
    flag_of,
    frame_rows,
    frames_of,
    hash_of,
    quality_of,
    state_of,
    tags_of,
    text_time,
    time_of,
    word_of,
)
from .cells import harmless_cell, plain_cell

COLUMNS = (
    "upstream_id",
    "state",
    "classification",
    "md5",
    "sha1",
    "sha256",
    "pdq",
    "quality",
    "vpdq",
    "tags",
    "first_seen",
    "last_seen",
    "expires_at",
    "redistribute",
    "purpose",
    "note",
)
"""The columns written. ``tags`` are separated by ``;``; ``vpdq`` is a JSON array of
``[number, time, quality, pdq]``."""

_OTHER_NAMES = {
    "id": "upstream_id",
    "uid": "upstream_id",
    "hash_type": "type",
    "signal_type": "type",
    "algorithm": "type",
    "hash": "value",
    "hash_value": "value",
    "signal_value": "value",
    "sha-1": "sha1",
    "sha_1": "sha1",
    "sha-256": "sha256",
    "sha_256": "sha256",
    "pdq_quality": "quality",
    "category": "classification",
    "label": "classification",
    "status": "state",
    "expires": "expires_at",
}

_PDQ = HashType.PDQ
_DIGESTS = (HashType.MD5, HashType.SHA1, HashType.SHA256)
_HASH_COLUMNS = frozenset({"md5", "sha1", "sha256", "pdq", "vpdq", "value"})
_FACTS = (
    "state",
    "classification",
    "tags",
    "first_seen",
    "last_seen",
    "expires_at",
    "redistribute",
    "purpose",
    "note",
)
_IGNORED = frozenset({"photodna", "pdna", "tmk", "tmk_pdqf", "video_tmk", "netclean"})


_LONG_HEX = re.compile(r"[0-9a-f]{32,}")

_MOST_JOINED = 64
"""Most lines that one quoted field may span; beyond it the quote is taken for a slip."""


class CsvReading(Reading):
    """Reads CSV with commas, semicolons or tabs, with or without a byte order mark."""

    def __iter__(self) -> Iterator[Entry]:
        """Entries by line. Raises ``InvalidImport`` where the header makes no sense."""
        csv.field_size_limit(max(csv.field_size_limit(), MAX_ENTRY_BYTES))
        text = io.TextIOWrapper(self.stream, encoding="utf-8-sig", errors="replace", newline="")
        try:
            yield from self._entries(_Lines(text))
        finally:
            text.detach()

    def _entries(self, lines: _Lines) -> Iterator[Entry]:
        first = lines.next()
        while first is not None and not first.strip():
            first = lines.next()
        if first is None:
            return
        delimiter = max(",;\t", key=first.count)
        columns = [_column(name) for name in first.strip().replace('"', "").split(delimiter)]
        if len(columns) > 1 and any(_is_value(word) for word in columns):
            lines.give_back([first])
            yield from self._rows(_headless(columns), delimiter, lines)
        elif _HASH_COLUMNS.intersection(columns):
            yield from self._rows(columns, delimiter, lines)
        elif len(columns) == 1:
            yield from self._bare(first, lines)
        else:
            raise InvalidImport(
                "The first line of the CSV file names no column of hashes.",
                kept="Nothing was imported.",
                next_step="Name at least one of md5, sha1, sha256, pdq, or type and value.",
            )

    def _bare(self, first: str, lines: _Lines) -> Iterator[Entry]:
        line: str | None = first
        while line is not None:
            text = line.strip().strip('"')
            if text and not text.startswith("#"):
                try:
                    hashes = [parse_hash(text, None if ":" in text else self.options.type)]
                    yield (
                        lines.number,
                        Signal(
                            upstream_id=derived_id(hashes),
                            hashes=tuple(hashes),
                            redistribute=bool(self.options.redistribute),
                        ),
                    )
                except InvalidInput as error:
                    what = error.what.rstrip(".")
                    if len(text) == 64:
                        what += ": write sha256:… or pdq:…, or give --type"
                    yield lines.number, what[0].lower() + what[1:]
            line = lines.next()

    def _rows(self, columns: list[str], delimiter: str, lines: _Lines) -> Iterator[Entry]:
        parse = _RowParser(columns, self).parse
        width = len(columns)
        for number, line in lines:
            if '"' in line:
                row = _quoted(line, delimiter, lines)
                if row is None:
                    yield number, "its quotation marks do not pair"
                    continue
            else:
                row = line.rstrip("\r\n").split(delimiter)
            if len(row) != width:
                if any(field.strip() for field in row):
                    yield number, f"it has {len(row)} fields where the first line has {width}"
                continue
            try:
                yield number, parse(row)
            except Refused as refused:
                yield number, str(refused)


class _Lines:
    """Lines of a file with their numbers, some of which can be given back."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._back: list[str] = []
        self.number = 0

    def next(self) -> str | None:
        """The next line, or None at the end."""
        line = self._back.pop() if self._back else self._text.readline(MAX_ENTRY_BYTES)
        if not line:
            return None
        self.number += 1
        return line

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """The lines that are left, numbered."""
        read = self._text.readline
        while True:
            line = self._back.pop() if self._back else read(MAX_ENTRY_BYTES)
            if not line:
                return
            self.number += 1
            yield self.number, line

    def give_back(self, lines: list[str]) -> None:
        """Return lines taken too many, in their order."""
        self._back.extend(reversed(lines))
        self.number -= len(lines)


def _quoted(line: str, delimiter: str, lines: _Lines) -> list[str] | None:
    """The fields of a line with quotation marks, which may go on in the next lines."""
    taken = [line]
    while True:
        try:
            return next(csv.reader(taken, delimiter=delimiter, strict=True))
        except csv.Error:
            following = lines.next() if len(taken) < _MOST_JOINED else None
            if following is None:
                lines.give_back(taken[1:])
                return None
            taken.append(following)


def _is_value(word: str) -> bool:
    """Whether a field of the first line is a hash and no column's name."""
    return _LONG_HEX.fullmatch(word.rpartition(":")[2]) is not None


def _headless(first: list[str]) -> list[str]:
    """The columns of a file whose first line is a type and a hash, in either order already."""
    types = {kind.value for kind in HashType}
    if len(first) == 2 and first[0] in types:
        return ["type", "value"]
    if len(first) == 2 and first[1] in types:
        return ["value", "type"]
    raise InvalidImport(
        "The first line of the CSV file holds a hash where it should name the columns.",
        kept="Nothing was imported.",
        next_step="Begin it with a line such as type,value or upstream_id,sha256.",
    )


def _column(name: str) -> str:
    word = name.strip().lower().replace(" ", "_")
    return _OTHER_NAMES.get(word, word)


class _RowParser:
    """Turns rows of fixed columns into signals. Raises ``Refused``."""

    def __init__(self, columns: list[str], reading: Reading) -> None:
        place = {name: at for at, name in enumerate(columns)}
        self._reading = reading
        self._place = place
        self._digests = [(kind, place[kind.value]) for kind in _DIGESTS if kind.value in place]
        self._pdq = place.get("pdq")
        self._quality = place.get("quality")
        self._vpdq = place.get("vpdq")
        self._value = place.get("value")
        self._type = place.get("type")
        self._id = place.get("upstream_id")
        self._ignored = [at for name, at in place.items() if name in _IGNORED]
        self._facts = [(name, place[name]) for name in _FACTS if name in place]
        self._rare = bool(self._ignored) or not {"vpdq", "value"}.isdisjoint(place)

    def parse(self, row: list[str]) -> Signal:
        """The signal of one row."""
        hashes = []
        for kind, at in self._digests:
            if row[at]:
                hashes.append(hash_of(kind, row[at]))
        quality = None if self._quality is None else row[self._quality]
        if self._pdq is not None and row[self._pdq]:
            hashes.append(hash_of(_PDQ, row[self._pdq], quality))
        if self._rare:
            hashes += self._rare_hashes(row, quality)
        if not hashes:
            raise Refused("it has no hash that can be matched")
        upstream_id = "" if self._id is None else plain_cell(row[self._id].strip())
        given = {}
        for name, at in self._facts:
            text = plain_cell(row[at].strip())
            if text:
                given[name] = text
        own = self._reading.options.redistribute
        if not given and own is None:
            return Signal(upstream_id=upstream_id or derived_id(hashes), hashes=tuple(hashes))
        check_purpose(given.get("purpose"), self._reading.info)
        note = given.get("note")
        return Signal(
            upstream_id=upstream_id or derived_id(hashes),
            hashes=tuple(hashes),
            state=state_of(given.get("state")),
            classification=word_of(given.get("classification"), "classification"),
            tags=tags_of(given["tags"].split(";")) if "tags" in given else (),
            first_seen=time_of(given.get("first_seen")),
            last_seen=time_of(given.get("last_seen")),
            expires_at=time_of(given.get("expires_at")),
            redistribute=flag_of(given.get("redistribute")) if own is None else own,
            note=note[:MAX_NOTE] if note else None,
        )

    def _rare_hashes(self, row: list[str], quality: str | None) -> list[SignalHash]:
        """Hashes in columns that few files have; those that cannot be used are counted."""
        hashes = []
        if self._vpdq is not None and row[self._vpdq]:
            hashes.append(_video(row[self._vpdq]))
        if self._value is not None and row[self._value]:
            part = self._typed(row, quality)
            if part is not None:
                hashes.append(part)
        self._reading.ignored += sum(bool(row[at].strip()) for at in self._ignored)
        return hashes

    def _typed(self, row: list[str], quality: object) -> SignalHash | None:
        """The hash of a row that says its type. None for a type that cannot be used."""
        text = row[self._value].strip() if self._value is not None else ""
        word = row[self._type].strip().lower().replace("-", "") if self._type is not None else ""
        if word in _IGNORED:
            self._reading.ignored += 1
            return None
        try:
            kind = HashType(word.removeprefix("video_")) if word else None
            if kind is HashType.VPDQ:
                return _video(text)
            part = parse_hash(text, kind)
        except ValueError:
            raise Refused("the type of its hash is not known") from None
        except InvalidInput as error:
            what = error.what.rstrip(".")
            raise Refused(what[0].lower() + what[1:]) from None
        if part.type is HashType.PDQ:
            return SignalHash(type=part.type, value=part.value, quality=quality_of(quality))
        return part


def _video(text: str) -> SignalHash:
    try:
        items = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Refused("its vpdq is not a JSON array") from None
    return SignalHash(type=HashType.VPDQ, frames=frames_of(items))


def write_csv(info: ListInfo, signals: Iterable[Signal]) -> Iterator[bytes]:
    """The list as CSV: a header and one line a signal. A signal with several hashes of one type
    takes further lines of the same ``upstream_id``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for signal in signals:
        for row in _rows_of(info, signal):
            writer.writerow([harmless_cell(value) for value in row])
        if buffer.tell() > 65_536:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def _rows_of(info: ListInfo, signal: Signal) -> Iterator[list[object]]:
    by_type: dict[HashType, list[SignalHash]] = {}
    for part in signal.hashes:
        by_type.setdefault(part.type, []).append(part)
    for at in range(max(len(parts) for parts in by_type.values())):
        own = {kind: parts[at] for kind, parts in by_type.items() if at < len(parts)}
        pdq, video = own.get(HashType.PDQ), own.get(HashType.VPDQ)
        yield [
            signal.upstream_id,
            signal.state.value,
            signal.classification,
            *(own[kind].value.hex() if kind in own else None for kind in _DIGESTS),
            pdq.value.hex() if pdq else None,
            pdq.quality if pdq else None,
            msgspec.json.encode(frame_rows(video.frames)).decode() if video else None,
            ";".join(tag.replace(";", ",") for tag in signal.tags),
            text_time(signal.first_seen),
            text_time(signal.last_seen),
            text_time(signal.expires_at),
            "yes" if signal.redistribute else "no",
            info.purpose.value,
            signal.note,
        ]
