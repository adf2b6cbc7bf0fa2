"""The ledger: what was decided and published, committed to in an append-only signed tree.

An entry is written in the same transaction as what it testifies to. The public tree holds a salted
commitment and nothing else; the record and its salt stay in the database, and deleting them is how
an entry is erased: the tree stays whole and tells nothing any more.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from tutela.core import new_id, utc_now
from tutela.core.custody import CUSTODY
from tutela.errors import InvalidInput, LedgerDamaged, NotFound
from tutela.settings import Settings
from tutela.store import Database
from tutela.store.tables.decisions import decisions
from tutela.store.tables.ledger import ledger_entries, ledger_state

from .canonical import canonical
from .merkle import inclusion_proof, leaf_hash
from .records import DECISION, ERASURE, SALT_BYTES, commitment, decision_record, erasure_record
from .tiles import TileFolder
from .verify_evidence import CustodyFault, all_faults, faults_of

LASTING = (ERASURE, CUSTODY)
"""Kinds of entry that nothing erases: they hold ids and hashes of our own only."""
MAX_ERASED = 500
"""Subjects named in one erasure entry."""

_INSERT = insert(ledger_entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """An entry as written. It gets its place in the tree at the next sequencing.

    ``commitment`` is the 32 bytes that become public; ``subject`` what the entry is about.
    """

    id: str
    kind: str
    at: datetime
    commitment: bytes
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Everything somebody needs to see that one record was logged, offline.

    ``opening`` holds ``kind``, ``salt`` (hex) and ``record`` (canonical JSON as text); ``tlog`` is
    the C2SP ``tlog-proof``: the index, the path to the root and the signed checkpoint.
    """

    entry_id: str
    opening: Mapping[str, str]
    tlog: str


