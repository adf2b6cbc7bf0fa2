"""From findings and context to one ruling. Pure but for the brakes, which are asked last.

The rules speak first; what they say of each finding is then brought between the finding's floor and
ceiling (``limits.py``), so invariants 5, 6, 7, 8 and 13 hold whatever the rules say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cel

from tutela.core import (
    Effect,
    EffectKind,
    Finding,
    FindingKind,
    Outcome,
    Purpose,
    Ruling,
)

from .brakes import MAX_SIGNALS, BrakeCounters, Pulled
from .context import Context
from .facts import finding_facts
from .limits import MATCHES, ceiling, purpose_of, unruled, within
from .rules import Rule, RuleSet

OPAQUE = {
    Outcome.ALLOW: "accepted",
    Outcome.HOLD: "being_checked",
    Outcome.BLOCK: "not_accepted",
}
"""The one word that an uploader sees. It depends on the outcome alone (invariant 8)."""

NO_RULE = "unruled"
"""Named as the rule where no rule of the file spoke."""
NO_FINDINGS = "nothing-found"
"""Named as the rule where there was nothing to rule on."""
ALLOW_LISTED = "allow-listed"
"""Named as the rule where an allow list let through all that there was to rule on."""

_PURPOSES = (Purpose.CSAM, Purpose.TERROR, Purpose.NCII, Purpose.OWN, None, Purpose.SELFTEST)
_KINDS = (
    FindingKind.EXACT,
    FindingKind.VIDEO,
    FindingKind.NEAR,
    FindingKind.UNREADABLE,
    FindingKind.FAULT,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one finding (or, with ``finding`` None, the item alone) comes to, and by which rule."""

    outcome: Outcome
    rule: Rule | None
    finding: Finding | None
    failed: str | None = None
    softened: Outcome | None = None
    braked: str | None = None

    @property
    def purpose(self) -> Purpose | None:
        """The purpose that this verdict serves."""
        return purpose_of(self.finding) if self.finding is not None else None

    @property
    def matches(self) -> bool:
        """Whether it rests on a match with a list."""
        return self.finding is not None and self.finding.kind in MATCHES

    def rank(self) -> tuple[int, int, int, int]:
        """Sorts the verdict that decides first: heaviest, gravest purpose, surest kind, nearest."""
        finding = self.finding
        return (
            -self.outcome.weight,
            _PURPOSES.index(self.purpose),
            _KINDS.index(finding.kind) if finding is not None else len(_KINDS),
            (finding.distance or 0) if finding is not None else 0,
        )


def decide(
    rules: RuleSet,
    findings: Sequence[Finding],
    context: Context,
    *,
    allowed: Mapping[int, str] | None = None,
    brakes: BrakeCounters | None = None,
) -> Ruling:
    """The ruling on one item.

    ``allowed`` maps the positions of findings that an allow list lets through to the entry's id;
    those findings are recorded but not ruled on. ``brakes`` are asked only where the item is about
    to be blocked; None means that no brake is ever pulled (replay). Raises whatever the brakes'
    store raises; no rule can make it raise.
    """
    by_item = rules.by_item
    if not findings and not by_item:
        return _nothing(rules)
    would: dict[str, Outcome] = {}
    verdicts: list[Verdict] = []
    base = _variables(rules, context)
    facts = [finding_facts(finding) for finding in findings]
    waved = allowed or {}
    for purpose, positions in _groups(findings):
        ruled = [i for i in positions if i not in waved]
        heard = [i for i in ruled if ceiling(findings[i]) is not Outcome.ALLOW]
        if rules.reads_findings:
            base.add_variable("findings", [facts[i] for i in heard])
        for position in ruled:
            if purpose_of(findings[position]) is not purpose:
                continue  # without a purpose: seen by every group, ruled on once
            base.add_variable("finding", facts[position])
            verdicts.append(_of_finding(rules.by_finding, findings[position], base, would))
        for rule in by_item:
            verdicts.extend(_of_item(rule, [findings[i] for i in heard], base, would))
    return _ruling(rules, verdicts, would, waved, context, brakes)


def _variables(rules: RuleSet, context: Context) -> Any:
    """What rules see besides findings. Facts that they name and that were not given are empty
    texts, so no rule fails for want of one."""
    item, account = dict(context.item), dict(context.account)
    if rules.facts:
        empty = dict.fromkeys(rules.facts, "")
        item["facts"] = {**empty, **item["facts"]}
        account["facts"] = {**empty, **account["facts"]}
    return cel.Context({"item": item, "account": account, "context": dict(context.context)})


