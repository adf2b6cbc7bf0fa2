"""A decision: the one outcome for an item, with the rule, its version and its effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .finding import Finding
from .signal import Purpose


class Outcome(StrEnum):
    """What becomes of an item. Ordered: ``block`` outweighs ``hold`` outweighs ``allow``."""

    ALLOW = "allow"
    HOLD = "hold"
    BLOCK = "block"

    @property
    def weight(self) -> int:
        """0 for allow, 1 for hold, 2 for block."""
        return ("allow", "hold", "block").index(self.value)


class EffectKind(StrEnum):
    """What acting on a decision does besides answering."""

    OPEN_CASE = "open_case"
    SEAL_EVIDENCE = "seal_evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One effect. ``facts`` carry its details (the queue…), never content."""

    kind: EffectKind
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What policy says of an item's findings. Pure: nothing has happened yet.

    ``rule`` names the rule that decided, ``would`` what each dry-run rule would have done,
    ``braked`` the outcome that a brake softened, ``allow_listed`` the allow-list entry that let
    something through (``reasons`` say both in words). ``opaque_reason`` is the only word that an
    uploader sees. ``purpose`` is the purpose of the list behind the deciding finding, so that a
    case never mixes purposes. ``deferred`` marks a hold that rests on a fault of ours.
    """

    outcome: Outcome
    rule: str
    policy_version: str
    reasons: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    purpose: Purpose | None = None
    severity: str | None = None
    deferred: bool = False
    opaque_reason: str = "not_accepted"
    would: tuple[tuple[str, Outcome], ...] = ()
    braked: Outcome | None = None
    allow_listed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A decision that was recorded. ``milliseconds`` are the timings of the road's steps."""

    id: str
    item_id: str
    outcome: Outcome
    rule: str
    policy_version: str
    at: datetime
    findings: tuple[Finding, ...] = ()
    reasons: tuple[str, ...] = ()
    opaque_reason: str | None = None
    deferred: bool = False
    case_id: str | None = None
    evidence_id: str | None = None
    protecting: bool = True
    would: tuple[tuple[str, Outcome], ...] = ()
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    repeated: bool = False


def as_plain(value: Any) -> Any:
    """A core value as JSON-ready plain data: enums to text, bytes to hex, times to RFC 3339."""
    import dataclasses

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(k): as_plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [as_plain(v) for v in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)
