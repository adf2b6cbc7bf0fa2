"""Rate limits per key: a token bucket in this process's memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from tutela.errors import RateLimited

BURST_SECONDS = 10.0
"""A key that was quiet may spend this many seconds' worth of its rate at once."""
_BUCKETS = 10_000


class RateLimits:
    """Token buckets, one per key. Each process counts for itself (documented so).

    ``default_per_minute`` serves keys without a rate of their own; ``clock`` gives seconds.
    """

    def __init__(
        self, default_per_minute: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._default = default_per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, key_id: str, rate_per_minute: int | None = None, *, cost: float = 1.0) -> None:
        """Take ``cost`` tokens from the key's bucket. Raises ``RateLimited`` with the wait."""
        per_second = (rate_per_minute or self._default) / 60.0
        size = max(per_second * BURST_SECONDS, 1.0)
        now = self._clock()
        tokens, then = self._buckets.get(key_id, (size, now))
        tokens = min(size, tokens + (now - then) * per_second)
        if tokens < min(cost, size):
            self._buckets[key_id] = (tokens, now)
            wait = max(1, math.ceil((min(cost, size) - tokens) / per_second))
            raise RateLimited(
                "This key has sent too many requests.",
                next_step=f"Wait {wait} s and send it again.",
                retry_after=wait,
            )
        self._buckets[key_id] = (tokens - cost, now)
        self._buckets.move_to_end(key_id)
        while len(self._buckets) > _BUCKETS:
            self._buckets.popitem(last=False)
