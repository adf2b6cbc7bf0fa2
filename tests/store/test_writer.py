"""Group commit: one flush for many, nobody harmed by a neighbour, nothing answered too soon."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from sqlalchemy import select

from tutela.errors import Conflict, NotFound, StorageFull, StoreUnavailable
from tutela.store import Database, Writer, write_stands
from tutela.store import writer as writer_module
from tutela.store.tables.cases import cases


@pytest.fixture
def writer(database):
    made = Writer(database)
    yield made
    made.close()


def ids(database):
    with database.read() as connection:
        return set(connection.execute(select(cases.c.id)).scalars())


class Gate:
    """Holds the writer's thread inside a transaction until it is opened."""

    def __init__(self):
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, connection):
        self.entered.set()
        assert self.opened.wait(20)


async def behind(writer, gate, writes):
    """Tasks: the gate's own write, in its transaction, and others that wait behind it."""
    first = asyncio.create_task(writer.submit(gate))
    await asyncio.to_thread(gate.entered.wait)
    crowd = [asyncio.create_task(write) for write in writes]
    await asyncio.sleep(0.05)
    return first, crowd


def run(story):
    return asyncio.run(story)


def test_what_is_answered_is_committed(database, writer, rows):
    async def story():
        name = await writer.submit(lambda connection: rows.write(connection))
        assert name in ids(database)

    run(story())


def test_writes_that_wait_together_share_a_commit(database, writer, rows):
    gate = Gate()

    async def story():
        first, crowd = await behind(writer, gate, [writer.submit(rows.write) for _ in range(100)])
        assert writer.waiting == 100
        gate.opened.set()
        await asyncio.gather(first, *crowd)

    run(story())
    assert writer.commits == 2
    assert writer.writes == 101
    assert len(ids(database)) == 100


def test_a_failing_write_fails_alone(database, writer, rows):
    gate = Gate()

    def broken(connection):
        rows.write(connection, id="case_undone")
        raise NotFound("gone")

    def taken(connection):
        rows.write(connection, id="case_taken_1")
        rows.write(connection, id="case_taken_1")

    async def story():
        first = asyncio.create_task(writer.submit(gate))
        await asyncio.to_thread(gate.entered.wait)
        work = [rows.write, broken, rows.write, taken, rows.write, lambda connection: 1 / 0]
        crowd = [asyncio.create_task(writer.submit(one)) for one in work]
        await asyncio.sleep(0.02)
        gate.opened.set()
        await first
        return await asyncio.gather(*crowd, return_exceptions=True)

    answers = run(story())
    assert [type(a) for a in answers] == [str, NotFound, str, Conflict, str, ZeroDivisionError]
    assert ids(database) == {a for a in answers if isinstance(a, str)}


def test_loads_for_the_same_function_are_written_in_one_call(database, writer, rows):
    gate = Gate()
    calls = []

    def write(connection, names):
        calls.append(list(names))
        for name in names:
            rows.write(connection, id=name)

    async def story():
        first, crowd = await behind(
            writer, gate, [writer.gather(write, [f"a{n}", f"b{n}"]) for n in range(3)]
        )
        other = asyncio.create_task(writer.submit(rows.write))
        await asyncio.sleep(0.02)
        gate.opened.set()
        await asyncio.gather(first, *crowd)
        return await other

    other = run(story())
    assert calls == [["a0", "b0", "a1", "b1", "a2", "b2"]]
    assert ids(database) == {"a0", "b0", "a1", "b1", "a2", "b2", other}


def test_a_load_that_fails_falls_as_a_whole_and_alone(database, writer, rows):
    gate = Gate()

    def write(connection, names):
        for name in names:
            rows.write(connection, id=name)
            if name == "bad":
                raise NotFound("gone")

    async def story():
        first = asyncio.create_task(writer.submit(gate))
        await asyncio.to_thread(gate.entered.wait)
        loads = [["a"], ["undone", "bad"], ["b", "c"], ["a"]]
        crowd = [asyncio.create_task(writer.gather(write, load)) for load in loads]
        await asyncio.sleep(0.02)
        gate.opened.set()
        await first
        return await asyncio.gather(*crowd, return_exceptions=True)

    answers = run(story())
    assert [type(answer) for answer in answers] == [type(None), NotFound, type(None), Conflict]
    assert ids(database) == {"a", "b", "c"}


