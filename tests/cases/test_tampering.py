"""An attacker who can write the database and the objects, and has no key of the ledger.

Whatever is done to evidence, `tutela verify` tells it, and `vault check` tells it as long as the
ledger's rows themselves are left alone; the sweep destroys nothing on the row's word alone.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pyrage
import pytest
from sqlalchemy import delete, select, update

from tutela.cases import Retention, check_vault, custody
from tutela.core import utc_now
from tutela.core.custody import GENESIS, record_hash, seal_facts
from tutela.errors import EvidenceDamaged
from tutela.store.tables.decisions import decisions
from tutela.store.tables.evidence import custody as log
from tutela.store.tables.evidence import evidence
from tutela.store.tables.ledger import ledger_entries
from tutela.transparency import Sequencer
from tutela.transparency.verify import verify

ABOUT_EVIDENCE = ledger_entries.c.kind == "evidence"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def publish(house):
    Sequencer(house.database, house.settings).run_once()


def told(house, *, opened=False):
    """What `tutela verify` and `tutela vault check` tell about evidence, each as a set of words."""
    publish(house)
    ledger = verify(house.settings.data_dir / "ledger", house.database)
    vault = check_vault(
        house.database, house.objects, house.ledger, key=house.key if opened else None
    )
    assert vault.ok == (not vault.troubles)
    return {p.what for p in ledger.problems}, {t.what for t in vault.troubles}


def change(house, *statements):
    with house.database.begin() as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount >= 1


def row_of(house, evidence_id):
    with house.database.read() as connection:
        found = connection.execute(select(evidence).where(evidence.c.id == evidence_id))
        return dict(found.mappings().one())


def rechain(house, row):
    """Make the custody chain of ``row`` anew, so that it holds in itself."""
    with house.database.begin() as connection:
        previous = GENESIS
        for record in [dict(r) for r in custody.records(connection, row["id"])]:
            if record["number"] == 1:
                record["facts"] = seal_facts(row)
            made = record_hash(previous, record)
            connection.execute(
                update(log)
                .where(log.c.id == record["id"])
                .values(previous=previous, facts=record["facts"], hash=made)
            )
            previous = made


def sweep(house, now=None):
    return Retention(
        house.database,
        house.objects,
        house.settings,
        ledger=house.ledger,
        erase=lambda connection, ids: house.ledger.erase(connection, ids, "retention"),
    ).sweep(now)


def test_untouched_evidence_is_told_nothing_about_through_its_whole_life(house):
    names = house.block()
    house.block()
    assert told(house, opened=True) == (set(), set())
    sweep(house, utc_now() + timedelta(days=400))
    assert row_of(house, names["ev"])["state"] == "destroyed"
    assert told(house) == (set(), set())


def test_evidence_removed_with_its_row_chain_and_object_is_told(house):
    names = house.block()
    house.block()
    publish(house)
    change(
        house,
        delete(log).where(log.c.evidence_id == names["ev"]),
        delete(evidence).where(evidence.c.id == names["ev"]),
    )
    house.objects.delete(names["object"])
    gone = {"the evidence was removed: it was logged, and its row is gone"}
    assert told(house) == (gone, gone)


def test_evidence_whose_ledger_entry_is_emptied_too_is_told_by_both(house):
    """Its entry can be erased only by an erasure that names it, and evidence never is erased."""
    names = house.block()
    publish(house)
    hide = {"salt": None, "record": None, "kind": "decision", "subject": "dec_x"}
    change(
        house,
        update(decisions).values(evidence_id=names["ev"]),
        delete(log),
        delete(evidence),
        update(ledger_entries).where(ABOUT_EVIDENCE).values(**hide),
    )
    ledger, vault = told(house)
    assert "the entry was erased, but no erasure was logged" in ledger
    removed = f"the evidence of decision {names['dec']} was removed: its row is gone"
    assert removed in ledger
    assert removed in vault


def test_an_entry_about_evidence_that_no_longer_names_it_is_told(house):
    house.block()
    publish(house)
    moved = update(ledger_entries).where(ABOUT_EVIDENCE)
    change(house, delete(log), delete(evidence), moved.values(subject=None))
    with house.database.read() as connection:
        entry = connection.execute(select(ledger_entries.c.id).where(ABOUT_EVIDENCE)).scalar_one()
    nameless = {f"ledger entry {entry} is about evidence, and names none"}
    assert told(house) == (nameless, nameless)
    change(house, moved.values(subject="ev_another"))
    assert "its ledger entry does not open to a custody record of it" in told(house)[0]


def test_evidence_swapped_for_an_innocent_file_with_a_new_chain_is_told(house):
    names = house.block()
    publish(house)
    plain = b"a quite different, innocent file"
    sealed = pyrage.encrypt(plain, [house.identity.to_public()])
    digest = hashlib.sha256(sealed).digest()
    name = f"evidence/{digest.hex()[:2]}/{digest.hex()}.age"
    house.objects.put(name, sealed)
    house.objects.delete(names["object"])
    new = {
        "object_name": name,
        "size": len(plain),
        "md5": hashlib.md5(plain, usedforsecurity=False).digest(),
        "sha256": hashlib.sha256(plain).digest(),
        "sealed_size": len(sealed),
        "sealed_sha256": digest,
    }
    change(house, update(evidence).values(**new))
    rechain(house, row_of(house, names["ev"]))
    other = {"custody record 1 is not the one that was logged"}
    assert told(house, opened=True) == (other, other)


@pytest.mark.parametrize("keep", [1, 2])
def test_a_custody_log_whose_tail_is_cut_is_told(house, keep):
    names = house.block()
    for _ in range(2):
        assert check_vault(house.database, house.objects, house.ledger, key=house.key).opened == 1
    publish(house)
    change(house, delete(log).where(log.c.evidence_id == names["ev"], log.c.number > keep))
    cut = {
        f"custody record {number} (opened) was logged, and is gone" for number in range(keep + 1, 4)
    }
    assert told(house) == (cut, cut)


def test_a_custody_record_put_on_top_without_its_entry_is_told(house):
    names = house.block()
    with house.database.begin() as connection:
        (first,) = custody.records(connection, names["ev"])
        record = {
            **dict(first), "number": 2, "action": "opened", "facts": {}, "previous": first["hash"]
        }  # fmt: skip
        del record["id"]
        record["hash"] = record_hash(first["hash"], record)
        connection.execute(log.insert(), record)
    added = {"custody record 2 has no entry in the ledger"}
    assert told(house) == (added, added)


def test_evidence_set_to_be_due_is_not_destroyed_but_told(house):
    names, due = house.block(), house.block(keep=timedelta(days=-1))
    other = house.block(outcome="allow", keep=timedelta(days=-1))
    change(house, update(evidence).where(evidence.c.id == names["ev"]).values(expires_at=LONG_AGO))
    with pytest.raises(
        EvidenceDamaged, match="1 pieces of evidence and 0 decisions are marked as due"
    ):
        sweep(house)
    assert row_of(house, names["ev"])["state"] == "kept"
    assert house.objects.exists(names["object"])
    assert row_of(house, due["ev"])["state"] == "destroyed"
    with house.database.read() as connection:
        left = set(connection.execute(select(decisions.c.id)).scalars())
    assert left == {names["dec"]}
    assert other["dec"] not in left
    late = {"custody record 1: the row is to end at another time than was recorded"}
    assert told(house) == (late, late)


def test_a_decision_set_to_be_due_is_not_erased_but_told(house):
    names = house.block(outcome="allow")
    house.block(outcome="allow", keep=timedelta(days=-1))
    set_back = update(decisions).where(decisions.c.id == names["dec"])
    change(house, set_back.values(expires_at=LONG_AGO))
    with pytest.raises(EvidenceDamaged, match="1 decisions are marked as due"):
        sweep(house)
    with house.database.read() as connection:
        assert set(connection.execute(select(decisions.c.id)).scalars()) == {names["dec"]}
    changed = {"the record is not the one that was logged: it was changed since"}
    assert told(house) == (changed, set())


@pytest.mark.parametrize("how", ["chained anew", "marked as ending"])
def test_evidence_made_due_in_other_ways_is_not_destroyed_either(house, how):
    names = house.block()
    if how == "chained anew":
        change(house, update(evidence).values(expires_at=LONG_AGO))
        rechain(house, row_of(house, names["ev"]))
    else:
        change(house, update(evidence).values(state="ending"))
    with pytest.raises(EvidenceDamaged):
        sweep(house)
    assert house.objects.exists(names["object"])
    ledger, vault = told(house)
    assert ledger
    assert ledger == vault


def test_a_destruction_before_its_time_is_told_even_with_all_its_records(house):
    names = house.block()
    house.objects.delete(names["object"])
    with house.database.begin() as connection:
        for action in (custody.Action.ENDING, custody.Action.DESTROYED):
            custody.append(
                connection, names["ev"], action, ledger=house.ledger, who="tutela",
                why="Its retention is over and no hold keeps it.", origin="retention",
            )  # fmt: skip
        custody.mark(connection, names["ev"], "destroyed", destroyed_at=utc_now())
    early = {"custody record 2: its retention was ended before it was over"}
    assert told(house) == (early, early)


def test_a_destroyed_row_without_its_certificate_is_told(house):
    names = house.block()
    house.objects.delete(names["object"])
    with house.database.begin() as connection:
        custody.mark(connection, names["ev"], "destroyed", destroyed_at=utc_now())
    without = {"custody record 1: the row is destroyed, the last record is sealed"}
    assert told(house) == (without, without)


def test_a_changed_end_that_is_on_record_is_no_trouble_and_ends_in_time(house):
    names = house.block()
    with house.database.begin() as connection:
        custody.retime(
            connection, names["ev"], LONG_AGO, ledger=house.ledger, who="ann",
            why="The authority asked for it to end.", origin="test",
        )  # fmt: skip
    assert told(house) == (set(), set())
    assert sweep(house).evidence == 1
    assert told(house) == (set(), set())
