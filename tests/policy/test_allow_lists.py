"""Allow lists let the harmless through and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from tutela.core import (
    FindingKind,
    FrameHash,
    HashType,
    ListMode,
    Outcome,
    Purpose,
    SignalHash,
)
from tutela.errors import InvalidInput, NotFound
from tutela.policy import AllowEntry, AllowList, AllowLists, Context, Policy
from tutela.store import Database
from tutela.store.tables.ledger import ledger_entries
from tutela.transparency import Ledger

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SHA = b"\x01" * 32
PDQ = bytes(range(32))


def flipped(value: bytes, bits: int) -> bytes:
    number = int.from_bytes(value, "big")
    for position in range(bits):
        number ^= 1 << (position * 7)
    return number.to_bytes(32, "big")


def entry(type: HashType = HashType.SHA256, value: bytes = SHA, **more: Any) -> AllowEntry:
    values: dict[str, Any] = {
        "id": "alw_1",
        "distance": 0,
        "owner": "Ada",
        "reason": "A meme.",
        "created_at": NOW - timedelta(days=1),
        "expires_at": NOW + timedelta(days=1),
        **more,
    }
    return AllowEntry(type=type, value=value, **values)


def outcome(findings: list[Any], media: Any, *entries: AllowEntry, **more: Any) -> Any:
    policy = Policy.default(allow_list=AllowList(entries))
    return policy.decide(findings, Context.of(media=media, now=NOW, **more))


def test_a_file_is_let_through_by_its_digest(finding: Any, media: Any) -> None:
    near = finding(FindingKind.NEAR, distance=3)
    ruling = outcome([near], media(sha256=SHA), entry())
    assert (ruling.outcome, ruling.allow_listed) == (Outcome.ALLOW, "alw_1")
    assert ruling.rule == "allow-listed"
    assert ruling.reasons == ("The allow-list entry alw_1 let a match through.",)
    assert outcome([near], media(sha256=b"\x02" * 32), entry()).outcome is Outcome.BLOCK
    assert outcome([near], media(sha256=SHA)).allow_listed is None


def test_what_was_let_through_beside_another_finding_is_told_too(finding: Any, media: Any) -> None:
    ruling = outcome([finding(), finding(FindingKind.NEAR)], media(sha256=SHA), entry())
    assert ruling.outcome is Outcome.BLOCK
    assert "The allow-list entry alw_1 let a match through." in ruling.reasons


def test_never_past_an_exact_digest_of_a_blocking_list(finding: Any, media: Any) -> None:
    ruling = outcome([finding(), finding(FindingKind.NEAR)], media(sha256=SHA), entry())
    assert ruling.outcome is Outcome.BLOCK
    held = outcome([finding(mode=ListMode.HOLD)], media(sha256=SHA), entry())
    assert held.outcome is Outcome.ALLOW, "a list that only holds can be wrong, too"


def test_never_past_what_was_not_examined_nor_the_self_test(finding: Any, media: Any) -> None:
    for kind in (FindingKind.FAULT, FindingKind.UNREADABLE):
        ruling = outcome([finding(kind)], media(sha256=SHA), entry())
        assert (ruling.outcome, ruling.allow_listed) == (Outcome.HOLD, None)
    trigger = finding(FindingKind.NEAR, purpose=Purpose.SELFTEST)
    assert outcome([trigger], media(sha256=SHA), entry()).outcome is Outcome.BLOCK


def test_an_entry_ends_by_itself(finding: Any, media: Any) -> None:
    near = finding(FindingKind.NEAR)
    over = entry(expires_at=NOW)
    assert outcome([near], media(sha256=SHA), over).outcome is Outcome.BLOCK
    like = entry(HashType.PDQ, PDQ, expires_at=NOW)
    assert outcome([near], media(pdqs=(PDQ,)), like).outcome is Outcome.BLOCK


@given(st.integers(0, 14), st.integers(0, 10), st.integers(0, 31))
def test_likeness_reaches_so_far_and_only_what_is_nearer_to_it_than_to_the_signal(
    away: int, reach: int, to_signal: int
) -> None:
    from tests.policy.conftest import make_finding, make_media

    near = make_finding(FindingKind.NEAR, distance=to_signal)
    ruling = outcome(
        [near], make_media(pdqs=(flipped(PDQ, away),)), entry(HashType.PDQ, PDQ, distance=reach)
    )
    waved = away <= reach and away < to_signal
    assert (ruling.allow_listed is not None) == waved
    assert (ruling.outcome is Outcome.ALLOW) == waved


def test_likeness_lets_no_video_and_no_digest_match_through(finding: Any, media: Any) -> None:
    like = entry(HashType.PDQ, PDQ, distance=10)
    file = media(pdqs=(PDQ,))
    assert outcome([finding(FindingKind.VIDEO)], file, like).outcome is Outcome.BLOCK
    assert outcome([finding(mode=ListMode.HOLD)], file, like).outcome is Outcome.HOLD


def test_every_frame_must_be_harmless(finding: Any, media: Any) -> None:
    """A finding tells the nearest frame only; another one may hide behind it."""
    like = entry(HashType.PDQ, PDQ, distance=10)
    near = finding(FindingKind.NEAR, frame=0, distance=5)
    assert outcome([near], media(pdqs=(PDQ, PDQ)), like).outcome is Outcome.ALLOW
    assert outcome([near], media(pdqs=(PDQ, flipped(PDQ, 30))), like).outcome is Outcome.BLOCK
    film = media(
        frames=tuple(
            FrameHash(number=n, time=n, pdq=flipped(PDQ, n * 20), quality=90) for n in range(2)
        )
    )
    assert outcome([near], film, like).outcome is Outcome.BLOCK


def test_members_of_containers_by_their_own_digest_or_the_containers(
    finding: Any, media: Any
) -> None:
    member = media(where="a.zip/1.jpg", sha256=b"\x03" * 32)
    archive = media(sha256=SHA, members=(member, media(where="a.zip/2.jpg", sha256=b"\x04" * 32)))
    near = finding(FindingKind.NEAR, where="a.zip/1.jpg")
    other = finding(FindingKind.NEAR, where="a.zip/2.jpg")
    assert outcome([near, other], archive, entry()).outcome is Outcome.ALLOW
    by_member = entry(value=b"\x03" * 32)
    assert outcome([near], archive, by_member).outcome is Outcome.ALLOW
    assert outcome([near, other], archive, by_member).outcome is Outcome.BLOCK


def test_two_members_of_one_name_must_both_be_harmless(finding: Any, media: Any) -> None:
    twins = tuple(
        media(where="a.zip/x", sha256=bytes([n]) * 32, pdqs=(flipped(PDQ, n * 30),))
        for n in range(2)
    )
    archive = media(sha256=b"\x09" * 32, members=twins)
    near = finding(FindingKind.NEAR, where="a.zip/x", distance=20)
    one, two = entry(value=bytes(32)), entry(value=b"\x01" * 32)
    assert outcome([near], archive, one).outcome is Outcome.BLOCK
    assert outcome([near], archive, one, two).outcome is Outcome.ALLOW
    assert outcome([near], archive, entry(HashType.PDQ, PDQ, distance=5)).outcome is Outcome.BLOCK


def test_hashes_that_a_platform_sent_are_asked_too(finding: Any) -> None:
    near = finding(FindingKind.NEAR, distance=9)
    sha, pdq = (
        SignalHash(type=HashType.SHA256, value=SHA),
        SignalHash(type=HashType.PDQ, value=PDQ),
    )
    assert outcome([near], None, entry(), hashes=(sha, pdq)).outcome is Outcome.ALLOW
    like = entry(HashType.PDQ, PDQ)
    assert outcome([near], None, like, hashes=(pdq,)).outcome is Outcome.ALLOW
    assert outcome([near], None, like, hashes=(sha,)).outcome is Outcome.BLOCK
    assert outcome([near], None, entry()).outcome is Outcome.BLOCK


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": HashType.MD5, "value": bytes(16)},
        {"type": HashType.SHA1, "value": bytes(20)},
        {"value": b"short"},
        {"distance": 1},
        {"type": HashType.PDQ, "distance": 11},
        {"type": HashType.PDQ, "distance": -1},
        {"owner": " "},
        {"reason": ""},
        {"reason": "x" * 501},
        {"owner": "a\nb"},
        {"expires_at": NOW - timedelta(days=1)},
        {"expires_at": NOW + timedelta(days=366)},
    ],
)
def test_what_is_no_entry_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        entry(**wrong)


def test_entries_are_kept_with_owner_reason_and_end(database: Database) -> None:
    lists = AllowLists(database, log=Ledger(database, database.settings).append)
    assert lists.load().entries == ()
    one = lists.add(HashType.SHA256, SHA, owner=" Ada ", reason="A meme.", days=10, now=NOW)
    two = lists.add(HashType.PDQ, PDQ, owner="Bo", reason="Logo.", distance=10, days=1, now=NOW)
    assert one.owner == "Ada"
    assert set(lists.load(NOW).entries) == {one, two}
    assert lists.load(NOW + timedelta(days=2)).entries == (one,)
    lists.end(one.id, by="Cy", why="It was not.", now=NOW + timedelta(hours=1))
    with pytest.raises(NotFound):
        lists.end(one.id, by="Cy", why="Again.")
    with pytest.raises(NotFound):
        lists.end("alw_none", by="Cy", why="x")
    with pytest.raises(InvalidInput):
        lists.end(two.id, by="", why="x")
    kept = {k.entry.id: (k.state, k.by, k.why) for k in lists.all(NOW + timedelta(days=2))}
    assert kept == {one.id: ("ended", "Cy", "It was not."), two.id: ("expired", None, None)}
    assert [k.state for k in lists.all(NOW)] == ["active", "ended"]
    with database.read() as conn:
        logged = conn.execute(select(ledger_entries.c.kind, ledger_entries.c.subject)).all()
    assert sorted(map(tuple, logged)) == sorted(
        [("allow-list", one.id), ("allow-list", two.id), ("allow-list", one.id)]
    )


def test_absurd_lives_are_refused(sqlite_database: Database) -> None:
    for days in (1e300, float("nan"), -1, 0, 367):
        with pytest.raises(InvalidInput):
            AllowLists(sqlite_database).add(HashType.SHA256, SHA, owner="o", reason="r", days=days)
