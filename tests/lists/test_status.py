"""Nobody is told that they are protected when they are not (invariant 15)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tutela.core import ListMode, Purpose, utc_now
from tutela.errors import StoreUnavailable
from tutela.lists import Lists

WHO = {"actor": "anna", "reason": "a test"}


@pytest.fixture
def lists(sqlite_lists: Lists) -> Lists:
    """The status is computed alike on both databases."""
    return sqlite_lists


def status(lists: Lists):
    return lists.protection(fresh=True)


def test_a_blocking_list_with_signals_protects(lists, make):
    lists.add("known", [make.signal(1)], **WHO)
    now = status(lists)
    assert now.protecting
    assert now.headline == "PROTECTING"
    assert now.why == "1 blocking list with 1 signal in force."
    state = next(state for state in now.lists if state.name == "known")
    assert (state.state, state.entries, state.mode) == ("blocking", 1, ListMode.BLOCK)
    assert state.since == lists.history("known")[0].at


@pytest.mark.parametrize("mode", [ListMode.HOLD, ListMode.INFORM, ListMode.OFF])
def test_without_a_list_that_blocks_nobody_is_protected(lists, make, mode):
    lists.add("known", [make.signal(1)], **WHO)
    lists.set_mode("known", mode, **WHO)
    now = status(lists)
    assert now.headline == "NOT PROTECTING"
    assert now.why.startswith("No list may block.")
    words = {"hold": "holding", "inform": "informing", "off": "off"}
    assert next(s.state for s in now.lists if s.name == "known") == words[mode.value]


def test_an_empty_list_and_the_selftest_list_protect_nobody(lists, make):
    lists.ensure_selftest([make.signal(9)])
    now = status(lists)
    assert not now.protecting
    assert now.why.startswith("No blocking list has a signal in force.")
    lists.add("known", [make.signal(1)], **WHO)
    assert status(lists).protecting
    lists.withdraw("known", ["up-1"], **WHO)
    assert not status(lists).protecting


def test_one_stale_list_is_enough_to_say_not_protecting(lists, make, monkeypatch):
    lists.add("known", [make.signal(1)], **WHO)
    lists.create(
        "synced", Purpose.CSAM, mode=ListMode.BLOCK, synced=True, stale_after_hours=2, **WHO
    )
    lists.add("synced", [make.signal(2)], **WHO)
    assert status(lists).protecting
    later = utc_now() + timedelta(hours=2, minutes=1)
    monkeypatch.setattr("tutela.lists.records.utc_now", lambda: later)
    now = status(lists)
    assert not now.protecting
    assert "'synced' was not refreshed in time" in now.why
    assert next(s.state for s in now.lists if s.name == "synced") == "stale"
    assert lists.match(make.picture(2))[0].list.stale
    monkeypatch.setattr("tutela.lists.editing.utc_now", lambda: later)
    lists.mark_refreshed("synced")
    assert status(lists).protecting


def test_a_stale_list_that_only_holds_does_not_count(lists, make, monkeypatch):
    lists.add("known", [make.signal(1)], **WHO)
    lists.create("synced", Purpose.CSAM, mode=ListMode.HOLD, synced=True, **WHO)
    later = utc_now() + timedelta(hours=73)
    monkeypatch.setattr("tutela.lists.records.utc_now", lambda: later)
    assert status(lists).protecting


def test_without_index_or_database_nobody_is_protected(lists, make, monkeypatch):
    lists.add("known", [make.signal(1)], **WHO)

    class Away:
        def read(self):
            raise StoreUnavailable("The database does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(lists, "database", Away())
        assert status(lists).why == "The database does not answer."
        assert not status(lists).protecting
    lists.index.close()
    assert status(lists).why.startswith("The index of signals is missing or damaged")


def test_an_index_that_lags_behind_says_so(lists, make, monkeypatch):
    lists.add("known", [make.signal(1)], **WHO)
    import tutela.lists.sync as sync

    now = sync.time.monotonic()
    monkeypatch.setattr(sync.time, "monotonic", lambda: now + 31)
    assert "not been brought up to date" in status(lists).why
    lists.refresh()
    assert status(lists).protecting


def test_an_answer_is_reused_for_a_second_but_not_past_an_edit(lists, make, monkeypatch):
    lists.add("known", [make.signal(1)], **WHO)
    first = lists.protection()
    assert lists.protection() is first
    lists.set_mode("known", ListMode.HOLD, **WHO)
    assert not lists.protection().protecting
