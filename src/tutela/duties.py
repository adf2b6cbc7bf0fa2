"""Background duties: what a running Tutela does by itself, each at its own pace.

A duty that fails is logged and done again later; it never ends the process, and a failure of one
never delays another.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from tutela.core import utc_now
from tutela.errors import TutelaError

MOST_BACKOFF = 60.0
STOP_SECONDS = 30.0
"""So long a duty in the middle of its work is waited for when all end."""

log = structlog.get_logger("tutela.duties")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One duty: ``work`` is done ``every`` so many seconds, the first time after ``first``."""

    name: str
    every: float
    work: Callable[[], Awaitable[object]]
    first: float = 0.0


@dataclass(slots=True)
class DutyState:
    """How a duty is doing: when it last went well, and since when it fails, if it does."""

    last_ok: datetime | None = None
    failing_since: datetime | None = None
    failures: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Duties:
    """Runs duties as tasks of one event loop."""

    duties: tuple[Duty, ...]
    states: dict[str, DutyState] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        """Begin. Needs a running event loop."""
        self._ending = asyncio.Event()
        for duty in self.duties:
            self.states[duty.name] = DutyState()
            self._tasks.append(asyncio.create_task(self._run(duty), name=f"duty {duty.name}"))

    async def stop(self) -> None:
        """End all of them. One at work is waited for, ``STOP_SECONDS`` at most: what it works
        with (database, index) is closed after this."""
        self._ending.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _run(self, duty: Duty) -> None:
        state = self.states[duty.name]
        await self._rest(duty.first)
        while not self._ending.is_set():
            started = time.perf_counter()
            try:
                await duty.work()
            except Exception as error:  # a duty outlives whatever goes wrong in it
                self._failed(duty, state, error)
            else:
                state.last_ok, state.failing_since, state.failures = utc_now(), None, 0
            state.seconds = time.perf_counter() - started
            await self._rest(_wait(duty, state))

    async def _rest(self, seconds: float) -> None:
        """Until it is time again, or all end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    def _failed(self, duty: Duty, state: DutyState, error: Exception) -> None:
        state.failures += 1
        state.failing_since = state.failing_since or utc_now()
        ours = isinstance(error, TutelaError)
        if state.failures == 1 or not ours:
            log.warning(
                "duty_failed",
                duty=duty.name,
                error=error.code if isinstance(error, TutelaError) else type(error).__name__,
                at=None if ours else places(error),
            )


def places(error: BaseException) -> list[str]:
    """Where an exception came from, innermost last, without its words: those may hold content."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _wait(duty: Duty, state: DutyState) -> float:
    """Until the next time: at the duty's pace, slower and jittered while it fails."""
    if not state.failures:
        return duty.every
    backoff: float = min(MOST_BACKOFF, duty.every * 2 ** min(state.failures, 8))
    return max(duty.every, backoff * random.uniform(0.5, 1.0))
