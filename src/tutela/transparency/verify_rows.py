"""Checks the database's side of the ledger: what the public commitments commit to.

Every entry whose salt is there must open to its record, a decision's record being its row as it
stands now; every row must have its entry; every erased entry must be named by an erasure, and
every named one erased; evidence must be as its entries say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from tutela.errors import InvalidInput
from tutela.store import Database
from tutela.store.tables.decisions import decisions
from tutela.store.tables.ledger import ledger_entries, ledger_state

from .erasures import Erasures
from .records import DECISION, commitment, decision_record
from .report import Findings
from .verify_evidence import all_faults

BATCH = 1_000
"""Rows read at once."""

_ENTRIES = [column.label(f"entry_{column.name}") for column in ledger_entries.columns]
_JOINED = select(*_ENTRIES, *decisions.columns).select_from(
    ledger_entries.outerjoin(
        decisions,
        and_(ledger_entries.c.kind == DECISION, decisions.c.id == ledger_entries.c.subject),
    )
)


@dataclass(slots=True)
class RowCheck:
    """Counts: entries that opened to their record, that were erased, that wait for publication."""

    opened: int = 0
    erased: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """What the database remembers of the last checkpoint: the public key, size and root."""

    key: str
    size: int
    root: bytes


def last_signed(database: Database) -> Signed | None:
    """The last checkpoint that the database knows to have been signed."""
    with database.read() as conn:
        row = conn.execute(select(ledger_state)).one_or_none()
    return Signed(row.key, row.size, bytes(row.root)) if row is not None else None


def check_rows(
    database: Database,
    size: int | None,
    public: Callable[[int], bytes | None],
    found: Findings,
) -> RowCheck:
    """Compares the database with the public tree of ``size`` entries (None: it could not be read)
    and every record with its commitment. What does not hold is noted in ``found``."""
    counts = RowCheck()
    with database.read() as conn:
        if not database.is_sqlite:
            conn.execution_options(isolation_level="REPEATABLE READ")
        erasures = Erasures.read(conn, found)
        expected = 0
        for row in _entries(conn):
            if row.entry_seq is None or (size is not None and row.entry_seq >= size):
                counts.waiting += 1
            elif size is not None:
                while expected < row.entry_seq:
                    found.add("ledger_entries", "the entry's row is missing", entry=expected)
                    expected += 1
                expected += 1
                _compare(row, public(row.entry_seq), found)
            _open(row, counts, erasures, found)
        for missing in range(expected, size or 0):
            found.add("ledger_entries", "the entry's row is missing", entry=missing)
        erasures.finish(found)
        _check_unlogged(conn, found)
        for fault in all_faults(conn):
            found.add(
                f"evidence {fault.evidence_id}".rstrip(),
                fault.what,
                entry=fault.entry,
                subject=fault.evidence_id or None,
            )
    return counts


def _entries(conn: Connection) -> Iterator[Row[Any]]:
    """All entries with the decisions they are about: numbered ones in order, then waiting ones."""
    last = -1
    while True:
        numbered = _JOINED.where(ledger_entries.c.seq > last).order_by(ledger_entries.c.seq)
        rows = conn.execute(numbered.limit(BATCH)).all()
        yield from rows
        if len(rows) < BATCH:
            break
        last = rows[-1].entry_seq
    after = ""
    while True:
        waiting = _JOINED.where(ledger_entries.c.seq.is_(None), ledger_entries.c.id > after)
        rows = conn.execute(waiting.order_by(ledger_entries.c.id).limit(BATCH)).all()
        yield from rows
        if len(rows) < BATCH:
            break
        after = rows[-1].entry_id


def _compare(row: Row[Any], public: bytes | None, found: Findings) -> None:
    if public != bytes(row.entry_commitment):
        found.add(
            f"ledger_entries {row.entry_id}",
            "the database's commitment is not the one in the published tree",
            entry=row.entry_seq,
            subject=row.entry_subject,
        )


def _open(row: Row[Any], counts: RowCheck, erasures: Erasures, found: Findings) -> None:
    """Compares one record with its commitment."""
    at = {"entry": row.entry_seq, "subject": row.entry_subject}
    where = f"ledger_entries {row.entry_id}"
    decides = row.entry_kind == DECISION
    if row.entry_salt is None:
        counts.erased += 1
        if not erasures.names(row.entry_seq, bytes(row.entry_commitment)):
            found.add(where, "the entry was erased, but no erasure was logged", **at)
        if decides and row.id is not None:
            found.add(f"decisions {row.id}", "the row is there although its entry is erased", **at)
        return
    if decides and row.id is None:
        found.add(f"decisions {row.entry_subject}", "the row was removed without erasure", **at)
        return
    try:
        record = _record(row)
    except InvalidInput:
        record = None
    holds = record is not None and commitment(row.entry_kind, record, bytes(row.entry_salt)) == (
        bytes(row.entry_commitment)
    )
    if not holds:
        place = f"decisions {row.id}" if decides else where
        found.add(place, "the record is not the one that was logged: it was changed since", **at)
    elif decides and row.ledger_entry not in {None, row.entry_id}:
        found.add(f"decisions {row.id}", "the row names another ledger entry", **at)
    else:
        counts.opened += 1


def _record(row: Row[Any]) -> bytes:
    if row.entry_kind != DECISION:
        return (row.entry_record or "").encode()
    return decision_record({column.name: getattr(row, column.name) for column in decisions.columns})


def _check_unlogged(conn: Connection, found: Findings) -> None:
    """Every decision must have its entry."""
    rows = conn.execute(
        select(decisions.c.id)
        .select_from(
            decisions.outerjoin(
                ledger_entries,
                and_(
                    ledger_entries.c.subject == decisions.c.id,
                    ledger_entries.c.kind == DECISION,
                ),
            )
        )
        .where(ledger_entries.c.id.is_(None))
        .order_by(decisions.c.id)
    )
    for row in rows:
        found.add(f"decisions {row.id}", "the row has no entry in the ledger", subject=row.id)
