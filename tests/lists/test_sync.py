"""Every process's index comes to the state of the database, whatever happened in between."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from tutela.core import utc_now
from tutela.errors import IndexUnavailable
from tutela.lists import Lists
from tutela.store.tables.lists import list_changes, signal_hashes

WHO = {"actor": "anna", "reason": "a test"}


def test_a_snapshot_built_by_one_process_is_taken_up_by_another(open_lists, known, make):
    here, there = open_lists(), open_lists()
    here.add("known", [make.signal(1)], **WHO)
    here.rebuild_snapshot()
    here.add("known", [make.signal(2)], **WHO)
    there.refresh()
    assert there.index.signals == here.index.signals == 4
    assert there.match(make.picture(1))
    assert there.match(make.picture(2))


def test_a_process_that_starts_later_knows_everything(open_lists, known, make):
    here = open_lists()
    here.add("known", [make.signal(n) for n in range(10)], **WHO)
    here.withdraw("known", ["up-4"], **WHO)
    late = open_lists()
    assert [bool(late.match(make.picture(n))) for n in range(10)] == [n != 4 for n in range(10)]


def test_a_damaged_snapshot_is_refused_and_built_again(open_lists, known, make):
    here = open_lists()
    here.add("known", [make.signal(n) for n in range(50)], **WHO)
    here.rebuild_snapshot()
    data = bytearray(here.index.path.read_bytes())
    data[-20] ^= 1
    beside = here.index.path.with_name("damaged")
    beside.write_bytes(data)
    beside.replace(here.index.path)
    late = open_lists()
    assert late.index.healthy
    assert late.match(make.picture(7))


def test_a_missing_snapshot_makes_lookups_fail_until_a_refresh_builds_it(sqlite_lists, make):
    lists = sqlite_lists
    lists.add("known", [make.signal(1)], **WHO)
    lists.index.close()
    lists.index.path.unlink()
    with pytest.raises(IndexUnavailable):
        lists.match(make.picture(1))
    assert not lists.protection(fresh=True).protecting
    assert lists.rebuild_due
    lists.refresh()
    assert lists.match(make.picture(1))
    assert lists.protection(fresh=True).protecting


def test_an_index_closed_and_taken_up_again_knows_what_came_since_its_snapshot(
    open_lists, known, make
):
    here = open_lists()
    here.add("known", [make.signal(1)], **WHO)
    here.rebuild_snapshot()
    here.add("known", [make.signal(2)], **WHO)
    here.refresh()
    here.index.close()
    here.refresh()
    assert here.match(make.picture(1))
    assert here.match(make.picture(2))


def test_upkeep_rebuilds_when_enough_changed(sqlite_lists, make):
    lists = sqlite_lists
    lists._sync._settings = lists.settings.model_copy(update={"rebuild_after_changes": 8})
    lists.add("known", [make.signal(1)], **WHO)
    lists.maintain()
    assert lists.index.side_size == 4
    lists.add("known", [make.signal(2)], **WHO)
    lists.maintain()
    assert lists.index.side_size == 0
    assert lists.match(make.picture(1)), "and matches as before"


def test_a_refresh_stops_after_its_limit_and_goes_on_with_the_next(open_lists, known, make):
    here, there = open_lists(), open_lists()
    here.add("known", [make.signal(n) for n in range(6)], **WHO)
    here.add("known", [make.signal(n) for n in range(6, 9)], **WHO)
    assert there._sync.refresh(limit=5) == 24
    assert there._sync.refresh(limit=5) == 12
    assert there._sync.refresh(limit=5) == 0
    assert all(there.match(make.picture(n)) for n in range(9))


def test_a_refresh_cut_short_within_a_range_loses_nothing(open_lists, known, make, monkeypatch):
    monkeypatch.setattr("tutela.lists.sync._READ", 5)
    here, there = open_lists(), open_lists()
    here.add("known", [make.signal(n) for n in range(6)], **WHO)
    rounds = 0
    while there._sync.refresh(limit=5):
        rounds += 1
    assert rounds == 5
    assert all(there.match(make.picture(n)) for n in range(6))


def test_old_changes_and_replaced_hashes_are_pruned(lists: Lists, known, make):
    lists.add("known", [make.signal(1), make.signal(2)], **WHO)
    lists.add("known", [make.signal(3, upstream_id="up-1")], **WHO)
    lists.withdraw("known", ["up-2"], **WHO)

    def count(table):
        with lists.database.read() as connection:
            return len(connection.execute(select(table.c[0])).all())

    assert count(signal_hashes) == 12
    assert lists._sync.prune() == 0, "the snapshot does not have them yet"
    lists.rebuild_snapshot()
    assert lists._sync.prune() == 0, "others may still need them"
    with lists.database.begin() as connection:
        connection.execute(update(list_changes).values(at=utc_now() - timedelta(days=3)))
    assert lists._sync.prune() == 4
    assert count(list_changes) == 0
    assert count(signal_hashes) == 8, "only the replaced ones are gone"
    lists.restore("known", ["up-2"], **WHO)
    assert lists.match(make.picture(2))
    assert lists.match(make.picture(3))
    assert lists.match(make.picture(1)) == ()


def test_writers_at_once_lose_no_change(open_lists, known, make):
    services = [open_lists() for _ in range(3)]
    failures = []

    def work(at: int) -> None:
        try:
            for n in range(6):
                services[at].add("known", [make.signal(10 * at + n)], **WHO)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for service in services:
        while service.refresh():
            pass
        for at in range(3):
            for n in range(6):
                assert service.match(make.picture(10 * at + n))
    info = services[0].get("known")
    assert info.entries == 18
    assert info.version == 19
    assert info.root == services[0].recomputed_root("known")
