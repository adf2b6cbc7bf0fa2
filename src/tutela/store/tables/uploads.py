"""Tables of the upload gate: what waits to be examined again, and what the self-test found."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, String, Table

from tutela.store.metadata import Json, RowId, UtcTime, metadata

deferred_uploads = Table(
    "deferred_uploads",
    metadata,
    Column("decision_id", String(40), primary_key=True),
    Column("item_id", String(40), nullable=False),
    Column("parked", String(80), nullable=False, unique=True),
    Column("holder", String(40), nullable=False),
    Column("item", Json, nullable=False),
    Column("key_id", String(40), nullable=True),
    Column("tries", Integer, nullable=False, default=0),
    Column("next_at", UtcTime, nullable=False, index=True),
    Column("expires_at", UtcTime, nullable=False),
)
"""Uploads on deferred hold. ``parked`` names the encrypted bytes in the spool, ``holder`` the data
folder that has them; ``item`` carries the facts, so that examining again decides in the same
context."""

selftests = Table(
    "selftests",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False, index=True),
    Column("ok", Boolean, nullable=False),
    Column("steps", Json, nullable=False),
)
"""Each run of the self-test: when, whether every step came out as it must, and the steps."""
