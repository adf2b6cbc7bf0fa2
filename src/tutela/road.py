"""The road: everything that comes in is examined, decided upon and acted on. Read this first.

    entrance → item → examine → findings → decide → decision → act → answer

An entrance (HTTP, command line, self-test) turns its request into an ``Item`` and calls ``upload``
or ``hashes``. The gate sees and decides nothing; policy decides and does nothing; act seals,
records and answers, once. What fails on the way becomes a finding that holds, or an error with a
time to ask again: never an ``allow``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from tutela.core import Decision, Item
from tutela.errors import Conflict, IndexUnavailable
from tutela.hashing.source import Source
from tutela.lists.matching import HashQuery
from tutela.uploads.act import Act
from tutela.uploads.decide import Decide
from tutela.uploads.gate import UploadGate
from tutela.uploads.records import Asker


class Road:
    """The one road."""

    def __init__(self, gate: UploadGate, decide: Decide, act: Act) -> None:
        self.gate = gate
        self.decide = decide
        self.act = act

    async def upload(self, item: Item, source: Source, asker: Asker | None = None) -> Decision:
        """The decision on one upload. The caller keeps ``source`` and closes it."""
        started = perf_counter()
        asker = asker or Asker()
        earlier = await self.act.earlier(asker)
        if earlier is not None:
            return earlier
        examined = await self.gate.examine(source)
        plan = await self.decide(item, examined, asker)
        decision = await self.act(plan, source)
        return _timed(decision, started)

    async def hashes(
        self, items: Sequence[tuple[Item, HashQuery]], asker: Asker | None = None
    ) -> list[Decision]:
        """The decisions on hashes that a platform computed itself; its bytes stay with it.

        What finds nothing is recorded together, as one item; the rest one by one.
        """
        asker = asker or Asker()
        earlier = await self.act.earlier_batch(asker, len(items))
        if earlier is not None:
            return earlier
        seen = await self.gate.check([query for _, query in items])
        if any(examined.faulty for examined in seen):
            raise IndexUnavailable("The lists could not be asked.")
        plans, places = await self.decide.batch(items, seen, asker)
        try:
            decisions = await self.act.many(plans)
        except Conflict:
            repeated = await self.act.earlier_batch(asker, len(items))
            if repeated is None:
                raise
            return repeated
        return [decisions[place] for place in places]

    async def look(self, item: Item, source: Source) -> Decision:
        """What the decision on an upload would be. Nothing is sealed, recorded or counted."""
        started = perf_counter()
        examined = await self.gate.examine(source)
        return _timed(self.decide.only_looking(item, examined).decision, started)


def _timed(decision: Decision, started: float) -> Decision:
    total = round((perf_counter() - started) * 1000, 3)
    return replace(decision, milliseconds={**decision.milliseconds, "total": total})
