"""What every route shares, and the way in: who asks, may they, and not too often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request
from starlette.types import Scope as AsgiScope

from tutela.core import Decision, Outcome
from tutela.errors import Unavailable
from tutela.uploads.bodies import BodyLimits, header

from .auth.keys import ApiKey, ApiKeys, Scope
from .auth.rates import RateLimits
from .metrics import Metrics

if TYPE_CHECKING:
    from tutela.app import Tutela

WAITING_PER_SLOT = 4
"""Uploads that may wait, their bodies unread, for each one that is held."""
MOST_WAIT_SECONDS = 30.0

log = structlog.get_logger("tutela.web")


class Web:
    """The HTTP entrance's own state in one process."""

    def __init__(self, tutela: Tutela) -> None:
        server = tutela.settings.server
        self.tutela = tutela
        self.keys = ApiKeys(tutela.database)
        self.rates = RateLimits(server.rate_per_minute)
        self.metrics = Metrics()
        self.slots = Slots(server.max_concurrent_uploads)
        self.upload_limits = BodyLimits(
            max_bytes=server.max_upload_bytes,
            part_seconds=server.body_timeout_seconds,
            min_rate=server.min_body_bytes_per_second,
        )
        self.json_limits = BodyLimits(
            max_bytes=server.max_json_bytes,
            part_seconds=server.body_timeout_seconds,
            min_rate=server.min_body_bytes_per_second,
        )

    async def admit(self, scope: AsgiScope, needed: Scope, *, cost: float = 1.0) -> ApiKey:
        """The key behind a request. Raises ``NotAuthenticated``, ``RateLimited``,
        ``NotPermitted``."""
        key = await self.keys.authenticate(header(scope, b"authorization"))
        self.rates.spend(key.id, key.rate_per_minute, cost=cost)
        key.require(needed)
        return key

    async def admit_any(self, scope: AsgiScope, wanted: Sequence[Scope]) -> ApiKey:
        """As ``admit``, for a key with any of some scopes."""
        key = await self.keys.authenticate(header(scope, b"authorization"))
        self.rates.spend(key.id, key.rate_per_minute)
        if not any(key.allows(one) for one in wanted):
            key.require(wanted[0])
        return key

    async def note_key_use(self) -> None:
        """Write down when keys were last used."""
        await asyncio.to_thread(self.keys.note_use)

    def decided(self, decision: Decision, entrance: str, size: int = 0) -> None:
        """Count and log one decision: ids, outcome, times; no list, rule, account or content.

        A check of hashes that found nothing is logged at debug level only: there are thousands.
        """
        self.metrics.decided(decision, entrance, size)
        quiet = not size and decision.outcome is Outcome.ALLOW
        write = log.debug if quiet else log.info
        write(
            "decision",
            decision_id=decision.id,
            entrance=entrance,
            outcome=decision.outcome.value,
            deferred=decision.deferred,
            repeated=decision.repeated,
            ms=decision.milliseconds.get("total"),
            size=size,
        )


class _Line:
    """What one set of slots has: how many are left, and who waits for them."""

    def __init__(self, most: int) -> None:
        self.slots = asyncio.Semaphore(most)
        self.most_waiting = most * WAITING_PER_SLOT
        self.waiting = 0
        self.held = 0


class Slots:
    """How many uploads are held at once. Some more wait unread; beyond that the answer is 503.

    A key holds at most half of the slots and of the places to wait, so that no key, however slow
    its uploaders, keeps the others out.
    """

    def __init__(self, most: int) -> None:
        self._all = _Line(most)
        self._share = (most + 1) // 2
        self._of_key: dict[str, _Line] = {}

    @asynccontextmanager
    async def one(self, key_id: str) -> AsyncIterator[None]:
        """A slot of the key's share for a block's length. Raises ``Unavailable`` without one."""
        own = self._of_key.setdefault(key_id, _Line(self._share))
        own.held += 1  # or on the way to it
        try:
            await self._take(own)
            try:
                yield
            finally:
                self._all.slots.release()
                own.slots.release()
        finally:
            own.held -= 1
            if not own.held:
                del self._of_key[key_id]

    async def _take(self, own: _Line) -> None:
        """A slot of the key's own first: who waits for that holds none of the common ones."""
        lines = (own, self._all)
        if any(line.waiting >= line.most_waiting for line in lines):
            raise _busy()
        for line in lines:
            line.waiting += 1
        try:
            async with asyncio.timeout(MOST_WAIT_SECONDS):
                await own.slots.acquire()
                try:
                    await self._all.slots.acquire()
                except BaseException:
                    own.slots.release()
                    raise
        except TimeoutError:
            raise _busy() from None
        finally:
            for line in lines:
                line.waiting -= 1


def _busy() -> Unavailable:
    return Unavailable("Too many uploads are being examined just now.", retry_after=2)


def web_of(request: Request) -> Web:
    """The entrance's state, for FastAPI's routes."""
    web = request.app.state.web
    assert isinstance(web, Web)
    return web


class Needs:
    """FastAPI dependency: a key with a scope. ``Depends(Needs(Scope.LISTS_READ))``."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> ApiKey:
        """The key, or one of our errors."""
        return await web_of(request).admit(request.scope, self.scope)
