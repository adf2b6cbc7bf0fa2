"""The outbox: an event exists if its cause does, and one process at a time sends it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from tutela.core import utc_now
from tutela.errors import Conflict, NotFound, StoreUnavailable
from tutela.store import Outbox
from tutela.store.outbox import CLAIM, WAITS
from tutela.store.tables.outbox import outbox as table


@pytest.fixture
def outbox(database):
    return Outbox(database)


def enqueue(outbox, count=1, **options):
    with outbox.database.begin() as connection:
        return [
            outbox.enqueue(connection, "decision.made", {"n": n}, **options) for n in range(count)
        ]


def make_due(outbox):
    with outbox.database.begin() as connection:
        connection.execute(update(table).values(due_at=utc_now() - timedelta(seconds=1)))


def let_claims_run_out(outbox):
    with outbox.database.begin() as connection:
        connection.execute(update(table).values(claimed_until=utc_now() - timedelta(seconds=1)))


def state_of(outbox, event_id):
    with outbox.database.read() as connection:
        return connection.execute(select(table).where(table.c.event_id == event_id)).one()


def test_an_event_exists_if_and_only_if_its_cause_does(outbox):
    def fail():
        with outbox.database.begin() as connection:
            outbox.enqueue(connection, "decision.made", {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert outbox.claim() == []
    (event_id,) = enqueue(outbox)
    assert [event.id for event in outbox.claim()] == [event_id]


def test_an_event_arrives_as_it_was_written_once(outbox):
    first, second = enqueue(outbox, 2)
    seen = []
    done = outbox.deliver(seen.append)
    assert (done.sent, done.failed, done.dead) == (2, 0, 0)
    assert [(e.id, e.kind, e.payload) for e in seen] == [
        (first, "decision.made", {"n": 0}),
        (second, "decision.made", {"n": 1}),
    ]
    assert outbox.deliver(seen.append).sent == 0
    assert len(seen) == 2


def test_the_same_event_id_is_written_once(outbox):
    enqueue(outbox, event_id="evt_x")
    with pytest.raises(Conflict):
        enqueue(outbox, event_id="evt_x")


def test_an_event_waits_for_its_time(outbox):
    enqueue(outbox, not_before=utc_now() + timedelta(hours=1))
    assert outbox.claim() == []
    make_due(outbox)
    assert len(outbox.claim()) == 1


def test_what_one_process_claimed_no_other_gets_until_the_claim_runs_out(outbox):
    (event_id,) = enqueue(outbox)
    other = Outbox(outbox.database)
    (mine,) = outbox.claim()
    assert other.claim() == []
    let_claims_run_out(outbox)
    (theirs,) = other.claim()
    assert theirs.id == mine.id == event_id
    assert not outbox.sent(mine)  # too late: it is no longer ours to write down
    assert other.sent(theirs)
    assert state_of(outbox, event_id).state == "delivered"


def test_many_processes_send_every_event_exactly_once(outbox):
    events = set(enqueue(outbox, 60))
    sent, lock = [], threading.Lock()

    def send(event):
        with lock:
            sent.append(event.id)

    def work():
        mine = Outbox(outbox.database)
        while mine.deliver(send, limit=7).sent:
            pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == sorted(events)


def test_a_failure_is_tried_again_later_and_later_and_then_given_up(outbox):
    (event_id,) = enqueue(outbox)

    def refuse(event):
        raise StoreUnavailable("The receiver said no.")

    for attempt, wait in enumerate(WAITS, start=1):
        before = utc_now()
        assert outbox.deliver(refuse).failed == 1
        row = state_of(outbox, event_id)
        assert row.attempts == attempt
        assert before + wait * 0.49 <= row.due_at <= utc_now() + wait * 1.51
        assert outbox.deliver(refuse).failed == 0
        make_due(outbox)
    assert outbox.deliver(refuse).dead == 1
    assert state_of(outbox, event_id).last_error == "The receiver said no."
    make_due(outbox)
    assert outbox.claim() == []
    assert [event.id for event in outbox.dead()] == [event_id]
    outbox.replay(event_id)
    assert outbox.deliver(lambda event: None).sent == 1


def test_a_stranger_s_words_are_not_kept(outbox):
    (event_id,) = enqueue(outbox)

    def fail(event):
        raise ValueError("token=hunter2")

    outbox.deliver(fail)
    assert state_of(outbox, event_id).last_error == "ValueError"


def test_one_failure_does_not_stop_the_others(outbox):
    first, second = enqueue(outbox, 2)

    def fail_first(event):
        if event.id == first:
            raise ValueError

    done = outbox.deliver(fail_first)
    assert (done.sent, done.failed) == (1, 1)
    assert state_of(outbox, second).state == "delivered"


def test_replaying_what_is_not_there_is_told(outbox):
    with pytest.raises(NotFound):
        outbox.replay("evt_none")


def test_old_events_are_forgotten(outbox):
    enqueue(outbox, 2)
    assert outbox.purge(utc_now() - timedelta(days=1)) == 0
    assert outbox.purge(utc_now() + timedelta(seconds=1)) == 2
    assert outbox.claim() == []


def test_retries_go_on_for_days():
    assert timedelta(days=3) < sum(WAITS, timedelta()) < timedelta(days=5)
    assert timedelta(seconds=10) < CLAIM


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.sampled_from(["enqueue", "claim_a", "claim_b", "sent_a", "sent_b", "fail_a", "expire"]),
        max_size=30,
    )
)
def test_no_order_of_events_delivers_twice_or_loses_any(sqlite_database, steps):
    """A machine of two processes: whatever they do, in whatever order, and crash, every event is
    written down as delivered once, and only by whoever held it."""
    with sqlite_database.begin() as connection:
        connection.execute(delete(table))
    boxes = {"a": Outbox(sqlite_database), "b": Outbox(sqlite_database)}
    held = {"a": {}, "b": {}}
    written, delivered = set(), []
    for step in steps:
        action, _, who = step.partition("_")
        if action == "enqueue":
            written |= set(enqueue(boxes["a"]))
        elif action == "claim":
            other = "b" if who == "a" else "a"
            for event in boxes[who].claim(2):
                held[other].pop(event.id, None)
                held[who][event.id] = event
        elif action == "expire":
            let_claims_run_out(boxes["a"])
        elif held[who]:
            event_id, event = held[who].popitem()
            if action == "sent":
                assert boxes[who].sent(event)
                delivered.append(event_id)
            else:
                boxes[who].failed(event, "no")
                make_due(boxes["a"])
    let_claims_run_out(boxes["a"])
    make_due(boxes["a"])
    while boxes["b"].deliver(lambda event: delivered.append(event.id)).sent:
        pass
    assert sorted(delivered) == sorted(written)
