"""Brakes that count for all processes together, in the database.

The database is touched only when something is about to be blocked. While a brake is pulled, a
process counts for itself and settles with the database once a second: a crowd on one signal, which
is what brakes are for, does not become a crowd on the database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, delete, func, select, text

from tutela.store import Database
from tutela.store.tables.policy import brake_counts

from .brakes import WINDOW_MINUTES, Alarm, Pulled, minute_of, sound
from .rules import Brake

ALARM_KIND = "policy.brake_pulled"
"""The event that goes to the outbox when a brake is pulled."""
SETTLE_SECONDS = 1.0
"""How long a process goes on by itself while a brake is pulled."""

Enqueue = Callable[[Connection, str, Mapping[str, Any]], Any]
"""Puts an event into the outbox in the given transaction (``store.Outbox.enqueue``)."""

T = TypeVar("T")


class Transact(Protocol):
    """Runs a function in a writing transaction and gives its value after the commit."""

    def __call__(self, work: Callable[[Connection], T], /) -> T:
        """Runs it."""
        ...


_COUNT = text(
    "INSERT INTO brake_counts (rule, signal, minute, count)"
    " VALUES (:rule, :signal, :minute, :count)"
    " ON CONFLICT (rule, signal, minute)"
    " DO UPDATE SET count = brake_counts.count + excluded.count"
)
_ALARM = text(
    "INSERT INTO brake_alarms (rule, signal, minute) VALUES (:rule, :signal, :minute)"
    " ON CONFLICT (rule, signal) DO UPDATE SET minute = excluded.minute"
    " WHERE brake_alarms.minute <= :minute - :window"
    " RETURNING minute"
)

_Key = tuple[str, str]
"""A rule's name, and a signal's id or ``""`` for the rule itself."""


@dataclass(slots=True)
class _Held:
    """A brake found pulled: until when that is believed, and blocks not yet told the database."""

    until: float
    limit: int
    waiting: int = 0


class DatabaseBrakes:
    """Counts of all processes. ``alarm`` is told once for each brake and hour by whichever process
    pulled it; ``enqueue`` then also queues the event in the same transaction. ``transact`` runs a
    function in a transaction (``store.Writer.submit_blocking``, which shares its flush to disk with
    other writes); without it each count has its own."""

    def __init__(
        self,
        database: Database,
        *,
        alarm: Callable[[Alarm], None] = sound,
        enqueue: Enqueue | None = None,
        transact: Transact | None = None,
    ) -> None:
        self._database = database
        self._transact: Transact = transact or self._begin
        self._alarm = alarm
        self._enqueue = enqueue
        self._lock = threading.Lock()
        self._held: dict[_Key, _Held] = {}
        self._swept = 0

    def take(self, rule: str, signals: Sequence[str], brake: Brake, now: datetime) -> Pulled:
        """Counts one block; see ``BrakeCounters``. Raises ``StoreUnavailable``, ``StorageFull``."""
        limits = {(rule, ""): brake.per_hour} if brake.per_hour is not None else {}
        if brake.per_signal_per_hour is not None:
            limits |= {(rule, signal): brake.per_signal_per_hour for signal in signals}
        over = self._by_itself(limits)
        if over is None:
            over = self._together(limits, now)
        return Pulled((rule, "") in over, frozenset(signal for _, signal in over if signal))

    def _by_itself(self, limits: Mapping[_Key, int]) -> set[_Key] | None:
        """The brakes pulled, if what is known of them decides without the database: one on the
        rule, or on every signal, settled less than a second ago."""
        clock = time.monotonic()
        with self._lock:
            held = {
                key: self._held[key]
                for key, limit in limits.items()
                if key in self._held
                and self._held[key].until > clock
                and self._held[key].limit == limit
            }
            decided = any(not signal for _, signal in held) or (
                len(held) == sum(1 for _, signal in limits if signal) > 0
            )
            if not decided:
                return None
            for key in limits:
                self._held.setdefault(key, _Held(0.0, limits[key])).waiting += 1
            return set(held)

    def _together(self, limits: Mapping[_Key, int], now: datetime) -> set[_Key]:
        """Counts in the database and reads the window's sums; the brakes over their limit."""
        minute = minute_of(now)
        counts = self._settle(limits)
        sweep = self._swept != minute
        try:
            over, alarms = self._transact(
                lambda conn: self._work(conn, counts, limits, minute, now, sweep)
            )
        except BaseException:
            self._unsettle(counts, limits)
            raise
        self._swept = minute
        self._remember(limits, over)
        for alarm in alarms:
            self._alarm(alarm)
        return over

    def _work(
        self,
        conn: Connection,
        counts: Mapping[_Key, int],
        limits: Mapping[_Key, int],
        minute: int,
        now: datetime,
        sweep: bool,
    ) -> tuple[set[_Key], list[Alarm]]:
        """The transaction. Changes nothing but the database: it may be run again."""
        over: set[_Key] = set()
        alarms: list[Alarm] = []
        for key in sorted(counts):
            self._count(conn, key, counts[key], minute)
        for key, limit in limits.items():
            count = self._sum(conn, key, minute)
            if count > limit:
                over.add(key)
                alarms += self._claim(conn, key, limit, count, minute, now)
        if sweep:
            conn.execute(
                delete(brake_counts).where(brake_counts.c.minute <= minute - WINDOW_MINUTES)
            )
        return over, alarms

    def _begin(self, work: Callable[[Connection], T]) -> T:
        """A transaction of our own, which need not outlive a power cut."""
        with self._database.begin() as conn:
            if not self._database.is_sqlite:
                conn.execute(text("SET LOCAL synchronous_commit = off"))
            return work(conn)

    def _settle(self, limits: Mapping[_Key, int]) -> dict[_Key, int]:
        """What to tell the database: this block, and every one counted without it so far."""
        counts = dict.fromkeys(limits, 1)
        with self._lock:
            for key, held in self._held.items():
                if held.waiting:
                    counts[key] = counts.get(key, 0) + held.waiting
                    held.waiting = 0
            for key in [k for k in self._held if k in limits or not self._held[k].until]:
                del self._held[key]
        return counts

    def _unsettle(self, counts: Mapping[_Key, int], limits: Mapping[_Key, int]) -> None:
        """Takes back what the database could not be told; this block itself was none."""
        with self._lock:
            for key, count in counts.items():
                more = count - (key in limits)
                if more:
                    self._held.setdefault(key, _Held(0.0, limits.get(key, 0))).waiting += more

    def _remember(self, limits: Mapping[_Key, int], over: set[_Key]) -> None:
        until = time.monotonic() + SETTLE_SECONDS
        with self._lock:
            for key in over:
                held = self._held.setdefault(key, _Held(until, limits[key]))
                held.until, held.limit = until, limits[key]

    def _count(self, conn: Connection, key: _Key, more: int, minute: int) -> None:
        rule, signal = key
        conn.execute(_COUNT, {"rule": rule, "signal": signal, "minute": minute, "count": more})

    def _sum(self, conn: Connection, key: _Key, minute: int) -> int:
        rule, signal = key
        return int(
            conn.execute(
                select(func.sum(brake_counts.c.count)).where(
                    brake_counts.c.rule == rule,
                    brake_counts.c.signal == signal,
                    brake_counts.c.minute > minute - WINDOW_MINUTES,
                )
            ).scalar_one()
        )

    def _claim(
        self, conn: Connection, key: _Key, limit: int, count: int, minute: int, now: datetime
    ) -> list[Alarm]:
        """The alarm, if no process has raised it within the hour."""
        rule, signal = key
        claimed = conn.execute(
            _ALARM, {"rule": rule, "signal": signal, "minute": minute, "window": WINDOW_MINUTES}
        ).first()
        if claimed is None:
            return []
        alarm = Alarm(rule=rule, signal=signal or None, limit=limit, count=count, at=now)
        if self._enqueue is not None:
            self._enqueue(conn, ALARM_KIND, alarm.plain())
        return [alarm]
