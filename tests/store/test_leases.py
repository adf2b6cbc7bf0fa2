"""Leases: a duty has one holder at a time, and finds a new one when that dies."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from tutela.core import utc_now
from tutela.store import Leases
from tutela.store.tables.leases import leases as table


@pytest.fixture
def two(database):
    return Leases(database), Leases(database)


def run_out(leases):
    with leases.database.begin() as connection:
        connection.execute(update(table).values(until=utc_now() - timedelta(seconds=1)))


def test_a_duty_has_one_holder(two):
    one, other = two
    lease = one.acquire("sequencer", 30)
    assert lease is not None
    assert other.acquire("sequencer", 30) is None
    assert other.acquire("sweep", 30) is not None
    assert one.holds(lease)


def test_the_holder_renews_and_its_token_stays(two):
    one, other = two
    first = one.acquire("sequencer", 1)
    second = one.acquire("sequencer", 60)
    assert second.token == first.token
    assert second.until > first.until
    assert other.acquire("sequencer", 60) is None


def test_a_dead_holder_is_followed_by_one_with_a_greater_token(two):
    one, other = two
    old = one.acquire("sequencer", 30)
    run_out(one)
    new = other.acquire("sequencer", 30)
    assert new.token > old.token
    assert not one.holds(old)
    assert other.holds(new)
    one.release(old)  # too late to matter
    assert other.holds(new)
    assert one.acquire("sequencer", 30) is None


def test_a_holder_that_slept_through_its_lease_gets_a_new_token(two):
    one, _ = two
    old = one.acquire("sequencer", 30)
    run_out(one)
    assert one.acquire("sequencer", 30).token > old.token


def test_released_is_free_at_once(two):
    one, other = two
    lease = one.acquire("sequencer", 30)
    one.release(lease)
    assert not one.holds(lease)
    assert other.acquire("sequencer", 30) is not None


def test_a_block_holds_its_duty_and_gives_it_up(two):
    one, other = two
    with one.held("sweep", 30) as lease:
        assert lease is not None
        with other.held("sweep", 30) as nothing:
            assert nothing is None
        assert one.holds(lease)
    with other.held("sweep", 30) as lease:
        assert lease is not None


def test_of_many_that_ask_at_once_one_gets_it(database):
    got, start = [], threading.Barrier(6)

    def ask():
        mine = Leases(database)
        start.wait()
        lease = mine.acquire("sweep", 30)
        if lease is not None:
            got.append(lease)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
