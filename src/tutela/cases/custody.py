"""The custody log: who did what to a piece of evidence, when, why and from where.

The records of one piece are numbered 1, 2, 3… and chained: each carries the hash of the one
before, and its own hash is SHA-256 over ``tutela-custody-v1``, a zero byte, that hash, and the
record as canonical JSON (RFC 8785). So none can be changed, dropped from the middle or put in
between without the chain telling where. The head of each chain goes into the ledger with the
decision that opened it, which is what makes cutting the tail visible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import rfc8785
from sqlalchemy import Connection, RowMapping, func, select, update

from tutela.core import as_plain, utc_now
from tutela.store.tables.evidence import custody, evidence

GENESIS = bytes(32)
"""What the first record of a chain carries as the hash before it."""

_DOMAIN = b"tutela-custody-v1\x00"


class Action(StrEnum):
    """What can happen to a piece of evidence."""

    SEALED = "sealed"
    OPENED = "opened"
    """Decrypted by the opener, for the reason given; nothing about who saw it."""
    ENDING = "ending"
    """Its retention is over: the object is being destroyed."""
    DESTROYED = "destroyed"
    """The object is gone; this record is the certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Where a chain does not hold: the record's ``number`` and what is wrong, in words."""

    evidence_id: str
    number: int
    what: str


def append(
    connection: Connection,
    evidence_id: str,
    action: Action,
    *,
    who: str,
    why: str,
    origin: str,
    facts: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> bytes:
    """Add a record in the caller's transaction; its hash, the new head of the chain.

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
    return head


def record_hash(previous: bytes, record: Mapping[str, Any]) -> bytes:
    """The hash of a record that follows ``previous``."""
    fields = ("evidence_id", "number", "at", "who", "action", "why", "origin", "facts")
    plain = as_plain({name: record[name] for name in fields})
    return hashlib.sha256(_DOMAIN + previous + rfc8785.dumps(plain)).digest()


def records(connection: Connection, evidence_id: str) -> list[RowMapping]:
    """The chain of one piece of evidence, first record first."""
    return list(
        connection.execute(
            select(custody).where(custody.c.evidence_id == evidence_id).order_by(custody.c.number)
        ).mappings()
    )


def verify(connection: Connection, row: RowMapping) -> Break | None:
    """Check the chain of the evidence ``row``: its links, and that the row is what was sealed.

    The first break, or None.
    """
    evidence_id = row["id"]
    previous = GENESIS
    chain = records(connection, evidence_id)
    for number, record in enumerate(chain, start=1):
        if record["number"] != number:
            return Break(evidence_id=evidence_id, number=number, what="a record is missing")
        if record["previous"] != previous or record["hash"] != record_hash(previous, dict(record)):
            return Break(evidence_id=evidence_id, number=number, what="a record was changed")
        previous = record["hash"]
    if not chain or chain[0]["action"] != Action.SEALED.value:
        return Break(evidence_id=evidence_id, number=1, what="the record of sealing is missing")
    if chain[0]["facts"] != seal_facts(dict(row)):
        return Break(
            evidence_id=evidence_id,
            number=1,
            what="the row differs from its record of sealing",
        )
    return None


def seal_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of sealing says of an evidence row: everything that must never change."""
    fields = ("object_name", "size", "md5", "sha256", "sealed_size", "sealed_sha256", "recipients")
    plain: dict[str, Any] = as_plain({name: row[name] for name in fields})
    return plain


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