class Ledger:
    """The door to the ledger for everybody who writes to it or asks for a proof."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.folder: Path = settings.data_dir / "ledger"

    def append(
        self, conn: Connection, kind: str, record: Mapping[str, Any], *, subject: str | None = None
    ) -> LedgerEntry:
        """Commits to ``record`` in the caller's transaction.

        ``record`` is plain data without content or personal data beyond what the database keeps
        anyway; it stays in the database until ``erase``. ``kind`` is at most 32 characters;
        decisions have ``append_decisions``. Raises ``InvalidInput`` for a record that has no
        canonical form, and what the database raises.
        """
        if kind == DECISION:
            raise InvalidInput("A decision is appended by its row.", next_step="append_decisions()")
        text = canonical(dict(record))
        entry, row = _entry(kind, text, subject, text.decode())
        conn.execute(_INSERT, row)
        return entry

    def append_decisions(
        self, conn: Connection, rows: Sequence[Mapping[str, Any]]
    ) -> list[LedgerEntry]:
        """Commits to rows of ``decisions``, given as they are inserted, in the same transaction.

        The record is not stored a second time: it is made again from the row, so any later change
        of a row (``records.UNBOUND`` apart) shows. ``ledger_entry`` may be set from the answers,
        which come in the order of the rows. Raises as ``append``.
        """
        made = [_entry(DECISION, decision_record(row), str(row["id"]), None) for row in rows]
        if made:
            conn.execute(_INSERT, [row for _, row in made])
        return [entry for entry, _ in made]

    def erase(self, conn: Connection, subjects: Sequence[str], reason: str) -> int:
        """Forgets what the entries about ``subjects`` say, and logs that it did; how many entries.

        Their salts and records are deleted: the commitments in the tree stay and tell nothing.
        ``reason`` is a few words (``retention``); the erasure's own entry names each erased entry
        (``records.erasure_record``). Delete the rows themselves in the same transaction.
        """
        erased = 0
        for start in range(0, len(subjects), MAX_ERASED):
            some = list(subjects[start : start + MAX_ERASED])
            done = conn.execute(
                update(ledger_entries)
                .where(
                    ledger_entries.c.subject.in_(bindparam("subjects", expanding=True)),
                    ledger_entries.c.kind.not_in(LASTING),
                    ledger_entries.c.salt.is_not(None),
                )
                .returning(ledger_entries.c.seq, ledger_entries.c.commitment),
                {"subjects": some, "salt": None, "record": None},
            ).all()
            if done:
                erased += len(done)
                named = [(row.seq, bytes(row.commitment)) for row in done]
                self.append(conn, ERASURE, erasure_record(named, reason))
        return erased

    def altered_decisions(self, conn: Connection, ids: Sequence[str]) -> set[str]:
        """Those decisions whose rows are not what was logged, or were never logged."""
        if not ids:
            return set()
        found = conn.execute(
            select(ledger_entries).where(
                ledger_entries.c.subject.in_(ids), ledger_entries.c.kind == DECISION
            )
        )
        entries = {row.subject: row for row in found}
        rows = conn.execute(select(decisions).where(decisions.c.id.in_(ids))).mappings()
        return {row["id"] for row in rows if not _as_logged(dict(row), entries.get(row["id"]))}

    def custody_faults(self, conn: Connection, ids: Sequence[str]) -> list[CustodyFault]:
        """What contradicts the ledger among these pieces of evidence, whose rows the caller has
        locked."""
        return faults_of(conn, ids)

    def all_custody_faults(self) -> list[CustodyFault]:
        """What contradicts the ledger among all evidence that is or was there. It reads the
        entries' own commitments; that these are the published ones is for ``verify`` to say."""
        with self.database.read() as conn:
            if not self.database.is_sqlite:
                conn.execution_options(isolation_level="REPEATABLE READ")
            return list(all_faults(conn))

    def prove(self, entry_id: str) -> Proof:
        """The proof that an entry is in the published tree.

        Raises ``NotFound`` for an entry that does not exist, was erased, or is not published yet;
        ``LedgerDamaged`` where the published folder contradicts the database.
        """
        with self.database.read() as conn:
            row = conn.execute(
                select(ledger_entries).where(ledger_entries.c.id == entry_id)
            ).one_or_none()
            state = conn.execute(select(ledger_state)).one_or_none()
            found = _record_of(conn, row) if row is not None and row.salt is not None else None
        if row is None or found is None:
            raise NotFound("There is no such ledger entry, or it was erased.")
        if state is None or row.seq is None or row.seq >= state.size:
            raise NotFound(
                "The entry is not under a published checkpoint yet.",
                next_step="Ask again in a few seconds.",
            )
        tiles = TileFolder(self.folder)
        read = tiles.reader(state.size)
        if read(0, row.seq) != leaf_hash(row.commitment):
            raise LedgerDamaged("The published tree holds something else there.", where=entry_id)
        path = inclusion_proof(read, row.seq, state.size)
        lines = ["c2sp.org/tlog-proof@v1", f"index {row.seq}"]
        lines += [base64.b64encode(step).decode() for step in path]
        opening = {"kind": row.kind, "salt": row.salt.hex(), "record": found.decode()}
        return Proof(
            entry_id=entry_id, opening=opening, tlog="\n".join(lines) + "\n\n" + state.checkpoint
        )


def _entry(
    kind: str, record: bytes, subject: str | None, kept: str | None
) -> tuple[LedgerEntry, dict[str, Any]]:
    """A fresh entry under a salt of its own, and its row."""
    salt = os.urandom(SALT_BYTES)
    entry = LedgerEntry(
        id=new_id("led"),
        kind=kind,
        at=utc_now(),
        commitment=commitment(kind, record, salt),
        subject=subject,
    )
    row = {
        "id": entry.id,
        "at": entry.at,
        "kind": kind,
        "subject": subject,
        "commitment": entry.commitment,
        "salt": salt,
        "record": kept,
    }
    return entry, row


def _as_logged(row: Mapping[str, Any], entry: Any) -> bool:
    """Whether a row of ``decisions`` is what its entry commits to."""
    if entry is None or entry.salt is None:
        return False
    try:
        record = decision_record(row)
    except InvalidInput:
        return False
    return commitment(DECISION, record, bytes(entry.salt)) == bytes(entry.commitment)


def _record_of(conn: Connection, row: Any) -> bytes | None:
    """The canonical record behind an entry, from where it is kept; None where it is gone."""
    if row.record is not None:
        return str(row.record).encode()
    if row.kind != DECISION:
        return None
    found = conn.execute(select(decisions).where(decisions.c.id == row.subject)).one_or_none()
    return decision_record(found._asdict()) if found is not None else None
