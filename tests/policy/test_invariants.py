"""Attacks on what no rule can do: arbitrary rules, findings, allow lists and brakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tutela.core import (
    Digests,
    EffectKind,
    FaultKind,
    Finding,
    FindingKind,
    HashType,
    ListMode,
    ListRef,
    Media,
    MediaKind,
    Outcome,
    Purpose,
    Ruling,
    SignalRef,
    SignalState,
)
from tutela.policy import AllowEntry, AllowList, Context, MemoryBrakes, Policy
from tutela.policy.decide import OPAQUE, decide
from tutela.policy.loading import parse
from tutela.policy.rules import Brake, Rule, RuleSet

MATCHES = {FindingKind.EXACT, FindingKind.NEAR, FindingKind.VIDEO}
NOW = datetime(2026, 1, 1, tzinfo=UTC)

CONDITIONS = [
    "true",
    "true",
    "false",
    "finding.kind == 'exact'",
    "finding.kind == 'fault'",
    "finding.kind in ['near', 'unreadable']",
    "finding.list.mode != 'block'",
    "finding.list.purpose == 'ncii'",
    "finding.signal.state == 'disputed'",
    "finding.distance > 5",
    "finding.view != ''",
    "findings.exists(f, f.list.purpose == 'csam')",
    "size(findings) > 1",
    "findings.all(f, f.distance < 9)",
    "1 / (finding.distance - finding.distance) == 1",
    "9223372036854775807 + finding.quality > 0",
    "account.facts.trusted == 'yes'",
    "!context.protecting",
]
ITEM_CONDITIONS = [text for text in CONDITIONS if "finding." not in text] + [
    "findings.exists(f, f.list.mode == 'inform')",
    "findings.exists(f, f.list.purpose == 'csam') && findings.exists(f, f.list.purpose == 'ncii')",
    "1 / size(findings) == 7",
    "1 / 0 == 1",
]

OUTCOMES = list(Outcome)


def _read(each: str, when: str) -> Rule:
    """One rule as read from a file."""
    text = f'[[rule]]\nname = "x"\neach = "{each}"\nwhen = "{when}"\noutcome = "hold"'
    return parse(text, origin="arbitrary").rules[0]


RULES = {
    "finding": [_read("finding", when) for when in CONDITIONS],
    "item": [_read("item", when) for when in ITEM_CONDITIONS],
}
"""A rule for each condition, to be varied."""


@st.composite
def rule_sets(draw: st.DrawFn) -> RuleSet:
    rules: list[Rule] = []
    for number in range(draw(st.integers(0, 6))):
        each = draw(st.sampled_from(["finding", "finding", "item"]))
        rules.append(
            replace(
                draw(st.sampled_from(RULES[each])),
                name=f"r{number}",
                outcome=draw(st.sampled_from(OUTCOMES if each == "finding" else OUTCOMES[1:])),
                case=draw(st.booleans()),
                dry_run=draw(st.integers(0, 4)) == 0,
                brake=draw(st.sampled_from([Brake(), Brake(per_hour=1, per_signal_per_hour=1)])),
            )
        )
    return RuleSet.of("arbitrary", "", "arbitrary", tuple(rules))


@st.composite
def some_findings(draw: st.DrawFn) -> list[Finding]:
    found: list[Finding] = []
    for number in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(FindingKind))
        listed = signal = None
        if kind in MATCHES and draw(st.integers(0, 9)):
            listed = ListRef(
                id=f"l{number}",
                name="n",
                purpose=draw(st.sampled_from(Purpose)),
                mode=draw(st.sampled_from(ListMode)),
                version=1,
                stale=draw(st.booleans()),
            )
        if kind in MATCHES and draw(st.integers(0, 9)):
            signal = SignalRef(
                id=draw(st.sampled_from(["s1", "s2"])),
                upstream_id="u",
                state=draw(st.sampled_from(SignalState)),
                ref=number,
            )
        found.append(
            Finding(
                kind=kind,
                detector="d",
                version="1",
                reason=f"finding {number}",
                list=listed,
                signal=signal,
                distance=draw(st.none() | st.integers(0, 31)),
                quality=draw(st.none() | st.integers(0, 100)),
                view=draw(st.sampled_from([None, "mirror"])),
                share=draw(st.none() | st.floats(0, 1)),
                fault=draw(st.none() | st.sampled_from(FaultKind)),
            )
        )
    return found


CONTEXT = Context(now=NOW)
PACKAGED = [Policy.load("default"), Policy.load("strict")]


def may_block(finding: Finding) -> bool:
    return (
        finding.kind in MATCHES
        and finding.list is not None
        and finding.list.mode is ListMode.BLOCK
        and finding.signal is not None
        and finding.signal.state is SignalState.ACTIVE
    )


def sealed(ruling: Ruling) -> set[str]:
    return {e.facts["purpose"] for e in ruling.effects if e.kind is EffectKind.SEAL_EVIDENCE}


def opened(ruling: Ruling) -> set[str]:
    return {e.facts["purpose"] for e in ruling.effects if e.kind is EffectKind.OPEN_CASE}


FAULT = Finding(kind=FindingKind.FAULT, detector="d", version="1", reason="f")
ALLOW_ALL = parse(
    "[[rule]]\nname = 'a'\nwhen = 'true'\noutcome = 'allow'", origin="allow everything"
)
BLOCK_ALL = parse(
    "[[rule]]\nname = 'a'\nwhen = 'true'\noutcome = 'block'", origin="block everything"
)


def every_match() -> Iterator[Finding]:
    """A match of every kind, on a list of every mode and purpose, by a signal in every state."""
    for kind, mode, state, purpose in product(MATCHES, ListMode, SignalState, Purpose):
        yield Finding(
            kind=kind,
            detector="d",
            version="1",
            reason="r",
            list=ListRef(id="l", name="n", purpose=purpose, mode=mode, version=1),
            signal=SignalRef(id="s", upstream_id="u", state=state, ref=1),
            distance=0,
            quality=100,
            share=1.0,
        )


@pytest.mark.parametrize("each", ["finding", "item"])
def test_a_rule_that_blocks_everything_blocks_what_may_be_blocked_and_nothing_else(
    each: str,
) -> None:
    rules = parse(
        f"[[rule]]\nname = 'a'\nwhen = 'true'\neach = '{each}'\noutcome = 'block'", origin="all"
    )
    for finding in every_match():
        assert finding.list is not None
        assert finding.signal is not None
        idle = not finding.signal.state.matches or finding.list.mode in {
            ListMode.INFORM,
            ListMode.OFF,
        }
        lightest = Outcome.ALLOW if each == "finding" else Outcome.HOLD
        wanted = Outcome.BLOCK if may_block(finding) else lightest if idle else Outcome.HOLD
        assert decide(rules, [finding], CONTEXT).outcome is wanted, finding
        bare = replace(finding, signal=None)
        assert decide(rules, [bare], CONTEXT).outcome is not Outcome.BLOCK
        assert decide(rules, [replace(bare, list=None)], CONTEXT).outcome is Outcome.HOLD


def test_a_rule_that_allows_everything_allows_no_fault_and_nothing_unreadable() -> None:
    for finding in every_match():
        assert decide(ALLOW_ALL, [finding], CONTEXT).outcome is Outcome.ALLOW
        for kind in (FindingKind.FAULT, FindingKind.UNREADABLE):
            other = Finding(kind=kind, detector="d", version="1", reason="r")
            for found in ([other], [other, finding], [finding, other]):
                ruling = decide(ALLOW_ALL, found, CONTEXT)
                assert ruling.outcome is Outcome.HOLD
                assert ruling.deferred == (kind is FindingKind.FAULT)


@given(rule_sets(), some_findings())
@example(ALLOW_ALL, [FAULT])
@example(BLOCK_ALL, [FAULT])
def test_invariant_7_a_fault_never_turns_into_allow(rules: RuleSet, found: list[Finding]) -> None:
    ruling = decide(rules, found, CONTEXT, brakes=MemoryBrakes(lambda _alarm: None))
    kinds = {finding.kind for finding in found}
    if kinds & {FindingKind.FAULT, FindingKind.UNREADABLE}:
        assert ruling.outcome is not Outcome.ALLOW
    if kinds == {FindingKind.FAULT}:
        assert ruling.deferred
        assert ruling.outcome is Outcome.HOLD
    if ruling.deferred:
        assert ruling.outcome is Outcome.HOLD
        assert ruling.effects == ()


@given(rule_sets(), some_findings())
@example(BLOCK_ALL, [FAULT])
def test_invariant_5_nothing_but_a_match_of_a_blocking_list_blocks(
    rules: RuleSet, found: list[Finding]
) -> None:
    ruling = decide(rules, found, CONTEXT)
    if ruling.outcome is Outcome.BLOCK:
        assert any(map(may_block, found))
        assert ruling.purpose in {f.list.purpose for f in found if may_block(f) and f.list}
    for _, would in ruling.would:
        assert would is not Outcome.BLOCK or any(map(may_block, found))


@given(rule_sets(), some_findings())
def test_invariant_6_withdrawn_signals_and_informing_lists_hold_nothing(
    rules: RuleSet, found: list[Finding]
) -> None:
    idle = [
        finding
        for finding in found
        if finding.kind in MATCHES
        and finding.list is not None
        and finding.signal is not None
        and (
            not finding.signal.state.matches or finding.list.mode in {ListMode.INFORM, ListMode.OFF}
        )
    ]
    without = decide(rules, [], CONTEXT)
    ruling = decide(rules, idle, CONTEXT)
    assert ruling.outcome is without.outcome
    assert sealed(ruling) == set()


@given(rule_sets(), some_findings())
def test_invariant_8_the_uploaders_word_follows_from_the_outcome_alone(
    rules: RuleSet, found: list[Finding]
) -> None:
    ruling = decide(rules, found, CONTEXT)
    assert ruling.opaque_reason == OPAQUE[ruling.outcome]


@given(rule_sets(), some_findings())
def test_invariant_13_purposes_never_mix(rules: RuleSet, found: list[Finding]) -> None:
    ruling = decide(rules, found, CONTEXT)
    purposes = {f.list.purpose for f in found if f.list and f.kind in MATCHES}
    assert ruling.purpose is None or ruling.purpose in purposes
    for purpose in Purpose:
        alone = [
            f for f in found if f.list is None or f.kind not in MATCHES or f.list.purpose is purpose
        ]
        if purpose in {Purpose.OWN, Purpose.SELFTEST}:
            continue
        by_itself = decide(rules, alone, CONTEXT)
        assert (purpose.value in sealed(ruling)) == (purpose.value in sealed(by_itself))
        assert (purpose.value in opened(ruling)) == (purpose.value in opened(by_itself))
    for number, finding in enumerate(found):
        if finding.list and finding.kind in MATCHES and finding.list.purpose is not ruling.purpose:
            assert f"finding {number}" not in ruling.reasons
    assert sealed(ruling) <= {p.value for p in purposes}


@given(rule_sets(), some_findings())
def test_invariant_1_a_held_or_blocked_match_has_case_and_evidence(
    rules: RuleSet, found: list[Finding]
) -> None:
    ruling = decide(rules, found, CONTEXT, brakes=MemoryBrakes(lambda _alarm: None))
    assert Purpose.SELFTEST.value not in sealed(ruling) | opened(ruling)
    if ruling.outcome is Outcome.ALLOW:
        assert ruling.effects == ()
    elif ruling.purpose not in {None, Purpose.SELFTEST}:
        assert ruling.purpose is not None
        assert ruling.purpose.value in sealed(ruling) & opened(ruling)


@given(rule_sets(), some_findings(), st.sets(st.integers(0, 3)))
def test_dry_rules_change_nothing(rules: RuleSet, found: list[Finding], dry: set[int]) -> None:
    live = tuple(rule for rule in rules.rules if not rule.dry_run)
    without = RuleSet.of("w", rules.source, "w", live)
    ruling, plain = decide(rules, found, CONTEXT), decide(without, found, CONTEXT)
    assert (ruling.outcome, ruling.rule, ruling.effects) == (
        plain.outcome,
        plain.rule,
        plain.effects,
    )
    assert {name for name, _ in ruling.would} <= {r.name for r in rules.rules if r.dry_run}


@given(rule_sets(), some_findings())
def test_brakes_only_ever_turn_a_block_into_a_hold(rules: RuleSet, found: list[Finding]) -> None:
    free = decide(rules, found, CONTEXT)
    brakes = MemoryBrakes(lambda _alarm: None)
    for _ in range(3):
        ruling = decide(rules, found, CONTEXT, brakes=brakes)
        if free.outcome is not Outcome.BLOCK:
            assert ruling == free
        elif ruling.braked is not None:
            assert (ruling.braked, ruling.outcome) == (Outcome.BLOCK, Outcome.HOLD)
        else:
            assert ruling.outcome is Outcome.BLOCK
        assert sealed(ruling) == sealed(free)


def allow_everything() -> AllowList:
    def entry(type: HashType, value: bytes, distance: int) -> AllowEntry:
        return AllowEntry(
            id="alw_1",
            type=type,
            value=value,
            distance=distance,
            owner="o",
            reason="r",
            created_at=NOW - timedelta(days=1),
            expires_at=NOW + timedelta(days=1),
        )

    return AllowList([entry(HashType.SHA256, bytes(32), 0), entry(HashType.PDQ, bytes(32), 10)])


@given(rule_sets(), some_findings())
@settings(max_examples=60)
def test_an_allow_list_reaches_past_no_exact_digest_of_a_blocking_list_and_no_fault(
    rules: RuleSet, found: list[Finding]
) -> None:
    media = Media(
        kind=MediaKind.PICTURE,
        format="png",
        size=1,
        digests=Digests(md5=bytes(16), sha1=bytes(20), sha256=bytes(32)),
    )
    context = Context.of(media=media, now=NOW)
    kept = [
        f
        for f in found
        if f.kind not in MATCHES
        or f.list is None
        or f.list.purpose is Purpose.SELFTEST
        or (f.kind is FindingKind.EXACT and f.list.mode is ListMode.BLOCK)
    ]
    ruling = Policy(rules, allow_list=allow_everything()).decide(found, context)
    without = decide(rules, kept, context)
    assert (ruling.outcome, ruling.deferred) == (without.outcome, without.deferred)
    assert (ruling.allow_listed is not None) == (len(kept) < len(found))


@given(some_findings(), st.text(max_size=20), st.dictionaries(st.text(max_size=5), st.text()))
def test_no_finding_or_fact_makes_the_default_policy_raise(
    found: list[Finding], text: str, facts: dict[str, Any]
) -> None:
    context = Context.from_plain(
        {"item": {"file_name": text, "facts": facts}, "account": {"id": text, "facts": facts}}
    )
    for policy in PACKAGED:
        ruling = policy.decide(found, context)
        assert isinstance(ruling.outcome, Outcome)
        assert "nothing is let through on that" not in " ".join(ruling.reasons)
