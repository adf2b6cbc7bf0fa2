"""What the server answers, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import InvalidInput

Outcome = Literal["allow", "hold", "block"]

_HEX = re.compile("[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The decision on one upload or one set of hashes.

    ``outcome`` is ``allow``, ``hold`` or ``block``. ``reason`` is the one word that may be shown to
    the uploader. ``deferred`` marks a hold that rests on a fault and settles by itself: ask
    ``Client.decision`` later. ``protecting`` is False while no active list could have blocked.
    ``unreachable`` is True where the client made the hold itself, because no decision could be
    had; then there is no ``decision_id``. ``findings`` and ``detail`` are there for keys with the
    scope ``decisions:detail`` only.
    """

    outcome: Outcome
    decision_id: str | None = None
    case_id: str | None = None
    reason: str | None = None
    deferred: bool = False
    protecting: bool | None = None
    repeated: bool = False
    unreachable: bool = False
    findings: Sequence[Mapping[str, Any]] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    milliseconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """True for ``allow`` and nothing else."""
        return self.outcome == "allow"

    @property
    def blocked(self) -> bool:
        """True for ``block``."""
        return self.outcome == "block"

    @property
    def held(self) -> bool:
        """True for ``hold``."""
        return self.outcome == "hold"

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Answer:
        """From the server's JSON. An outcome this client does not know counts as ``hold``."""
        outcome = body.get("outcome")
        known: Outcome = outcome if outcome in ("allow", "hold", "block") else "hold"
        return cls(
            outcome=known,
            decision_id=body.get("decision_id"),
            case_id=body.get("case_id"),
            reason=body.get("reason"),
            deferred=bool(body.get("deferred", False)),
            protecting=body.get("protecting"),
            repeated=bool(body.get("repeated", False)),
            findings=tuple(body.get("findings") or ()),
            detail=dict(body.get("detail") or {}),
            milliseconds=dict(body.get("milliseconds") or {}),
        )

    @classmethod
    def unreachable_hold(cls) -> Answer:
        """The hold that stands in where no decision could be had."""
        return cls(outcome="hold", deferred=True, reason="being_checked", unreachable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class HashQuery:
    """Hashes of one file, computed by the platform; as bytes or hexadecimal. Give at least one.

    Raises ``InvalidInput`` naming the field where a hash is neither, or of another length.

    ``quality`` is the PDQ quality (0–100); ``facts`` are the same as an upload's.
    """

    md5: str | bytes | None = None
    sha1: str | bytes | None = None
    sha256: str | bytes | None = None
    pdq: str | bytes | None = None
    quality: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _HASH_BYTES:
            _written(name, getattr(self, name))

    def plain(self) -> dict[str, Any]:
        """As the server's JSON."""
        hashes: dict[str, Any] = {name: _written(name, getattr(self, name)) for name in _HASH_BYTES}
        hashes["quality"] = self.quality
        plain = {name: value for name, value in hashes.items() if value is not None}
        return plain | _plain_facts(self.facts)


def _plain_facts(facts: Mapping[str, str]) -> dict[str, Any]:
    """Facts as JSON has them: numbers and truths as such, those of the platform's own together."""
    plain: dict[str, Any] = {}
    own: dict[str, str] = {}
    for name, value in facts.items():
        if name.startswith("fact_"):
            own[name.removeprefix("fact_")] = value
        elif name == "client_port" and value.isdecimal():
            plain[name] = int(value)
        elif name == "live" and value in {"true", "false"}:
            plain[name] = value == "true"
        else:
            plain[name] = value
    return plain | ({"facts": own} if own else {})


_HASH_BYTES = {"md5": 16, "sha1": 20, "sha256": 32, "pdq": 32}
"""The length of each hash in bytes."""


def _written(name: str, value: object) -> str | None:
    """A hash in hexadecimal."""
    if value is None:
        return None
    length = _HASH_BYTES[name]
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value).hex()
    if not isinstance(value, str) or _HEX.fullmatch(value) is None or len(value) != 2 * length:
        raise InvalidInput(
            f"{name} must be {length} bytes, or {2 * length} hexadecimal digits.", field=name
        )
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """What ``/readyz`` says: whether decisions can be had, and whether any list protects."""

    ready: bool
    protecting: bool
    body: Mapping[str, Any] = field(default_factory=dict)
