"""The composition root: parts that only together keep a promise."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select
from tests.house import QUICK, picture

from tutela.app import Tutela
from tutela.core import Item, ItemKind, ListMode, Outcome, Purpose, utc_now
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
                    select(ledger_entries.c.subject).where(ledger_entries.c.kind == "destruction")
                ).all()
            assert [row.subject for row in told] == [ended]
            return str(ended)

    settings = Settings(data_dir=tmp_path / "data", **QUICK)
    assert asyncio.run(story(Tutela(settings, background=False)))
    assert not any((tmp_path / "data" / "objects").rglob("*.age"))
