"""Entries commit to what happened, hide it, and can be proved or erased."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from tutela.core import utc_now
from tutela.errors import InvalidInput, LedgerDamaged, NotFound
from tutela.store.tables.decisions import decisions
from tutela.store.tables.ledger import ledger_entries, ledger_state
from tutela.transparency.verify import verify_proof


def test_an_entry_is_written_with_its_cause_or_not_at_all(any_log: Any) -> None:
    class LaterError(Exception):
        pass

    def record() -> None:
        with any_log.database.begin() as conn:
            any_log.ledger.append(conn, "policy", {"version": "1"})
            raise LaterError

    with pytest.raises(LaterError):
        record()
    with any_log.database.read() as conn:
        assert conn.execute(select(ledger_entries)).all() == []


def test_the_public_folder_tells_nothing_of_a_record(log: Any) -> None:
    secret = "a-word-that-must-not-be-published"
    with log.database.begin() as conn:
        log.ledger.append(conn, "list", {"name": secret}, subject="lst_1")
    decision = log.decide(rule=secret)
    log.sequencer.run_once()
    assert log.verify().ok
    for path in log.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert secret.encode() not in data
            assert decision.encode() not in data


def test_the_same_record_twice_gives_two_commitments(log: Any) -> None:
    with log.database.begin() as conn:
        one = log.ledger.append(conn, "policy", {"a": 1})
        two = log.ledger.append(conn, "policy", {"a": 1})
    assert one.commitment != two.commitment


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("outcome", "allow"),
        ("rule", "other"),
        ("policy_version", "x"),
        ("reasons", []),
        ("opaque_reason", None),
        ("purpose", "ncii"),
        ("severity", "high"),
        ("deferred", True),
        ("protecting", False),
        ("case_id", "case_1"),
        ("expires_at", utc_now()),
        ("supersedes", "dec_1"),
        ("key_id", "key_1"),
        ("idempotency_key", "k"),
        ("request_digest", bytes(32)),
        ("findings", [{"kind": "near", "distance": 13, "share": 0.25, "time": 1.0, "list": None}]),
        ("context", {}),
        ("would", [["rule", "block"]]),
        ("answer", {"outcome": "allow"}),
        ("timings", {"decode": 4.26, "match": 0.0, "total": 1e-05}),
        ("at", utc_now() - timedelta(days=1)),
    ],
)
def test_a_decision_altered_afterwards_is_found_and_named(
    log: Any, column: str, value: Any
) -> None:
    log.decide()
    altered = log.decide()
    log.decide()
    log.sequencer.run_once()
    assert log.verify().ok
    with log.database.begin() as conn:
        conn.execute(update(decisions).where(decisions.c.id == altered).values(**{column: value}))
    (problem,) = log.verify().problems
    assert problem.where == f"decisions {altered}"
    assert (problem.entry, problem.subject) == (1, altered)
    assert "changed since" in problem.what


def test_evidence_named_afterwards_is_found_and_named(log: Any) -> None:
    altered = log.decide()
    log.sequencer.run_once()
    with log.database.begin() as conn:
        conn.execute(update(decisions).values(evidence_id="ev_1"))
    row, vault = log.verify().problems
    assert (row.where, vault.where) == (f"decisions {altered}", "evidence ev_1")


def test_all_columns_but_one_of_a_decision_are_bound() -> None:
    from tutela.transparency.records import UNBOUND

    assert {"ledger_entry"} == UNBOUND


def test_decisions_hold_on_every_database(any_log: Any) -> None:
    named = [any_log.decide() for _ in range(3)]
    any_log.decide(at=utc_now().replace(microsecond=0), findings=None, timings=None, reasons=None)
    any_log.append(2)
    any_log.sequencer.run_once()
    any_log.decide()
    report = any_log.verify()
    assert report.ok, report.problems
    assert (report.size, report.opened, report.waiting) == (6, 7, 1)
    with any_log.database.begin() as conn:
        conn.execute(update(decisions).where(decisions.c.id == named[1]).values(outcome="hold"))
    assert [p.subject for p in any_log.verify().problems] == [named[1]]


def test_a_decision_altered_before_it_is_published_is_found_too(log: Any) -> None:
    log.sequencer.run_once()
    decision = log.decide()
    with log.database.begin() as conn:
        conn.execute(update(decisions).values(outcome="allow"))
    assert [p.subject for p in log.verify().problems] == [decision]


def test_a_decision_removed_or_added_behind_the_ledgers_back_is_found(log: Any) -> None:
    gone, kept = log.decide(), log.decide()
    log.sequencer.run_once()
    with log.database.begin() as conn:
        row = conn.execute(select(decisions).where(decisions.c.id == kept)).one()._asdict()
        conn.execute(delete(decisions).where(decisions.c.id == gone))
        conn.execute(insert(decisions), row | {"id": "dec_added", "idempotency_key": "k"})
    assert {(p.subject, p.what) for p in log.verify().problems} == {
        (gone, "the row was removed without erasure"),
        ("dec_added", "the row has no entry in the ledger"),
    }


def test_a_record_altered_in_the_database_is_found(log: Any) -> None:
    first, second = log.append(2)
    log.sequencer.run_once()
    with log.database.begin() as conn:
        conn.execute(
            update(ledger_entries).where(ledger_entries.c.id == second.id).values(record='{"n":2}')
        )
    (problem,) = log.verify().problems
    assert problem.where == f"ledger_entries {second.id}"
    with log.database.begin() as conn:
        conn.execute(update(ledger_entries).values(kind="list"))
    assert {p.where for p in log.verify().problems} == {
        f"ledger_entries {entry.id}" for entry in (first, second)
    }


def test_a_commitment_altered_or_removed_in_the_database_is_found(log: Any) -> None:
    log.append(3)
    log.sequencer.run_once()
    with log.database.begin() as conn:
        conn.execute(text("UPDATE ledger_entries SET commitment = zeroblob(32) WHERE seq = 1"))
        conn.execute(text("DELETE FROM ledger_entries WHERE seq = 2"))
    told = {(p.entry, p.what) for p in log.verify().problems}
    assert (1, "the database's commitment is not the one in the published tree") in told
    assert (2, "the entry's row is missing") in told


def test_erasing_forgets_and_the_ledger_stays_whole(any_log: Any) -> None:
    erased, kept = any_log.decide(), any_log.decide()
    any_log.sequencer.run_once()
    with any_log.database.begin() as conn:
        assert any_log.ledger.erase(conn, [erased, "dec_unknown"], "retention") == 1
        conn.execute(delete(decisions).where(decisions.c.id == erased))
    any_log.sequencer.run_once()
    report = any_log.verify()
    assert report.ok, report.problems
    assert (report.erased, report.opened, report.size) == (1, 2, 3)
    with any_log.database.read() as conn:
        row = conn.execute(select(ledger_entries).where(ledger_entries.c.subject == erased)).one()
        assert (row.salt, row.record) == (None, None)
        entry = conn.execute(
            select(ledger_entries.c.id).where(ledger_entries.c.subject == kept)
        ).scalar_one()
    with pytest.raises(NotFound):
        any_log.ledger.prove(row.id)
    assert any_log.ledger.prove(entry)


def test_erasing_twice_logs_once(log: Any) -> None:
    decision = log.decide()
    with log.database.begin() as conn:
        assert log.ledger.erase(conn, [decision], "retention") == 1
        assert log.ledger.erase(conn, [decision], "retention") == 0
        assert log.ledger.erase(conn, [], "retention") == 0
        kinds = conn.execute(select(ledger_entries.c.kind)).scalars().all()
    assert sorted(kinds) == ["decision", "erasure"]


def test_many_are_erased_at_once(log: Any) -> None:
    subjects = [f"sub_{n}" for n in range(1100)]
    with log.database.begin() as conn:
        for subject in subjects:
            log.ledger.append(conn, "policy", {"n": 1}, subject=subject)
        assert log.ledger.erase(conn, subjects, "retention") == 1100
    log.sequencer.run_once()
    assert log.verify().ok


def test_an_erasure_that_nobody_logged_is_found(log: Any) -> None:
    decision = log.decide()
    log.sequencer.run_once()
    with log.database.begin() as conn:
        conn.execute(update(ledger_entries).values(salt=None))
    told = {p.what for p in log.verify().problems}
    assert told == {
        "the row is there although its entry is erased",
        "the entry was erased, but no erasure was logged",
    }
    assert {p.subject for p in log.verify().problems} == {decision}


def test_a_proof_shows_one_record_to_somebody_with_nothing_but_the_key(any_log: Any) -> None:
    any_log.append(300)
    decision = any_log.decide()
    any_log.grow(40)
    with any_log.database.read() as conn:
        entry = conn.execute(
            select(ledger_entries.c.id).where(ledger_entries.c.subject == decision)
        ).scalar_one()
    proof = any_log.ledger.prove(entry)
    key = str(any_log.sequencer.key())
    assert proof.tlog.startswith("c2sp.org/tlog-proof@v1\nindex 300\n")
    assert decision in proof.opening["record"]
    assert verify_proof(proof, key).size == 341
    for name, value in (("record", "{}"), ("kind", "policy"), ("salt", "00" * 32), ("salt", "x")):
        with pytest.raises(LedgerDamaged):
            verify_proof(replace(proof, opening={**proof.opening, name: value}), key)
    for tlog in (
        "",
        "c2sp.org/tlog-proof@v1",
        proof.tlog.replace("index 300", "index 299"),
        proof.tlog.replace("index 300", "index -1"),
        proof.tlog[:-5],
        proof.tlog.replace("index 300\n", "index 300\n!!!\n"),
    ):
        with pytest.raises(LedgerDamaged):
            verify_proof(replace(proof, tlog=tlog), key)


def test_there_is_no_proof_before_publication_or_of_a_tampered_folder(log: Any) -> None:
    with pytest.raises(NotFound):
        log.ledger.prove("led_unknown")
    (entry,) = log.append()
    with pytest.raises(NotFound, match="not under a published checkpoint"):
        log.ledger.prove(entry.id)
    log.sequencer.run_once()
    (log.folder / "tile/0/000.p/1").write_bytes(bytes(32))
    with pytest.raises(LedgerDamaged):
        log.ledger.prove(entry.id)


def test_a_decision_goes_in_by_its_row_only(log: Any) -> None:
    with log.database.begin() as conn, pytest.raises(InvalidInput):
        log.ledger.append(conn, "decision", {"id": "dec_1"})


def test_another_ledgers_state_is_found(log: Any) -> None:
    log.grow(2)
    with log.database.begin() as conn:
        conn.execute(update(ledger_state).values(root=bytes(32)))
    assert [p.where for p in log.verify().problems] == ["checkpoint"]
