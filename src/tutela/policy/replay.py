"""Replay: what other rules would have decided on what was found in the past.

Findings and context are recorded with every decision, in the shape that rules see. Brakes are left
out (they depend on the moment) and so is the allow list (it depends on hashes that a decision does
not repeat): the replay compares rules with rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import and_, or_, select

from tutela.core import Finding, Outcome
from tutela.errors import InvalidInput
from tutela.store import Database
from tutela.store.tables.decisions import decisions

from .context import Context
from .decide import decide
from .rules import RuleSet

BATCH = 500
"""Decisions read at once."""
MOST_SHOWN = 1000
"""Changes kept one by one; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A decision that the rules would make otherwise."""

    decision_id: str
    at: datetime
    was: Outcome
    was_rule: str
    would_be: Outcome
    would_rule: str


@dataclass(slots=True)
class Replayed:
    """What a replay found. ``unreadable`` decisions were recorded in a shape not known any more."""

    version: str
    since: datetime
    decisions: int = 0
    unreadable: int = 0
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_rule: Counter[str] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many outcomes would have been others."""
        return self.changed.total()


def replay(
    database: Database,
    rules: RuleSet,
    since: datetime,
    *,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Decides anew, by ``rules``, on everything found since ``since``. Changes nothing.

    Raises ``InvalidInput`` for a time without zone, ``StoreUnavailable``.
    """
    if since.tzinfo is None:
        raise InvalidInput(
            "The time to replay from has no time zone.", next_step="Write 2026-01-31T09:30:00Z."
        )
    result = Replayed(version=rules.version, since=since)
    for row in _decisions(database, since):
        result.decisions += 1
        try:
            findings = msgspec.convert(row.findings or [], list[Finding])
            context = Context.from_plain(row.context or {}, now=row.at)
            was = Outcome(row.outcome)
        except (msgspec.ValidationError, ValueError, TypeError):
            result.unreadable += 1
            continue
        ruling = decide(rules, findings, context)
        result.by_rule[ruling.rule] += 1
        if ruling.outcome is not was:
            result.changed[was.value, ruling.outcome.value] += 1
            if len(result.changes) < MOST_SHOWN:
                result.changes.append(
                    Change(
                        decision_id=row.id,
                        at=row.at,
                        was=was,
                        was_rule=row.rule,
                        would_be=ruling.outcome,
                        would_rule=ruling.rule,
                    )
                )
        if progress is not None and result.decisions % BATCH == 0:
            progress(result.decisions)
    return result


def _decisions(database: Database, since: datetime) -> Iterator[Any]:
    """Decisions from ``since`` on, oldest first; a page is a transaction of its own, so a long
    replay holds up nobody."""
    after = (since, "")
    while True:
        with database.read() as conn:
            rows = conn.execute(
                select(
                    decisions.c.id,
                    decisions.c.at,
                    decisions.c.outcome,
                    decisions.c.rule,
                    decisions.c.findings,
                    decisions.c.context,
                )
                .where(
                    decisions.c.at >= after[0],
                    or_(
                        decisions.c.at > after[0],
                        and_(decisions.c.at == after[0], decisions.c.id > after[1]),
                    ),
                )
                .order_by(decisions.c.at, decisions.c.id)
                .limit(BATCH)
            ).all()
        yield from rows
        if len(rows) < BATCH:
            return
        after = (rows[-1].at, rows[-1].id)
