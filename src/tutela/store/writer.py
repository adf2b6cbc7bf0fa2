"""One thread that writes: many small writes share one transaction and one flush to disk.

While a transaction commits, the next writes queue; the thread then takes all of them at once. So
a lone write waits for nothing, and a crowd pays for one flush together (group commit). Where the
last transaction was shared, more writes are likely on their way, and the thread waits a moment
for them (PostgreSQL's ``commit_delay`` and ``commit_siblings``); what the same function writes for
several is handed to it in one call, so that it can insert their rows together.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from tutela.errors import StorageFull, StoreUnavailable, TutelaError
from tutela.store.engine import Database
from tutela.store.faults import from_sqlalchemy

T = TypeVar("T")
P = TypeVar("P")

MOST_AT_ONCE = 256
"""Writes that share one transaction at most; bounds how long readers of PostgreSQL locks wait."""

MOST_WAITING = 20_000
"""Writes that may wait; one more is refused with ``StoreUnavailable`` (back-pressure)."""


COMMIT_DELAY = 0.002
"""Seconds for which a shared transaction waits for further writes before it begins."""
COMMIT_SIBLINGS = 3
"""Writes in the last transaction from which on the next one waits."""

_STANDS = "the write stands"


def write_stands(error: BaseException) -> bool:
    """Whether ``error`` is a cancellation that came when the write was on disk already.

    Whoever cleans up after a failed write must leave things be where this is True.
    """
    return isinstance(error, asyncio.CancelledError) and error.args == (_STANDS,)


class _Write:
    """One submitted write and whoever waits for it."""

    __slots__ = (
        "claimed",
        "done",
        "failed",
        "future",
        "load",
        "loop",
        "settled",
        "value",
        "withdrawn",
        "work",
    )

    def __init__(
        self,
        work: Callable[..., Any],
        future: Future[Any] | asyncio.Future[Any],
        loop: asyncio.AbstractEventLoop | None,
        load: Sequence[Any] | None = None,
    ) -> None:
        self.work = work
        self.load = load
        self.future = future
        self.loop = loop
        self.value: Any = None
        self.claimed = False
        self.withdrawn = False
        self.done = False
        self.failed = False
        self.settled: asyncio.Future[None] | None = None

    def run(self, connection: Connection) -> Any:
        """Do this write alone."""
        return self.work(connection) if self.load is None else self.work(connection, self.load)


class Writer:
    """Group commit over a ``Database``.

    A submitted function gets the connection of an open writing transaction, writes, and returns
    a value; the value is handed over **after** the commit. The function may be called more than
    once (when a neighbour in its transaction failed), so it must change nothing but the
    database. It must neither commit nor roll back. An exception it raises undoes its own writes
    only and reaches its own submitter only.
    """

    def __init__(self, database: Database, *, most_at_once: int = MOST_AT_ONCE) -> None:
        self.database = database
        self._most = most_at_once
        self._queue: deque[_Write] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.commits = 0
        """Transactions committed so far."""
        self.writes = 0
        """Writes committed so far; ``writes / commits`` is how many shared a flush."""

    async def submit(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction shared with others; its value, once it is on disk.

        Raises what ``work`` raises, ``StoreUnavailable``, ``StorageFull`` or ``Conflict``. Where
        the caller is cancelled, its write is left out if it has not begun; else the cancellation
        waits until the write is settled, and ``write_stands`` says of it how that went.
        """
        value: T = await self._queued(work, None)
        return value

    async def gather(
        self, work: Callable[[Connection, Sequence[P]], None], load: Sequence[P]
    ) -> None:
        """As ``submit``, for a function that writes values: it gets the ``load`` of all who wait
        for it in one call. Where that fails, each load is written by itself; each stands or
        falls as a whole."""
        await self._queued(work, load)

    async def _queued(self, work: Callable[..., Any], load: Sequence[Any] | None) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        write = _Write(work, future, loop, load)
        self._put(write)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled():  # it was settled in the same moment
                stands = future.exception() is None
            elif self._withdraw(write):
                stands = False
            else:
                stands = await _stands(write, loop)
            if stands:
                raise asyncio.CancelledError(_STANDS) from None
            raise

    def _withdraw(self, write: _Write) -> bool:
        """Take a write back; False where it has begun."""
        with self._wake:
            write.withdrawn = not write.claimed
            return write.withdrawn

    def submit_blocking(self, work: Callable[[Connection], T]) -> T:
        """As ``submit``, for callers with no event loop. Never call it on an event loop."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._put(_Write(work, future, None))
        return future.result()

    @property
    def waiting(self) -> int:
        """Writes in the queue."""
        return len(self._queue)

    def close(self) -> None:
        """Commit what waits and end the thread. Later submissions are refused."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _put(self, write: _Write) -> None:
        with self._wake:
            if self._closed:
                raise StoreUnavailable("Tutela is shutting down.")
            if len(self._queue) >= MOST_WAITING:
                raise StoreUnavailable("Too many writes wait for the database.", retry_after=2)
            self._queue.append(write)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tutela-writer", daemon=True)
                self._thread.start()
            if len(self._queue) == 1:
                self._wake.notify()

    def _run(self) -> None:
        shared = 0
        while True:
            with self._wake:
                while not self._queue and not self._closed:
                    self._wake.wait()
                if not self._queue:
                    return
            if shared >= COMMIT_SIBLINGS:
                time.sleep(COMMIT_DELAY)
            with self._wake:
                count = min(len(self._queue), self._most)
                batch = [self._queue.popleft() for _ in range(count)]
                batch = [write for write in batch if not write.withdrawn]
                for write in batch:
                    write.claimed = True
            shared = len(batch)
            self._commit(batch)

    def _commit(self, batch: list[_Write]) -> None:
        if not batch:
            return
        try:
            with self.database.begin() as connection:
                _run_all(connection, batch)
        except Exception as error:
            if len(batch) == 1:
                _answer([(batch[0], None, error)])
            else:
                self._commit_apart(batch)
            return
        self.commits += 1
        self.writes += len(batch)
        _answer([(write, write.value, None) for write in batch])

    def _commit_apart(self, batch: list[_Write]) -> None:
        """Once more after a failure: each write inside a savepoint of its own."""
        answers: list[tuple[_Write, Any, Exception | None]] = []
        try:
            with self.database.begin() as connection:
                for write in batch:
                    answers.append((write, *_attempt(connection, write)))
        except Exception as error:  # the transaction as a whole: full, away, locked
            _answer([(write, None, error) for write in batch])
            return
        self.commits += 1
        self.writes += sum(1 for _, _, error in answers if error is None)
        _answer(answers)


