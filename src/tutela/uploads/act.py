"""Act: apply a ruling's effects once. Evidence is sealed first, then one transaction writes item,
decision, cases, custody, ledger and outbox together or not at all (invariants 1 and 2)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, update

from tutela.cases import Vault, keep_until
from tutela.core import (
    Decision,
    Outcome,
    Purpose,
    as_plain,
)
from tutela.errors import Conflict, DecoderUnavailable, StoreUnavailable, TutelaError
from tutela.hashing.source import Source
from tutela.settings import Settings
from tutela.store import Database, Outbox, Writer, write_stands
from tutela.store.tables.cases import case_items, cases
from tutela.store.tables.decisions import decisions, items
from tutela.store.tables.uploads import deferred_uploads
from tutela.transparency import Ledger

from .plan import CaseDraft, Plan, cases_of, with_cases
from .records import Asker, remembered, remembered_batch
from .rows import case_row, check_record, decision_row, event, item_row, seen
from .spool import Spool

OUTBOX_KIND = "decision.made"

_INSERT_ITEMS = insert(items)
_INSERT_DECISIONS = insert(decisions)


class Act:
    """Applies rulings. One for a process."""

    def __init__(
        self,
        *,
        database: Database,
        writer: Writer,
        vault: Vault,
        parking: Spool,
        ledger: Ledger,
        outbox: Outbox,
        settings: Settings,
    ) -> None:
        self._database = database
        self._writer = writer
        self._vault = vault
        self._parking = parking
        self._ledger = ledger
        self._outbox = outbox
        self._settings = settings

    async def __call__(self, plan: Plan, source: Source | None) -> Decision:
        """Seal, write, and return the decision as recorded.

        Raises ``StorageFull`` or ``StoreUnavailable`` where evidence cannot be sealed or the
        decision not be written; then nothing is recorded and nothing left behind.
        """
        started = time.perf_counter()
        plan = await self._prepare(plan, source)
        try:
            await self._writer.gather(self.write, [plan])
        except BaseException as error:
            await asyncio.shield(self._undo(plan, error))
            if isinstance(error, Conflict):
                return await self._earlier(plan.asker, error)
            raise
        spent = dict(plan.decision.milliseconds) | {"act": _ms_since(started)}
        return replace(plan.decision, milliseconds=spent)

    async def many(self, plans: Sequence[Plan]) -> list[Decision]:
        """As for one, for several checks of hashes that share one transaction. What is sealed
        where a hash matches is the record of the check: no other bytes are here."""
        ready: list[Plan] = []
        try:
            for plan in plans:
                if plan.ruling.outcome is Outcome.ALLOW:
                    ready.append(plan)
                    continue
                with Source.from_bytes(check_record(plan)) as source:
                    ready.append(await self._prepare(plan, source))
            await self._writer.gather(self.write, ready)
        except BaseException as error:
            for plan in ready:
                await asyncio.shield(self._undo(plan, error))
            raise
        return [plan.decision for plan in ready]

    async def earlier(self, asker: Asker) -> Decision | None:
        """The decision that this very request got before, if any."""
        if asker.idempotency_key is None:
            return None
        return await asyncio.to_thread(self._remembered, asker)

    async def earlier_batch(self, asker: Asker, count: int) -> list[Decision] | None:
        """The decisions that this very batch got before, if it was decided."""
        if asker.idempotency_key is None:
            return None
        return await asyncio.to_thread(self._remembered_batch, asker, count)

    def _remembered_batch(self, asker: Asker, count: int) -> list[Decision] | None:
        with self._database.read() as connection:
            return remembered_batch(connection, asker, count)

    def _remembered(self, asker: Asker) -> Decision | None:
        with self._database.read() as connection:
            return remembered(connection, asker)

    async def _earlier(self, asker: Asker, conflict: Conflict) -> Decision:
        """The same request came twice at once and the other one was first."""
        decision = await self.earlier(asker)
        if decision is None:
            raise conflict
        return decision

    async def _prepare(self, plan: Plan, source: Source | None) -> Plan:
        """Do what must be durable before the transaction: park, or seal."""
        ruling = plan.ruling
        if ruling.deferred:
            return await self._park(plan, source)
        wanted = cases_of(ruling)
        if source is None or not wanted:
            return with_cases(plan, wanted)
        sealed: list[CaseDraft] = []
        try:
            for draft in wanted:
                sealed.append(await self._seal(plan, draft, source))
        except BaseException:
            for draft in sealed:
                await asyncio.shield(self._discard(draft))
            raise
        return with_cases(plan, sealed)

    async def _seal(self, plan: Plan, draft: CaseDraft, source: Source) -> CaseDraft:
        media = plan.examined.media
        sealed = await self._vault.seal(
            source,
            facts={"item_id": plan.item.id, "decision_id": plan.decision.id},
            sha256=media.digests.sha256 if media is not None else None,
        )
        return replace(draft, sealed=sealed)

    async def _park(self, plan: Plan, source: Source | None) -> Plan:
        if self._settings.uploads.on_fault == "error" or source is None:
            raise DecoderUnavailable("The upload could not be examined just now.")
        if plan.parked is not None:
            return plan
        parked = await asyncio.to_thread(self._parking.park, source)
        return replace(plan, parked=parked)

    async def _undo(self, plan: Plan, error: BaseException) -> None:
        """Remove what was made durable for a transaction that then failed. Where the record may
        stand although no answer came, nothing is removed: sweeps end what has no record."""
        if write_stands(error):
            return
        for draft in plan.cases:
            await self._discard(draft)
        if plan.parked is not None and not isinstance(error, StoreUnavailable):
            with contextlib.suppress(TutelaError):
                await asyncio.to_thread(self._parking.drop, plan.parked)

    async def _discard(self, draft: CaseDraft) -> None:
        if draft.sealed is not None:
            with contextlib.suppress(TutelaError):
                await asyncio.to_thread(self._vault.discard, draft.sealed, self._database)

    def write(self, connection: Connection, plans: Sequence[Plan]) -> None:
        """Write plans, of one request or of many. Called inside the one transaction; commits
        nothing itself."""
        fresh = [item_row(plan, self._expires(plan)) for plan in plans if plan.follows is None]
        if fresh:
            connection.execute(_INSERT_ITEMS, fresh)
        for plan in plans:
            if plan.follows is not None:
                _settle(connection, plan.follows)
                connection.execute(
                    update(items)
                    .where(items.c.id == plan.item.id)
                    .values(**seen(plan, self._expires(plan)))
                )
            self._write_cases(connection, plan)
        rows = [decision_row(plan, self._expires(plan)) for plan in plans]
        for row, entry in zip(rows, self._ledger.append_decisions(connection, rows), strict=True):
            row["ledger_entry"] = entry.id
        connection.execute(_INSERT_DECISIONS, rows)
        for plan in plans:
            self._write_rest(connection, plan)

    def _write_cases(self, connection: Connection, plan: Plan) -> None:
        """Cases, their items and evidence with its custody record, which goes to the ledger."""
        decision = plan.decision
        for draft in plan.cases:
            connection.execute(insert(cases), case_row(plan, draft, self._expires(plan)))
            connection.execute(
                insert(case_items),
                {
                    "case_id": draft.id,
                    "item_id": plan.item.id,
                    "decision_id": decision.id,
                    "added_at": decision.at,
                },
            )
            if draft.sealed is not None:
                self._vault.record(
                    connection,
                    draft.sealed,
                    draft.id,
                    ledger=self._ledger,
                    item_id=plan.item.id,
                    expires_at=self._expires(plan),
                    origin=plan.item.entrance,
                )

    def _write_rest(self, connection: Connection, plan: Plan) -> None:
        """The events that leave the house, and what waits to be examined again."""
        decision = plan.decision
        told = decision.outcome is not Outcome.ALLOW or plan.follows is not None
        if told and plan.ruling.purpose is not Purpose.SELFTEST:
            self._outbox.enqueue(connection, OUTBOX_KIND, event(plan))
        if plan.ruling.deferred and plan.follows is None:
            life = self._settings.uploads.deferred_hours
            due = decision.at + timedelta(seconds=self._settings.uploads.deferred_retry_seconds)
            connection.execute(
                insert(deferred_uploads),
                {
                    "decision_id": decision.id,
                    "item_id": plan.item.id,
                    "parked": plan.parked,
                    "holder": self._parking.holder,
                    "item": as_plain(plan.item),
                    "key_id": plan.asker.key_id,
                    "tries": 0,
                    "next_at": due,
                    "expires_at": decision.at + timedelta(hours=life),
                },
            )

    def _expires(self, plan: Plan) -> datetime:
        return keep_until(self._settings, plan.decision.outcome, plan.decision.at)


def _settle(connection: Connection, decision_id: str) -> None:
    """End the wait of a deferred upload in the transaction that writes its decision, so that it
    gets one decision and no second (invariant 2). Raises ``Conflict`` where it has one already."""
    waits = deferred_uploads.c.decision_id == decision_id
    if connection.execute(delete(deferred_uploads).where(waits)).rowcount == 0:
        raise Conflict(
            "This deferred upload has its decision already.",
            kept="That decision stands; nothing more was written.",
            next_step="Read the decision that follows the first one.",
        )


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


__all__ = ["Act", "CaseDraft", "Plan"]
