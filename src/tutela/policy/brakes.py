"""Brakes: how often rules and signals blocked within the last hour, and what happens beyond.

Past its limit a rule's block, or one that rests on a certain signal, falls back to ``hold`` and an
alarm goes out. Attempts are counted, softened ones too, so a brake stays pulled while the crowd
lasts. The hour is 60 whole minutes. ``MemoryBrakes`` counts in one process; ``DatabaseBrakes``
(``brake_store.py``) counts for all processes together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from prometheus_client import Counter

from .rules import Brake

WINDOW_MINUTES = 60
"""Minutes over which brakes count."""
MAX_SIGNALS = 16
"""Signals counted for one item and rule; an item that matches more is judged by these."""

PULLED = Counter(
    "tutela_policy_brakes",
    "Brakes pulled: a rule or one signal blocked too often.",
    registry=None,
)
"""For ``/metrics``; which rule or signal it was stands in the log alone."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """Which brakes are pulled for one item and rule: of the rule, or of some signals."""

    rule: bool = False
    signals: frozenset[str] = frozenset()

    def why(self, signal: str | None) -> str | None:
        """The reason in words why a block on ``signal`` is held instead; None where it stands."""
        if self.rule:
            return "The rule blocked more often than its brake allows within an hour: held instead."
        if signal is not None and signal in self.signals:
            return "One signal matched more often than the brake allows within an hour: held."
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A brake was pulled. ``signal`` is the signal's id where its own limit was passed."""

    rule: str
    signal: str | None
    limit: int
    count: int
    at: datetime

    def plain(self) -> dict[str, object]:
        """JSON-ready, for the outbox."""
        return {
            "rule": self.rule,
            "signal_id": self.signal,
            "limit_per_hour": self.limit,
            "count": self.count,
            "at": self.at.isoformat().replace("+00:00", "Z"),
        }


class BrakeCounters(Protocol):
    """Counts blocks and says which brakes are pulled."""

    def take(self, rule: str, signals: Sequence[str], brake: Brake, now: datetime) -> Pulled:
        """Counts one block by ``rule`` resting on ``signals``; what is over its limit by that."""
        ...


def sound(alarm: Alarm) -> None:
    """Logs the alarm and counts it in the metrics. Which signal it was is in the log by its id."""
    PULLED.inc()
    structlog.get_logger("tutela.policy").error(
        "brake_pulled",
        rule=alarm.rule,
        signal_id=alarm.signal,
        limit_per_hour=alarm.limit,
        count=alarm.count,
        what="Blocks fall back to hold until the last hour's count is under the limit again.",
        next_step="Look at the cases of the last hour; dispute the signal or correct the rule.",
    )


def minute_of(now: datetime) -> int:
    """The minute since 1970 that ``now`` lies in."""
    return int(now.timestamp() // 60)


class MemoryBrakes:
    """Counts of this process only; for tests, the CLI and a Tutela of one process."""

    def __init__(self, alarm: Callable[[Alarm], None] = sound) -> None:
        self._alarm = alarm
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], dict[int, int]] = {}
        self._sounded: dict[tuple[str, str], int] = {}

    def take(self, rule: str, signals: Sequence[str], brake: Brake, now: datetime) -> Pulled:
        """Counts one block; see ``BrakeCounters``."""
        alarms: list[Alarm] = []
        with self._lock:
            over_rule = self._over(rule, "", brake.per_hour, now, alarms)
            over = frozenset(
                signal
                for signal in signals
                if self._over(rule, signal, brake.per_signal_per_hour, now, alarms)
            )
        for alarm in alarms:
            self._alarm(alarm)
        return Pulled(over_rule, over)

    def _over(
        self, rule: str, signal: str, limit: int | None, now: datetime, alarms: list[Alarm]
    ) -> bool:
        if limit is None:
            return False
        minute = minute_of(now)
        counts = self._counts.setdefault((rule, signal), {})
        counts[minute] = counts.get(minute, 0) + 1
        for old in [m for m in counts if m <= minute - WINDOW_MINUTES]:
            del counts[old]
        count = sum(counts.values())
        if count <= limit:
            return False
        last = self._sounded.get((rule, signal))
        if last is None or minute - last >= WINDOW_MINUTES:
            self._sounded[(rule, signal)] = minute
            alarms.append(Alarm(rule=rule, signal=signal or None, limit=limit, count=count, at=now))
        return True
