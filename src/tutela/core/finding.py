"""A finding: what a detector saw in an item. It decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .hashes import FaultKind, HashMode, HashType
from .signal import ListMode, Purpose, SignalState


class FindingKind(StrEnum):
    """What was seen."""

    EXACT = "exact"
    """A digest of the file, or of a member of it, equals a signal's."""
    NEAR = "near"
    """A picture's PDQ lies within the radius of a signal's."""
    VIDEO = "video"
    """Enough frames match a signal's video (the vPDQ rule)."""
    UNREADABLE = "unreadable"
    """The file, or a part of it, could not be examined; the file's doing."""
    FAULT = "fault"
    """Our own deployment failed to examine it; leads to a deferred hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRef:
    """The list that a match rests on, as it stood: ``version`` is the list's version number."""

    id: str
    name: str
    purpose: Purpose
    mode: ListMode
    version: int
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRef:
    """The signal that a match rests on. ``ref`` is the row of the matched hash."""

    id: str
    upstream_id: str
    state: SignalState
    ref: int
    classification: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one detector saw, with everything a reviewer needs to check it.

    ``detector`` and ``version`` name who saw it; ``where`` is the member of a container, empty for
    the upload itself; ``frame`` the frame of an animation or video; ``view`` the view that matched
    (None for the picture as it is); ``distance`` and ``radius`` are bits; ``distance_identical``
    is the distance when hashed again in the identical mode; ``share`` is the fraction (0–1) of the
    listed video's frames that matched; ``reason`` says it in words, without list contents.
    """

    kind: FindingKind
    detector: str
    version: str
    reason: str
    where: str = ""
    list: ListRef | None = None
    signal: SignalRef | None = None
    hash_type: HashType | None = None
    mode: HashMode | None = None
    distance: int | None = None
    distance_identical: int | None = None
    radius: int | None = None
    quality: int | None = None
    view: str | None = None
    frame: int | None = None
    time: float | None = None
    share: float | None = None
    fault: FaultKind | None = None
