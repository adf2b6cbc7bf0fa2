"""An erasure covers the entries that it names, each once, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from tutela.store.tables.decisions import decisions
from tutela.store.tables.ledger import ledger_entries
from tutela.transparency import LedgerEntry

UNLOGGED = "the entry was erased, but no erasure was logged"
NOT_ERASED = "an erasure names the entry, and it is not erased"


def erase(log: Any, *ids: str) -> None:
    with log.database.begin() as conn:
        assert log.ledger.erase(conn, ids, "retention") == len(ids)
        conn.execute(delete(decisions).where(decisions.c.id.in_(ids)))


def entry(log: Any, subject: str) -> Any:
    with log.database.read() as conn:
        return conn.execute(select(ledger_entries).where(ledger_entries.c.subject == subject)).one()


def told(log: Any) -> list[tuple[int | None, str]]:
    return [(problem.entry, problem.what) for problem in log.verify().problems]


def erasures(log: Any) -> list[dict[str, Any]]:
    with log.database.read() as conn:
        found = conn.execute(
            select(ledger_entries.c.record)
            .where(ledger_entries.c.kind == "erasure")
            .order_by(ledger_entries.c.id)
        )
        return [json.loads(text) for text in found.scalars()]


def test_an_erasure_names_entries_by_what_the_signed_tree_fixes(any_log: Any) -> None:
    numbered = any_log.decide()
    any_log.sequencer.run_once()
    waiting = any_log.decide()
    commitment = bytes(entry(any_log, waiting).commitment).hex()
    erase(any_log, numbered, waiting)
    assert erasures(any_log) == [
        {"count": 2, "entries": [0], "reason": "retention", "waiting": [commitment]}
    ]
    assert told(any_log) == []
    any_log.sequencer.run_once()
    assert told(any_log) == []


@pytest.mark.parametrize("published", [True, False])
def test_a_block_hidden_under_another_decisions_erasure_is_told(
    any_log: Any, published: bool
) -> None:
    """Subject and kind of an erased entry are columns that anybody may write."""
    old, blocked = any_log.decide(outcome="allow"), any_log.decide()
    if published:
        any_log.sequencer.run_once()
    erase(any_log, old)
    any_log.sequencer.run_once()
    hidden = entry(any_log, blocked)
    with any_log.database.begin() as conn:
        conn.execute(
            update(ledger_entries)
            .where(ledger_entries.c.id == hidden.id)
            .values(salt=None, record=None, subject=old)
        )
        conn.execute(delete(decisions).where(decisions.c.id == blocked))
    assert told(any_log) == [(hidden.seq, UNLOGGED)]


def test_a_block_that_takes_the_place_of_an_erased_decision_put_back_is_told(any_log: Any) -> None:
    """Whoever saved a row before it was erased can open its entry again, and exchange the ids."""
    old, blocked = any_log.decide(outcome="allow"), any_log.decide()
    any_log.sequencer.run_once()
    with any_log.database.read() as conn:
        row = conn.execute(select(decisions).where(decisions.c.id == old)).mappings().one()
    was, hidden = entry(any_log, old), entry(any_log, blocked)
    erase(any_log, old)
    any_log.sequencer.run_once()
    with any_log.database.begin() as conn:
        for each in (was.id, hidden.id):
            conn.execute(
                update(ledger_entries).where(ledger_entries.c.id == each).values(id=f"{each}x")
            )
        conn.execute(
            update(ledger_entries)
            .where(ledger_entries.c.id == f"{was.id}x")
            .values(id=hidden.id, salt=was.salt)
        )
        conn.execute(
            update(ledger_entries)
            .where(ledger_entries.c.id == f"{hidden.id}x")
            .values(id=was.id, salt=None, subject=old)
        )
        conn.execute(delete(decisions).where(decisions.c.id == blocked))
        conn.execute(decisions.insert(), dict(row) | {"ledger_entry": None})
    found = told(any_log)
    assert (hidden.seq, UNLOGGED) in found
    assert (was.seq, NOT_ERASED) in found


def test_an_erasure_that_says_more_or_less_than_it_names_is_told(log: Any) -> None:
    log.decide()
    log.sequencer.run_once()
    for record, what in (
        ({"entries": [], "waiting": [], "count": 1}, "names another number of entries"),
        ({"entries": [0, 0], "waiting": [], "count": 2}, "names another number of entries"),
        ({"subjects": ["dec_x"]}, "names no entries"),
        ({"entries": [], "waiting": ["zz"], "count": 1}, "names no entries"),
    ):
        with log.database.begin() as conn:
            made: LedgerEntry = log.ledger.append(conn, "erasure", record | {"reason": "r"})
        assert f"the erasure {what}" in {each for _, each in told(log)}
        with log.database.begin() as conn:
            conn.execute(delete(ledger_entries).where(ledger_entries.c.id == made.id))


def test_an_entry_named_by_two_erasures_or_by_one_and_not_erased_is_told(log: Any) -> None:
    log.decide()
    log.sequencer.run_once()
    record = {"entries": [0], "waiting": ["00" * 32], "count": 2, "reason": "r"}
    with log.database.begin() as conn:
        for _ in range(2):
            log.ledger.append(conn, "erasure", record)
    found = told(log)
    assert (0, NOT_ERASED) in found
    assert (None, NOT_ERASED) in found
    assert "the erasure names entries that another one names" in {what for _, what in found}


def test_an_erasure_that_is_itself_erased_is_told(log: Any) -> None:
    old = log.decide()
    log.sequencer.run_once()
    erase(log, old)
    log.sequencer.run_once()
    with log.database.begin() as conn:
        conn.execute(
            update(ledger_entries)
            .where(ledger_entries.c.kind == "erasure")
            .values(salt=None, record=None)
        )
    assert (1, UNLOGGED) in told(log)
    assert (0, UNLOGGED) in told(log)


def test_nothing_erases_what_is_logged_of_evidence(log: Any) -> None:
    with log.database.begin() as conn:
        log.ledger.append(conn, "evidence", {"evidence_id": "ev_1"}, subject="ev_1")
        assert log.ledger.erase(conn, ["ev_1"], "retention") == 0
