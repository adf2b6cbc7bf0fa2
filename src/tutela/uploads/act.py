"""Act: apply a ruling's effects once. Evidence is sealed first, then one transaction writes item,
decision, cases, custody, ledger and outbox together or not at all (invariants 1 and 2)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, insert, update

from tutela.cases import Sealed, keep_until
from tutela.core import (
    Decision,
    EffectKind,
    Item,
    Media,
    Outcome,
    Purpose,
    Ruling,
    as_plain,
    new_id,
)
from tutela.errors import Conflict, DecoderUnavailable, TutelaError
from tutela.hashing.source import Source
from tutela.lists.matching import HashQuery
from tutela.policy import Context
from tutela.settings import Settings
from tutela.store import Database, Writer
from tutela.store.tables.cases import case_items, cases
from tutela.store.tables.decisions import decisions, items
from tutela.store.tables.uploads import deferred_uploads
from tutela.transparency import LedgerEntry

from .gate import Examined
from .records import Asker, remembered

MAX_PICTURES_KEPT = 64
"""Picture hashes kept in an item's record; a long animation or archive has more."""
OUTBOX_KIND = "decision.made"


class Vault(Protocol):
    """What acting needs of ``cases.Vault``."""

    async def seal(
        self, source: Source, *, facts: dict[str, Any] | None = None, sha256: bytes | None = None
    ) -> Sealed:
        """Seal bytes durably."""
        ...

    def record(
        self,
        connection: Connection,
        sealed: Sealed,
        case_id: str | None,
        *,
        item_id: str | None = None,
        expires_at: datetime | None = None,
        who: str = ...,
        why: str = ...,
        origin: str = ...,
    ) -> bytes:
        """Write what was sealed; the head of its custody chain."""
        ...

    def discard(self, sealed: Sealed) -> None:
        """Delete what was sealed in vain."""
        ...


class Parking(Protocol):
    """What acting needs of ``uploads.spool.Spool``."""

    def park(self, source: Source) -> str:
        """Keep bytes encrypted for a later examination."""
        ...

    def drop(self, name: str) -> None:
        """Destroy them."""
        ...


class Ledger(Protocol):
    """What acting needs of ``transparency.ledger.Ledger``."""

    def append(
        self, conn: Connection, kind: str, record: Mapping[str, Any], *, subject: str | None = None
    ) -> LedgerEntry:
        """Commit to a record in the caller's transaction."""
        ...

    def append_decision(self, conn: Connection, row: Mapping[str, Any]) -> LedgerEntry:
        """Commit to a decision's row in the caller's transaction."""
        ...


class Outbox(Protocol):
    """What acting needs of ``store.Outbox``."""

    def enqueue(self, connection: Connection, kind: str, payload: dict[str, Any]) -> Any:
        """Queue an event in the caller's transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDraft:
    """A case about to be opened, for one purpose, with the evidence sealed for it."""

    id: str
    purpose: Purpose
    queue: str | None = None
    sealed: Sealed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that one transaction will write for one item."""

    item: Item
    examined: Examined
    ruling: Ruling
    context: Context
    asker: Asker
    decision: Decision
    cases: tuple[CaseDraft, ...] = ()
    parked: str | None = None
    follows: str | None = None
    query: HashQuery | None = None


