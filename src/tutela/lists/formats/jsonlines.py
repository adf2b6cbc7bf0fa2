"""JSON Lines: one signal a line, everything kept. The format to move lists between Tutelas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tutela.core import HashType, Opinion, Signal, SignalHash

from ..records import ListInfo
from ..signals import derived_id
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
    state_of,
    tags_of,
    text_time,
    time_of,
    word_of,
)

_decode = msgspec.json.Decoder().decode
_FLAT = (HashType.MD5, HashType.SHA1, HashType.SHA256, HashType.PDQ)


class JsonLinesReading(Reading):
    """Reads one JSON object a line; empty lines are skipped."""

    def __iter__(self) -> Iterator[Entry]:
        """Entries by line."""
        number = 0
        while line := self.stream.readline(MAX_ENTRY_BYTES):
            number += 1
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            try:
                yield number, self._signal(line)
            except Refused as refused:
                yield number, str(refused)

    def _signal(self, line: bytes) -> Signal:
        try:
            record = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refused("it is not JSON") from None
        if not isinstance(record, dict):
            raise Refused("it is not a JSON object")
        return signal_of_record(record, self)


def signal_of_record(record: dict[str, Any], reading: Reading) -> Signal:
    """The signal that one JSON object describes. Raises ``Refused``."""
    check_purpose(record.get("purpose"), reading.info)
    hashes = list(_hashes(record, reading))
    if not hashes:
        raise Refused("it has no hash that can be matched")
    own = reading.options.redistribute
    upstream_id = record.get("upstream_id", record.get("id"))
    facts = record.get("facts") or {}
    if not isinstance(facts, dict) or len(facts) > 100:
        raise Refused("its facts are not a small object")
    note = record.get("note")
    return Signal(
        upstream_id=derived_id(hashes) if upstream_id in (None, "") else str(upstream_id),
        hashes=tuple(hashes),
        state=state_of(record.get("state")),
        classification=word_of(record.get("classification"), "classification"),
        tags=tags_of(_list(record.get("tags"), "tags")),
        opinions=tuple(_opinion(part) for part in _list(record.get("opinions"), "opinions")),
        first_seen=time_of(record.get("first_seen")),
        last_seen=time_of(record.get("last_seen")),
        expires_at=time_of(record.get("expires_at")),
        redistribute=flag_of(record.get("redistribute")) if own is None else own,
        note=str(note)[:MAX_NOTE] if note else None,
        facts={str(k)[:128]: str(v)[:1_000] for k, v in facts.items()},
    )


def _hashes(record: dict[str, Any], reading: Reading) -> Iterator[SignalHash]:
    for part in _list(record.get("hashes"), "hashes"):
        if not isinstance(part, dict):
            raise Refused("one of its hashes is not an object")
        try:
            kind = HashType(str(part.get("type")))
        except ValueError:
            reading.ignored += 1
            continue
        if kind is HashType.VPDQ:
            yield SignalHash(type=kind, frames=frames_of(part.get("frames")))
        else:
            yield hash_of(kind, part.get("value"), part.get("quality"))
    for kind in _FLAT:
        if record.get(kind.value):
            yield hash_of(kind, record[kind.value], record.get("quality"))


def _list(value: object, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused(f"its {what} are not a list")
    return value


def _opinion(part: object) -> Opinion:
    if not isinstance(part, dict):
        raise Refused("one of its opinions is not an object")
    owner, stance = word_of(part.get("owner"), "opinion"), word_of(part.get("stance"), "opinion")
    if not owner or stance not in {"agrees", "disputes", "unsure"}:
        raise Refused("one of its opinions names no owner or no known stance")
    return Opinion(
        owner=owner,
        stance=stance,
        at=time_of(part.get("at")),
        tags=tags_of(_list(part.get("tags"), "tags")),
    )


def record_of(info: ListInfo, signal: Signal) -> dict[str, Any]:
    """A signal as the object that ``signal_of_record`` reads."""
    record: dict[str, Any] = {
        "upstream_id": signal.upstream_id,
        "purpose": info.purpose.value,
        "state": signal.state.value,
        "hashes": [_plain(part) for part in signal.hashes],
        "classification": signal.classification,
        "tags": list(signal.tags),
        "opinions": [
            {
                "owner": opinion.owner,
                "stance": opinion.stance,
                "at": text_time(opinion.at),
                "tags": list(opinion.tags),
            }
            for opinion in signal.opinions
        ],
        "first_seen": text_time(signal.first_seen),
        "last_seen": text_time(signal.last_seen),
        "expires_at": text_time(signal.expires_at),
        "redistribute": signal.redistribute,
        "note": signal.note,
        "facts": signal.facts,
    }
    kept = ("hashes", "redistribute")
    return {name: value for name, value in record.items() if value or name in kept}


def _plain(part: SignalHash) -> dict[str, Any]:
    if part.type is HashType.VPDQ:
        return {"type": "vpdq", "frames": frame_rows(part.frames)}
    plain: dict[str, Any] = {"type": part.type.value, "value": part.value.hex()}
    if part.quality is not None:
        plain["quality"] = part.quality
    return plain


def write_jsonl(info: ListInfo, signals: Iterable[Signal]) -> Iterator[bytes]:
    """The list as JSON Lines."""
    encode = msgspec.json.Encoder().encode
    for signal in signals:
        yield encode(record_of(info, signal)) + b"\n"
