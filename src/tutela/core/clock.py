"""Time: one function, so that tests can move it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment as an aware UTC time, microseconds kept."""
    return datetime.now(UTC)
