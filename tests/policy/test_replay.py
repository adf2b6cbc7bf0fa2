"""Replay says what other rules would have decided, on what was recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from tutela.core import FindingKind, ListMode, Outcome, as_plain, new_id
from tutela.errors import InvalidInput
from tutela.policy import Context, Policy, load_rules
from tutela.policy.replay import replay
from tutela.store import Database
from tutela.store.tables.decisions import decisions, items

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def record(database: Database) -> Any:
    """Records decisions as the gate does."""

    def put(found: list[Any], at: datetime, **more: Any) -> str:
        context = Context.of(now=at)
        ruling = Policy.default().decide(found, context)
        item_id, decision_id = new_id("item"), new_id("dec")
        with database.begin() as conn:
            conn.execute(
                insert(items),
                {
                    "id": item_id,
                    "kind": "upload",
                    "received_at": at,
                    "entrance": "api",
                    "surface": "post",
                    "recipients_age_band": "unknown",
                },
            )
            conn.execute(
                insert(decisions),
                {
                    "id": decision_id,
                    "item_id": item_id,
                    "at": at,
                    "outcome": ruling.outcome.value,
                    "rule": ruling.rule,
                    "policy_version": ruling.policy_version,
                    "deferred": ruling.deferred,
                    "protecting": True,
                    "idempotency_key": decision_id,
                    "findings": as_plain(found) or None,
                    "context": context.plain(),
                    **more,
                },
            )
        return decision_id

    return put


def test_the_same_rules_change_nothing(database: Database, record: Any, finding: Any) -> None:
    record([], START)
    record([finding()], START)
    record([finding(FindingKind.NEAR, distance=30, share=0.5, time=1.25)], START)
    record([finding(FindingKind.FAULT)], START)
    result = replay(database, load_rules("default"), START)
    assert (result.decisions, result.count, result.unreadable) == (4, 0, 0)
    assert result.by_rule == {"nothing-found": 1, "exact": 1, "far": 1, "fault": 1}


def test_other_rules_and_what_they_would_change(
    database: Database, record: Any, finding: Any, rules: Any
) -> None:
    before = record([finding()], START - timedelta(seconds=1))
    held = record([finding(mode=ListMode.HOLD)], START)
    blocked = record([finding()], START + timedelta(hours=1))
    milder = rules(
        "name = 'milder'\n[[rule]]\nname = 'all'\nwhen = 'finding.kind == \"exact\"'\n"
        "outcome = 'allow'"
    )
    result = replay(database, milder, START)
    assert result.version == milder.version
    assert result.changed == {("hold", "allow"): 1, ("block", "allow"): 1}
    assert [
        (c.decision_id, c.was, c.was_rule, c.would_be, c.would_rule) for c in result.changes
    ] == [
        (held, Outcome.HOLD, "hold-list", Outcome.ALLOW, "all"),
        (blocked, Outcome.BLOCK, "exact", Outcome.ALLOW, "all"),
    ]
    assert before not in {c.decision_id for c in result.changes}


def test_pages_are_followed_and_progress_told(
    database: Database, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutela.policy.replay.BATCH", 2)
    for n in range(5):
        record([], START + timedelta(seconds=n // 2))
    seen: list[int] = []
    result = replay(database, load_rules("default"), START, progress=seen.append)
    assert result.decisions == 5
    assert seen == [2, 4]


def test_what_cannot_be_read_back_is_counted(database: Database, record: Any) -> None:
    record([], START, findings=[{"kind": "of another time"}])
    result = replay(database, load_rules("default"), START)
    assert (result.decisions, result.unreadable) == (1, 1)


def test_a_time_without_zone_is_refused(sqlite_database: Database) -> None:
    with pytest.raises(InvalidInput):
        replay(sqlite_database, load_rules("default"), datetime(2026, 1, 1))
