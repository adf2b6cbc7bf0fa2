"""What a policy never does, though lists were given to it for that: told before it is in force."""

from __future__ import annotations

from tutela.core import Finding, FindingKind, ListMode, ListRef, Outcome, Purpose, SignalRef
from tutela.core import SignalState as State

from .context import Context
from .decide import decide
from .rules import RuleSet

_NO_BLOCK = (
    "no rule of it blocks even the very same bytes as on a blocking list{purposes}. Your file "
    "replaces the default policy, it does not add to it: begin with "
    "'tutela policy show default --source'."
)
_NO_SELFTEST = "it does not block the self-test's trigger: the self-test would fail."


def warnings(rules: RuleSet) -> list[str]:
    """Sentences about what these rules let stand: an exact match of an active signal of a blocking
    list that does not end in a block, and a self-test that would fail. No brake is counted."""
    weak = [
        purpose.value
        for purpose in Purpose
        if purpose is not Purpose.SELFTEST and not _blocks(rules, purpose)
    ]
    told = []
    if weak:
        some = "" if len(weak) == len(Purpose) - 1 else f" of purpose {', '.join(weak)}"
        told.append(_NO_BLOCK.format(purposes=some))
    if not _blocks(rules, Purpose.SELFTEST):
        told.append(_NO_SELFTEST)
    return told


def _blocks(rules: RuleSet, purpose: Purpose) -> bool:
    ruling = decide(rules, (_exact(purpose),), Context.from_plain({}))
    return ruling.outcome is Outcome.BLOCK


def _exact(purpose: Purpose) -> Finding:
    """The plainest match there is."""
    return Finding(
        kind=FindingKind.EXACT,
        detector="check",
        version="1",
        reason="The very same bytes.",
        list=ListRef(
            id="lst_check",
            name="check",
            purpose=purpose,
            mode=ListMode.BLOCK,
            version=1,
            stale=False,
        ),
        signal=SignalRef(id="sig_check", upstream_id="check", state=State.ACTIVE, ref=1),
        distance=0,
    )
