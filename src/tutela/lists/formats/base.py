"""What every format of list files shares: the reading, its options, and small parsers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from tutela.core import FrameHash, HashType, Purpose, Signal, SignalHash, SignalState
from tutela.core.hashes import parse_pdq
from tutela.errors import InvalidHash, InvalidInput

from ..records import ListInfo

Entry = tuple[int, Signal | str]
"""A line's (or entry's) number, and its signal or the reason why it was refused."""

MAX_ENTRY_BYTES = 32 * 1024 * 1024
"""Longest line or entry: a listed video of several hours, every frame."""

MAX_NOTE = 4_000
"""Longest note kept, in characters."""
MAX_TAGS = 100
"""Most tags of one signal."""
MAX_WORD = 256
"""Longest classification, tag or fact, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the operator says about a file.

    ``redistribute`` sets that flag on every signal, whatever the file says (None: as the file
    says, which is no unless it says yes). ``categories`` are the VICS category numbers to take.
    ``type`` is that of hashes which do not say it themselves, in a file of one hash a line.
    """

    redistribute: bool | None = None
    categories: frozenset[int] = frozenset({1, 2})
    type: HashType | None = None


class Reading(ABC):
    """One pass over a file: iterate for entries, then ask ``ignored`` and ``complete``.

    ``ignored`` counts hashes of types that Tutela cannot use. ``complete`` is False where the
    file broke off or could not be followed to its end.
    """

    unit = "line"

    def __init__(self, stream: BinaryIO, info: ListInfo, options: ReadOptions) -> None:
        self.stream = stream
        self.info = info
        self.options = options
        self.ignored = 0
        self.complete = True

    @abstractmethod
    def __iter__(self) -> Iterator[Entry]:
        """Entries in the order of the file, read as asked for."""


class Refused(Exception):
    """One entry cannot be taken; the text says why, without the value."""


def check_purpose(word: object, info: ListInfo) -> None:
    """Refuse an entry whose own purpose is not its list's: purposes never mix."""
    if word in (None, ""):
        return
    if word != info.purpose.value:
        raise Refused(f"its purpose is not this list's ({info.purpose.value})")


_PDQ = HashType.PDQ
_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "pdq": 64}
"""Hexadecimal digits of each type."""


def hash_of(kind: HashType, text: object, quality: object = None) -> SignalHash:
    """A digest or PDQ from hexadecimal. Raises ``Refused``."""
    if not isinstance(text, str):
        raise Refused(f"its {kind.value} is not text")
    digits = _LENGTHS[kind._value_]
    cleaned = text.strip()
    try:
        value = bytes.fromhex(cleaned)
    except ValueError:
        value = b""
    if len(cleaned) != digits or len(value) * 2 != digits:
        raise Refused(f"its {kind.value} is not {digits} hexadecimal digits")
    if kind is _PDQ:
        return SignalHash(type=kind, value=value, quality=quality_of(quality))
    return SignalHash(type=kind, value=value)


_QUALITIES = {str(number): number for number in range(101)}


def quality_of(value: object) -> int | None:
    """A PDQ quality, 0 to 100, or None where there is none. Raises ``Refused``."""
    if value is None or value == "":
        return None
    quality = _QUALITIES.get(str(value).strip())
    if quality is None:
        raise Refused("its quality is not a number from 0 to 100")
    return quality


def frames_of(items: object) -> tuple[FrameHash, ...]:
    """Frames from ``[number, time, quality, pdq]`` rows or the reference's ``pdq,quality,time``
    strings (facebook/ThreatExchange, ``vpdq_util.py``). Raises ``Refused``."""
    if not isinstance(items, list) or not items:
        raise Refused("its video has no frames")
    frames = []
    for place, item in enumerate(items):
        try:
            if isinstance(item, str):
                text, quality, time = item.split(",")
                number: object = place
            else:
                number, time, quality, text = item
            frame = FrameHash(
                number=int(str(number)),
                time=float(time),
                pdq=parse_pdq(str(text).lower()),
                quality=int(quality),
            )
        except (ValueError, TypeError, OverflowError, InvalidHash):
            raise Refused(f"frame {place + 1} of its video makes no sense") from None
        if frame.number < 0 or not 0 <= frame.quality <= 100 or not 0 <= frame.time < 1e7:
            raise Refused(f"frame {place + 1} of its video makes no sense")
        frames.append(frame)
    return tuple(frames)


_DOT_NET = re.compile(r"/Date\((-?\d{1,16})([+-]\d{4})?\)/")


def time_of(value: object) -> datetime | None:
    """A time from RFC 3339, a date, Unix seconds or .NET's ``/Date(ms)/``; UTC where no zone is
    given. None for nothing. Raises ``Refused``."""
    if value in (None, ""):
        return None
    text = str(value).strip()
    try:
        if found := _DOT_NET.fullmatch(text):
            return datetime.fromtimestamp(int(found[1]) / 1000, UTC)
        if text.isdigit() and len(text) > 8:
            return datetime.fromtimestamp(int(text), UTC)
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise Refused("one of its times makes no sense") from None


_YES = frozenset({"true", "yes", "1", "y", "t"})
_NO = frozenset({"false", "no", "0", "n", "f", ""})


def flag_of(value: object) -> bool:
    """A boolean, also as text (``true``, ``Yes``, ``1``). Raises ``Refused``."""
    if isinstance(value, bool):
        return value
    word = "" if value is None else str(value).strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise Refused("one of its flags is neither yes nor no")


def state_of(value: object) -> SignalState:
    """A state by its word; nothing means active. ``deleted`` is withdrawn. Raises ``Refused``."""
    word = "" if value is None else str(value).strip().lower()
    if word == "":
        return SignalState.ACTIVE
    if word == "deleted":
        return SignalState.WITHDRAWN
    try:
        return SignalState(word)
    except ValueError:
        raise Refused("its state is not active, disputed, withdrawn or expired") from None


def word_of(value: object, what: str) -> str | None:
    """A short printable text, or None. Raises ``Refused``."""
    if value in (None, ""):
        return None
    text = str(value).strip()
    if len(text) > MAX_WORD or not text.isprintable():
        raise Refused(f"its {what} is not a short text")
    return text or None


def tags_of(values: Iterable[object]) -> tuple[str, ...]:
    """Tags, each once, in their order. Raises ``Refused``."""
    tags = tuple(dict.fromkeys(tag for tag in (word_of(v, "tag") for v in values) if tag))
    if len(tags) > MAX_TAGS:
        raise Refused(f"it has more than {MAX_TAGS} tags")
    return tags


def text_time(time: datetime | None) -> str | None:
    """A time as RFC 3339 in UTC, or None."""
    return time.isoformat().replace("+00:00", "Z") if time else None


def frame_rows(frames: Iterable[FrameHash]) -> list[list[Any]]:
    """Frames as ``[number, time, quality, pdq]``."""
    return [[f.number, round(f.time, 3), f.quality, f.pdq.hex()] for f in frames]


__all__ = [
    "MAX_ENTRY_BYTES",
    "Entry",
    "InvalidInput",
    "Purpose",
    "ReadOptions",
    "Reading",
    "Refused",
    "check_purpose",
    "flag_of",
    "frame_rows",
    "frames_of",
    "hash_of",
    "quality_of",
    "state_of",
    "tags_of",
    "text_time",
    "time_of",
    "word_of",
]