def test_after_a_shared_commit_the_next_one_waits_a_moment_for_company(
    database, writer, rows, monkeypatch
):
    waited = []
    monkeypatch.setattr(writer_module.time, "sleep", waited.append)
    gate = Gate()

    async def story():
        first, crowd = await behind(writer, gate, [writer.submit(rows.write) for _ in range(3)])
        gate.opened.set()
        await asyncio.gather(first, *crowd)
        assert waited == []  # nobody was alone before
        await writer.submit(rows.write)
        assert waited == [writer_module.COMMIT_DELAY]
        await writer.submit(rows.write)  # alone again: no waiting any more
        assert len(waited) == 1

    run(story())


def test_a_lone_failing_write_is_undone(database, writer, rows):
    def broken(connection):
        rows.write(connection)
        raise NotFound("gone")

    with pytest.raises(NotFound):
        writer.submit_blocking(broken)
    assert ids(database) == set()
    writer.submit_blocking(rows.write)


def test_threads_and_tasks_write_side_by_side(database, writer, rows):
    def blocking():
        for _ in range(20):
            writer.submit_blocking(rows.write)

    async def story():
        threads = [asyncio.to_thread(blocking) for _ in range(4)]
        tasks = [writer.submit(rows.write) for _ in range(80)]
        await asyncio.gather(*threads, *tasks)

    run(story())
    assert len(ids(database)) == 160


def test_a_write_cancelled_before_its_turn_is_left_out(database, writer, rows):
    gate = Gate()

    async def story():
        first = asyncio.create_task(writer.submit(gate))
        await asyncio.to_thread(gate.entered.wait)
        second = asyncio.create_task(writer.submit(rows.write))
        await asyncio.sleep(0.02)
        second.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await second
        assert not write_stands(caught.value)
        gate.opened.set()
        await first

    run(story())
    writer.submit_blocking(lambda connection: None)
    assert ids(database) == set()


def test_a_write_cancelled_while_it_is_written_says_that_it_stands(database, writer, rows):
    gate = Gate()
    told = []

    def slow(connection):
        gate(connection)
        return rows.write(connection)

    async def caller():
        try:
            await writer.submit(slow)
        except asyncio.CancelledError as error:
            told.append(write_stands(error))
            raise

    async def story():
        task = asyncio.create_task(caller())
        await asyncio.to_thread(gate.entered.wait)
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()  # an impatient caller changes nothing
        assert not task.done()
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story())
    assert told == [True]
    assert len(ids(database)) == 1


def test_a_failed_write_that_was_cancelled_does_not_claim_to_stand(writer):
    gate = Gate()
    told = []

    def broken(connection):
        gate(connection)
        raise NotFound("gone")

    async def caller():
        try:
            await writer.submit(broken)
        except asyncio.CancelledError as error:
            told.append(write_stands(error))

    async def story():
        task = asyncio.create_task(caller())
        await asyncio.to_thread(gate.entered.wait)
        task.cancel()
        await asyncio.sleep(0.02)
        gate.opened.set()
        await task

    run(story())
    assert told == [False]


