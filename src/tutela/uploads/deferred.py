"""Deferred holds: uploads that a fault of ours kept from being examined are examined again, by
themselves, until there is a decision or their time is over. None of them is ever let through
unexamined (invariant 7)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Protocol

import msgspec
from sqlalchemy import func, or_, select, update

from tutela import __version__
from tutela.core import (
    Account,
    AgeBand,
    FaultKind,
    Finding,
    FindingKind,
    Item,
    ItemKind,
    utc_now,
)
from tutela.errors import EvidenceDamaged, NotFound, TutelaError
from tutela.settings import UploadSettings
from tutela.store import Database
from tutela.store.tables.uploads import deferred_uploads

from .act import Act
from .decide import Decide
from .gate import Examined, UploadGate, forgiven
from .plan import Plan
from .records import Asker
from .spool import Spool

BATCH = 20
"""Most deferred uploads taken up in one round, one after another."""
CLAIM = timedelta(minutes=30)
"""For how long a process keeps one upload to itself; another takes it up after that. Longer than
the longest examination (``decoder.video_cpu_seconds`` on a busy machine)."""
MOST_WAIT = timedelta(minutes=10)


class Road(Protocol):
    """What is needed of ``tutela.road.Road``."""

    gate: UploadGate
    decide: Decide
    act: Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One deferred upload."""

    decision_id: str
    parked: str
    item: Item
    key_id: str
    tries: int
    expires_at: datetime


class Deferred:
    """Takes deferred uploads up again. Any process may run it; each upload is claimed first, and
    only by a process that has the data folder in which its bytes lie. One whose time is over is
    closed by whoever comes first, since its folder may be gone for good."""

    def __init__(
        self, road: Road, database: Database, spool: Spool, settings: UploadSettings
    ) -> None:
        self._road = road
        self._database = database
        self._spool = spool
        self._settings = settings

    async def run_once(self) -> int:
        """Examine again what is due; how many of them have their decision now."""
        settled = 0
        for _ in range(BATCH):
            waiting = await asyncio.to_thread(self._claim)
            if waiting is None:
                break
            try:
                settled += await self._again(waiting)
            except TutelaError:
                await asyncio.to_thread(self._later, waiting)
        return settled

    def count(self) -> int:
        """How many wait."""
        with self._database.read() as connection:
            return int(
                connection.execute(select(func.count()).select_from(deferred_uploads)).scalar_one()
            )

    async def _again(self, waiting: Waiting) -> bool:
        """One examination. True where it led to a decision that stands."""
        if waiting.expires_at <= utc_now():
            return await self._close(waiting, "It waited past its time and was not examined.")
        try:
            source = await asyncio.to_thread(self._spool.unpark, waiting.parked)
        except (NotFound, EvidenceDamaged):
            return await self._close(waiting, "Its bytes are gone or damaged.")
        with source:
            forgive = forgiven(waiting.tries + 1, self._settings.deferred_tries)
            examined = await self._road.gate.examine(source, forgive=forgive)
            plan = await self._road.decide(
                waiting.item,
                examined,
                Asker(key_id=waiting.key_id),
                tries=waiting.tries + 1,
                follows=waiting.decision_id,
            )
            if plan.ruling.deferred:
                await asyncio.to_thread(self._later, waiting)
                return False
            await self._road.act(plan, source)
        await asyncio.to_thread(self._spool.drop, waiting.parked)
        return True

    async def _close(self, waiting: Waiting, why: str) -> bool:
        """The end of one that can't be examined any more: a hold that stands."""
        finding = Finding(
            kind=FindingKind.UNREADABLE,
            detector="spool",
            version=__version__,
            reason=why,
            fault=FaultKind.UNAVAILABLE,
        )
        plan = await self._road.decide(
            waiting.item,
            Examined(media=None, findings=(finding,)),
            Asker(key_id=waiting.key_id),
            tries=waiting.tries,
            follows=waiting.decision_id,
        )
        await self._road.act(_for_good(plan), None)
        await asyncio.to_thread(self._spool.drop, waiting.parked)
        return True

    def _claim(self) -> Waiting | None:
        """One that is due and whose bytes are here, or whose time is over, claimed for ourselves.
        One at a time: a claim on many would run out while the first are examined."""
        now = utc_now()
        ours = deferred_uploads.c.holder == self._spool.holder
        with self._database.begin() as connection:
            row = (
                connection.execute(
                    select(deferred_uploads)
                    .where(
                        deferred_uploads.c.next_at <= now,
                        or_(ours, deferred_uploads.c.expires_at <= now),
                    )
                    .order_by(deferred_uploads.c.next_at)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
                .mappings()
                .first()
            )
            if row is None:
                return None
            connection.execute(
                update(deferred_uploads)
                .where(deferred_uploads.c.decision_id == row["decision_id"])
                .values(next_at=now + CLAIM)
            )
        return _waiting(row)

    def _later(self, waiting: Waiting) -> None:
        """Put it off: each time longer, and never past its end."""
        tries = waiting.tries + 1
        wait = timedelta(seconds=self._settings.deferred_retry_seconds) * 2 ** min(tries, 8)
        due = min(utc_now() + min(wait, MOST_WAIT), waiting.expires_at)
        with contextlib.suppress(TutelaError), self._database.begin() as connection:
            connection.execute(
                update(deferred_uploads)
                .where(deferred_uploads.c.decision_id == waiting.decision_id)
                .values(next_at=due, tries=tries)
            )


def _for_good(plan: Plan) -> Plan:
    """The plan without another wait, also where a rule failed meanwhile: its hold stands."""
    if not plan.ruling.deferred:
        return plan
    return replace(
        plan,
        ruling=replace(plan.ruling, deferred=False, effects=()),
        decision=replace(plan.decision, deferred=False),
    )


def item_from_plain(plain: Mapping[str, Any]) -> Item:
    """An item out of what ``as_plain`` made of it."""
    account, time, address = plain["account"], plain["client_time"], plain["client_ip"]
    return Item(
        id=plain["id"],
        kind=ItemKind(plain["kind"]),
        received_at=datetime.fromisoformat(plain["received_at"]),
        account=msgspec.convert(account, Account) if account else None,
        file_name=plain["file_name"],
        surface=plain["surface"],
        recipients_age_band=AgeBand(plain["recipients_age_band"]),
        client_time=datetime.fromisoformat(time) if time else None,
        client_ip=ip_address(address) if address else None,
        client_port=plain["client_port"],
        live=plain["live"],
        entrance=plain["entrance"],
        facts=plain["facts"],
    )


def _waiting(row: Mapping[Any, Any]) -> Waiting:
    return Waiting(
        decision_id=row["decision_id"],
        parked=row["parked"],
        item=item_from_plain(row["item"]),
        key_id=row["key_id"] or "",
        tries=row["tries"],
        expires_at=row["expires_at"],
    )
