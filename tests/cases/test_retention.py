"""Retention: what is due ends, with a certificate; what is held or not due stays; crashes heal."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from tutela.cases import Retention, check_vault, custody, keep_until
from tutela.core import Outcome, utc_now
from tutela.core.custody import first_break
from tutela.errors import StoreUnavailable
from tutela.store import Outbox
from tutela.store.tables.cases import case_items, cases
from tutela.store.tables.decisions import decisions, items
from tutela.store.tables.evidence import evidence
from tutela.store.tables.ledger import ledger_entries

DAY = timedelta(days=1)
SOON = utc_now() + 400 * DAY


def ids(house, table):
    with house.database.read() as connection:
        return set(connection.execute(select(table.c[0])).scalars())


def one(house, table, name):
    with house.database.read() as connection:
        return connection.execute(select(table).where(table.c.id == name)).mappings().one()


def retention(house, **hooks):
    return Retention(house.database, house.objects, house.settings, ledger=house.ledger, **hooks)


def test_what_is_not_due_stays(house):
    house.block()
    house.block(outcome="allow", keep=30 * DAY)
    swept = retention(house).sweep()
    assert (swept.decisions, swept.items, swept.evidence, swept.cases) == (0, 0, 0, 0)
    assert len(ids(house, decisions)) == len(ids(house, items)) == 2
    assert check_vault(house.database, house.objects, house.ledger).checked == 1


def test_allowed_uploads_end_first_and_leave_no_row(house):
    allowed = house.block(outcome="allow", keep=30 * DAY)
    blocked = house.block(keep=365 * DAY)
    forgotten = []

    def erase(connection, names):
        found = connection.execute(select(decisions.c.id).where(decisions.c.id.in_(names)))
        forgotten.extend(found.scalars())  # still there, in the same transaction

    swept = retention(house, erase=erase).sweep(utc_now() + 31 * DAY)
    assert (swept.decisions, swept.items, swept.evidence) == (1, 1, 0)
    assert forgotten == [allowed["dec"]]
    assert ids(house, decisions) == {blocked["dec"]}
    assert ids(house, items) == {blocked["item"]}


def test_evidence_ends_with_a_certificate_and_its_case_is_emptied(house):
    names = house.block()
    swept = retention(house).sweep(SOON)
    assert (swept.evidence, swept.decisions, swept.items, swept.cases) == (1, 1, 1, 1)
    assert not house.objects.exists(names["object"])
    row = one(house, evidence, names["ev"])
    assert row["state"] == "destroyed"
    assert row["destroyed_at"] is not None
    assert row["facts"] is None
    with house.database.read() as connection:
        chain = custody.records(connection, names["ev"])
        assert first_break(row, chain) is None
        said = connection.execute(
            select(ledger_entries.c.record)
            .where(ledger_entries.c.subject == names["ev"])
            .order_by(ledger_entries.c.id)
        ).scalars()
        certificate = [json.loads(text) for text in said][-1]
    assert [record["action"] for record in chain] == ["sealed", "ending", "destroyed"]
    assert (certificate["action"], certificate["number"]) == ("destroyed", 3)
    assert certificate["custody_head"] == chain[-1]["hash"].hex()
    case = one(house, cases, names["case"])
    assert (case["state"], case["account_id"], case["facts"]) == ("ended", None, None)
    assert ids(house, items) == ids(house, case_items) == set()
    report = check_vault(house.database, house.objects, house.ledger)
    assert report.ok
    assert report.destroyed == 1
    again = retention(house).sweep(SOON)
    assert (again.evidence, again.decisions, again.cases) == (0, 0, 0)


def test_a_hold_stops_the_clock_of_its_case_only(house):
    held, free = house.block(), house.block()

    def on_hold(connection, case_ids):
        return {held["case"]} & set(case_ids)

    retention(house, held=on_hold).sweep(SOON)
    assert ids(house, decisions) == {held["dec"]}
    assert ids(house, items) == {held["item"]}
    assert one(house, evidence, held["ev"])["state"] == "kept"
    assert one(house, evidence, free["ev"])["state"] == "destroyed"
    assert one(house, cases, held["case"])["state"] == "open"
    assert house.objects.exists(held["object"])
    retention(house).sweep(SOON)
    assert one(house, evidence, held["ev"])["state"] == "destroyed"


@pytest.mark.parametrize("step", ["before_delete", "after_delete"])
def test_a_crash_in_mid_destruction_is_finished_by_the_next_sweep(house, monkeypatch, step):
    names = house.block()
    delete = house.objects.delete

    def crash(name):
        if step == "after_delete":
            delete(name)
        raise KeyboardInterrupt

    monkeypatch.setattr(house.objects, "delete", crash)
    with pytest.raises(KeyboardInterrupt):
        retention(house).sweep(SOON)
    assert one(house, evidence, names["ev"])["state"] == "ending"
    monkeypatch.undo()
    assert retention(house).sweep(SOON).evidence == 1
    assert one(house, evidence, names["ev"])["state"] == "destroyed"
    with house.database.read() as connection:
        chain = custody.records(connection, names["ev"])
    assert [record["action"] for record in chain] == ["sealed", "ending", "destroyed"]
    assert check_vault(house.database, house.objects, house.ledger).ok


def test_a_store_that_is_away_stops_the_sweep_and_not_the_next_one(small_house, monkeypatch):
    for _ in range(3):
        small_house.block()

    def away(name):
        raise StoreUnavailable("away")

    monkeypatch.setattr(small_house.objects, "delete", away)
    with pytest.raises(StoreUnavailable):
        retention(small_house).sweep(SOON)
    monkeypatch.undo()
    assert retention(small_house).sweep(SOON).evidence == 3


def test_a_case_with_evidence_still_kept_is_not_emptied(small_house):
    names = small_house.block()
    with small_house.database.begin() as connection:
        custody.retime(
            connection,
            names["ev"],
            SOON + DAY,
            ledger=small_house.ledger,
            who="ann",
            why="The court asked for it.",
            origin="test",
        )
    retention(small_house).sweep(SOON)
    assert check_vault(small_house.database, small_house.objects, small_house.ledger).ok
    assert one(small_house, cases, names["case"])["state"] == "open"


def test_an_item_that_another_decision_rests_on_stays(small_house):
    names = small_house.block(outcome="allow", keep=DAY)
    with small_house.database.begin() as connection:
        row = dict(connection.execute(select(decisions)).mappings().one())
        row |= {"id": "dec_later", "expires_at": SOON + DAY, "supersedes": names["dec"]}
        connection.execute(decisions.insert(), row)
    swept = retention(small_house).sweep(SOON)
    assert (swept.decisions, swept.items) == (1, 0)
    assert ids(small_house, items) == {names["item"]}


def test_more_than_one_batch_ends_in_one_sweep(small_house, monkeypatch):
    monkeypatch.setattr("tutela.cases.retention.BATCH", 4)
    same = utc_now()
    for _ in range(11):
        small_house.block(outcome="allow", at=same)
    kept = small_house.block(outcome="allow", keep=500 * DAY)
    held = {small_house.block(at=same)["case"] for _ in range(5)}
    swept = retention(small_house, held=lambda connection, names: held).sweep(SOON)
    assert swept.decisions == 11
    assert kept["dec"] in ids(small_house, decisions)
    assert len(ids(small_house, decisions)) == 6


def test_objects_without_a_record_wait_as_long_as_records_are_kept(house, monkeypatch):
    """So that a database restored from a backup does not cost the evidence recorded since."""
    house.block()
    house.objects.put("evidence/aa/orphan.age", b"x")
    assert retention(house).sweep(utc_now()).orphans == 0
    assert house.objects.exists("evidence/aa/orphan.age")
    monkeypatch.setattr("tutela.cases.check.utc_now", lambda: SOON)
    assert retention(house).sweep(utc_now()).orphans == 1
    assert not house.objects.exists("evidence/aa/orphan.age")
    assert check_vault(house.database, house.objects, house.ledger).checked == 1


def test_old_events_and_unfinished_puts_end_too(small_house, monkeypatch):
    with small_house.database.begin() as connection:
        Outbox(small_house.database).enqueue(connection, "decision.made", {})
    staged = small_house.objects.stage()
    staged.write(b"half")
    staged._file.close()
    swept = retention(small_house).sweep()
    assert (swept.events, swept.unfinished_puts) == (0, 0)
    assert retention(small_house).sweep(utc_now() + 31 * DAY).events == 1


def test_how_long_is_the_setting_of_the_outcome(sqlite_settings):
    now = utc_now()
    assert keep_until(sqlite_settings, Outcome.ALLOW, now) == now + 30 * DAY
    for outcome in (Outcome.HOLD, Outcome.BLOCK):
        assert keep_until(sqlite_settings, outcome, now) == now + 365 * DAY