@pytest.mark.parametrize("first", ["settled", "cancelled"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_cancellation_in_the_very_moment_of_the_answer_is_told_truly(
    sqlite_database, rows, first, fails
):
    """Both arrive in one turn of the event loop, in either order."""
    writer = Writer(sqlite_database)
    told = []

    def work(connection):
        rows.write(connection)
        if fails:
            raise NotFound("gone")

    async def caller():
        try:
            await writer.submit(work)
        except asyncio.CancelledError as error:
            told.append(write_stands(error))

    async def story():
        loop = asyncio.get_running_loop()
        held = []
        loop.call_soon_threadsafe = lambda call, *values: held.append((call, values))
        task = asyncio.create_task(caller())
        await asyncio.sleep(0)
        while not held:
            time.sleep(0.005)
        del loop.call_soon_threadsafe
        ((call, values),) = held
        if first == "settled":
            call(*values)
            task.cancel()
        else:
            task.cancel()
            call(*values)
        await asyncio.wait_for(task, 10)

    run(story())
    writer.close()
    assert told == [not fails]
    assert len(ids(sqlite_database)) == (0 if fails else 1)


def test_closing_commits_what_waits_and_refuses_what_comes_later(database, rows):
    writer = Writer(database)
    gate = Gate()

    async def story():
        first, crowd = await behind(writer, gate, [writer.submit(rows.write) for _ in range(10)])
        gate.opened.set()
        await asyncio.to_thread(writer.close)
        await asyncio.gather(first, *crowd)
        with pytest.raises(StoreUnavailable):
            await writer.submit(rows.write)

    run(story())
    assert len(ids(database)) == 10


def test_too_many_waiting_writes_are_refused(database, rows, monkeypatch):
    monkeypatch.setattr(writer_module, "MOST_WAITING", 3)
    writer = Writer(database)
    gate = Gate()

    async def story():
        first, crowd = await behind(writer, gate, [writer.submit(rows.write) for _ in range(3)])
        with pytest.raises(StoreUnavailable) as caught:
            await writer.submit(rows.write)
        assert caught.value.retry_after
        gate.opened.set()
        await asyncio.gather(first, *crowd)

    run(story())
    writer.close()
    assert len(ids(database)) == 3


def test_a_full_disk_reaches_every_writer_and_passes(small_disk, settings_for, rows):
    database = Database(settings_for(data_dir=small_disk.path / "data"))
    database.migrate()
    writer = Writer(database)
    writer.submit_blocking(rows.write)
    small_disk.fill()

    def large(connection):
        return rows.write(connection, facts={"large": "x" * 3_000_000})

    async def story():
        return await asyncio.gather(
            *[writer.submit(large) for _ in range(8)], return_exceptions=True
        )

    answers = run(story())
    assert {type(answer) for answer in answers} <= {str, StorageFull}
    assert StorageFull in {type(answer) for answer in answers}
    small_disk.free()
    answered = {answer for answer in answers if isinstance(answer, str)}
    assert answered <= ids(database)
    assert len(ids(database)) == 1 + len(answered)
    writer.submit_blocking(rows.write)
    writer.close()
    database.close()


def test_a_postgres_that_dies_in_mid_batch_loses_no_answered_write(
    postgres_database, postgres_server, rows
):
    writer = Writer(postgres_database)
    kept = [writer.submit_blocking(rows.write) for _ in range(3)]

    def cut(connection):
        rows.write(connection)
        postgres_server.cut_off(postgres_database.url.database)

    async def story():
        return await asyncio.gather(
            writer.submit(cut),
            *[writer.submit(rows.write) for _ in range(5)],
            return_exceptions=True,
        )

    answers = run(story())
    assert isinstance(answers[0], StoreUnavailable)
    kept += [answer for answer in answers[1:] if isinstance(answer, str)]
    kept.append(writer.submit_blocking(rows.write))
    writer.close()
    assert ids(postgres_database) == set(kept)


def test_a_closed_loop_does_not_stop_the_writer(sqlite_database, rows):
    writer = Writer(sqlite_database)
    gate = Gate()
    loop = asyncio.new_event_loop()
    task = loop.create_task(writer.submit(gate))
    loop.run_until_complete(asyncio.sleep(0.05))
    assert gate.entered.is_set()
    task.cancel()
    opener = threading.Timer(0.1, gate.opened.set)
    opener.start()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    opener.join()
    assert writer.submit_blocking(rows.write) in ids(sqlite_database)
    writer.close()


def test_small_decisions_are_written_fast(sqlite_database, rows):
    """A floor far under what is measured (see the report of `make bench`), for gross slips."""
    writer = Writer(sqlite_database)

    async def worker():
        for _ in range(20):
            await writer.submit(rows.write)

    async def story():
        started = time.process_time()
        await asyncio.gather(*[worker() for _ in range(64)])
        return (time.process_time() - started) / (64 * 20)

    each = run(story())
    writer.close()
    assert writer.writes / writer.commits > 2
    assert each < 0.002, f"{each * 1000:.2f} ms of CPU a write"
