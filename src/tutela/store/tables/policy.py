"""Policy's tables: versions used, the allow list, and the counts behind the brakes."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from tutela.store.metadata import UtcTime, metadata

policy_versions = Table(
    "policy_versions",
    metadata,
    Column("version", String(128), primary_key=True),
    Column("source", Text, nullable=False, comment="the TOML text"),
    Column("first_used_at", UtcTime, nullable=False),
    Column("last_used_at", UtcTime, nullable=False),
)
"""Every policy text that was ever in force, so that old decisions can be explained."""

allow_entries = Table(
    "allow_entries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("type", String(16), nullable=False, comment="core.HashType: sha256 or pdq"),
    Column("value", LargeBinary(32), nullable=False),
    Column("distance", Integer, nullable=False, comment="bits; 0 for sha256"),
    Column("owner", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
    Column("ended_at", UtcTime, nullable=True, comment="taken back before it expired"),
    Column("ended_by", Text, nullable=True),
    Column("ended_why", Text, nullable=True),
)
"""Harmless pictures that signals over-match. Rows are kept after their end."""

brake_counts = Table(
    "brake_counts",
    metadata,
    Column("rule", String(64), primary_key=True),
    Column("signal", String(64), primary_key=True, comment="a signal's id, or '' for the rule"),
    Column("minute", BigInteger, primary_key=True, autoincrement=False, comment="since 1970"),
    Column("count", Integer, nullable=False),
    Index("ix_brake_counts_minute", "minute"),
)
"""Blocks by rule, signal and minute; rows older than the window are swept."""

brake_alarms = Table(
    "brake_alarms",
    metadata,
    Column("rule", String(64), primary_key=True),
    Column("signal", String(64), primary_key=True),
    Column("minute", BigInteger, nullable=False, comment="of the last alarm"),
)
"""When each brake last raised an alarm, so that one process raises it and not all."""
