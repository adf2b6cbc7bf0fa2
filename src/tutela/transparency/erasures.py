"""Reads what was erased, as logged, and matches it with the erased entries one to one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from tutela.store.tables.ledger import ledger_entries

from .records import ERASURE
from .report import Findings

BATCH = 100
"""Erasures read at once; each may name some hundred entries."""


@dataclass(slots=True)
class Erasures:
    """The entries that erasures name and that were not met yet: by number, and by commitment
    where the entry had no number when it was erased."""

    numbers: set[int] = field(default_factory=set)
    commitments: set[bytes] = field(default_factory=set)

    @classmethod
    def read(cls, conn: Connection, found: Findings) -> Erasures:
        """All that erasures name. One that names an entry twice, or another number of entries
        than it says, is noted; one whose record was changed is noted where it is opened."""
        named = cls()
        last = ""
        while True:
            rows = conn.execute(
                select(ledger_entries)
                .where(ledger_entries.c.kind == ERASURE, ledger_entries.c.id > last)
                .order_by(ledger_entries.c.id)
                .limit(BATCH)
            ).all()
            for row in rows:
                named._take(row, found)
            if len(rows) < BATCH:
                return named
            last = rows[-1].id

    def names(self, seq: int | None, commitment: bytes) -> bool:
        """Whether an erasure names this entry; each naming counts once."""
        if seq is not None and seq in self.numbers:
            self.numbers.remove(seq)
            return True
        if commitment in self.commitments:
            self.commitments.remove(commitment)
            return True
        return False

    def finish(self, found: Findings) -> None:
        """Notes what was named and not met: it was not erased, or is not there."""
        what = "an erasure names the entry, and it is not erased"
        for seq in sorted(self.numbers):
            found.add("ledger_entries", what, entry=seq)
        for commitment in sorted(self.commitments):
            found.add(f"ledger_entries with commitment {commitment.hex()}", what)

    def _take(self, row: Row[Any], found: Findings) -> None:
        where = f"ledger_entries {row.id}"
        try:
            said = msgspec.json.decode(row.record or "{}", type=_Erasure)
            waiting = [bytes.fromhex(each) for each in said.waiting]
        except (msgspec.MsgspecError, ValueError):
            found.add(where, "the erasure names no entries", entry=row.seq)
            return
        numbers, commitments = set(said.entries), set(waiting)
        if len(numbers) + len(commitments) != said.count:
            found.add(where, "the erasure names another number of entries", entry=row.seq)
        if numbers & self.numbers or commitments & self.commitments:
            found.add(where, "the erasure names entries that another one names", entry=row.seq)
        self.numbers |= numbers
        self.commitments |= commitments


class _Erasure(msgspec.Struct):
    """An erasure's record, as ``records.erasure_record`` makes it."""

    entries: list[int]
    waiting: list[str]
    count: int
    reason: str
