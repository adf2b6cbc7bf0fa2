"""Signals: what is known, entry by entry, with where it came from and what it may be used for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .hashes import FrameHash, HashType


class Purpose(StrEnum):
    """What a list was given for. Purposes never mix: a match serves its list's purpose only."""

    CSAM = "csam"
    NCII = "ncii"
    TERROR = "terror"
    OWN = "own"
    SELFTEST = "selftest"


class ListMode(StrEnum):
    """What the operator lets a list do. Recorded with who chose it and when."""

    BLOCK = "block"
    HOLD = "hold"
    INFORM = "inform"
    OFF = "off"


class SignalState(StrEnum):
    """Whether a signal counts. Only ``active`` and ``disputed`` ones match; disputed ones hold."""

    ACTIVE = "active"
    DISPUTED = "disputed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"

    @property
    def matches(self) -> bool:
        """True where a signal in this state is in the index."""
        return self in {SignalState.ACTIVE, SignalState.DISPUTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What one organisation says of a signal: ``agrees``, ``disputes`` or ``unsure``."""

    owner: str
    stance: str
    at: datetime | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalHash:
    """One hash of a signal. ``frames`` is filled for ``vpdq`` only, ``value`` otherwise."""

    type: HashType
    value: bytes = b""
    quality: int | None = None
    frames: tuple[FrameHash, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One entry of a list: all hashes that its source gives for one piece of media.

    ``upstream_id`` is the source's own id, unique within a list; ``classification`` is the
    source's word (``A1``, ``intimate``…), never interpreted; ``redistribute`` says whether the
    source lets it be passed on.
    """

    upstream_id: str
    hashes: tuple[SignalHash, ...]
    state: SignalState = SignalState.ACTIVE
    classification: str | None = None
    tags: tuple[str, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    expires_at: datetime | None = None
    redistribute: bool = False
    note: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