def _groups(findings: Sequence[Finding]) -> list[tuple[Purpose | None, list[int]]]:
    """Positions by purpose: a rule never sees two purposes together (invariant 13). Findings
    without a purpose (faults, unreadable) are in every group; their own group comes last."""
    purposes = [purpose_of(finding) for finding in findings]
    present = sorted({p for p in purposes if p is not None}, key=_PURPOSES.index)
    groups: list[tuple[Purpose | None, list[int]]] = [
        (p, [i for i, q in enumerate(purposes) if q is p or q is None]) for p in present
    ]
    if not present or None in purposes:
        groups.append((None, [i for i, q in enumerate(purposes) if q is None]))
    return groups


def _ask(rule: Rule, variables: Any) -> tuple[bool, bool]:
    """Whether the rule holds, and whether it failed. A rule that fails does not hold."""
    try:
        answer = rule.test(variables)
    except Exception:  # the CEL library raises many types; any of them is a failed rule
        return False, True
    return (answer, False) if isinstance(answer, bool) else (False, True)


def _of_finding(
    rules: Sequence[Rule], finding: Finding, variables: Any, would: dict[str, Outcome]
) -> Verdict:
    failed: str | None = None
    for rule in rules:
        holds, broke = _ask(rule, variables)
        if broke and not rule.dry_run:
            failed = failed or rule.name
        if not holds:
            continue
        outcome = within(rule.outcome, finding)
        if rule.dry_run:
            _note(would, rule.name, outcome)
            continue
        softened = rule.outcome if rule.outcome.weight > outcome.weight else None
        if failed is not None and outcome is Outcome.ALLOW:
            return Verdict(unruled(finding), None, finding, failed)
        return Verdict(outcome, rule, finding, failed, softened)
    return Verdict(unruled(finding), None, finding, failed)


def _of_item(
    rule: Rule, findings: Sequence[Finding], variables: Any, would: dict[str, Outcome]
) -> list[Verdict]:
    holds, broke = _ask(rule, variables)
    if broke:
        return [] if rule.dry_run else [Verdict(Outcome.HOLD, None, None, rule.name)]
    if not holds:
        return []
    carrier = max(
        (finding for finding in findings if finding.kind in MATCHES),
        key=lambda finding: ceiling(finding).weight,
        default=None,
    )
    can_block = carrier is not None and ceiling(carrier) is Outcome.BLOCK
    outcome = rule.outcome if can_block else Outcome.HOLD
    if rule.dry_run:
        _note(would, rule.name, outcome)
        return []
    softened = rule.outcome if rule.outcome.weight > outcome.weight else None
    return [Verdict(outcome, rule, carrier, None, softened)]


def _note(would: dict[str, Outcome], name: str, outcome: Outcome) -> None:
    if name not in would or would[name].weight < outcome.weight:
        would[name] = outcome


def _nothing(rules: RuleSet) -> Ruling:
    return Ruling(
        outcome=Outcome.ALLOW,
        rule=NO_FINDINGS,
        policy_version=rules.version,
        opaque_reason=OPAQUE[Outcome.ALLOW],
    )


def _ruling(
    rules: RuleSet,
    verdicts: list[Verdict],
    would: dict[str, Outcome],
    waved: Mapping[int, str],
    context: Context,
    brakes: BrakeCounters | None,
) -> Ruling:
    verdicts = sorted(_without_selftest(verdicts), key=Verdict.rank)
    verdicts, braked = _apply_brakes(verdicts, context, brakes)
    entry = next(iter(waved.values()), None)
    notes = _let_through(waved)
    dry = tuple(would.items())
    if not verdicts or verdicts[0].outcome is Outcome.ALLOW:
        first = verdicts[0] if verdicts else None
        return Ruling(
            outcome=Outcome.ALLOW,
            rule=_rule_name(first) if first is not None else ALLOW_LISTED if waved else NO_FINDINGS,
            policy_version=rules.version,
            reasons=_reasons(verdicts[:1]) + notes,
            purpose=first.purpose if first is not None else None,
            opaque_reason=OPAQUE[Outcome.ALLOW],
            would=dry,
            allow_listed=entry,
        )
    deciding = verdicts[0]
    heavy = [v for v in verdicts if v.outcome is not Outcome.ALLOW]
    deferred = any(_is_ours(v) for v in heavy) and not any(v.matches for v in heavy)
    return Ruling(
        outcome=deciding.outcome,
        rule=_rule_name(deciding),
        policy_version=rules.version,
        reasons=_reasons([v for v in heavy if v.braked or v.purpose in {deciding.purpose, None}])
        + notes,
        effects=() if deferred else _effects(heavy),
        purpose=deciding.purpose,
        severity=deciding.rule.severity if deciding.rule is not None else None,
        deferred=deferred,
        opaque_reason=OPAQUE[deciding.outcome],
        would=dry,
        braked=Outcome.BLOCK if braked else None,
        allow_listed=entry,
    )


