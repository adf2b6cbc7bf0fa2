"""What no rule can do, whatever it says: the floor and the ceiling of every finding.

These two functions enforce invariants 5, 6, 7 and 13 on each finding; ``decide`` applies them after
the rules have spoken, so a rule file can be wrong without anybody being blocked without ground or
anything unexamined getting through.
"""

from __future__ import annotations

from tutela.core import Finding, FindingKind, ListMode, Outcome, Purpose, SignalState

MATCHES = frozenset({FindingKind.EXACT, FindingKind.NEAR, FindingKind.VIDEO})
"""Kinds of finding that rest on a list."""

_BY_MODE = {
    ListMode.BLOCK: Outcome.BLOCK,
    ListMode.HOLD: Outcome.HOLD,
    ListMode.INFORM: Outcome.ALLOW,
    ListMode.OFF: Outcome.ALLOW,
}


def ceiling(finding: Finding) -> Outcome:
    """The heaviest outcome that may rest on this finding.

    ``block`` needs a match on a list that the operator made a blocking one, by an active signal
    (invariant 5). A disputed signal holds at most; one that is withdrawn or expired counts for
    nothing (invariant 6). A match without its list or signal, and anything that is no match, holds
    at most.
    """
    if finding.kind not in MATCHES or finding.list is None or finding.signal is None:
        return Outcome.HOLD
    state = finding.signal.state
    if not state.matches:
        return Outcome.ALLOW
    by_mode = _BY_MODE[finding.list.mode]
    if state is SignalState.DISPUTED and by_mode is Outcome.BLOCK:
        return Outcome.HOLD
    return by_mode


def floor(finding: Finding) -> Outcome:
    """The lightest outcome that this finding allows.

    A fault of ours never turns into ``allow`` (invariant 7), and neither does what could not be
    read: ``hold`` is the least for both.
    """
    if finding.kind in {FindingKind.FAULT, FindingKind.UNREADABLE}:
        return Outcome.HOLD
    return Outcome.ALLOW


def within(outcome: Outcome, finding: Finding) -> Outcome:
    """``outcome`` brought between the finding's floor and ceiling."""
    lowest, highest = floor(finding), ceiling(finding)
    if outcome.weight > highest.weight:
        outcome = highest
    return lowest if outcome.weight < lowest.weight else outcome


def purpose_of(finding: Finding) -> Purpose | None:
    """The purpose that a match on this finding's list may serve; None without a list."""
    if finding.list is None or finding.kind not in MATCHES:
        return None
    return finding.list.purpose


def unruled(finding: Finding) -> Outcome:
    """What becomes of a finding that no rule speaks of: held, where it may be."""
    return within(Outcome.HOLD, finding)
