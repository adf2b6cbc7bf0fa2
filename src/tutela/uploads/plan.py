"""What shall be written for one item: a plan, made by pure functions and carried out by ``act``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tutela.cases import Sealed
from tutela.core import Decision, EffectKind, Item, Outcome, Purpose, Ruling, new_id
from tutela.lists.matching import HashQuery
from tutela.policy import Context

from .gate import Examined
from .records import Asker


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDraft:
    """A case about to be opened, for one purpose, with the evidence sealed for it."""

    id: str
    purpose: Purpose
    queue: str | None = None
    sealed: Sealed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that one transaction will write for one item.

    ``query`` are the hashes of an item that came without bytes; ``checked`` are all those of a
    batch on which nothing was found: they are one item together.
    """

    item: Item
    examined: Examined
    ruling: Ruling
    context: Context
    asker: Asker
    decision: Decision
    cases: tuple[CaseDraft, ...] = ()
    parked: str | None = None
    follows: str | None = None
    query: HashQuery | None = None
    checked: tuple[tuple[Item, HashQuery], ...] = ()


def cases_of(ruling: Ruling) -> list[CaseDraft]:
    """The cases that a ruling opens, one a purpose. A purpose whose evidence is to be sealed has a
    case; the deciding purpose of a held or blocked match always has both (invariant 1)."""
    queues: dict[Purpose, str | None] = {}
    for effect in ruling.effects:
        if effect.kind in (EffectKind.OPEN_CASE, EffectKind.SEAL_EVIDENCE):
            purpose = Purpose(effect.facts.get("purpose", Purpose.OWN.value))
            queues[purpose] = effect.facts.get("queue") or queues.get(purpose)
    decided = ruling.purpose
    if ruling.outcome is not Outcome.ALLOW and decided not in (None, Purpose.SELFTEST):
        assert decided is not None
        queues = {decided: queues.get(decided)} | queues
    return [
        CaseDraft(id=new_id("case"), purpose=purpose, queue=queue)
        for purpose, queue in queues.items()
    ]


def with_cases(plan: Plan, drafts: Iterable[CaseDraft]) -> Plan:
    opened = tuple(drafts)
    if not opened:
        return plan
    main = next((d for d in opened if d.purpose is plan.ruling.purpose), opened[0])
    evidence = main.sealed.evidence_id if main.sealed is not None else None
    decision = replace(plan.decision, case_id=main.id, evidence_id=evidence)
    return replace(plan, cases=opened, decision=decision)
