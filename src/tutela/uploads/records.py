"""Decisions read back: for a repeated request, for ``GET /v1/decisions`` and for follow-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, select

from tutela.core import Decision, Finding, Outcome, as_plain
from tutela.errors import IdempotencyConflict, NotFound
from tutela.store.tables.decisions import decisions, items

_KEYS_AT_ONCE = 500
_PLACE = "\u2116"
"""Stands between a batch's idempotency key and an item's place. It is not ASCII, so no key from
outside (``web.facts.idempotency_key``) is ever taken for an item of another's batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks: the API key's id (empty for local entrances), and what makes a request the same
    one again: the idempotency key and ``request_digest``, SHA-256 over content and facts."""

    key_id: str = ""
    idempotency_key: str | None = None
    request_digest: bytes | None = None


def at_place(asker: Asker, place: int) -> Asker:
    """The asker of one item of a batch: the batch's idempotency key with the item's place."""
    if asker.idempotency_key is None:
        return asker
    return replace(asker, idempotency_key=_at(asker.idempotency_key, place))


def _at(key: str, place: int) -> str:
    return f"{key}{_PLACE}{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """A decision with what surrounds it: its item's facts, and the decisions before and after."""

    decision: Decision
    key_id: str
    item: dict[str, Any]
    supersedes: str | None
    superseded_by: str | None
    ledger_entry: str | None


def remembered(connection: Connection, asker: Asker) -> Decision | None:
    """The decision already made for this request. Raises ``IdempotencyConflict`` where the same
    idempotency key came with other content."""
    found = _under(connection, asker, [asker.idempotency_key or ""])
    return next(iter(found.values()), None)


def remembered_batch(connection: Connection, asker: Asker, count: int) -> list[Decision] | None:
    """The decisions already made for a batch of ``count`` items, or None. Raises as above.

    The first item's decision stands under its place or, found with nothing, under the batch's own
    key: where neither is there, the batch is new, and its other places need not be looked up.
    """
    key = str(asker.idempotency_key)
    found = _under(connection, asker, [key, _at(key, 0)])
    if not found:
        return None
    found |= _under(connection, asker, [_at(key, place) for place in range(1, count)])
    rest = found.get(key)
    decided = [found.get(_at(key, place), rest) for place in range(count)]
    known = [decision for decision in decided if decision is not None]
    return known if len(known) == count else None


def _under(connection: Connection, asker: Asker, keys: Sequence[str]) -> dict[str, Decision]:
    if asker.idempotency_key is None:
        return {}
    found: dict[str, Decision] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        rows = connection.execute(
            select(decisions).where(
                decisions.c.key_id == asker.key_id,
                decisions.c.idempotency_key.in_(keys[start : start + _KEYS_AT_ONCE]),
            )
        ).mappings()
        for row in rows:
            if row["request_digest"] != asker.request_digest:
                raise IdempotencyConflict(
                    "This idempotency key was used before with other content or facts.",
                    kept="The earlier decision stands.",
                    next_step="Use a fresh idempotency key for another request.",
                )
            found[row["idempotency_key"]] = decision_from(row, repeated=True)
    return found


def read_decision(connection: Connection, decision_id: str) -> DecisionRecord:
    """One decision. Raises ``NotFound``."""
    row = (
        connection.execute(select(decisions).where(decisions.c.id == decision_id))
        .mappings()
        .first()
    )
    if row is None:
        raise not_found()
    item = connection.execute(select(items).where(items.c.id == row["item_id"])).mappings().one()
    following = connection.execute(
        select(decisions.c.id)
        .where(decisions.c.supersedes == decision_id)
        .order_by(decisions.c.at.desc(), decisions.c.id.desc())
        .limit(1)
    ).scalar()
    return DecisionRecord(
        decision=decision_from(row),
        key_id=row["key_id"],
        item=item_facts(item),
        supersedes=row["supersedes"],
        superseded_by=following,
        ledger_entry=row["ledger_entry"],
    )


def not_found() -> NotFound:
    """The same words for a decision that never was and for one that is none of the asker's."""
    return NotFound("There is no such decision.", next_step="Check the id.")


def decision_from(row: RowMapping, *, repeated: bool = False) -> Decision:
    """A decision out of its row."""
    return Decision(
        id=row["id"],
        item_id=row["item_id"],
        outcome=Outcome(row["outcome"]),
        rule=row["rule"],
        policy_version=row["policy_version"],
        at=row["at"],
        findings=tuple(msgspec.convert(row["findings"] or [], list[Finding])),
        reasons=tuple(row["reasons"] or ()),
        opaque_reason=row["opaque_reason"],
        deferred=row["deferred"],
        case_id=row["case_id"],
        evidence_id=row["evidence_id"],
        protecting=row["protecting"],
        would=tuple((name, Outcome(outcome)) for name, outcome in row["would"] or ()),
        milliseconds=dict(row["timings"] or {}),
        repeated=repeated,
    )


def item_facts(row: RowMapping) -> dict[str, Any]:
    """An item's facts that may be shown to who may see decisions; no hashes."""
    names = ("id", "kind", "entrance", "surface", "account_id", "size", "media_kind", "format")
    facts = {name: row[name] for name in names}
    facts["received_at"] = row["received_at"]
    return facts


def answer(decision: Decision, *, detail: bool) -> dict[str, Any]:
    """What an entrance answers. Without ``detail`` nothing tells which list, rule or threshold
    fired (invariant 8)."""
    said: dict[str, Any] = {
        "decision_id": decision.id,
        "outcome": decision.outcome.value,
        "case_id": decision.case_id,
        "reason": decision.opaque_reason,
        "deferred": decision.deferred,
        "protecting": decision.protecting,
        "repeated": decision.repeated,
        "milliseconds": decision.milliseconds,
    }
    if detail:
        said["findings"] = [plain_finding(finding) for finding in decision.findings]
        said["detail"] = {
            "rule": decision.rule,
            "policy_version": decision.policy_version,
            "reasons": list(decision.reasons),
            "would": as_plain(dict(decision.would)),
            "evidence_id": decision.evidence_id,
            "at": as_plain(decision.at),
        }
    else:
        said["milliseconds"] = {
            name: spent for name, spent in decision.milliseconds.items() if name in OPEN_TIMINGS
        }
    return said


OPEN_TIMINGS = ("receive", "total")
"""Timings told to every key. Finer ones would tell a match from a miss, a near one from a far."""


def plain_finding(finding: Finding) -> dict[str, Any]:
    """A finding as JSON-ready data without its empty members."""
    plain: dict[str, Any] = as_plain(finding)
    return {name: value for name, value in plain.items() if value is not None and value != ""}
