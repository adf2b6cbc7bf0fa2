"""How every bench says what it measured: one line a figure, beside its bar.

A line is ``NAME VALUE (bar BAR) ok`` or ``… SHORT``; a figure without a bar, and every figure
under ``QUICK=1``, is ``NAME VALUE (no bar) …``. ``finish`` gives the exit code: 1 if any is short.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

QUICK = os.environ.get("QUICK", "") not in {"", "0"}
"""Smaller sizes and no bars, for a look within minutes."""


def cpu_seconds(work: Callable[[], object], *, rounds: int = 5) -> float:
    """CPU seconds of this process for one call: the least of some rounds.

    The least, because what else runs on the machine only ever adds.
    """
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def side_by_side(works: Sequence[Callable[[], object]], *, rounds: int = 5) -> list[float]:
    """``cpu_seconds`` of several pieces of work, taken in turns so that all meet the same noise."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for number, work in enumerate(works):
            best[number] = min(best[number], cpu_seconds(work, rounds=1))
    return best


class Report:
    """Prints each line as it comes, and knows at the end whether any was short."""

    def __init__(self) -> None:
        self.short: list[str] = []

    def ratio(self, name: str, value: float, bar: float, *, at_most: bool = False) -> None:
        """A figure with its bar, which is to be reached (or, with ``at_most``, not passed)."""
        if QUICK:
            print(f"{name} {shown(value)} (no bar)", flush=True)
            return
        good = value <= bar if at_most else value >= bar
        if not good:
            self.short.append(name)
        sign = "<=" if at_most else ">="
        print(
            f"{name} {shown(value)} (bar {sign} {shown(bar)}) {'ok' if good else 'SHORT'}",
            flush=True,
        )

    def figure(self, name: str, text: str) -> None:
        """A figure without a bar; the first word of ``text`` is its value."""
        value, _, rest = text.partition(" ")
        print(f"{name} {value} (no bar) {rest}".rstrip(), flush=True)

    def finish(self) -> int:
        """The exit code: 0, or 1 where a bar was not reached."""
        return 1 if self.short else 0


def shown(value: float) -> str:
    """A number with three significant digits and no exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}".replace(",", "_")
    digits = 2 if abs(value) >= 1 else 4
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
