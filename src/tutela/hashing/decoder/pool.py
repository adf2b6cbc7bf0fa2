"""The pool: hands files to workers, replaces those that fail, and always has an answer.

A film takes minutes where a picture takes milliseconds. So that films keep no picture waiting, they
never hold all workers: of three or more they may have all but one; one or two workers they may have
all, and one more is started for the rest as long as that lasts. A film that finds no place is ended
and begins anew when it has one. Nobody waits longer than ``PATIENCE``: the answer is then
``unavailable``, which puts the upload off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tutela.core import Fault, FaultKind, Media
from tutela.errors import DecoderUnavailable, InvalidSetting
from tutela.hashing.options import HashOptions
from tutela.settings import MIB

from . import wire
from .process import Worker, Zygote
from .turns import Turn, Turns
from .worker import unreadable
from .zygote import Config

if TYPE_CHECKING:
    from tutela.hashing.source import Source
    from tutela.settings import HashingSettings

JOB = "tutela.hashing.media:hash_media"
JOBS_PER_WORKER = 256
"""A worker is replaced after so many files, so that what one file did to it does not last."""
WALL_FACTOR, WALL_GRACE = 2.0, 5.0
"""Wall time allowed: this many times the CPU time allowed, plus these seconds."""
PATIENCE = 20.0
"""Seconds that an upload waits for a worker, or a film for its place, before it is put off."""
BUSY_SECONDS = 2.0
"""From so long a wait on, the pool is called busy."""
FEW = 2
"""Up to so many workers, one more is started while films hold all of them."""
START_AGAIN_SECONDS = 1.0
"""After a failed start of the zygote, how long to answer ``unavailable`` before trying again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolHealth:
    """How the pool is doing. ``sandbox`` names the measures in force, ``films`` counts the files
    under the longer time limit, ``longest_wait`` is seconds."""

    workers: int
    idle: int
    waiting: int
    films: int
    longest_wait: float
    crashes: int
    timeouts: int
    replaced: int
    sandbox: tuple[str, ...]

    @property
    def busy(self) -> bool:
        """Whether uploads wait noticeably long."""
        return self.longest_wait >= BUSY_SECONDS