class Act:
    """Applies rulings. One for a process."""

    def __init__(
        self,
        *,
        database: Database,
        writer: Writer,
        vault: Vault,
        parking: Parking,
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
            await self._writer.submit(lambda connection: self.write(connection, [plan]))
        except BaseException as error:
            await asyncio.shield(self._undo(plan))
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
                with Source.from_bytes(_check_record(plan)) as source:
                    ready.append(await self._prepare(plan, source))
            await self._writer.submit(lambda connection: self.write(connection, ready))
        except BaseException:
            for plan in ready:
                await asyncio.shield(self._undo(plan))
            raise
        return [plan.decision for plan in ready]

    async def earlier(self, asker: Asker) -> Decision | None:
        """The decision that this very request got before, if any."""
        if asker.idempotency_key is None:
            return None
        return await asyncio.to_thread(self._remembered, asker)

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
        wanted = _cases_of(ruling)
        if source is None or not wanted:
            return _with_cases(plan, wanted)
        sealed: list[CaseDraft] = []
        try:
            for draft in wanted:
                sealed.append(await self._seal(plan, draft, source))
        except BaseException:
            for draft in sealed:
                await asyncio.shield(self._discard(draft))
            raise
        return _with_cases(plan, sealed)

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

    async def _undo(self, plan: Plan) -> None:
        """Remove what was made durable for a transaction that then failed."""
        for draft in plan.cases:
            await self._discard(draft)
        if plan.parked is not None and plan.follows is None:
            with contextlib.suppress(TutelaError):
                await asyncio.to_thread(self._parking.drop, plan.parked)

    async def _discard(self, draft: CaseDraft) -> None:
        if draft.sealed is not None:
            with contextlib.suppress(TutelaError):
                await asyncio.to_thread(self._vault.discard, draft.sealed)

    def write(self, connection: Connection, plans: Sequence[Plan]) -> None:
        """The one transaction. Called inside it; commits nothing itself."""
        fresh = [self._item_row(plan) for plan in plans if plan.follows is None]
        if fresh:
            connection.execute(insert(items), fresh)
        for plan in plans:
            if plan.follows is not None:
                self._update_item(connection, plan)
        rows = []
        for plan in plans:
            self._write_cases(connection, plan)
            row = self._decision_row(plan)
            row["ledger_entry"] = self._ledger.append_decision(connection, row).id
            rows.append(row)
        connection.execute(insert(decisions), rows)
        for plan in plans:
            self._write_rest(connection, plan)

    def _write_cases(self, connection: Connection, plan: Plan) -> None:
        """Cases, their items and evidence; the head of each custody chain goes to the ledger."""
        decision = plan.decision
        for draft in plan.cases:
            connection.execute(insert(cases), self._case_row(plan, draft))
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
                head = self._vault.record(
                    connection,
                    draft.sealed,
                    draft.id,
                    item_id=plan.item.id,
                    expires_at=self._expires(plan),
                    origin=plan.item.entrance,
                )
                evidence_id = draft.sealed.evidence_id
                custody = {"evidence_id": evidence_id, "decision_id": decision.id}
                custody["custody_head"] = head.hex()
                self._ledger.append(connection, "evidence", custody, subject=evidence_id)

    def _write_rest(self, connection: Connection, plan: Plan) -> None:
        """The events that leave the house, and what waits to be examined again."""
        decision = plan.decision
        told = decision.outcome is not Outcome.ALLOW or plan.follows is not None
        if told and plan.ruling.purpose is not Purpose.SELFTEST:
            self._outbox.enqueue(connection, OUTBOX_KIND, _event(plan))
        if plan.ruling.deferred and plan.follows is None:
            due = decision.at + timedelta(seconds=self._settings.uploads.deferred_retry_seconds)
            connection.execute(
                insert(deferred_uploads),
                {
                    "decision_id": decision.id,
                    "item_id": plan.item.id,
                    "parked": plan.parked,
                    "item": as_plain(plan.item),
                    "key_id": plan.asker.key_id,
                    "tries": 0,
                    "next_at": due,
                    "expires_at": decision.at
                    + timedelta(hours=self._settings.uploads.deferred_hours),
                },
            )

    def _expires(self, plan: Plan) -> datetime:
        return keep_until(self._settings, plan.decision.outcome, plan.decision.at)

    def _case_row(self, plan: Plan, draft: CaseDraft) -> dict[str, Any]:
        account = plan.item.account
        return {
            "id": draft.id,
            "purpose": draft.purpose.value,
            "state": "open",
            "state_at": plan.decision.at,
            "state_by": "tutela",
            "opened_at": plan.decision.at,
            "severity": plan.ruling.severity,
            "account_id": account.id if account else None,
            "facts": {"queue": draft.queue} if draft.queue else None,
            "expires_at": self._expires(plan),
        }

    def _item_row(self, plan: Plan) -> dict[str, Any]:
        item, account = plan.item, plan.item.account
        return {
            "id": item.id,
            "kind": item.kind.value,
            "received_at": item.received_at,
            "entrance": item.entrance,
            "surface": item.surface,
            "account_id": account.id if account else None,
            "account": {
                "age_band": account.age_band.value,
                "age_source": account.age_source.value,
                "facts": dict(account.facts),
            }
            if account
            else None,
            "file_name": item.file_name,
            "recipients_age_band": item.recipients_age_band.value,
            "client_time": item.client_time,
            "client_ip": str(item.client_ip) if item.client_ip else None,
            "client_port": item.client_port,
            "facts": dict(item.facts) or None,
            **self._seen(plan),
        }

    def _seen(self, plan: Plan) -> dict[str, Any]:
        """What examining told of an item."""
        media = plan.examined.media
        return {
            "size": media.size if media else None,
            "media_kind": media.kind.value if media else None,
            "format": media.format if media else None,
            "sha256": media.digests.sha256 if media else plan.query and plan.query.sha256,
            "hashes": _hashes(media) if media else _query_texts(plan.query),
            "expires_at": self._expires(plan),
        }

    def _update_item(self, connection: Connection, plan: Plan) -> None:
        connection.execute(
            update(items).where(items.c.id == plan.item.id).values(**self._seen(plan))
        )

    def _decision_row(self, plan: Plan) -> dict[str, Any]:
        decision, asker = plan.decision, plan.asker
        first = plan.follows is None
        return {
            "id": decision.id,
            "item_id": decision.item_id,
            "at": decision.at,
            "outcome": decision.outcome.value,
            "rule": decision.rule,
            "policy_version": decision.policy_version,
            "reasons": list(decision.reasons) or None,
            "opaque_reason": decision.opaque_reason,
            "purpose": plan.ruling.purpose.value if plan.ruling.purpose else None,
            "severity": plan.ruling.severity,
            "deferred": decision.deferred,
            "protecting": decision.protecting,
            "case_id": decision.case_id,
            "evidence_id": decision.evidence_id,
            "supersedes": plan.follows,
            "key_id": asker.key_id,
            "idempotency_key": asker.idempotency_key if first else None,
            "request_digest": asker.request_digest if first else None,
            "findings": as_plain(decision.findings) or None,
            "context": plan.context.plain(),
            "would": as_plain(decision.would) or None,
            "answer": None,
            "timings": dict(decision.milliseconds),
            "expires_at": self._expires(plan),
        }


def _cases_of(ruling: Ruling) -> list[CaseDraft]:
    """The cases that a ruling opens, one a purpose. A purpose whose evidence is to be sealed has a
    case; the deciding purpose of a held or blocked match always has both (invariant 1)."""
    queues: dict[Purpose, str | None] = {}
    for effect in ruling.effects:
        if effect.kind in (EffectKind.OPEN_CASE, EffectKind.SEAL_EVIDENCE):
            purpose = Purpose(effect.facts.get("purpose", Purpose.OWN.value))
            queues[purpose] = effect.facts.get("queue") or queues.get(purpose)
    decided = ruling.purpose
    if ruling.outcome is not Outcome.ALLOW and decided not in (None, Purpose.SELFTEST):
        assert decided is not None
        queues = {decided: queues.get(decided)} | queues
    return [
        CaseDraft(id=new_id("case"), purpose=purpose, queue=queue)
        for purpose, queue in queues.items()
    ]


def _with_cases(plan: Plan, drafts: Iterable[CaseDraft]) -> Plan:
    opened = tuple(drafts)
    if not opened:
        return plan
    main = next((d for d in opened if d.purpose is plan.ruling.purpose), opened[0])
    evidence = main.sealed.evidence_id if main.sealed is not None else None
    decision = replace(plan.decision, case_id=main.id, evidence_id=evidence)
    return replace(plan, cases=opened, decision=decision)


def _event(plan: Plan) -> dict[str, Any]:
    """What the platform is told of a decision: no list, no rule."""
    decision = plan.decision
    return {
        "decision_id": decision.id,
        "outcome": decision.outcome.value,
        "deferred": decision.deferred,
        "case_id": decision.case_id,
        "supersedes": plan.follows,
        "at": as_plain(decision.at),
    }


def _hashes(media: Media) -> dict[str, Any]:
    pictures = [
        {
            "where": part.where,
            "frame": picture.frame,
            "pdq": picture.pdq.hex(),
            "quality": picture.quality,
        }
        for part in media.walk()
        for picture in part.pictures[:MAX_PICTURES_KEPT]
    ]
    return {
        "md5": media.digests.md5.hex(),
        "sha1": media.digests.sha1.hex(),
        "pictures": pictures[:MAX_PICTURES_KEPT],
    }


def _query_texts(query: HashQuery | None) -> dict[str, Any] | None:
    if query is None:
        return None
    return {name: value for name, value in as_plain(query).items() if value is not None}


def _check_record(plan: Plan) -> bytes:
    """What is kept as evidence of a check of hashes: the hashes and the facts, as JSON."""
    record = {"item": as_plain(plan.item), "hashes": _query_texts(plan.query)}
    return msgspec.json.encode(record)


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


__all__ = ["Act", "CaseDraft", "Plan"]
