"""The road: what is seen, what is sealed, what is recorded; and what never happens."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

import pytest
from sqlalchemy import func, select
from tests.house import picture
from tests.uploads.road_house import LISTED, House

from tutela.cases import CheckReport, check_vault
from tutela.core import (
    Fault,
    FaultKind,
    FindingKind,
    HashMode,
    Item,
    ItemKind,
    ListMode,
    Outcome,
    Purpose,
)
from tutela.errors import Conflict, IdempotencyConflict, StorageFull, StoreUnavailable
from tutela.hashing.source import Source
from tutela.settings import Settings
from tutela.store.tables.cases import cases
from tutela.store.tables.decisions import decisions, items
from tutela.store.tables.evidence import custody, evidence
from tutela.store.tables.ledger import ledger_entries
from tutela.store.tables.outbox import outbox
from tutela.uploads.gate import CRASHES, _of_fault, forgiven
from tutela.uploads.records import Asker


def vault_report(house: House) -> CheckReport:
    tutela = house.tutela
    return check_vault(tutela.database, tutela.objects, tutela.ledger)


def counts(house: House) -> dict[str, int]:
    tables = {
        t.name: t for t in (items, decisions, cases, evidence, custody, ledger_entries, outbox)
    }
    with house.tutela.database.read() as connection:
        return {
            name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            for name, table in tables.items()
        }


def grown(house: House, before: dict[str, int]) -> dict[str, int]:
    now = counts(house)
    return {name: now[name] - before[name] for name in now if now[name] != before[name]}


def test_an_allowed_upload_leaves_hashes_and_facts_only(house: House) -> None:
    before = counts(house)
    decision = house.upload(picture(70))
    assert decision.outcome is Outcome.ALLOW
    assert grown(house, before) == {"items": 1, "decisions": 1, "ledger_entries": 1}
    with house.tutela.database.read() as connection:
        row = connection.execute(select(items).where(items.c.id == decision.item_id)).one()
    assert len(row.sha256) == 32
    assert len(row.hashes["pictures"][0]["pdq"]) == 64
    kept = row.expires_at - row.received_at
    assert kept.days == house.tutela.settings.uploads.keep_days


def test_a_block_commits_everything_together(house: House) -> None:
    before = counts(house)
    decision = house.upload(LISTED)
    assert decision.outcome is Outcome.BLOCK
    assert grown(house, before) == {
        "items": 1,
        "decisions": 1,
        "cases": 1,
        "evidence": 1,
        "custody": 1,
        "ledger_entries": 2,
        "outbox": 1,
    }
    assert vault_report(house).troubles == []


def test_two_purposes_make_two_cases_each_with_its_own_evidence(house: House) -> None:
    """Invariant 13: an intimate-image match never enters an abuse case."""
    house.add("intimate", LISTED, purpose=Purpose.NCII)
    before = counts(house)
    decision = house.upload(LISTED)
    assert grown(house, before)["cases"] == grown(house, before)["evidence"] == 2
    with house.tutela.database.read() as connection:
        rows = {row.purpose: row.id for row in connection.execute(select(cases)).all()}
        sealed = [row.case_id for row in connection.execute(select(evidence)).all()]
    assert set(rows) == {"csam", "ncii"}
    assert sorted(sealed) == sorted(rows.values())
    assert decision.case_id == rows["csam"]


@pytest.mark.parametrize("error", [StorageFull("full"), StoreUnavailable("away")])
def test_where_evidence_cannot_be_sealed_nothing_is_decided(
    house: House, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Invariant 1."""

    def failing(*_: object, **__: object) -> None:
        raise error

    before = counts(house)
    monkeypatch.setattr(house.tutela.vault, "seal_blocking", failing)
    with pytest.raises(type(error)):
        house.upload(LISTED)
    assert grown(house, before) == {}


