"""Compares evidence with the ledger: every custody record has its entry, every entry its record.

The ledger alone is what cannot be made anew: a row, its object and its whole chain can be replaced
or removed together, and still agree with each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from tutela.core.custody import CUSTODY, first_break
from tutela.store.tables.decisions import decisions
from tutela.store.tables.evidence import custody, evidence
from tutela.store.tables.ledger import ledger_entries

from .records import commitment

PAGE = 500
"""Pieces of evidence compared at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyFault:
    """One thing that does not hold: with the number of the ledger's ``entry`` where it has one;
    ``gone`` where there is no evidence row at all."""

    evidence_id: str
    what: str
    entry: int | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class _Logged:
    """What one entry says: the record's number, its action, its hash as hex."""

    number: int
    action: str
    head: str
    entry: int | None


def all_faults(conn: Connection) -> Iterator[CustodyFault]:
    """Everything that does not hold, evidence by evidence. Call it where all statements see one
    moment."""
    yield from _nameless(conn)
    last = ""
    while True:
        ids = _page(conn, last)
        yield from faults_of(conn, ids)
        if len(ids) < PAGE:
            break
        last = ids[-1]
    yield from _named_by_decisions(conn)


def faults_of(conn: Connection, ids: Sequence[str]) -> list[CustodyFault]:
    """What does not hold of these pieces of evidence, known to the database or not."""
    found = conn.execute(select(evidence).where(evidence.c.id.in_(ids))).mappings()
    rows = {row["id"]: dict(row) for row in found}
    chains: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in conn.execute(
        select(custody).where(custody.c.evidence_id.in_(ids)).order_by(custody.c.number)
    ).mappings():
        chains[record["evidence_id"]].append(dict(record))
    entries: dict[str, list[Row[Any]]] = defaultdict(list)
    for entry in conn.execute(
        select(ledger_entries)
        .where(ledger_entries.c.subject.in_(ids), ledger_entries.c.kind == CUSTODY)
        .order_by(ledger_entries.c.id)
    ):
        entries[entry.subject].append(entry)
    return [
        fault for each in ids for fault in _judge(each, rows.get(each), chains[each], entries[each])
    ]


def _judge(
    evidence_id: str,
    row: Mapping[str, Any] | None,
    chain: Sequence[Mapping[str, Any]],
    entries: Sequence[Row[Any]],
) -> Iterator[CustodyFault]:
    logged: dict[int, _Logged] = {}
    for entry in entries:
        said = _said(entry)
        if said is None:
            what = "its ledger entry does not open to a custody record of it"
            yield CustodyFault(evidence_id=evidence_id, what=what, entry=entry.seq)
        elif said.number in logged:
            what = f"custody record {said.number} was logged twice"
            yield CustodyFault(evidence_id=evidence_id, what=what, entry=entry.seq)
        else:
            logged[said.number] = said
    if row is None:
        first = entries[0].seq if entries else None
        what = "the evidence was removed: it was logged, and its row is gone"
        yield CustodyFault(evidence_id=evidence_id, what=what, entry=first, gone=True)
        return
    broken = first_break(row, chain)
    if broken is not None:
        what = f"custody record {broken[0]}: {broken[1]}"
        yield CustodyFault(evidence_id=evidence_id, what=what)
    kept = {record["number"]: bytes(record["hash"]).hex() for record in chain}
    for number, said in logged.items():
        if number not in kept:
            what = f"custody record {number} ({said.action}) was logged, and is gone"
        elif kept[number] != said.head:
            what = f"custody record {number} is not the one that was logged"
        else:
            continue
        yield CustodyFault(evidence_id=evidence_id, what=what, entry=said.entry)
    for number in sorted(kept.keys() - logged.keys()):
        what = f"custody record {number} has no entry in the ledger"
        yield CustodyFault(evidence_id=evidence_id, what=what)


def _said(entry: Row[Any]) -> _Logged | None:
    """What an entry says of its subject; None where it was erased, changed, or says nothing."""
    if entry.salt is None or entry.record is None:
        return None
    text = entry.record.encode()
    if commitment(CUSTODY, text, bytes(entry.salt)) != bytes(entry.commitment):
        return None
    try:
        said = msgspec.json.decode(text)
        if said["evidence_id"] != entry.subject:
            return None
        return _Logged(int(said["number"]), said["action"], said["custody_head"], entry.seq)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None


def _page(conn: Connection, after: str) -> list[str]:
    """The next ids of evidence, in order, that are in the ledger, the custody log or the vault."""
    sources = (
        select(evidence.c.id).where(evidence.c.id > after).order_by(evidence.c.id),
        select(ledger_entries.c.subject)
        .distinct()
        .where(ledger_entries.c.kind == CUSTODY, ledger_entries.c.subject > after)
        .order_by(ledger_entries.c.subject),
        select(custody.c.evidence_id)
        .distinct()
        .where(custody.c.evidence_id > after)
        .order_by(custody.c.evidence_id),
    )
    ids = {each for source in sources for each in conn.execute(source.limit(PAGE)).scalars()}
    return sorted(ids)[:PAGE]


def _nameless(conn: Connection) -> Iterator[CustodyFault]:
    """Entries about evidence from which the evidence's id was taken."""
    for entry in conn.execute(
        select(ledger_entries.c.id, ledger_entries.c.seq).where(
            ledger_entries.c.kind == CUSTODY, ledger_entries.c.subject.is_(None)
        )
    ):
        what = f"ledger entry {entry.id} is about evidence, and names none"
        yield CustodyFault(evidence_id="", what=what, entry=entry.seq)


def _named_by_decisions(conn: Connection) -> Iterator[CustodyFault]:
    """Decisions whose evidence has no row."""
    for row in conn.execute(
        select(decisions.c.id, decisions.c.evidence_id)
        .select_from(decisions.outerjoin(evidence, evidence.c.id == decisions.c.evidence_id))
        .where(decisions.c.evidence_id.is_not(None), evidence.c.id.is_(None))
        .order_by(decisions.c.id)
    ):
        what = f"the evidence of decision {row.id} was removed: its row is gone"
        yield CustodyFault(evidence_id=row.evidence_id, what=what, gone=True)
