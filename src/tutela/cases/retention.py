"""Retention ends by itself: what is due is destroyed, evidence with a certificate.

What ``expires_at`` says is due goes, unless a hold stops the clock. Sealed evidence goes in three
steps, so that a crash between any two leaves something that the next sweep finishes: the row is
marked ``ending`` (with a custody record), the object is deleted, the row is marked ``destroyed``
(with a custody record, the certificate). The row stays as that certificate; its facts do not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, exists, or_, select, update

from tutela.cases import custody
from tutela.cases.check import orphans
from tutela.core import Outcome, utc_now
from tutela.errors import EvidenceDamaged
from tutela.settings import Settings
from tutela.store import Database, Objects, Outbox
from tutela.store.tables.cases import case_items, cases
from tutela.store.tables.decisions import decisions, items
from tutela.store.tables.evidence import evidence

BATCH = 500
"""Rows that one transaction ends; bounds how long other writers wait."""

Held = Callable[[Connection, Collection[str]], Collection[str]]
"""Given case ids, those of them that a legal hold keeps."""

Erase = Callable[[Connection, Sequence[str]], None]
"""Called with the ids of decisions that are being deleted, in that transaction (the ledger forgets
their salts and records by it)."""


@dataclass(slots=True)
class Swept:
    """How much a sweep ended."""

    decisions: int = 0
    items: int = 0
    evidence: int = 0
    cases: int = 0
    orphans: int = 0
    events: int = 0
    unfinished_puts: int = 0


def keep_until(settings: Settings, outcome: Outcome, at: datetime) -> datetime:
    """Until when the record of a decision made ``at`` is kept."""
    kept = settings.uploads
    days = kept.keep_days if outcome is Outcome.ALLOW else kept.keep_decided_days
    return at + timedelta(days=days)


def _hold_nothing(_connection: Connection, _cases: Collection[str]) -> Collection[str]:
    return ()


def _erase_nothing(_connection: Connection, _decisions: Sequence[str]) -> None:
    return None


class Retention:
    """The sweep. Run it under a lease, so that one process at a time does it.

    ``held`` tells which cases a legal hold keeps; ``erase`` lets other rooms forget decisions;
    ``ledger`` testifies to each step of a destruction, and says beforehand whether evidence is as
    it was logged: the row's own word that it is due counts for nothing.
    Raises ``StoreUnavailable`` and ``StorageFull`` as the stores do; what was ended until then
    stays ended, and the next sweep goes on.
    """

    def __init__(
        self,
        database: Database,
        objects: Objects,
        settings: Settings,
        *,
        ledger: custody.Witness,
        held: Held = _hold_nothing,
        erase: Erase = _erase_nothing,
    ) -> None:
        self.database = database
        self.objects = objects
        self.settings = settings
        self.held = held
        self.erase = erase
        self.ledger = ledger

    def sweep(self, now: datetime | None = None) -> Swept:
        """End what is due at ``now`` (the present moment where None).

        Evidence and decisions that are not as they were logged are not ended. Once everything
        else is, that raises ``EvidenceDamaged``, at each sweep until somebody has looked.
        """
        at = now or utc_now()
        swept = Swept()
        swept.evidence, refused = self._end_evidence(at)
        swept.decisions, swept.items, altered = self._end_decisions(at)
        swept.cases = self._end_cases(at)
        swept.orphans = self._end_orphans()
        swept.events = Outbox(self.database).purge(at - self._event_age())
        swept.unfinished_puts = self.objects.sweep()
        if refused or altered:
            raise EvidenceDamaged(
                f"{refused} pieces of evidence and {altered} decisions are marked as due, but are "
                "not as they were logged.",
                kept="They were kept; everything else that was due has ended.",
                next_step="Run 'tutela vault check' and 'tutela verify' to see which and why.",
            )
        return swept

    def _event_age(self) -> timedelta:
        """How long events are kept: as allowed uploads, and no shorter than they are retried."""
        return max(timedelta(days=self.settings.uploads.keep_days), timedelta(days=7))

    def _end_evidence(self, at: datetime) -> tuple[int, int]:
        """How many pieces were ended, and how many refused as not being what was logged."""
        ended, refused, last = 0, 0, ""
        while True:
            with self.database.begin() as connection:
                due = connection.execute(
                    select(evidence.c.id, evidence.c.case_id, evidence.c.state)
                    .where(
                        evidence.c.id > last,
                        or_(
                            evidence.c.state == "ending",
                            and_(evidence.c.state == "kept", evidence.c.expires_at <= at),
                        ),
                    )
                    .order_by(evidence.c.id)
                    .limit(BATCH)
                    .with_for_update(skip_locked=True)
                ).all()
                kept = self._held(connection, {row.case_id for row in due})
                ending = [r for r in due if r.state == "ending" or r.case_id not in kept]
                faults = self.ledger.custody_faults(connection, [row.id for row in ending])
                damaged = {fault.evidence_id for fault in faults}
                ids = [row.id for row in ending if row.id not in damaged]
                for row in ending:
                    if row.state == "kept" and row.id not in damaged:
                        self._log(connection, row.id, custody.Action.ENDING, "ending", at)
            refused += len(damaged)
            for evidence_id in ids:
                self._destroy(evidence_id)
            ended += len(ids)
            if len(due) < BATCH:
                return ended, refused
            last = due[-1].id

    def _destroy(self, evidence_id: str) -> None:
        with self.database.read() as connection:
            name = connection.execute(
                select(evidence.c.object_name).where(evidence.c.id == evidence_id)
            ).scalar_one()
        self.objects.delete(name)
        with self.database.begin() as connection:
            state = connection.execute(
                select(evidence.c.state).where(evidence.c.id == evidence_id).with_for_update()
            ).scalar_one()
            if state == "ending":  # else another process has just finished it
                self._log(connection, evidence_id, custody.Action.DESTROYED, "destroyed")

    def _log(
        self,
        connection: Connection,
        evidence_id: str,
        action: custody.Action,
        state: str,
        at: datetime | None = None,
    ) -> None:
        values = {}
        if action is custody.Action.DESTROYED:
            values = {"destroyed_at": utc_now(), "facts": None}
        custody.mark(connection, evidence_id, state, **values)
        custody.append(
            connection,
            evidence_id,
            action,
            ledger=self.ledger,
            at=at,
            who="tutela",
            why="Its retention is over and no hold keeps it.",
            origin="retention",
        )

    def _end_decisions(self, at: datetime) -> tuple[int, int, int]:
        """How many decisions and items were ended, and how many decisions refused as altered."""
        ended_decisions = ended_items = refused = 0
        last = datetime.min.replace(tzinfo=at.tzinfo), ""
        while True:
            with self.database.begin() as connection:
                due = connection.execute(
                    select(
                        decisions.c.id,
                        decisions.c.item_id,
                        decisions.c.case_id,
                        decisions.c.expires_at,
                    )
                    .where(
                        decisions.c.expires_at <= at,
                        or_(
                            decisions.c.expires_at > last[0],
                            and_(decisions.c.expires_at == last[0], decisions.c.id > last[1]),
                        ),
                    )
                    .order_by(decisions.c.expires_at, decisions.c.id)
                    .limit(BATCH)
                ).all()
                kept = self._held(connection, {row.case_id for row in due})
                free = [row for row in due if row.case_id not in kept]
                altered = self.ledger.altered_decisions(connection, [row.id for row in free])
                refused += len(altered)
                ending = [row for row in free if row.id not in altered]
                if ending:
                    ids = [row.id for row in ending]
                    self.erase(connection, ids)
                    connection.execute(delete(decisions).where(decisions.c.id.in_(ids)))
                    ended_items += self._end_items(connection, {row.item_id for row in ending})
                    ended_decisions += len(ids)
            if len(due) < BATCH:
                return ended_decisions, ended_items, refused
            last = due[-1].expires_at, due[-1].id

    def _end_items(self, connection: Connection, ids: Collection[str]) -> int:
        """Delete those items that no decision rests on any more."""
        free = list(
            connection.execute(
                select(items.c.id).where(
                    items.c.id.in_(ids), ~exists().where(decisions.c.item_id == items.c.id)
                )
            ).scalars()
        )
        if free:
            connection.execute(delete(case_items).where(case_items.c.item_id.in_(free)))
            connection.execute(delete(items).where(items.c.id.in_(free)))
        return len(free)

    def _end_cases(self, at: datetime) -> int:
        """Empty what is left of due cases: the id, purpose and dates stay, persons go."""
        with self.database.begin() as connection:
            due = list(
                connection.execute(
                    select(cases.c.id).where(
                        cases.c.expires_at <= at,
                        cases.c.state != "ended",
                        ~exists().where(
                            evidence.c.case_id == cases.c.id, evidence.c.state != "destroyed"
                        ),
                    )
                ).scalars()
            )
            kept = self._held(connection, set(due))
            ending = [case_id for case_id in due if case_id not in kept]
            for start in range(0, len(ending), BATCH):
                connection.execute(
                    update(cases)
                    .where(cases.c.id.in_(ending[start : start + BATCH]))
                    .values(
                        state="ended",
                        state_at=utc_now(),
                        state_by="retention",
                        account_id=None,
                        facts=None,
                    )
                )
        return len(ending)

    def _end_orphans(self) -> int:
        """Delete sealed objects that no record has known for as long as records are kept.

        Not sooner: after a database was restored from a backup, the evidence recorded since is
        without a record, and somebody must have the time to notice.
        """
        ended = 0
        age = timedelta(days=self.settings.uploads.keep_decided_days)
        for name in orphans(self.database, self.objects, older_than=age):
            self.objects.delete(name)
            ended += 1
        return ended

    def _held(self, connection: Connection, ids: Collection[str | None]) -> set[str | None]:
        asked = [case_id for case_id in ids if case_id is not None]
        return set(self.held(connection, asked)) if asked else set()
