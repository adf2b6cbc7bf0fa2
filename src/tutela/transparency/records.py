"""What the ledger commits to: records as plain data, and the salted commitment over them.

A decision's record is made of its row in the database, column by column, so that it can be made
again from the row years later: a row that was altered gives another record, and the commitment in
the signed tree no longer holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column

from tutela.store.tables.decisions import decisions

from .canonical import canonical

TAG = b"tutela-ledger-v1\n"
"""Keeps these hashes apart from any other use of SHA-256."""
SALT_BYTES = 32
"""Fresh random bytes for each entry; without them a commitment tells nothing."""

DECISION = "decision"
"""The kind of entry whose record is a row of ``decisions``."""
ERASURE = "erasure"
"""The kind of entry that names which entries were erased."""
UNBOUND = frozenset({"ledger_entry"})
"""The column of a decision that may change afterwards: where its entry is."""


def commitment(kind: str, record: bytes, salt: bytes) -> bytes:
    """32 bytes that bind to a record (canonical JSON) and its kind, and hide both."""
    return hashlib.sha256(b"".join((TAG, salt, kind.encode(), b"\n", record))).digest()


def decision_record(row: Mapping[str, Any]) -> bytes:
    """The canonical record of a row of ``decisions``, as inserted or as read back.

    Columns that ``row`` leaves out count with their default. All columns are bound but ``UNBOUND``.
    """
    return canonical({name: row.get(name, default) for name, default in _BOUND})


def erasure_record(erased: Sequence[tuple[int | None, bytes]], reason: str) -> dict[str, Any]:
    """The record of an erasure: every entry it erased, once, and how many.

    An entry is named by what the signed tree fixes: its number, or its commitment (hex) while it
    waits for one. Ids and subjects are columns of the database, which whoever can write there may
    exchange.
    """
    return {
        "entries": sorted(seq for seq, _ in erased if seq is not None),
        "waiting": sorted(commitment.hex() for seq, commitment in erased if seq is None),
        "count": len(erased),
        "reason": reason,
    }


def _default(column: Column[Any]) -> Any:
    return getattr(column.default, "arg", None)


_BOUND = tuple((c.name, _default(c)) for c in decisions.columns if c.name not in UNBOUND)
