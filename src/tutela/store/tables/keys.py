"""The table of API keys. Only the SHA-256 of a key is kept; the key itself is shown once."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from tutela.store.metadata import Bytes, Json, UtcTime, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("digest", Bytes, nullable=False, unique=True),
    Column("scopes", Json, nullable=False),
    Column("rate_per_minute", Integer, nullable=True),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=True),
    Column("revoked_at", UtcTime, nullable=True),
    Column("last_used_at", UtcTime, nullable=True),
)
"""A key: ``digest`` is SHA-256 over the whole key, 256 random bits, so no slow hash is needed."""
