"""The composition root: parts that only together keep a promise."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.house import QUICK, picture

from tutela.app import Tutela
from tutela.core import Item, ItemKind, ListMode, Outcome, Purpose, utc_now
from tutela.errors import StoreUnavailable
from tutela.hashing.source import Source
from tutela.settings import Settings
from tutela.store.tables.evidence import evidence
from tutela.store.tables.ledger import ledger_entries


def test_the_end_of_evidence_is_testified_in_the_ledger(tmp_path: Path) -> None:
    async def story(tutela: Tutela) -> str:
        async with tutela:
            with Source.from_bytes(picture(1)) as source:
                media = await tutela.decoder.hash(source)
                tutela.lists.create(
                    "known", Purpose.OWN, mode=ListMode.BLOCK, actor="test", reason="test"
                )
                tutela.lists.add_media("known", media, actor="test", reason="test")
                decision = await tutela.road.upload(Item(kind=ItemKind.UPLOAD), source)
            assert decision.outcome is Outcome.BLOCK
            days = tutela.settings.uploads.keep_decided_days
            swept = tutela.retention.sweep(utc_now() + timedelta(days=days + 1))
            assert swept.evidence == 1
            with tutela.database.read() as connection:
                (ended,) = connection.execute(select(evidence.c.id)).one()
                told = connection.execute(
                    select(ledger_entries.c.record)
                    .where(ledger_entries.c.subject == ended)
                    .order_by(ledger_entries.c.at)
                ).scalars()
                actions = [json.loads(record)["action"] for record in told]
            assert actions == ["sealed", "ending", "destroyed"]
            return str(ended)

    settings = Settings(data_dir=tmp_path / "data", **QUICK)
    assert asyncio.run(story(Tutela(settings, background=False)))
    assert not any((tmp_path / "data" / "objects").rglob("*.age"))


def test_a_start_that_fails_closes_everything_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tutela = Tutela(Settings(data_dir=tmp_path / "data", **QUICK), background=False)

    def away() -> None:
        raise StoreUnavailable("told to")

    monkeypatch.setattr(tutela, "open_lists", away)

    async def story() -> None:
        with pytest.raises(StoreUnavailable, match="told to"):
            await tutela.start()
        await asyncio.to_thread(int)  # the loop's threads are there for others

    asyncio.run(story())
    assert tutela.decoder.worker_pids == ()
    with pytest.raises(StoreUnavailable):
        tutela.writer.submit_blocking(lambda connection: None)


def test_two_may_follow_one_another_on_one_loop(tmp_path: Path) -> None:
    async def story() -> None:
        for name in ("one", "two"):
            async with Tutela(Settings(data_dir=tmp_path / name, **QUICK), background=False) as own:
                with Source.from_bytes(picture(1)) as source:
                    decision = await own.road.upload(Item(kind=ItemKind.UPLOAD), source)
                assert decision.outcome is Outcome.ALLOW

    asyncio.run(story())
