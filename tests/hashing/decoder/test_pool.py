"""A hostile file costs one upload a hold, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tutela.core import Digests, FaultKind, Media, MediaKind
from tutela.errors import DecoderUnavailable
from tutela.hashing.decoder import DecoderPool
from tutela.hashing.decoder import pool as pool_module
from tutela.hashing.options import HashOptions
from tutela.hashing.source import Source

Make = Callable[..., DecoderPool]
Tell = Callable[[DecoderPool, str], Media]
Family = Callable[[DecoderPool], list[psutil.Process]]


def kinds(media: Media) -> list[FaultKind]:
    return [fault.kind for fault in media.faults]


def run(*orders: str, pool: DecoderPool, options: HashOptions | None = None) -> list[Media]:
    async def one(order: str) -> Media:
        with Source.from_bytes(order.encode()) as source:
            return await pool.hash(source, options)

    async def everyone() -> list[Media]:
        return await asyncio.gather(*(one(order) for order in orders))

    return asyncio.run(everyone())


@pytest.mark.parametrize("order", ["segv", "abort", "exit", "babble", "short", "video-twice"])
def test_a_worker_that_breaks_is_a_fault_and_the_next_file_works(
    pool: DecoderPool, tell: Tell, order: str
) -> None:
    media = tell(pool, order)
    assert (media.kind, kinds(media)) == (MediaKind.UNREADABLE, [FaultKind.CRASHED])
    assert media.digests.sha256 == hashlib.sha256(order.encode()).digest()
    assert tell(pool, "hello").kind is MediaKind.OTHER


def test_an_error_of_the_job_shows_its_type_and_not_its_text(pool: DecoderPool, tell: Tell) -> None:
    media = tell(pool, "raise")
    assert kinds(media) == [FaultKind.CRASHED]
    assert "RuntimeError" in media.faults[0].detail
    assert "secret" not in media.faults[0].detail


def test_memory_is_limited_and_the_worker_that_met_the_limit_is_replaced(
    pool: DecoderPool, tell: Tell
) -> None:
    first = tell(pool, "pid").faults[0].detail
    media = tell(pool, "memory")
    assert (media.kind, kinds(media)) == (MediaKind.UNREADABLE, [FaultKind.OVER_LIMIT])
    assert tell(pool, "pid").faults[0].detail != first


def test_an_answer_too_long_to_take_in_is_over_the_limit(pool: DecoderPool, tell: Tell) -> None:
    media = tell(pool, "flood")
    assert (media.frames, kinds(media)) == ((), [FaultKind.OVER_LIMIT])


def test_a_worker_that_burns_cpu_is_stopped_by_the_kernel(pool: DecoderPool, tell: Tell) -> None:
    started = time.monotonic()
    (media,) = run("burn", pool=pool, options=HashOptions(cpu_seconds=0.1))
    assert kinds(media) == [FaultKind.TIMED_OUT]
    assert time.monotonic() - started < 60
    assert tell(pool, "hello").kind is MediaKind.OTHER


def test_a_worker_that_sleeps_is_stopped_by_the_clock(
    pool: DecoderPool, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "WALL_GRACE", 0.3)
    before = pool.health().timeouts
    with Source.from_bytes(b"sleep") as source:
        media = pool.hash_blocking(source, HashOptions(cpu_seconds=0.1))
    assert kinds(media) == [FaultKind.TIMED_OUT]
    assert tell(pool, "hello").kind is MediaKind.OTHER
    assert pool.health().timeouts == before + 1


def test_a_video_gets_the_longer_time_once(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "WALL_GRACE", 0.3)
    options = HashOptions(cpu_seconds=0.1, video_cpu_seconds=0.6)
    (enough,) = run("video:1.0", pool=pool, options=options)
    (too_long,) = run("video:60", pool=pool, options=options)
    assert enough.kind is MediaKind.OTHER
    assert kinds(too_long) == [FaultKind.TIMED_OUT]


def test_a_crash_after_other_files_is_tried_once_more_in_a_fresh_worker(
    pool: DecoderPool, tell: Tell
) -> None:
    tell(pool, "segv")
    before = pool.health().crashes
    assert kinds(tell(pool, "segv")) == [FaultKind.CRASHED]
    assert pool.health().crashes == before + 1
    tell(pool, "hello")
    assert kinds(tell(pool, "segv")) == [FaultKind.CRASHED]
    assert pool.health().crashes == before + 3


def test_crashes_leave_no_zombies_and_no_descriptors(
    make_pool: Make, tell: Tell, descriptors: Callable[[], int], family: Family
) -> None:
    pool = make_pool(workers=2)
    tell(pool, "segv")
    before = descriptors()
    for order in ["segv", "exit", "abort"] * 8:
        tell(pool, order)
    assert descriptors() == before
    deadline = time.monotonic() + 5
    while len(family(pool)) != 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    states = [child.status() for child in family(pool)]
    assert len(states) == 2
    assert psutil.STATUS_ZOMBIE not in states


def test_stopping_leaves_no_process_and_no_descriptor(
    make_pool: Make, descriptors: Callable[[], int], family: Family
) -> None:
    before = descriptors()
    pool = make_pool(workers=3)
    everyone = family(pool)
    assert len(everyone) == 3
    pool.stop_blocking()
    assert descriptors() == before
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert not alive
    with pytest.raises(DecoderUnavailable), Source.from_bytes(b"hello") as source:
        pool.hash_blocking(source)


def test_workers_are_replaced_after_so_many_files(
    pool: DecoderPool, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "JOBS_PER_WORKER", 3)
    tell(pool, "segv")
    pids = [tell(pool, "pid").faults[0].detail for _ in range(6)]
    assert len(set(pids[:3])) == len(set(pids[3:])) == 1
    assert pids[0] != pids[3]


def test_a_killed_zygote_is_started_again(pool: DecoderPool, tell: Tell) -> None:
    assert pool._zygote is not None
    os.kill(pool._zygote.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while tell(pool, "hello").faults and time.monotonic() < deadline:
        time.sleep(0.1)
    assert tell(pool, "hello").faults == ()


def test_a_zygote_that_does_not_start_says_so_and_files_are_unavailable(
    make_pool: Make, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DecoderUnavailable):
        DecoderPool(workers=1, job="no_such_module:hash").start_blocking()
    pool = make_pool()
    monkeypatch.setattr(
        pool, "_config", pool_module.Config("no_such_module:hash", 1 << 30, 1 << 20)
    )
    assert pool._zygote is not None
    os.kill(pool._zygote.pid, signal.SIGKILL)
    pool._zygote._process.wait()
    answers = [kinds(tell(pool, "hello")) for _ in range(3)]
    assert answers[-1] == [FaultKind.UNAVAILABLE]
    assert tell(pool, "hello").digests.md5 == hashlib.md5(b"hello").digest()


def test_known_digests_are_not_computed_again(pool: DecoderPool) -> None:
    known = Digests(md5=b"m" * 16, sha1=b"s" * 20, sha256=b"h" * 32)
    with Source.from_bytes(b"hello") as source:
        source.digests = known
        assert pool.hash_blocking(source).digests == known


def test_a_worker_cannot_change_the_digests_we_know(pool: DecoderPool) -> None:
    known = Digests(md5=b"m" * 16, sha1=b"s" * 20, sha256=b"h" * 32)
    with Source.from_bytes(b"lie") as source:
        source.digests = known
        media = pool.hash_blocking(source)
    assert (media.digests, kinds(media)) == (known, [FaultKind.CRASHED])


def test_many_threads_share_few_workers(make_pool: Make, tell: Tell) -> None:
    pool = make_pool(workers=2)
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda n: tell(pool, f"hello {n}"), range(200)))
    assert [media.digests.md5 for media in answers] == [
        hashlib.md5(f"hello {n}".encode()).digest() for n in range(200)
    ]
    assert pool.health().idle == 2


def test_asyncio_gets_every_answer_among_crashes(make_pool: Make) -> None:
    pool = make_pool(workers=2)
    orders = [*(f"hello {n}" for n in range(100)), "segv", "abort", "exit"] * 2
    answers = run(*orders, pool=pool)
    for order, media in zip(orders, answers, strict=True):
        assert media.digests.md5 == hashlib.md5(order.encode()).digest()
        assert (media.kind is MediaKind.OTHER) == order.startswith("hello")


def test_asyncio_times_out_and_goes_on(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "WALL_GRACE", 0.3)
    slow, quick = run("sleep", "hello", pool=pool, options=HashOptions(cpu_seconds=0.1))
    assert kinds(slow) == [FaultKind.TIMED_OUT]
    assert quick.kind is MediaKind.OTHER


def test_giving_up_on_a_file_frees_its_worker(make_pool: Make, family: Family) -> None:
    pool = make_pool(cpu=100)

    async def story() -> Media:
        with Source.from_bytes(b"sleep") as source:
            asleep = asyncio.create_task(pool.hash(source))
            waiting = asyncio.create_task(pool.hash(source))
            await asyncio.sleep(0.1)
            waiting.cancel()
            asleep.cancel()
            await asyncio.wait([asleep, waiting])
        with Source.from_bytes(b"hello") as source:
            return await asyncio.wait_for(pool.hash(source), 20)

    assert asyncio.run(story()).kind is MediaKind.OTHER
    deadline = time.monotonic() + 5
    while len(family(pool)) != 1 and time.monotonic() < deadline:
        time.sleep(0.01)  # the zygote buries the killed worker in its own time
    assert len(family(pool)) == 1


async def _films(pool: DecoderPool, count: int, seconds: float = 60) -> list[asyncio.Task[Media]]:
    """So many films that take so long, all taken up as far as they may be."""

    async def film() -> Media:
        with Source.from_bytes(f"video:{seconds}".encode()) as source:
            return await pool.hash(source)

    tasks = [asyncio.create_task(film()) for _ in range(count)]
    await asyncio.sleep(0)
    while pool.health().films < min(count, pool._films.places):
        await asyncio.sleep(0.01)
    return tasks


async def _give_up(tasks: list[asyncio.Task[Media]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize("workers", [1, 3])
def test_films_keep_no_picture_waiting(make_pool: Make, workers: int) -> None:
    pool = make_pool(workers=workers)

    async def story() -> Media:
        films = await _films(pool, workers + 3)
        with Source.from_bytes(b"hello") as source:
            media = await asyncio.wait_for(pool.hash(source), 10)
        await _give_up(films)
        await pool.stop()
        return media

    assert asyncio.run(story()).faults == ()


def test_a_film_without_a_place_begins_when_it_has_one(make_pool: Make) -> None:
    pool = make_pool(workers=1)

    async def story() -> list[Media]:
        return list(await asyncio.gather(*await _films(pool, 3, 0.1)))

    assert [media.kind for media in asyncio.run(story())] == [MediaKind.OTHER] * 3
    health = pool.health()
    assert (health.films, health.waiting) == (0, 0)


def test_the_worker_started_beside_films_goes_with_them(make_pool: Make, tell: Tell) -> None:
    pool = make_pool(workers=1)

    async def story() -> int:
        films = await _films(pool, 1, 0.5)
        while pool.health().workers < 2:
            await asyncio.sleep(0.01)
        await asyncio.gather(*films)
        return pool.health().workers

    assert asyncio.run(story()) == 1
    assert tell(pool, "hello").faults == ()


def test_who_waits_too_long_is_put_off_and_the_pool_says_that_it_is_busy(
    make_pool: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(cpu=100)
    monkeypatch.setattr(pool_module, "PATIENCE", 0.5)
    monkeypatch.setattr(pool_module, "BUSY_SECONDS", 0.1)

    async def story() -> tuple[bool, Media, Media]:
        with Source.from_bytes(b"sleep") as source:
            asleep = asyncio.create_task(pool.hash(source))
            await asyncio.sleep(0)
            waiting = asyncio.create_task(pool.hash(source))
            await asyncio.sleep(0.2)
            busy = pool.health().busy
            late = await waiting
            await _give_up([asleep])
        monkeypatch.setattr(pool_module, "PATIENCE", 20.0)
        with Source.from_bytes(b"hello") as source:
            return busy, late, await pool.hash(source)

    busy, late, after = asyncio.run(story())
    assert busy
    assert kinds(late) == [FaultKind.UNAVAILABLE]
    assert after.faults == ()
    assert not pool.health().busy


def test_a_film_that_waits_too_long_for_a_place_is_put_off(
    make_pool: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    monkeypatch.setattr(pool_module, "PATIENCE", 1.0)

    async def story() -> list[Media]:
        first = await _films(pool, 1)
        late = await asyncio.gather(*await _films(pool, 1, 0.0))
        await _give_up(first)
        await pool.stop()
        return list(late)

    (late,) = asyncio.run(story())
    assert kinds(late) == [FaultKind.UNAVAILABLE]


def test_a_worker_cannot_ask_for_time_again_and_again(make_pool: Make) -> None:
    pool = make_pool()
    (media,) = run("video-later", pool=pool)
    assert kinds(media) == [FaultKind.CRASHED]


def test_stopping_answers_those_who_wait(make_pool: Make) -> None:
    pool = make_pool(cpu=100)

    async def story() -> list[Media]:
        with Source.from_bytes(b"sleep") as source:
            tasks = [asyncio.create_task(pool.hash(source)) for _ in range(3)]
            await asyncio.sleep(0.2)
            await pool.stop()
            return await asyncio.wait_for(asyncio.gather(*tasks), 20)

    assert [kinds(media) for media in asyncio.run(story())] == [[FaultKind.UNAVAILABLE]] * 3


def test_both_ways_of_starting(hostile_path: None) -> None:
    async def story() -> MediaKind:
        async with DecoderPool(workers=1, job="hostile:hash_media") as pool:
            with Source.from_bytes(b"hello") as source:
                return (await pool.hash(source)).kind

    assert asyncio.run(story()) is MediaKind.OTHER
    with (
        DecoderPool(workers=1, job="hostile:hash_media") as pool,
        Source.from_bytes(b"hello") as source,
    ):
        assert pool.hash_blocking(source).kind is MediaKind.OTHER
