"""What comes of findings, in the words of the rules."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import pytest

from tutela.core import (
    Account,
    AgeBand,
    EffectKind,
    FaultKind,
    FindingKind,
    Item,
    ItemKind,
    ListMode,
    Media,
    Outcome,
    Purpose,
    SignalState,
)
from tutela.policy import Context, MemoryBrakes, Policy
from tutela.policy.decide import decide
from tutela.policy.testing import run

CONTEXT = Context()


def kinds(ruling: Any) -> list[EffectKind]:
    return [effect.kind for effect in ruling.effects]


@pytest.mark.parametrize("name", ["default", "strict"])
def test_the_packaged_policies_pass_their_own_tests(name: str) -> None:
    results = run(Policy.load(name).rules)
    assert len(results) >= 15
    assert [result.wrong for result in results if not result.passed] == []


def test_nothing_found_passes() -> None:
    ruling = Policy.default().decide([], CONTEXT)
    assert (ruling.outcome, ruling.rule, ruling.effects) == (Outcome.ALLOW, "nothing-found", ())


def test_a_block_seals_evidence_and_opens_a_case_of_the_lists_purpose(finding: Any) -> None:
    ruling = Policy.default().decide([finding(purpose=Purpose.NCII)], CONTEXT)
    assert (ruling.outcome, ruling.purpose) == (Outcome.BLOCK, Purpose.NCII)
    assert kinds(ruling) == [EffectKind.OPEN_CASE, EffectKind.SEAL_EVIDENCE]
    assert all(effect.facts["purpose"] == "ncii" for effect in ruling.effects)
    assert ruling.reasons == ("It matches.", "The very same bytes are on a blocking list.")


def test_two_purposes_make_two_cases(finding: Any) -> None:
    ruling = Policy.default().decide(
        [
            finding(purpose=Purpose.NCII, reason="intimate"),
            finding(FindingKind.NEAR, purpose=Purpose.CSAM, distance=30, reason="abuse"),
        ],
        CONTEXT,
    )
    assert (ruling.outcome, ruling.purpose) == (Outcome.BLOCK, Purpose.NCII)
    cases = [e.facts["purpose"] for e in ruling.effects if e.kind is EffectKind.OPEN_CASE]
    assert cases == ["ncii", "csam"]
    assert "abuse" not in ruling.reasons


def test_the_heaviest_finding_decides(finding: Any) -> None:
    findings = [
        finding(mode=ListMode.INFORM),
        finding(FindingKind.NEAR, distance=25),
        finding(FindingKind.NEAR, distance=3, reason="the near one"),
    ]
    for order in (findings, findings[::-1]):
        ruling = Policy.default().decide(order, CONTEXT)
        assert (ruling.outcome, ruling.rule, ruling.reasons[0]) == (
            Outcome.BLOCK,
            "near",
            "the near one",
        )


def test_what_only_informs_is_recorded_and_passes(finding: Any) -> None:
    ruling = Policy.default().decide([finding(mode=ListMode.INFORM)], CONTEXT)
    assert (ruling.outcome, ruling.rule, ruling.purpose) == (
        Outcome.ALLOW,
        "inform",
        Purpose.CSAM,
    )
    assert ruling.effects == ()


def test_unreadable_is_held_without_evidence(finding: Any) -> None:
    ruling = Policy.default().decide(
        [finding(FindingKind.UNREADABLE, fault=FaultKind.ENCRYPTED)], CONTEXT
    )
    assert (ruling.outcome, ruling.deferred, ruling.effects) == (Outcome.HOLD, False, ())


def test_a_fault_defers_unless_a_match_decides(finding: Any) -> None:
    fault = finding(FindingKind.FAULT, fault=FaultKind.CRASHED)
    unreadable = finding(FindingKind.UNREADABLE)
    policy = Policy.default()
    for findings in ([fault], [fault, unreadable], [fault, finding(mode=ListMode.INFORM)]):
        ruling = policy.decide(findings, CONTEXT)
        assert (ruling.outcome, ruling.deferred) == (Outcome.HOLD, True)
        assert ruling.effects == ()
    held = policy.decide([fault, finding(mode=ListMode.HOLD)], CONTEXT)
    assert (held.outcome, held.deferred) == (Outcome.HOLD, False)
    assert EffectKind.SEAL_EVIDENCE in kinds(held)
    assert policy.decide([fault, finding()], CONTEXT).outcome is Outcome.BLOCK


def test_the_self_test_hides_no_real_match(finding: Any) -> None:
    trigger = finding(purpose=Purpose.SELFTEST)
    alone = Policy.default().decide([trigger], CONTEXT)
    assert (alone.outcome, alone.rule, alone.effects) == (Outcome.BLOCK, "selftest", ())
    both = Policy.default().decide([trigger, finding(mode=ListMode.HOLD)], CONTEXT)
    assert (both.outcome, both.purpose) == (Outcome.HOLD, Purpose.CSAM)
    assert EffectKind.SEAL_EVIDENCE in kinds(both)


def test_a_rule_above_a_findings_ceiling_is_softened_and_says_so(finding: Any, rules: Any) -> None:
    block = rules("[[rule]]\nname = 'a'\nwhen = 'true'\noutcome = 'block'")
    for mode, state, outcome in (
        (ListMode.HOLD, SignalState.ACTIVE, Outcome.HOLD),
        (ListMode.BLOCK, SignalState.DISPUTED, Outcome.HOLD),
        (ListMode.INFORM, SignalState.ACTIVE, Outcome.ALLOW),
        (ListMode.BLOCK, SignalState.WITHDRAWN, Outcome.ALLOW),
        (ListMode.OFF, SignalState.ACTIVE, Outcome.ALLOW),
    ):
        ruling = decide(block, [finding(mode=mode, state=state)], CONTEXT)
        assert ruling.outcome is outcome
        assert (
            f"The rule says block; the finding carries {outcome.value} at most." in ruling.reasons
        )


def test_what_no_rule_speaks_of_is_held_where_it_may_be(finding: Any, rules: Any) -> None:
    none = rules("name = 'none'")
    assert decide(none, [finding()], CONTEXT).rule == "unruled"
    assert decide(none, [finding()], CONTEXT).outcome is Outcome.HOLD
    assert decide(none, [finding(mode=ListMode.INFORM)], CONTEXT).outcome is Outcome.ALLOW
    assert decide(none, [finding(FindingKind.FAULT)], CONTEXT).deferred


def test_a_rule_that_fails_lets_nothing_through(finding: Any, rules: Any) -> None:
    failing = rules(
        "[[rule]]\nname = 'bad'\nwhen = '1 / size(item.surface) == 1'\noutcome = 'block'\n"
        "[[rule]]\nname = 'rest'\nwhen = 'true'\noutcome = 'allow'"
    )
    held = decide(failing, [finding()], CONTEXT)
    assert (held.outcome, held.rule, held.deferred) == (Outcome.HOLD, "bad", False)
    assert "The rule bad failed; nothing is let through on that." in held.reasons
    item = rules("[[rule]]\nname = 'b'\neach = 'item'\nwhen = '1 / 0 == 1'\noutcome = 'hold'")
    ruling = decide(item, [], CONTEXT)
    assert (ruling.outcome, ruling.rule, ruling.deferred) == (Outcome.HOLD, "b", True)


def test_a_dry_rule_is_recorded_and_does_not_act(finding: Any, rules: Any) -> None:
    text = (
        "[[rule]]\nname = 'tried'\nwhen = 'finding.distance < 5'\noutcome = 'block'\n"
        "dry_run = true\n"
        "[[rule]]\nname = 'failing'\nwhen = '1 / 0 == 1'\noutcome = 'block'\ndry_run = true\n"
        "[[rule]]\nname = 'live'\nwhen = 'true'\noutcome = 'hold'"
    )
    ruling = decide(rules(text), [finding()], CONTEXT)
    assert (ruling.outcome, ruling.rule) == (Outcome.HOLD, "live")
    assert ruling.would == (("tried", Outcome.BLOCK),)


def test_rules_for_the_item_see_account_and_place(finding: Any, rules: Any) -> None:
    text = """
