"""When to ask again, and how long to wait: full jitter, so that a crowd does not come back at once.

Source: M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
"""Answers after which the same request may go through later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """``attempts`` in all; waits grow from ``base`` seconds to at most ``most``, times a random
    share. A ``Retry-After`` up to ``most`` is obeyed (and jittered upwards by up to a tenth)."""

    attempts: int = 4
    base: float = 0.25
    most: float = 10.0
    chance: random.Random = field(default_factory=random.SystemRandom, repr=False)

    def wait(self, attempt: int, retry_after: str | None) -> float:
        """Seconds to wait after the failed ``attempt`` (counted from 1)."""
        asked = _seconds(retry_after)
        if asked is not None:
            return min(asked, self.most) * (1 + 0.1 * self.chance.random())
        return self.chance.uniform(0, min(self.most, self.base * 2 ** (attempt - 1)))


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; its date form is ignored (the back-off serves)."""
    if text is None or not text.isascii() or not text.isdigit():
        return None
    return float(text)
