"""VICS 2.0 (Project VIC): the hash sets of police and hotlines, as OData-style JSON.

The schema's repository is not public; the fields are those that several open forensic tools read
and write. Files begin with a byte order mark at times, write booleans as text and times as .NET
does. Version 1.x calls its context ``odata.metadata`` and is read too.

**Categories differ from country to country** and tools disagree about some: 1 and 2 are taken
unless the operator names others, and what is not taken is reported, entry by entry. On export
``Category`` stays empty; the source's own words travel in ``Tags``. Only lists of purpose
``csam`` are read or written: the format is for nothing else.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import msgspec

from tutela import __version__
from tutela.core import HashType, Purpose, Signal, SignalHash
from tutela.errors import InvalidImport

from ..records import ListInfo
from .base import Entry, Reading, Refused, flag_of, hash_of, tags_of, text_time, time_of, word_of
from .stream import JsonBroken, JsonStream

CONTEXT = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/Default/$metadata#Media"
"""The context of a hash set."""

_CONTEXT_KEYS = frozenset({"@odata.context", "odata.metadata"})
_MODEL = re.compile(r"/([A-Za-z]{2,16})/\$metadata")
_ALTERNATIVES = {
    "sha1": HashType.SHA1,
    "sha256": HashType.SHA256,
    "md5": HashType.MD5,
    "pdq": HashType.PDQ,
}
_FLAGS = ("VictimIdentified", "OffenderIdentified", "IsDistributed", "SelfGenerated")


class VicsReading(Reading):
    """Reads the media of a hash set or of cases, entry by entry."""

    unit = "entry"
    _model = ""

    def __iter__(self) -> Iterator[Entry]:
        """Entries by place. Raises ``InvalidImport`` for a list of another purpose."""
        refuse_other_purposes(self.info)
        number = 0
        stream = JsonStream(self.stream)
        try:
            for media in self._media(stream):
                number += 1
                try:
                    yield number, self._signal(media)
                except Refused as refused:
                    yield number, str(refused)
        except JsonBroken:
            self.complete = False
            yield number + 1, "the file is not JSON from here on"
        finally:
            stream.close()

    def _media(self, stream: JsonStream) -> Iterator[Any]:
        """Media objects of the root's ``value``: they themselves, or in ``Media`` of cases."""
        for key in stream.fields():
            if key in _CONTEXT_KEYS:
                found = _MODEL.search(str(stream.value()))
                self._model = found[1] if found else ""
            elif key == "value" and stream.peek() == "[":
                yield from self._values(stream)
            else:
                stream.value()
        if stream.peek():
            raise JsonBroken

    def _values(self, stream: JsonStream) -> Iterator[Any]:
        stream.take("[")
        while stream.peek() != "]":
            if stream.peek() != "{":
                yield stream.value()
            else:
                media: dict[str, Any] = {}
                is_case = False
                for key in stream.fields():
                    if key == "Media" and stream.peek() == "[":
                        is_case = True
                        yield from stream.items()
                    else:
                        media[key] = stream.value()
                if not is_case and "CaseID" not in media:
                    yield media
            if stream.peek() != "]":
                stream.take(",")
        stream.take("]")

    def _signal(self, media: object) -> Signal:
        if not isinstance(media, dict):
            raise Refused("it is not a media object")
        category = _category(media.get("Category"))
        if category not in self.options.categories:
            words = "no category" if category is None else f"category {category}"
            raise Refused(f"it has {words}, which was not asked for")
        hashes = list(self._hashes(media))
        if not hashes:
            raise Refused("it has no hash that can be matched")
        facts = {name: "yes" for name in _FLAGS if flag_of(media.get(name))}
        for name in ("MediaID", "MediaSize", "MimeType", "PrecategorizationSource", "Series"):
            text = word_of(media.get(name), name)
            if text:
                facts[name] = text
        given: Any = media.get("Tags") or []
        tags = re.split(r"[;,|]", given) if isinstance(given, str) else given
        if not isinstance(tags, list):
            raise Refused("its tags are neither text nor a list")
        return Signal(
            upstream_id=_upstream_id(hashes),
            hashes=tuple(hashes),
            classification=f"{self._model or 'VICS'} category {category}",
            tags=tags_of(tags),
            last_seen=time_of(media.get("DateUpdated")),
            redistribute=bool(self.options.redistribute),
            facts=facts,
        )

    def _hashes(self, media: dict[str, Any]) -> Iterator[SignalHash]:
        found: dict[HashType, SignalHash] = {}
        for name, kind in (("MD5", HashType.MD5), ("SHA1", HashType.SHA1)):
            if media.get(name):
                found[kind] = hash_of(kind, media[name])
        if media.get("PhotoDNA"):
            self.ignored += 1
        alternatives = media.get("AlternativeHashes") or []
        if not isinstance(alternatives, list):
            raise Refused("its alternative hashes are not a list")
        for part in alternatives:
            if not isinstance(part, dict):
                raise Refused("one of its alternative hashes is not an object")
            word = str(part.get("HashName", "")).lower().replace("-", "")
            other = _ALTERNATIVES.get(word)
            if other is None:
                self.ignored += 1
            elif other not in found and part.get("HashValue"):
                found[other] = hash_of(other, part["HashValue"])
        yield from found.values()


