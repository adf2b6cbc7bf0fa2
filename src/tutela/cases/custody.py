"""The custody log: who did what to a piece of evidence, when, why and from where.

Each record is chained to the one before (``core.custody``) and its hash is logged to the ledger in
the same transaction, so that no record can be changed, dropped or cut off, and no evidence vanish
with its whole chain, without ``tutela verify`` and ``tutela vault check`` telling it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, RowMapping, func, select, update

from tutela.core import as_plain, utc_now
from tutela.core.custody import CUSTODY, GENESIS, Action, end_facts, record_hash
from tutela.store.tables.evidence import custody, evidence

__all__ = ["Action", "Fault", "Witness", "append", "count", "mark", "records", "retime"]


class Fault(Protocol):
    """One contradiction between the ledger and a piece of evidence, in words.

    ``gone`` where the ledger or a decision knows the evidence, and no row is there.
    """

    @property
    def evidence_id(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def gone(self) -> bool: ...


class Witness(Protocol):
    """What testifies to the custody log; ``tutela.transparency.Ledger`` is one."""

    def append(
        self, conn: Connection, kind: str, record: Mapping[str, Any], *, subject: str | None = None
    ) -> object:
        """Log ``record`` in the caller's transaction."""
        ...

    def altered_decisions(self, conn: Connection, ids: Sequence[str]) -> Collection[str]:
        """Those decisions whose rows are not what was logged."""
        ...

    def custody_faults(self, conn: Connection, ids: Sequence[str]) -> Sequence[Fault]:
        """What contradicts the ledger among these pieces of evidence."""
        ...

    def all_custody_faults(self) -> Sequence[Fault]:
        """What contradicts the ledger among all evidence there is or was."""
        ...


def append(
    connection: Connection,
    evidence_id: str,
    action: Action,
    *,
    ledger: Witness,
    who: str,
    why: str,
    origin: str,
    facts: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> bytes:
    """Add a record, and its entry in the ledger, in the caller's transaction; its hash, the new
    head of the chain.

    Two processes that append at once follow each other: the evidence row is locked first.
    """
    if action is not Action.SEALED and connection.dialect.name != "sqlite":
        connection.execute(
            select(evidence.c.id).where(evidence.c.id == evidence_id).with_for_update()
        )
    number, previous = 1, GENESIS
    if action is not Action.SEALED:
        last = connection.execute(
            select(custody.c.number, custody.c.hash)
            .where(custody.c.evidence_id == evidence_id)
            .order_by(custody.c.number.desc())
            .limit(1)
        ).first()
        if last is not None:
            number, previous = last.number + 1, last.hash
    record = {
        "evidence_id": evidence_id,
        "number": number,
        "at": at or utc_now(),
        "who": who,
        "action": action.value,
        "why": why,
        "origin": origin,
        "facts": as_plain(dict(facts or {})),
    }
    head = record_hash(previous, record)
    connection.execute(custody.insert(), {**record, "previous": previous, "hash": head})
    logged = {
        "evidence_id": evidence_id,
        "number": number,
        "action": action.value,
        "custody_head": head.hex(),
    }
    ledger.append(connection, CUSTODY, logged, subject=evidence_id)
    return head


def retime(
    connection: Connection,
    evidence_id: str,
    until: datetime | None,
    *,
    ledger: Witness,
    who: str,
    why: str,
    origin: str,
) -> bytes:
    """Keep a piece of evidence ``until`` another time (None: until something sets one), on record;
    the new head of its chain. Setting the row's time alone makes the sweep refuse it."""
    connection.execute(
        update(evidence).where(evidence.c.id == evidence_id).values(expires_at=until)
    )
    return append(
        connection,
        evidence_id,
        Action.RETIMED,
        ledger=ledger,
        who=who,
        why=why,
        origin=origin,
        facts=end_facts(until),
    )


def records(connection: Connection, evidence_id: str) -> list[RowMapping]:
    """The chain of one piece of evidence, first record first."""
    return list(
        connection.execute(
            select(custody).where(custody.c.evidence_id == evidence_id).order_by(custody.c.number)
        ).mappings()
    )


def mark(connection: Connection, evidence_id: str, state: str, **values: Any) -> None:
    """Set the state of an evidence row (``kept``, ``ending``, ``destroyed``)."""
    connection.execute(
        update(evidence).where(evidence.c.id == evidence_id).values(state=state, **values)
    )


def count(connection: Connection, evidence_id: str) -> int:
    """How many records a chain has."""
    found: int = connection.execute(
        select(func.count()).select_from(custody).where(custody.c.evidence_id == evidence_id)
    ).scalar_one()
    return found