def _without_selftest(verdicts: list[Verdict]) -> list[Verdict]:
    """The verdicts without the self-test's, where a match of another list has weight: the harmless
    trigger packed beside real material must not hide it behind a decision without case."""
    others = [v for v in verdicts if v.purpose is not Purpose.SELFTEST]
    if any(v.matches and v.outcome is not Outcome.ALLOW for v in others):
        return others
    return verdicts


def _is_ours(verdict: Verdict) -> bool:
    """Whether a hold rests on a fault of ours alone: a part that failed, or a rule that did, with
    no match and nothing unreadable behind it."""
    if verdict.outcome is not Outcome.HOLD or verdict.matches:
        return False
    if verdict.finding is not None:
        return verdict.finding.kind is FindingKind.FAULT
    return verdict.failed is not None


def _rule_name(verdict: Verdict) -> str:
    if verdict.rule is not None:
        return verdict.rule.name
    return verdict.failed or NO_RULE


def _reasons(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    reasons: list[str] = []
    for verdict in verdicts:
        if verdict.finding is not None and verdict.finding.reason:
            reasons.append(verdict.finding.reason)
        if verdict.rule is not None and verdict.rule.reason:
            reasons.append(verdict.rule.reason)
        if verdict.failed is not None:
            reasons.append(f"The rule {verdict.failed} failed; nothing is let through on that.")
        if verdict.braked is not None:
            reasons.append(verdict.braked)
        if verdict.softened is not None:
            reasons.append(
                f"The rule says {verdict.softened.value}; the finding carries "
                f"{verdict.outcome.value} at most."
            )
    return tuple(dict.fromkeys(reasons))


def _let_through(waved: Mapping[int, str]) -> tuple[str, ...]:
    """Which allow-list entries let findings through, for the record of the decision."""
    return tuple(
        f"The allow-list entry {entry} let a match through."
        for entry in sorted(set(waved.values()))
    )


def _effects(heavy: Sequence[Verdict]) -> tuple[Effect, ...]:
    """Case and evidence for every purpose that a match serves, each by itself (invariant 13); no
    case for the self-test."""
    effects: list[Effect] = []
    served: set[Purpose | None] = set()
    for verdict in heavy:
        purpose = verdict.purpose
        if purpose in served or purpose is Purpose.SELFTEST or _is_ours(verdict):
            continue
        served.add(purpose)
        rule = verdict.rule
        if purpose is None and (rule is None or not rule.case):
            continue
        facts = {"purpose": (purpose or Purpose.OWN).value}
        if rule is not None and rule.queue is not None:
            facts["queue"] = rule.queue
        effects.append(Effect(kind=EffectKind.OPEN_CASE, facts=facts))
        if purpose is not None:
            effects.append(Effect(kind=EffectKind.SEAL_EVIDENCE, facts={"purpose": purpose.value}))
    return tuple(effects)


def _apply_brakes(
    verdicts: list[Verdict], context: Context, brakes: BrakeCounters | None
) -> tuple[list[Verdict], bool]:
    """The verdicts with those blocks softened to ``hold`` whose rule or signal is over its limit,
    and whether that changed the outcome. Asks once for each rule, and only until a block stands:
    what is blocked anyway needs no more."""
    if brakes is None or not verdicts or verdicts[0].outcome is not Outcome.BLOCK:
        return verdicts, False
    pulled: dict[str, Pulled] = {}
    after: list[Verdict] = []
    stands = False
    for verdict in verdicts:
        rule = verdict.rule
        if verdict.outcome is not Outcome.BLOCK or stands:
            after.append(verdict)
            continue
        if rule is None or not rule.brake.limits or verdict.purpose is Purpose.SELFTEST:
            stands = True
            after.append(verdict)
            continue
        if rule.name not in pulled:
            signals = _signals(v for v in verdicts if v.rule is rule)
            pulled[rule.name] = brakes.take(rule.name, signals, rule.brake, context.now)
        why = pulled[rule.name].why(_signal(verdict))
        stands = why is None
        after.append(verdict if stands else replace(verdict, outcome=Outcome.HOLD, braked=why))
    after.sort(key=Verdict.rank)
    return after, not stands


def _signal(verdict: Verdict) -> str | None:
    finding = verdict.finding
    return finding.signal.id if finding is not None and finding.signal is not None else None


def _signals(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    found = (_signal(v) for v in verdicts if v.outcome is Outcome.BLOCK)
    return tuple(dict.fromkeys(s for s in found if s is not None))[:MAX_SIGNALS]