class _Promise(Future["Worker | None"]):
    """The promise of a worker, and since when it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.since = time.monotonic()


class _NoPlace(Exception):
    """The file holds a film, and films have all the places they may have."""


class DecoderPool:
    """Decoder workers, for asyncio (``hash``) and threads (``hash_blocking``) alike.

    A bad file never raises: a crash or a hang gives a ``Media`` of kind ``unreadable`` with the
    file's digests and the fault, and the worker is replaced. ``DecoderUnavailable`` is raised only
    where the pool is not running. ``private`` are folders that no worker may be able to read
    (keys, database): a start where one could raises ``InvalidSetting``.
    """

    def __init__(
        self,
        options: HashOptions | None = None,
        workers: int = 0,
        memory_bytes: int = 1536 * MIB,
        *,
        job: str = JOB,
        private: Sequence[Path] = (),
    ) -> None:
        self.options = options or HashOptions()
        self._size = workers or len(os.sched_getaffinity(0))
        self._config = Config(
            job=job,
            memory_bytes=memory_bytes,
            file_bytes=self.options.max_member_bytes,
            private=tuple(str(folder.absolute()) for folder in private),
        )
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._zygote: Zygote | None = None
        self._not_before = 0.0
        self._running = False
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._missing = 0
        self._waiting: deque[_Promise] = deque()
        self._films = Turns(self._size if self._size <= FEW else self._size - 1)
        self._spare = False
        self._later: set[asyncio.Future[None]] = set()
        self._crashes = self._timeouts = self._replaced = 0

    @classmethod
    def from_settings(cls, hashing: HashingSettings, *, private: Sequence[Path] = ()) -> Self:
        """A pool as an operator's ``hashing`` settings ask for; ``private`` as in ``__init__``."""
        options = HashOptions.from_settings(hashing)
        return cls(options, hashing.workers, hashing.worker_memory_bytes, private=private)

    @property
    def workers(self) -> int:
        """How many files are decoded at once, besides one more while films hold all of few."""
        return self._size

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The process numbers of the workers, in ascending order."""
        with self._lock:
            return tuple(sorted(worker.pid for worker in (*self._idle, *self._busy)))

    # ---------------------------------------------------------------- starting and stopping

    async def start(self) -> None:
        """Start the zygote and the workers. Raises ``DecoderUnavailable``, ``InvalidSetting``."""
        await asyncio.to_thread(self.start_blocking)

    def start_blocking(self) -> None:
        """As ``start``, for threads."""
        if self._running:
            return
        self._zygote = Zygote(self._config)
        workers = [self._zygote.fork() for _ in range(self._size)]
        with self._lock:
            self._running, self._idle, self._missing = True, workers, 0

    async def stop(self) -> None:
        """End every worker and the zygote; files in work answer ``unavailable``."""
        await asyncio.to_thread(self.stop_blocking)
        loop = asyncio.get_running_loop()
        if later := {task for task in self._later if task.get_loop() is loop}:
            await asyncio.wait(later)

    def stop_blocking(self) -> None:
        """As ``stop``, for threads."""
        with self._lock:
            self._running = False
            idle, self._idle = self._idle, []
            waiting, self._waiting = self._waiting, deque()
            for worker in self._busy:
                worker.kill()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(None)
        for worker in idle:
            worker.close()
        with self._starting:
            zygote, self._zygote = self._zygote, None
            if zygote is not None:
                zygote.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        self.start_blocking()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_blocking()

    def health(self) -> PoolHealth:
        """Numbers for status pages and metrics."""
        with self._lock:
            return PoolHealth(
                workers=len(self._idle) + len(self._busy),
                idle=len(self._idle),
                waiting=sum(not promise.cancelled() for promise in self._waiting),
                films=self._films.taken,
                longest_wait=self._longest_wait(),
                crashes=self._crashes,
                timeouts=self._timeouts,
                replaced=self._replaced,
                sandbox=self._zygote.sandbox if self._zygote else (),
            )

    # ---------------------------------------------------------------- hashing

    async def hash(self, source: Source, options: HashOptions | None = None) -> Media:
        """Hash one file. ``options`` replace the pool's for this file (to hash a match again in
        the identical mode). Cancelling is safe: the worker is ended and replaced."""
        turn = self._films.turn()
        try:
            return await self._hash(source, options or self.options, turn)
        finally:
            turn.end()

    async def _hash(self, source: Source, options: HashOptions, turn: Turn) -> Media:
        retried = False
        while True:
            worker = await self._take()
            if worker is None:
                return await asyncio.to_thread(_failed, source, FaultKind.UNAVAILABLE)
            try:
                media = await self._converse(worker, source, options, turn)
            except _NoPlace:
                self._do_later(asyncio.get_running_loop(), worker)
                if not await turn.wait(PATIENCE):
                    return await asyncio.to_thread(_failed, source, FaultKind.UNAVAILABLE)
                continue
            except wire.BrokenTalk:
                turn.end()
                kind = await asyncio.to_thread(self._bury, worker)
                if kind is FaultKind.CRASHED and worker.jobs > 1 and not retried:
                    retried = True  # an earlier file may have harmed it: try in another
                    continue
                return await asyncio.to_thread(_failed, source, kind)
            turn.end()
            self._release(worker)
            return media

    def hash_blocking(self, source: Source, options: HashOptions | None = None) -> Media:
        """As ``hash``, for threads (the command line): waits as long as it takes, and counts no
        films, since all files are one person's."""
        options = options or self.options
        retried = False
        while True:
            worker = self._take_blocking()
            if worker is None:
                return _failed(source, FaultKind.UNAVAILABLE)
            try:
                media = self._converse_blocking(worker, source, options)
            except wire.BrokenTalk:
                kind = self._bury(worker)
                if kind is FaultKind.CRASHED and worker.jobs > 1 and not retried:
                    retried = True
                    continue
                return _failed(source, kind)
            except BaseException:
                self._bury(worker)
                raise
            if self._worn(worker):
                self._replace(worker)
            else:
                self._give(worker)
            return media

    async def _converse(
        self, worker: Worker, source: Source, options: HashOptions, turn: Turn
    ) -> Media:
        loop = asyncio.get_running_loop()
        said: asyncio.Future[Media] = loop.create_future()
        fd = worker.talk.fileno()

        def overdue() -> None:
            worker.overdue = True
            worker.kill()

        timer = loop.call_later(_wall(options.cpu_seconds), overdue)
        extended = False

        def readable() -> None:
            nonlocal timer, extended
            try:
                word = worker.receive()
                while word is wire.Word.VIDEO:
                    if extended:
                        raise wire.BrokenTalk("the worker asked for time twice")
                    if not turn.begin():
                        raise _NoPlace
                    extended = True
                    timer.cancel()
                    timer = loop.call_later(_wall(options.video_cpu_seconds), overdue)
                    self._grow(loop)
                    word = worker.pending()
            except (wire.BrokenTalk, _NoPlace) as error:
                if not said.done():
                    said.set_exception(error)
                loop.remove_reader(fd)
                return
            if isinstance(word, Media):
                loop.remove_reader(fd)
                if not said.done():
                    _settle(said, word, source)

        loop.add_reader(fd, readable)
        try:
            worker.send(_request(source, options), source.fd)
            return await said
        except asyncio.CancelledError:
            loop.remove_reader(fd)
            self._do_later(loop, worker)
            raise
        except BaseException:
            loop.remove_reader(fd)
            raise
        finally:
            timer.cancel()

    def _converse_blocking(self, worker: Worker, source: Source, options: HashOptions) -> Media:
        deadline = time.monotonic() + _wall(options.cpu_seconds)
        worker.send(_request(source, options), source.fd)
        extended = False
        word: wire.Word | Media | None = None
        while not isinstance(word, Media):
            if word is wire.Word.VIDEO:
                if extended:
                    raise wire.BrokenTalk("the worker asked for time twice")
                extended = True
                deadline = time.monotonic() + _wall(options.video_cpu_seconds)
                word = worker.pending()
                continue
            if not worker.wait(deadline - time.monotonic()):
                worker.overdue = True
                worker.kill()
                raise wire.BrokenTalk("the worker's time was over")
            word = worker.receive()
        return _believed(word, source)

    # ---------------------------------------------------------------- workers

    async def _take(self) -> Worker | None:
        found = self._ask()
        if isinstance(found, Worker):
            return found
        if found is None:
            return await asyncio.to_thread(self._make)
        inner = asyncio.wrap_future(found)
        try:
            await asyncio.wait([inner], timeout=PATIENCE)
        except asyncio.CancelledError:
            self._give_up(found)
            raise
        if inner.done():
            return inner.result()
        self._give_up(found)
        return None

    def _take_blocking(self) -> Worker | None:
        found = self._ask()
        if isinstance(found, Worker):
            return found
        return self._make() if found is None else found.result()

    def _ask(self) -> Worker | _Promise | None:
        """A worker, the promise of one, or None: the caller is to make a missing one."""
        with self._lock:
            if not self._running:
                raise DecoderUnavailable("The decoder is not running.")
            if self._idle:
                worker = self._idle.pop()
                self._busy.add(worker)
                return worker
            if self._missing:
                self._missing -= 1
                return None
            promise = _Promise()
            self._waiting.append(promise)
            return promise

    def _longest_wait(self) -> float:
        """Seconds that the first in the queue has waited. With the lock held."""
        first = next((each for each in self._waiting if not each.cancelled()), None)
        return 0.0 if first is None else time.monotonic() - first.since

    def _give_up(self, promise: _Promise) -> None:
        """Wait no longer for a worker."""
        if not promise.cancel():  # it is being given a worker: pass that on
            promise.add_done_callback(self._pass_on)

    def _grow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Where films hold all of few workers now, have one more for the rest."""
        with self._lock:
            if self._size > FEW or self._films.taken < self._size or self._spare:
                return
            self._spare = True
        task = loop.run_in_executor(None, self._add)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def _add(self) -> None:
        fresh = self._make()
        if fresh is not None:
            self._give(fresh)

    def _pass_on(self, promise: Future[Worker | None]) -> None:
        worker = promise.result()
        if worker is not None:
            self._give(worker)

    def _give(self, worker: Worker) -> None:
        """Hand a worker to who waits longest, or let it rest."""
        while True:
            with self._lock:
                if not self._running:
                    self._busy.discard(worker)
                    worker.close()
                    return
                if self._spare and self._films.taken < self._size:
                    self._spare = False  # films have left a worker free: one is too many now
                    self._busy.discard(worker)
                    worker.kill()
                    worker.close()
                    return
                if not self._waiting:
                    self._busy.discard(worker)
                    self._idle.append(worker)
                    return
                promise = self._waiting.popleft()
                self._busy.add(worker)
            if promise.set_running_or_notify_cancel():
                promise.set_result(worker)
                return

    def _release(self, worker: Worker) -> None:
        if self._worn(worker):
            self._do_later(asyncio.get_running_loop(), worker)
        else:
            self._give(worker)

    def _worn(self, worker: Worker) -> bool:
        return worker.spent or worker.jobs >= JOBS_PER_WORKER

    def _do_later(self, loop: asyncio.AbstractEventLoop, worker: Worker) -> None:
        """Replace a worker without anybody waiting for it."""
        task = loop.run_in_executor(None, self._replace, worker)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def _replace(self, worker: Worker) -> None:
        with self._lock:
            self._replaced += 1
            self._busy.discard(worker)
        worker.kill()
        worker.close()
        fresh = self._make()
        if fresh is not None:
            self._give(fresh)

    def _bury(self, worker: Worker) -> FaultKind:
        """Learn how a worker ended, put a fresh one in its place, and say what it was."""
        worker.kill()
        zygote = self._zygote
        status = zygote.status(worker.pid) if zygote is not None else None
        kind = FaultKind.CRASHED
        if not self._running:
            kind = FaultKind.UNAVAILABLE
        elif worker.overdue or (
            status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
        ):
            kind = FaultKind.TIMED_OUT
        with self._lock:
            self._crashes += kind is FaultKind.CRASHED
            self._timeouts += kind is FaultKind.TIMED_OUT
        with contextlib.suppress(DecoderUnavailable):
            self._replace(worker)
        return kind

    def _make(self) -> Worker | None:
        """A fresh worker, from a fresh zygote if need be; None where that cannot be had now."""
        for _ in range(2):
            with self._starting:
                zygote = self._zygote
                if zygote is None and self._running and time.monotonic() >= self._not_before:
                    try:
                        zygote = self._zygote = Zygote(self._config)
                    except (DecoderUnavailable, InvalidSetting):
                        self._not_before = time.monotonic() + START_AGAIN_SECONDS
            if zygote is None:
                break
            try:
                worker = zygote.fork()
            except DecoderUnavailable:
                with self._starting:
                    if self._zygote is zygote:
                        self._zygote = None
                        zygote.close()
                continue
            with self._lock:
                self._busy.add(worker)
            return worker
        with self._lock:
            self._missing += 1
            waiting = self._waiting.popleft() if self._waiting else None
        if waiting is not None and waiting.set_running_or_notify_cancel():
            waiting.set_result(None)
        return None


def _believed(media: Media, source: Source) -> Media:
    """A worker's result, unless it contradicts what we know of the file ourselves."""
    if media.where or (source.digests is not None and media.digests != source.digests):
        raise wire.BrokenTalk("the worker answered for another file")
    return media


def _settle(said: asyncio.Future[Media], media: Media, source: Source) -> None:
    try:
        said.set_result(_believed(media, source))
    except wire.BrokenTalk as error:
        said.set_exception(error)


def _wall(cpu_seconds: float) -> float:
    return cpu_seconds * WALL_FACTOR + WALL_GRACE


def _request(source: Source, options: HashOptions) -> wire.Request:
    return wire.Request(options, source.size, source.key, source.nonce, source.digests)


_DETAILS = {
    FaultKind.CRASHED: "The decoder crashed on this file.",
    FaultKind.TIMED_OUT: "The decoder took longer than a file may take.",
    FaultKind.UNAVAILABLE: "No decoder process could take the file.",
}


def _failed(source: Source, kind: FaultKind) -> Media:
    return unreadable(source, source.digests, Fault(kind=kind, detail=_DETAILS[kind]))