[[rule]]
name = "new-accounts"
each = "item"
when = '''
account.facts.days == "0" && item.surface == "avatar" && item.live
  && item.recipients_age_band == "under_13" && account.age_band == "adult"
'''
outcome = "hold"
queue = "new"
severity = "high"
[[rule]]
name = "rest"
when = "true"
outcome = "allow"
"""
    item = Item(
        kind=ItemKind.UPLOAD,
        surface="avatar",
        live=True,
        client_ip=IPv4Address("192.0.2.1"),
        recipients_age_band=AgeBand.UNDER_13,
        account=Account(id="a", age_band=AgeBand.ADULT, facts={"days": "0"}),
    )
    ruling = decide(rules(text), [], Context.of(item))
    assert (ruling.outcome, ruling.rule, ruling.severity) == (
        Outcome.HOLD,
        "new-accounts",
        "high",
    )
    assert [(e.kind, dict(e.facts)) for e in ruling.effects] == [
        (EffectKind.OPEN_CASE, {"purpose": "own", "queue": "new"}),
    ]
    assert decide(rules(text), [], CONTEXT).outcome is Outcome.ALLOW
    matched = decide(rules(text), [finding(mode=ListMode.HOLD)], Context.of(item))
    assert (matched.purpose, matched.outcome) == (Purpose.CSAM, Outcome.HOLD)
    assert EffectKind.SEAL_EVIDENCE in kinds(matched)


def test_a_rule_for_the_item_blocks_only_on_a_match_of_a_blocking_list(
    finding: Any, rules: Any
) -> None:
    text = "[[rule]]\nname = 'b'\neach = 'item'\nwhen = 'true'\noutcome = 'block'"
    assert decide(rules(text), [], CONTEXT).outcome is Outcome.HOLD
    assert decide(rules(text), [finding(mode=ListMode.HOLD)], CONTEXT).outcome is Outcome.HOLD
    assert decide(rules(text), [finding()], CONTEXT).outcome is Outcome.BLOCK


def test_brakes_fall_back_to_hold_by_rule_and_by_signal(finding: Any, rules: Any) -> None:
    text = (
        "[[rule]]\nname = 'b'\nwhen = 'true'\noutcome = 'block'\n"
        "brake = { per_hour = 4, per_signal_per_hour = 2 }"
    )
    policy = Policy(rules(text), brakes=MemoryBrakes(lambda _alarm: None))
    outcomes = [policy.decide([finding(signal="s1")], CONTEXT) for _ in range(3)]
    assert [r.outcome for r in outcomes] == [Outcome.BLOCK, Outcome.BLOCK, Outcome.HOLD]
    assert outcomes[2].braked is Outcome.BLOCK
    assert EffectKind.SEAL_EVIDENCE in kinds(outcomes[2])
    assert any("One signal matched more often" in reason for reason in outcomes[2].reasons)
    both = policy.decide([finding(signal="s1"), finding(signal="s2")], CONTEXT)
    assert both.outcome is Outcome.BLOCK, "another signal carries the block"
    last = policy.decide([finding(signal="s3")], CONTEXT)
    assert (last.outcome, last.braked) == (Outcome.HOLD, Outcome.BLOCK)
    assert any("The rule blocked more often" in reason for reason in last.reasons)


def test_a_pulled_brake_is_told_where_another_purpose_decides_after_it(
    finding: Any, rules: Any
) -> None:
    """The recorded reasons must say why something was held that the rule blocks."""
    text = (
        "[[rule]]\nname = 'b'\nwhen = 'finding.list.mode == \"block\"'\noutcome = 'block'\n"
        "brake = { per_hour = 1 }"
    )
    policy = Policy(rules(text), brakes=MemoryBrakes(lambda _alarm: None))
    found = [finding(purpose=Purpose.NCII), finding(mode=ListMode.HOLD)]
    assert policy.decide(found, CONTEXT).outcome is Outcome.BLOCK
    held = policy.decide(found, CONTEXT)
    assert (held.outcome, held.purpose) == (Outcome.HOLD, Purpose.CSAM)
    assert any("The rule blocked more often" in reason for reason in held.reasons)


def test_the_self_test_pulls_no_brake(finding: Any, rules: Any) -> None:
    text = "[[rule]]\nname = 'b'\nwhen = 'true'\noutcome = 'block'\nbrake = { per_hour = 1 }"
    policy = Policy(rules(text), brakes=MemoryBrakes(lambda _alarm: None))
    for _ in range(3):
        trigger = policy.decide([finding(purpose=Purpose.SELFTEST)], CONTEXT)
        assert trigger.outcome is Outcome.BLOCK
    assert policy.decide([finding()], CONTEXT).outcome is Outcome.BLOCK


def test_context_survives_being_recorded(media: Any) -> None:
    file: Media = media()
    item = Item(
        kind=ItemKind.UPLOAD,
        file_name="a.jpg",
        account=Account(id="a", facts={"x": "1"}),
        facts={"y": "2"},
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    context = Context.of(item, file, protecting=False, tries=3, now=now)
    again = Context.from_plain(context.plain(), now=now)
    assert again.plain() == context.plain()
    assert context.plain()["item"]["format"] == "jpeg"
    assert context.plain()["context"] == {"protecting": False, "tries": 3}
    assert Context.from_plain({}).plain() == Context().plain()


def test_it_is_quick(finding: Any) -> None:
    """A guard against the gross: the figures are in the documentation."""
    policy = Policy.default(brakes=MemoryBrakes(lambda _alarm: None))
    started = time.process_time()
    for _ in range(2000):
        policy.decide([], CONTEXT)
    assert (time.process_time() - started) / 2000 < 100e-6
    started = time.process_time()
    for _ in range(200):
        policy.decide([finding(FindingKind.NEAR, distance=30)], CONTEXT)
    assert (time.process_time() - started) / 200 < 5e-3
