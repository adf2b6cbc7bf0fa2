"""The ledger's side in the database: ``ledger_entries`` and ``ledger_state``.

The public side, tiles and a signed checkpoint, holds commitments only; what they commit to stays
here and can be erased.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text, text

from tutela.store.metadata import UtcTime, metadata

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("seq", BigInteger, nullable=True, unique=True, comment="leaf index once sequenced"),
    Column("at", UtcTime, nullable=False),
    Column("kind", String(32), nullable=False, comment="decision, policy, list, erasure…"),
    Column("subject", String(64), nullable=True, index=True, comment="what it is about"),
    Column("commitment", LargeBinary(32), nullable=False, comment="the entry in the public log"),
    Column("salt", LargeBinary(32), nullable=True, comment="null once erased"),
    Column("record", Text, nullable=True, comment="canonical JSON; null: read from the subject"),
    Index(
        "ix_ledger_entries_waiting",
        "id",
        sqlite_where=text("seq IS NULL"),
        postgresql_where=text("seq IS NULL"),
    ),
)
"""One row for each entry, written in the transaction that it testifies to."""

ledger_state = Table(
    "ledger_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1"),
    Column("key", Text, nullable=False, comment="the log's public key (C2SP verifier key)"),
    Column("size", BigInteger, nullable=False, comment="entries under the last checkpoint"),
    Column("root", LargeBinary(32), nullable=False),
    Column("checkpoint", Text, nullable=False, comment="the signed note as published"),
    Column("at", UtcTime, nullable=False),
)
"""One row: the last checkpoint that this log has signed, so that no older one is taken for it."""
