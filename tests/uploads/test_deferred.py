"""A fault of ours is a deferred hold that settles by itself, and never an allow (invariant 7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, update
from tests.house import picture
from tests.uploads.road_house import LISTED, Decoder, House

from tutela.app import Tutela
from tutela.core import (
    Account,
    AgeBand,
    Decision,
    FaultKind,
    FindingKind,
    Item,
    ItemKind,
    Outcome,
    Ruling,
    as_plain,
    utc_now,
)
from tutela.errors import Conflict, DecoderUnavailable, IndexUnavailable, StorageFull
from tutela.hashing.source import Source
from tutela.policy import Policy
from tutela.store.engine import DATABASE_FILE
from tutela.store.tables.cases import cases
from tutela.store.tables.decisions import decisions, items
from tutela.store.tables.evidence import evidence
from tutela.store.tables.outbox import outbox
from tutela.store.tables.uploads import deferred_uploads
from tutela.uploads.deferred import item_from_plain
from tutela.uploads.plan import Plan

OURS = [FaultKind.CRASHED, FaultKind.TIMED_OUT, FaultKind.UNAVAILABLE]


def count(house: House, table: object) -> int:
    with house.tutela.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def make_due(house: House, **values: object) -> None:
    with house.tutela.database.begin() as connection:
        connection.execute(
            update(deferred_uploads).values(next_at=utc_now() - timedelta(seconds=1), **values)
        )


def deferred_then_listed(house: House, monkeypatch: pytest.MonkeyPatch) -> Decision:
    """An upload put off while the lists were away, which matches when it is examined again."""

    def away(_: object) -> None:
        raise IndexUnavailable("told to")

    with monkeypatch.context() as patch:
        patch.setattr(house.tutela.lists, "match", away)
        first = house.upload(LISTED)
    assert first.deferred
    return first


def again(house: House) -> int:
    make_due(house)
    return house.run(house.tutela.deferred.run_once())


@pytest.mark.parametrize("fault", OURS)
def test_a_fault_of_ours_holds_without_case_or_evidence(house: House, fault: FaultKind) -> None:
    house.decoder.fails = fault
    decision = house.upload(picture(60))
    assert (decision.outcome, decision.deferred) == (Outcome.HOLD, True)
    assert decision.case_id is None
    assert count(house, cases) == count(house, evidence) == 0
    assert count(house, deferred_uploads) == 1
    assert len(house.tutela.spool.parked()) == 1


def test_what_waits_is_encrypted(house: House) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    data = picture(60)
    house.upload(data)
    for path in house.tutela.settings.data_dir.rglob("*"):
        if path.is_file():
            assert data[2000:2032] not in path.read_bytes()


@pytest.mark.parametrize(
    ("data", "outcome"), [(picture(60), Outcome.ALLOW), (LISTED, Outcome.BLOCK)]
)
def test_it_is_examined_again_and_gets_its_decision(
    house: House, monkeypatch: pytest.MonkeyPatch, data: bytes, outcome: Outcome
) -> None:
    def away(_: object) -> None:
        raise IndexUnavailable("told to")

    account = Account(id="u-1", age_band=AgeBand.FROM_13_TO_15)
    with monkeypatch.context() as patch:
        patch.setattr(house.tutela.lists, "match", away)
        first = house.upload(data, account=account, surface="avatar", file_name="x.jpg")
    assert first.deferred
    assert again(house) == 1

    record = house.read(first.id)
    assert record.decision.outcome is Outcome.HOLD
    assert record.superseded_by is not None
    settled = house.read(record.superseded_by)
    assert settled.supersedes == first.id
    assert (settled.decision.outcome, settled.decision.deferred) == (outcome, False)
    assert settled.item["account_id"] == "u-1"
    assert settled.decision.item_id == first.item_id
    assert count(house, items) == 1
    assert count(house, deferred_uploads) == 0
    assert house.tutela.spool.parked() == []
    assert count(house, cases) == (1 if outcome is Outcome.BLOCK else 0)
    assert count(house, evidence) == (1 if outcome is Outcome.BLOCK else 0)
    with house.tutela.database.read() as connection:
        told = [row.payload for row in connection.execute(select(outbox).order_by(outbox.c.id))]
    assert [event["outcome"] for event in told] == ["hold", outcome.value]
    assert told[1]["supersedes"] == first.id


def test_while_the_fault_lasts_it_waits_longer_each_time(house: House) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    house.upload(picture(60))
    waits = []
    for tries in range(1, 4):
        assert again(house) == 0
        with house.tutela.database.read() as connection:
            row = connection.execute(select(deferred_uploads)).one()
        assert row.tries == tries
        waits.append((row.next_at - utc_now()).total_seconds())
    assert waits == sorted(waits)
    assert count(house, decisions) == 1


def test_a_file_that_always_ends_the_decoder_is_held_for_good(house: House) -> None:
    """Some tries, then it counts as unreadable: it does not come back for a day."""
    house.decoder.fails = FaultKind.CRASHED
    first = house.upload(picture(60))
    tries = house.tutela.settings.uploads.deferred_tries
    assert [again(house) for _ in range(tries)] == [0] * (tries - 1) + [1]
    following = house.read(first.id).superseded_by
    assert following is not None
    decision = house.read(following).decision
    assert (decision.outcome, decision.deferred) == (Outcome.HOLD, False)
    assert decision.findings[0].kind is FindingKind.UNREADABLE


def test_a_decoder_that_stays_away_is_never_the_files_fault(house: House) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    house.upload(picture(60))
    for _ in range(house.tutela.settings.uploads.deferred_tries + 2):
        assert again(house) == 0
    assert count(house, deferred_uploads) == 1


def test_one_that_waited_past_its_time_stays_held(house: House) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    first = house.upload(picture(60))
    house.decoder.fails = None
    make_due(house, expires_at=utc_now() - timedelta(seconds=1))
    assert house.run(house.tutela.deferred.run_once()) == 1
    following = house.read(first.id).superseded_by
    assert following is not None
    assert house.read(following).decision.outcome is Outcome.HOLD
    assert house.tutela.spool.parked() == []


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_one_whose_bytes_are_lost_stays_held(house: House, harm: str) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    first = house.upload(picture(60))
    house.decoder.fails = None
    path = next((house.tutela.settings.data_dir / "deferred").iterdir())
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert again(house) == 1
    following = house.read(first.id).superseded_by
    assert following is not None
    assert house.read(following).decision.outcome is Outcome.HOLD


def test_another_process_leaves_one_that_is_taken(house: House) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    house.upload(picture(60))
    make_due(house)
    assert house.tutela.deferred._claim() is not None
    assert house.tutela.deferred._claim() is None


def test_one_is_claimed_while_the_others_wait_for_whoever_is_free(house: House) -> None:
    """A claim on many would run out while the first are examined, and be taken twice."""
    house.decoder.fails = FaultKind.UNAVAILABLE
    first, second = (house.upload(picture(n)) for n in (60, 61))
    make_due(house)
    claims = [house.tutela.deferred._claim() for _ in range(3)]
    assert claims[2] is None
    assert {claim.decision_id for claim in claims if claim} == {first.id, second.id}


@pytest.fixture
def elsewhere(house: House, tmp_path: Path) -> Iterator[House]:
    """Another machine at the same database, with a data folder of its own."""
    ours = house.tutela.settings
    url = SecretStr(f"sqlite:///{ours.data_dir / DATABASE_FILE}")
    store = ours.store.model_copy(update={"database_url": url})
    shared = {"data_dir": tmp_path / "elsewhere", "store": store}
    made = House.__new__(House)
    made.tutela = Tutela(ours.model_copy(update=shared), background=False)
    made.tutela.open_lists()
    made.decoder = Decoder()
    made.tutela.gate._decoder = made.decoder
    yield made
    made.tutela.close()


def test_what_lies_on_another_machine_waits_for_that_machine(
    house: House, elsewhere: House
) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    first = house.upload(picture(60))
    make_due(house)
    assert elsewhere.run(elsewhere.tutela.deferred.run_once()) == 0
    assert house.read(first.id).superseded_by is None
    house.decoder.fails = None
    assert again(house) == 1
    following = house.read(first.id).superseded_by
    assert following is not None
    assert house.read(following).decision.outcome is Outcome.ALLOW


def test_what_lay_on_a_machine_that_never_came_back_stays_held(
    house: House, elsewhere: House
) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    first = house.upload(picture(60))
    make_due(house, expires_at=utc_now() - timedelta(seconds=1))
    assert elsewhere.run(elsewhere.tutela.deferred.run_once()) == 1
    following = house.read(first.id).superseded_by
    assert following is not None
    assert house.read(following).decision.outcome is Outcome.HOLD
    assert count(house, deferred_uploads) == 0


def test_a_crash_after_the_decision_examines_nothing_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision and the end of the wait are one transaction (invariant 2)."""
    first = deferred_then_listed(house, monkeypatch)

    act = house.tutela.road.act

    async def killed(plan: Plan, source: Source | None) -> Decision:
        await act(plan, source)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(house.tutela.road, "act", killed)
        with pytest.raises(KeyboardInterrupt):
            again(house)
    assert count(house, deferred_uploads) == 0
    assert again(house) == 0
    assert house.read(first.id).superseded_by is not None
    assert (count(house, decisions), count(house, cases), count(house, evidence)) == (2, 1, 1)


