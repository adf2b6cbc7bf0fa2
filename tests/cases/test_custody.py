"""The custody chain: whatever is changed in it, or in what it testifies to, is told."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import delete, select, update

from tutela.cases import Action, custody
from tutela.core import utc_now
from tutela.core.custody import first_break
from tutela.store.tables.evidence import custody as table
from tutela.store.tables.evidence import evidence


@pytest.fixture
def logged(house):
    """A house, and a piece of evidence with five custody records."""
    names = house.block()
    for number in range(4):
        with house.database.begin() as connection:
            custody.append(
                connection, names["ev"], Action.OPENED, ledger=house.ledger, who="ann",
                why=f"because {number}", origin="test", facts={"page": number, "ü": [1.5, None]},
            )  # fmt: skip
    return house, names["ev"]


def broken(house, evidence_id):
    with house.database.read() as connection:
        row = connection.execute(select(evidence).where(evidence.c.id == evidence_id)).mappings()
        return first_break(row.one(), custody.records(connection, evidence_id))


def change(house, statement):
    with house.database.begin() as connection:
        assert connection.execute(statement).rowcount == 1


def test_an_untouched_chain_holds(logged):
    house, evidence_id = logged
    assert broken(house, evidence_id) is None
    with house.database.read() as connection:
        chain = custody.records(connection, evidence_id)
        assert custody.count(connection, evidence_id) == 5
    assert [record["number"] for record in chain] == [1, 2, 3, 4, 5]
    assert chain[0]["previous"] == custody.GENESIS
    assert chain[0]["action"] == "sealed"


@pytest.mark.parametrize(
    ("field", "value"),
    [("who", "eve"), ("why", "no reason"), ("action", "destroyed"), ("origin", "elsewhere"),
     ("facts", {"page": 9}), ("at", utc_now()), ("previous", bytes(32)), ("hash", b"x" * 32)],
)  # fmt: skip
def test_a_changed_record_is_told_with_its_number(logged, field, value):
    house, evidence_id = logged
    where = (table.c.evidence_id == evidence_id) & (table.c.number == 3)
    change(house, update(table).where(where).values({field: value}))
    found = broken(house, evidence_id)
    assert found is not None
    assert found[0] == 3


def test_a_record_taken_out_is_told(logged):
    house, evidence_id = logged
    where = (table.c.evidence_id == evidence_id) & (table.c.number == 3)
    change(house, delete(table).where(where))
    assert broken(house, evidence_id)[0] == 3


def test_a_chain_without_its_beginning_is_told(logged):
    house, evidence_id = logged
    with house.database.begin() as connection:
        connection.execute(delete(table))
    assert broken(house, evidence_id)[0] == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("sha256", b"x" * 32), ("md5", b"x" * 16), ("size", 1), ("object_name", "evidence/aa/b.age"),
     ("sealed_sha256", b"x" * 32), ("sealed_size", 7), ("recipients", ["age1other"]),
     ("case_id", None), ("item_id", "item_other"), ("sealed_at", utc_now()), ("expires_at", None),
     ("expires_at", utc_now())],
)  # fmt: skip
def test_evidence_that_differs_from_its_sealing_is_told(logged, field, value):
    house, evidence_id = logged
    change(house, update(evidence).where(evidence.c.id == evidence_id).values({field: value}))
    assert broken(house, evidence_id)[0] == 1


def test_a_record_moved_to_other_evidence_is_told(logged):
    house, evidence_id = logged
    other = house.block()["ev"]
    where = (table.c.evidence_id == evidence_id) & (table.c.number == 2)
    change(house, update(table).where(where).values(evidence_id=other))
    assert broken(house, evidence_id)[0] == 2
    assert broken(house, other)[0] == 2


def test_records_written_at_once_follow_each_other(logged):
    house, evidence_id = logged

    def append():
        for _ in range(5):
            with house.database.begin() as connection:
                custody.append(
                    connection, evidence_id, Action.OPENED, ledger=house.ledger, who="t",
                    why="w", origin="o",
                )  # fmt: skip

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken(house, evidence_id) is None
    with house.database.read() as connection:
        assert custody.count(connection, evidence_id) == 25


def test_the_head_that_recording_returns_is_the_first_record_s_hash(house):
    names = house.block()
    sealed = house.vault.seal_blocking(
        type("Source", (), {"open": lambda self: __import__("io").BytesIO(b"x")})()
    )
    with house.database.begin() as connection:
        head = house.vault.record(
            connection, sealed, names["case"], ledger=house.ledger, origin="api"
        )
    with house.database.read() as connection:
        (record,) = custody.records(connection, sealed.evidence_id)
    assert record["hash"] == head