def refuse_other_purposes(info: ListInfo) -> None:
    """Raise ``InvalidImport`` unless the list's purpose is ``csam``."""
    if info.purpose is not Purpose.CSAM:
        raise InvalidImport(
            f"VICS is for lists of purpose csam; list '{info.name}' is {info.purpose.value}.",
            kept="Nothing was read or written.",
            next_step="Use csv or jsonl, which carry the purpose with them.",
        )


def _category(value: object) -> int | None:
    if value in (None, ""):
        return None
    try:
        return int(str(value).strip())
    except ValueError:
        raise Refused("its category is not a number") from None


def _upstream_id(hashes: list[SignalHash]) -> str:
    """``MediaID`` counts within one file only, so that two files would overwrite each other's
    media: the id comes from the MD5 that VICS itself takes for the key."""
    key = next((part for part in hashes if part.type is HashType.MD5), hashes[0])
    return "vics-" + sha256(key.type.value.encode() + key.value).hexdigest()[:24]


def write_vics(info: ListInfo, signals: Iterable[Signal]) -> Iterator[bytes]:
    """The list as a VICS 2.0 hash set. Signals without MD5 (which VICS demands) and those that
    do not match any more are left out."""
    refuse_other_purposes(info)
    encode = msgspec.json.Encoder().encode
    yield (
        b'{"@odata.context":'
        + encode(CONTEXT)
        + b',"SourceApplicationName":"Tutela","SourceApplicationVersion":'
        + encode(__version__)
        + b',"value":['
    )
    before = b"\n"
    for number, signal in enumerate(signals, start=1):
        media = _media_of(number, signal)
        if media is not None:
            yield before + encode(media)
            before = b",\n"
    yield b"\n]}\n"


def _media_of(number: int, signal: Signal) -> dict[str, Any] | None:
    values = {part.type: part.value.hex() for part in reversed(signal.hashes) if part.value}
    if HashType.MD5 not in values or not signal.state.matches:
        return None
    tags = [*signal.tags]
    if signal.classification:
        tags.append(signal.classification)
    media: dict[str, Any] = {
        "MediaID": number,
        "Category": None,
        "MD5": values[HashType.MD5].upper(),
        "Tags": ";".join(tag.replace(";", ",") for tag in tags),
        "UniqueID": str(uuid.uuid5(uuid.NAMESPACE_OID, signal.upstream_id)),
    }
    if HashType.SHA1 in values:
        media["SHA1"] = values[HashType.SHA1].upper()
    others = [
        {"HashName": name, "HashValue": values[kind]}
        for name, kind in (("SHA256", HashType.SHA256), ("PDQ", HashType.PDQ))
        if kind in values
    ]
    if others:
        media["AlternativeHashes"] = others
    updated = text_time(signal.last_seen)
    if updated:
        media["DateUpdated"] = updated
    return media
