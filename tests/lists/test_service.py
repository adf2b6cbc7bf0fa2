"""The lists service as the rest of the house uses it."""

from __future__ import annotations

from tutela.core import FindingKind, ListMode, Purpose
from tutela.lists import Lists

WHO = {"actor": "anna", "reason": "a test"}


def test_a_signal_matches_at_once_and_no_more_after_its_withdrawal(lists: Lists, known, make):
    lists.add("known", [make.signal(1)], **WHO)
    (finding,) = lists.match(make.picture(1, flips=6))
    assert finding.kind is FindingKind.NEAR
    assert finding.distance == 6
    assert finding.reason == "PDQ at distance 6 of 31 from a signal of list 'known'"
    lists.withdraw("known", ["up-1"], **WHO)
    assert lists.match(make.picture(1, flips=6)) == ()
