"""Whether known material would be blocked now, said the same way everywhere.

Invariant 15: with no active blocking list, or a stale one, every status says NOT PROTECTING.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tutela.core import ListMode, Purpose

from .records import ListInfo

_LAG_SECONDS = 30.0
"""An index not brought up to date for so long may still match what was withdrawn."""


SELFTEST_FAILED = (
    "The last self-test failed: known material may pass. See why, and try again: tutela selftest"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListState:
    """What state a list is in: ``blocking``, ``holding``, ``informing``, ``off``, ``empty`` or
    ``stale``, and since when (None where it never was otherwise)."""

    name: str
    purpose: Purpose
    mode: ListMode
    state: str
    since: datetime | None
    entries: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Whether this process protects, why (not), and each list's state."""

    protecting: bool
    why: str
    lists: tuple[ListState, ...]

    @property
    def headline(self) -> str:
        """``PROTECTING`` or ``NOT PROTECTING``."""
        return "PROTECTING" if self.protecting else "NOT PROTECTING"


def protection_of(
    infos: Sequence[ListInfo],
    *,
    index_healthy: bool,
    seconds_since_refresh: float | None,
    mode_since: dict[int, datetime],
    selftest_failed: bool = False,
) -> Protection:
    """Judge lists and index. ``mode_since`` gives, by row, when a list's mode was chosen.

    The self-test list protects nobody and is not counted. One stale blocking list is enough to
    say NOT PROTECTING: what its source added since then passes. So is a last self-test that
    failed: known material went down the road and was not blocked.
    """
    states = tuple(_state(info, mode_since.get(info.row)) for info in infos)
    blocking = [
        info
        for info in infos
        if info.mode is ListMode.BLOCK and info.purpose is not Purpose.SELFTEST
    ]
    why = _why_not(blocking, index_healthy, seconds_since_refresh)
    if not why and selftest_failed:
        why = SELFTEST_FAILED
    if why:
        return Protection(protecting=False, why=why, lists=states)
    entries = sum(info.entries for info in blocking)
    count = sum(info.entries > 0 for info in blocking)
    words = "1 blocking list" if count == 1 else f"{count} blocking lists"
    signals = "1 signal" if entries == 1 else f"{entries:,} signals"
    return Protection(protecting=True, why=f"{words} with {signals} in force.", lists=states)


def _why_not(blocking: Sequence[ListInfo], healthy: bool, lag: float | None) -> str:
    if not healthy:
        return "The index of signals is missing or damaged; it is being built again."
    if not blocking:
        return "No list may block. Choose one: tutela lists mode NAME block"
    if not any(info.entries for info in blocking):
        return "No blocking list has a signal in force. Import one: tutela lists import NAME FILE"
    stale = [info.name for info in blocking if info.stale_since is not None]
    if stale:
        names = ", ".join(f"'{name}'" for name in sorted(stale))
        return f"Stale: {names} was not refreshed in time. Sync or import it again."
    if lag is not None and lag > _LAG_SECONDS:
        return f"The index has not been brought up to date for {lag:.0f} s."
    return ""


def _state(info: ListInfo, mode_since: datetime | None) -> ListState:
    since = mode_since or info.created_at
    if info.stale_since is not None:
        word, since = "stale", info.stale_since
    elif info.mode is ListMode.OFF:
        word = "off"
    elif not info.entries:
        word, since = "empty", info.refreshed_at or info.created_at
    else:
        word = {"block": "blocking", "hold": "holding", "inform": "informing"}[info.mode.value]
    return ListState(
        name=info.name,
        purpose=info.purpose,
        mode=info.mode,
        state=word,
        since=since,
        entries=info.entries,
        version=info.version,
    )
