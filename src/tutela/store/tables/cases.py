"""What a reviewer works on: ``cases``, and the items that each gathers (``case_items``)."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, String, Table

from tutela.store.metadata import Json, UtcTime, metadata
from tutela.store.tables.decisions import ID_LENGTH

cases = Table(
    "cases",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column("purpose", String(16), nullable=False, comment="core.Purpose; purposes never mix"),
    Column("state", String(32), nullable=False, default="open"),
    Column("state_at", UtcTime, nullable=False, comment="since when it is in this state"),
    Column("state_by", String(128), nullable=False, default="tutela", comment="who put it there"),
    Column("opened_at", UtcTime, nullable=False),
    Column("severity", String(64), nullable=True),
    Column("account_id", String(256), nullable=True, index=True),
    Column("facts", Json, nullable=True),
    Column("expires_at", UtcTime, nullable=True, index=True),
    Index("ix_cases_state", "state", "opened_at"),
)
"""One row a case."""

case_items = Table(
    "case_items",
    metadata,
    Column("case_id", String(ID_LENGTH), ForeignKey("cases.id"), primary_key=True),
    Column("item_id", String(ID_LENGTH), ForeignKey("items.id"), primary_key=True, index=True),
    Column("decision_id", String(ID_LENGTH), nullable=True),
    Column("added_at", UtcTime, nullable=False),
)
"""Which items a case gathers, and by which decision each came in."""