def _run_all(connection: Connection, batch: Sequence[_Write]) -> None:
    """Do all writes; loads for the same function go to it together, at the first one's turn."""
    loads: dict[Callable[..., Any], list[Any]] = {}
    for write in batch:
        if write.load is not None:
            loads.setdefault(write.work, []).extend(write.load)
    for write in batch:
        if write.load is None:
            write.value = write.work(connection)
        elif write.work in loads:
            write.work(connection, loads.pop(write.work))


def _attempt(connection: Connection, write: _Write) -> tuple[Any, Exception | None]:
    savepoint = connection.begin_nested()
    try:
        value = write.run(connection)
        savepoint.commit()
    except SQLAlchemyError as error:
        ours: TutelaError = from_sqlalchemy(error)
        if connection.invalidated or isinstance(ours, StorageFull):
            raise ours from error  # nobody in this transaction can be served
        savepoint.rollback()
        ours.__cause__ = error
        return None, ours
    except Exception as error:
        savepoint.rollback()
        return None, error
    return value, None


async def _stands(write: _Write, loop: asyncio.AbstractEventLoop) -> bool:
    """Wait until a write that has begun is settled, however often we are cancelled meanwhile."""
    write.settled = loop.create_future()
    while not write.done:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(write.settled)
    return not write.failed


def _answer(answers: list[tuple[_Write, Any, Exception | None]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Write, Any, Exception | None]]] = {}
    for write, value, error in answers:
        if write.loop is None:
            _settle(write, value, error)
        else:
            by_loop.setdefault(write.loop, []).append((write, value, error))
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle_all, group)
        except RuntimeError:  # the loop has closed: nobody waits any more
            continue


def _settle_all(group: list[tuple[_Write, Any, Exception | None]]) -> None:
    for write, value, error in group:
        _settle(write, value, error)


def _settle(write: _Write, value: Any, error: Exception | None) -> None:
    write.done, write.failed = True, error is not None
    if write.future.done():  # its task was cancelled, and waits to hear how it went
        if write.settled is not None:
            write.settled.set_result(None)
    elif error is None:
        write.future.set_result(value)
    else:
        write.future.set_exception(error)