@pytest.mark.parametrize("part", ["ledger", "outbox", "custody"])
def test_where_one_part_cannot_be_written_none_is(
    house: House, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Invariant 2; and the sealed object does not stay behind."""

    def failing(*_: object, **__: object) -> None:
        raise StoreUnavailable("told to")

    where = {
        "ledger": (house.tutela.ledger, "append_decisions"),
        "outbox": (house.tutela.outbox, "enqueue"),
        "custody": (house.tutela.vault, "record"),
    }
    before = counts(house)
    monkeypatch.setattr(*where[part], failing)
    with pytest.raises(StoreUnavailable):
        house.upload(LISTED)
    assert grown(house, before) == {}
    assert list((house.tutela.settings.data_dir / "objects").rglob("*.age")) == []


def test_a_match_is_sealed_whatever_effects_the_policy_names(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = house.tutela.policy
    decide = policy.decide
    monkeypatch.setattr(policy, "decide", lambda *a, **k: replace(decide(*a, **k), effects=()))
    decision = house.upload(LISTED)
    assert decision.outcome is Outcome.BLOCK
    assert decision.evidence_id is not None


def test_looking_records_nothing(house: House) -> None:
    before = counts(house)
    with Source.from_bytes(LISTED) as source:
        decision = house.run(house.tutela.road.look(Item(kind=ItemKind.UPLOAD), source))
    assert decision.outcome is Outcome.BLOCK
    assert grown(house, before) == {}


def test_a_match_near_the_edge_is_measured_again_with_the_references_bits(house: House) -> None:
    house.upload(picture(1, quality=40))
    assert HashMode.IDENTICAL not in [o.mode for o in house.decoder.asked if o is not None]
    decision = house.upload(picture(1, side=300, quality=40))
    assert [o.mode for o in house.decoder.asked if o is not None] == [HashMode.IDENTICAL]
    near = next(f for f in decision.findings if f.kind is FindingKind.NEAR)
    assert near.distance is not None
    assert near.distance_identical is not None
    assert near.distance >= house.tutela.settings.lists.exact_again_from


def test_the_identical_distance_is_that_of_the_matched_view(house: House) -> None:
    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(picture(1, side=300, quality=40)))
    out = io.BytesIO()
    ImageOps.mirror(image).save(out, "JPEG", quality=45)
    decision = house.upload(out.getvalue())
    near = next(f for f in decision.findings if f.kind is FindingKind.NEAR)
    assert near.view == "mirror"
    assert near.distance is not None
    assert near.distance_identical is not None
    assert abs(near.distance_identical - near.distance) <= 12


def test_a_hold_by_a_holding_list_is_sealed_too(house: House) -> None:
    house.add("holding", picture(71), mode=ListMode.HOLD)
    decision = house.upload(picture(71))
    assert decision.outcome is Outcome.HOLD
    assert decision.evidence_id is not None


def test_an_unreadable_file_is_held_without_a_case(house: House) -> None:
    decision = house.upload(b"\x89PNG\r\n\x1a\n" + b"junk" * 40)
    assert (decision.outcome, decision.deferred, decision.case_id) == (Outcome.HOLD, False, None)
    assert decision.findings[0].kind is FindingKind.UNREADABLE


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_becomes_a_finding_that_cannot_allow(kind: FaultKind) -> None:
    fault = Fault(kind=kind, detail="x")
    first = _of_fault(fault, CRASHES)
    again = _of_fault(fault, forgiven(1, 5))
    last = _of_fault(fault, forgiven(5, 5))
    assert first.kind is (FindingKind.FAULT if kind.ours else FindingKind.UNREADABLE)
    away = kind is FaultKind.UNAVAILABLE
    ours = away or kind is FaultKind.CRASHED  # a second time-out is the file's doing
    assert again.kind is (FindingKind.FAULT if ours else FindingKind.UNREADABLE)
    assert last.kind is (FindingKind.FAULT if away else FindingKind.UNREADABLE)


def test_without_an_index_an_upload_waits(house: House) -> None:
    house.tutela.index.close()
    decision = house.upload(picture(72))
    assert (decision.outcome, decision.deferred) == (Outcome.HOLD, True)
    assert decision.findings[0].detector == "index"


def asker(key: str, digest: bytes = b"d" * 32) -> Asker:
    return Asker(key_id="k", idempotency_key=key, request_digest=digest)


def test_a_request_is_remembered_with_all_that_was_answered(house: House) -> None:
    first = house.upload(LISTED, asker("a"))
    again = house.upload(LISTED, asker("a"))
    assert again.repeated
    assert not first.repeated
    same = ("id", "outcome", "case_id", "evidence_id", "findings", "reasons", "opaque_reason")
    assert [getattr(first, name) for name in same] == [getattr(again, name) for name in same]
    with pytest.raises(IdempotencyConflict):
        house.upload(LISTED, asker("a", b"e" * 32))


def test_a_conflict_that_is_no_repetition_is_raised(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def conflict(*_: object) -> None:
        raise Conflict("told to")

    monkeypatch.setattr(house.tutela.writer, "gather", conflict)
    with pytest.raises(Conflict):
        house.upload(picture(73), asker("b"))


def test_a_cancelled_upload_leaves_no_evidence_without_a_record(house: House) -> None:
    async def cancelled() -> None:
        with Source.from_bytes(LISTED) as source:
            task = asyncio.ensure_future(
                house.tutela.road.upload(Item(kind=ItemKind.UPLOAD), source)
            )
            for _ in range(30):
                await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    house.run(cancelled())
    report = vault_report(house)
    assert report.troubles == []


def test_the_self_test_passes_and_is_remembered(house: House) -> None:
    selftest = house.tutela.selftest
    assert selftest.last() is None
    before = counts(house)
    result = house.run(selftest.run())
    assert result.ok, result
    assert selftest.last() == result
    assert grown(house, before) == {"items": 3, "decisions": 3, "ledger_entries": 3}


def test_the_self_test_fails_where_nothing_would_be_found(house: House) -> None:
    house.tutela.lists._editor.set_mode("Self-test", ListMode.OFF, actor="t", reason="t")
    result = house.run(house.tutela.selftest.run())
    assert [step.ok for step in result.steps] == [False, False, True]
    assert not result.ok


def test_the_self_test_fails_where_everything_is_held(house: House) -> None:
    house.decoder.fails = FaultKind.UNAVAILABLE
    result = house.run(house.tutela.selftest.run())
    assert [step.ok for step in result.steps] == [False, True, False]


def test_the_self_test_does_not_protect(house: House) -> None:
    house.tutela.lists.set_mode("known", ListMode.OFF, actor="t", reason="t")
    assert not house.tutela.lists.protection(fresh=True).protecting


@pytest.mark.services
def test_the_road_is_the_same_over_postgresql_and_s3(deployment: Settings) -> None:
    house = House(deployment)
    try:
        decision = house.upload(LISTED, asker("x"))
        assert decision.outcome is Outcome.BLOCK
        assert house.upload(LISTED, asker("x")).id == decision.id
        assert house.upload(picture(74)).outcome is Outcome.ALLOW
        house.decoder.fails = FaultKind.UNAVAILABLE
        assert house.upload(picture(75)).deferred
        assert vault_report(house).troubles == []
        house.tutela.sequencer.run_once()
    finally:
        house.tutela.close()


def test_where_the_second_look_fails_the_first_stands(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A match near the edge stays a match where it can't be measured again."""

    def away(_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(house.tutela.lists, "values", away)
    decision = house.upload(picture(1, side=300, quality=40))
    near = next(f for f in decision.findings if f.kind is FindingKind.NEAR)
    assert decision.outcome is Outcome.HOLD
    assert near.distance_identical is None


def test_a_batch_of_hashes_raced_by_itself_is_decided_once(house: House) -> None:
    """The same batch twice at the same time: one set of decisions, one case."""
    from tutela.lists.matching import HashQuery

    with Source.from_bytes(LISTED) as source:
        sha256 = house.run(house.decoder.hash(source)).digests.sha256
    queries = [HashQuery(sha256=sha256), HashQuery(md5=bytes(16)), HashQuery(md5=bytes([1] * 16))]

    async def both() -> list[list[str]]:
        async def send() -> list[str]:
            items_sent = [(Item(kind=ItemKind.HASHES), query) for query in queries]
            decided = await house.tutela.road.hashes(items_sent, asker("batch"))
            return [decision.id for decision in decided]

        return await asyncio.gather(send(), send())

    first, second = house.run(both())
    assert first == second
    assert first[1] == first[2] != first[0]
    assert counts(house)["cases"] == 1
    assert counts(house)["evidence"] == 1
