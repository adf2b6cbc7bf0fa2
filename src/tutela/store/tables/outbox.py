"""What is to leave the house: ``outbox``."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text, text

from tutela.store.metadata import Json, RowId, UtcTime, metadata
from tutela.store.tables.decisions import ID_LENGTH

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("event_id", String(ID_LENGTH), nullable=False, unique=True),
    Column("kind", String(64), nullable=False, comment="event type, such as decision.made"),
    Column("payload", Json, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False, comment="not before this time"),
    Column("state", String(16), nullable=False, comment="waiting, delivered, dead"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("claimed_by", String(128), nullable=True),
    Column("claimed_until", UtcTime, nullable=True, comment="another process may take it then"),
    Column("delivered_at", UtcTime, nullable=True),
    Column("last_error", Text, nullable=True),
    Index(
        "ix_outbox_waiting",
        "due_at",
        "id",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
)
"""Events, written in the transaction that causes them and delivered afterwards."""
