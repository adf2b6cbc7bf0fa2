"""The road: everything that comes in is examined, decided upon and acted on. Read this first.

    entrance → item → examine → findings → decide → decision → act → answer

An entrance (HTTP, command line, self-test) turns its request into an ``Item`` and calls ``upload``
or ``hashes``; the gate sees and decides nothing; policy decides and does nothing; act seals,
records and answers, once. Whatever fails on the way is a finding that holds, or an error with a
time to ask again: never an ``allow``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter

from tutela.core import Decision, Item, Ruling, new_id, utc_now
from tutela.errors import IndexUnavailable
from tutela.hashing.source import Source
from tutela.lists.matching import HashQuery
from tutela.policy import Context, Policy
from tutela.uploads.act import Act
from tutela.uploads.gate import Examined, UploadGate
from tutela.uploads.plan import Plan
from tutela.uploads.records import Asker, each_of


class Road:
    """The one road. ``policy`` and ``protecting`` are asked anew for each item."""

    def __init__(
        self,
        gate: UploadGate,
        policy: Callable[[], Policy],
        act: Act,
        protecting: Callable[[], bool],
    ) -> None:
        self.gate = gate
        self.policy = policy
        self.act = act
        self.protecting = protecting

    async def upload(self, item: Item, source: Source, asker: Asker | None = None) -> Decision:
        """The decision on one upload. The caller keeps ``source`` and closes it."""
        started = perf_counter()
        asker = asker or Asker()
        earlier = await self.act.earlier(asker)
        if earlier is not None:
            return earlier
        examined = await self.gate.examine(source)
        plan = self.decide(item, examined, asker)
        decision = await self.act(plan, source)
        return _timed(decision, started)

    async def hashes(
        self, items: Sequence[tuple[Item, HashQuery]], asker: Asker | None = None
    ) -> list[Decision]:
        """The decisions on hashes that a platform computed itself; its bytes stay with it.

        A batch under an idempotency key is decided and remembered as a whole.
        """
        askers = each_of(asker or Asker(), len(items))
        earlier = await self.act.earlier_batch(askers)
        if earlier is not None:
            return earlier
        seen = await self.gate.check([query for _, query in items])
        if any(examined.faulty for examined in seen):
            raise IndexUnavailable("The lists could not be asked.")
        plans = [
            self.decide(item, examined, who, query=query)
            for (item, query), examined, who in zip(items, seen, askers, strict=True)
        ]
        return await self.act.many(plans)

    def decide(
        self,
        item: Item,
        examined: Examined,
        asker: Asker,
        *,
        query: HashQuery | None = None,
        tries: int = 0,
        follows: str | None = None,
    ) -> Plan:
        """From what was seen to what shall be done. Nothing happens yet."""
        started = perf_counter()
        protecting = self.protecting()
        context = Context.of(item, examined.media, protecting=protecting, tries=tries)
        ruling = self.policy().decide(examined.findings, context)
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


def _timed(decision: Decision, started: float) -> Decision:
    total = round((perf_counter() - started) * 1000, 3)
    return replace(decision, milliseconds={**decision.milliseconds, "total": total})