def test_of_two_that_examine_the_same_one_decides(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a claim that ran out: the slower one writes nothing and leaves nothing sealed."""
    deferred_then_listed(house, monkeypatch)
    make_due(house)
    waiting = house.tutela.deferred._claim()
    assert waiting is not None
    with house.tutela.spool.unpark(waiting.parked) as copy:
        assert again(house) == 1
        monkeypatch.setattr(house.tutela.spool, "unpark", lambda _: copy)
        with pytest.raises(Conflict):
            house.run(house.tutela.deferred._again(waiting))
    assert (count(house, decisions), count(house, cases), count(house, evidence)) == (2, 1, 1)
    assert len(list((house.tutela.settings.data_dir / "objects").rglob("*.age"))) == 1


def test_one_past_its_time_is_closed_even_where_a_rule_fails(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    first = house.upload(picture(60))
    ruled = Policy.decide

    def failing(*args: Any) -> Ruling:
        return replace(ruled(*args), deferred=True)

    monkeypatch.setattr(Policy, "decide", failing)
    make_due(house, expires_at=utc_now() - timedelta(seconds=1))
    assert house.run(house.tutela.deferred.run_once()) == 1
    assert house.read(first.id).superseded_by is not None


def test_the_entrance_may_be_set_to_answer_an_error_instead(house: House) -> None:
    settings = house.tutela.settings
    uploads = settings.uploads.model_copy(update={"on_fault": "error"})
    house.tutela.act._settings = settings.model_copy(update={"uploads": uploads})
    house.decoder.fails = FaultKind.UNAVAILABLE
    with pytest.raises(DecoderUnavailable) as caught:
        house.upload(picture(60))
    assert caught.value.retry_after
    assert count(house, decisions) == 0


def test_without_room_to_wait_it_is_an_error(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise StorageFull("There is no room.")

    monkeypatch.setattr(house.tutela.spool, "park", full)
    house.decoder.fails = FaultKind.UNAVAILABLE
    with pytest.raises(StorageFull):
        house.upload(picture(60))
    assert count(house, decisions) == 0


def test_a_listed_digest_blocks_even_without_a_decoder(house: House) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    decision = house.upload(LISTED)
    assert (decision.outcome, decision.deferred) == (Outcome.BLOCK, False)
    assert decision.evidence_id is not None


def test_an_items_facts_survive_the_wait() -> None:
    from ipaddress import ip_address

    for item in (
        Item(kind=ItemKind.UPLOAD),
        Item(
            kind=ItemKind.UPLOAD,
            account=Account(id="ü", age_band=AgeBand.ADULT, facts={"a": "b"}),
            file_name="é.jpg",
            client_ip=ip_address("2001:db8::1"),
            client_time=utc_now(),
            client_port=4,
            live=True,
            facts={"room": "blue"},
        ),
    ):
        assert item_from_plain(as_plain(item)) == item
