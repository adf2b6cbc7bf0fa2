"""Decide: policy's ruling on what was seen, as a plan of what shall be done. Nothing is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter

from tutela.core import (
    Decision,
    HashType,
    Item,
    ItemKind,
    Ruling,
    SignalHash,
    new_id,
    utc_now,
)
from tutela.lists.matching import HashQuery
from tutela.policy import Context, Policy

from .gate import Examined
from .plan import Plan
from .records import Asker, at_place


class Decide:
    """Makes plans. ``protecting`` says, anew for each item, whether any list protects."""

    def __init__(self, policy: Policy, protecting: Callable[[], bool]) -> None:
        self._policy = policy
        self._protecting = protecting

    async def __call__(
        self,
        item: Item,
        examined: Examined,
        asker: Asker,
        *,
        query: HashQuery | None = None,
        tries: int = 0,
        follows: str | None = None,
    ) -> Plan:
        """The plan for one item. Brakes count a block and may ask the database for that, so
        whatever has findings is decided in a thread. Raises ``StoreUnavailable``."""
        plan = partial(self._plan, item, examined, asker, self._policy, query, tries, follows)
        return await asyncio.to_thread(plan) if examined.findings else plan()

    async def batch(
        self,
        items: Sequence[tuple[Item, HashQuery]],
        seen: Sequence[Examined],
        asker: Asker,
    ) -> tuple[list[Plan], list[int]]:
        """Plans for a batch of hashes, and which plan each of its items got.

        What finds nothing is decided and recorded together, as one item; each other item by
        itself. Of a batch under an idempotency key, the former keeps the key, the latter the key
        with their place.
        """
        plans: list[Plan] = []
        places = [0] * len(items)
        clean: list[int] = []
        for place, ((item, query), examined) in enumerate(zip(items, seen, strict=True)):
            if not examined.findings and not self._policy.rules.by_item:
                clean.append(place)
                continue
            plan = await self(item, examined, at_place(asker, place), query=query)
            places[place] = len(plans)
            plans.append(plan)
        if clean:
            for place in clean:
                places[place] = len(plans)
            plans.append(await self._together([items[n] for n in clean], seen[clean[0]], asker))
        return plans, places

    async def _together(
        self, items: Sequence[tuple[Item, HashQuery]], examined: Examined, asker: Asker
    ) -> Plan:
        first, query = items[0]
        if len(items) == 1:
            return await self(first, examined, asker, query=query)
        surfaces = {item.surface for item, _ in items}
        item = Item(
            kind=ItemKind.HASHES,
            received_at=first.received_at,
            entrance=first.entrance,
            surface=first.surface if len(surfaces) == 1 else "batch",
        )
        plan = await self(item, examined, asker)
        return replace(plan, checked=tuple(items))

    def only_looking(self, item: Item, examined: Examined) -> Plan:
        """The plan as it would be. No brake counts it."""
        unbraked = Policy(self._policy.rules, allow_list=self._policy.allow_list)
        return self._plan(item, examined, Asker(), unbraked, None, 0, None)

    def _plan(
        self,
        item: Item,
        examined: Examined,
        asker: Asker,
        policy: Policy,
        query: HashQuery | None,
        tries: int,
        follows: str | None,
    ) -> Plan:
        started = perf_counter()
        protecting = self._protecting()
        context = Context.of(
            item, examined.media, hashes=_sent(query), protecting=protecting, tries=tries
        )
        ruling = policy.decide(examined.findings, context)
        decision = _decision(item, examined, ruling, protecting)
        spent = dict(examined.milliseconds)
        spent["decide"] = round((perf_counter() - started) * 1000, 3)
        return Plan(
            item=item,
            examined=examined,
            ruling=ruling,
            context=context,
            asker=asker,
            decision=replace(decision, milliseconds=spent),
            query=query,
            follows=follows,
        )


def _sent(query: HashQuery | None) -> tuple[SignalHash, ...]:
    """Hashes that a platform sent, as allow lists want them."""
    if query is None:
        return ()
    sent = (
        (HashType.SHA256, query.sha256, None),
        (HashType.SHA1, query.sha1, None),
        (HashType.MD5, query.md5, None),
        (HashType.PDQ, query.pdq, query.quality),
    )
    return tuple(
        SignalHash(type=kind, value=value, quality=quality)
        for kind, value, quality in sent
        if value is not None
    )


def _decision(item: Item, examined: Examined, ruling: Ruling, protecting: bool) -> Decision:
    return Decision(
        id=new_id("dec"),
        item_id=item.id,
        outcome=ruling.outcome,
        rule=ruling.rule,
        policy_version=ruling.policy_version,
        at=utc_now(),
        findings=examined.findings,
        reasons=ruling.reasons,
        opaque_reason=ruling.opaque_reason,
        deferred=ruling.deferred,
        protecting=protecting,
        would=ruling.would,
    )
