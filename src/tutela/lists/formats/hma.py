"""HMA bank content: what Hasher-Matcher-Actioner's ``GET /c/bank/NAME/content/ID`` answers.

A document is one content object, an array of them, an object with ``contents``, or one object a
line. A content object has ``id``, ``disable_until_ts`` (1 enabled, 0 disabled, else the Unix time
from which it is enabled), ``signals`` (an object of type and value, or an array of objects with
``signal_type`` and ``signal_value``), ``bank``, ``note``, ``metadata``
(facebook/ThreatExchange, ``OpenMediaMatch/blueprints/curation.py``, ``storage/interface.py``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tutela.core import HashType, Signal, SignalHash, SignalState

from ..records import ListInfo
from .base import MAX_NOTE, Entry, Reading, Refused, frames_of, hash_of
from .stream import JsonBroken, JsonStream

_TYPES = {
    "pdq": HashType.PDQ,
    "video_md5": HashType.MD5,
    "video_sha256": HashType.SHA256,
    "vpdq": HashType.VPDQ,
    "md5": HashType.MD5,
    "sha1": HashType.SHA1,
    "sha256": HashType.SHA256,
}
"""HMA's signal types, and those of its extensions that Tutela can match."""

_ENABLED, _DISABLED = 1, 0


class HmaReading(Reading):
    """Reads bank content, entry by entry."""

    unit = "entry"

    def __iter__(self) -> Iterator[Entry]:
        """Entries by place."""
        number = 0
        stream = JsonStream(self.stream)
        try:
            for content in _contents(stream):
                number += 1
                try:
                    yield number, self._signal(content)
                except Refused as refused:
                    yield number, str(refused)
        except JsonBroken:
            self.complete = False
            yield number + 1, "the file is not JSON from here on"
        finally:
            stream.close()

    def _signal(self, content: object) -> Signal:
        if not isinstance(content, dict) or "signals" not in content:
            raise Refused("it is not a content object with signals")
        hashes = []
        for word, value in _pairs(content["signals"]):
            kind = _TYPES.get(word)
            if kind is None:
                self.ignored += 1
            elif kind is HashType.VPDQ:
                hashes.append(SignalHash(type=kind, frames=_frames(value)))
            else:
                hashes.append(hash_of(kind, value))
        if not hashes:
            raise Refused("it has no hash that can be matched")
        number, bank = content.get("id"), content.get("bank")
        if not isinstance(number, int | str) or number == "":
            raise Refused("it has no id")
        name = bank.get("name") if isinstance(bank, dict) else bank
        facts = {"hma_bank": str(name)[:128]} if name else {}
        return Signal(
            upstream_id=f"{name}/{number}" if name else str(number),
            hashes=tuple(hashes),
            state=_state(content.get("disable_until_ts", _ENABLED)),
            note=str(content["note"])[:MAX_NOTE] if content.get("note") else None,
            redistribute=bool(self.options.redistribute),
            facts=facts,
        )


def _contents(stream: JsonStream) -> Iterator[Any]:
    """Content objects wherever they stand."""
    first = stream.peek()
    if first == "[":
        yield from stream.items()
        return
    while stream.peek() == "{":
        content: dict[str, Any] = {}
        inside = False
        for key in stream.fields():
            if key in {"contents", "content"} and stream.peek() == "[":
                inside = True
                yield from stream.items()
            else:
                content[key] = stream.value()
        if not inside:
            yield content
    if stream.peek():
        raise JsonBroken


def _pairs(signals: object) -> Iterator[tuple[str, object]]:
    if isinstance(signals, dict):
        yield from signals.items()
        return
    if not isinstance(signals, list):
        raise Refused("its signals are neither an object nor a list")
    for part in signals:
        if not isinstance(part, dict):
            raise Refused("one of its signals is not an object")
        yield (
            str(part.get("signal_type", part.get("type"))),
            part.get("signal_value", part.get("value", part.get("signal_val"))),
        )


def _frames(value: object) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Refused("its vpdq is not a JSON array") from None
    return frames_of(value)


def _state(until: object) -> SignalState:
    if not isinstance(until, int | float) or isinstance(until, bool):
        raise Refused("its disable_until_ts is not a number")
    if until == _ENABLED:
        return SignalState.ACTIVE
    if until == _DISABLED or until > time.time():
        return SignalState.WITHDRAWN
    return SignalState.ACTIVE


_WRITTEN = {
    HashType.PDQ: "pdq",
    HashType.MD5: "video_md5",
    HashType.SHA256: "video_sha256",
    HashType.VPDQ: "vpdq",
}


def write_hma(info: ListInfo, signals: Iterable[Signal]) -> Iterator[bytes]:
    """The list as an array of bank content. HMA knows no SHA-1 and one hash a type."""
    encode = msgspec.json.Encoder().encode
    bank = {"name": _bank_name(info.name), "matching_enabled_ratio": 1.0}
    before = b"[\n"
    for number, signal in enumerate(signals, start=1):
        values: dict[str, str] = {}
        for part in signal.hashes:
            word = _WRITTEN.get(part.type)
            if word is None or word in values:
                continue
            values[word] = _frame_text(part) if part.frames else part.value.hex()
        content = {
            "id": number,
            "disable_until_ts": _ENABLED if signal.state.matches else _DISABLED,
            "original_media_uri": None,
            "bank": bank,
            "signals": values,
            "note": signal.note[:255] if signal.note else None,
            "metadata": {"content_id": signal.upstream_id},
        }
        yield before + encode(content)
        before = b",\n"
    yield (b"[" if before == b"[\n" else b"\n") + b"]\n"


def _frame_text(part: SignalHash) -> str:
    return json.dumps([f"{f.pdq.hex()},{f.quality},{f.time:.3f}" for f in part.frames])


def _bank_name(name: str) -> str:
    """HMA wants UPPER_WITH_UNDERSCORE."""
    word = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.upper())
    return word.strip("_") or "TUTELA"
