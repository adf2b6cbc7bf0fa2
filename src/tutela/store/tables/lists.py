"""Lists, their signals and versions, and the changes by which every process's index keeps up.

Numbers that must rise in the order of commits (``list_changes.seq``, ``signal_hashes.id``) come
from the one row of ``list_counters``: updating it locks it until the transaction ends, so no
reader can ever see a number and miss a smaller one that commits later.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from tutela.store.metadata import Json, RowId, UtcTime, metadata

lists = Table(
    "lists",
    metadata,
    Column("row", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("name", String(160), nullable=False, unique=True),
    Column("purpose", String(16), nullable=False, comment="core.Purpose; never changes"),
    Column("mode", String(16), nullable=False, comment="core.ListMode; history in list_events"),
    Column("source", String(128), nullable=False, comment="who gave it; 'own' is the operator"),
    Column("synced", Boolean, nullable=False, comment="kept fresh by an exchange: can go stale"),
    Column("stale_after_hours", Float, nullable=True, comment="null: the setting's"),
    Column("created_at", UtcTime, nullable=False),
    Column("refreshed_at", UtcTime, nullable=True, comment="last sync or import that succeeded"),
    Column("version", Integer, nullable=False, comment="the newest version's number"),
    Column("entries", BigInteger, nullable=False, comment="signals that match (active, disputed)"),
    Column("root", LargeBinary(32), nullable=False, comment="Merkle root of the newest version"),
    Column("deleted_at", UtcTime, nullable=True, comment="its signals are gone, its record stays"),
)
"""One row a list."""

list_events = Table(
    "list_events",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("list_row", Integer, ForeignKey("lists.row"), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("kind", String(16), nullable=False, comment="created, mode, export, deleted"),
    Column("mode", String(16), nullable=True, comment="the mode chosen, for created and mode"),
    Column("actor", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("facts", Json, nullable=True),
)
"""Who chose what a list may do, who exported or deleted it, when and why."""

list_versions = Table(
    "list_versions",
    metadata,
    Column("list_row", Integer, ForeignKey("lists.row"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("kind", String(16), nullable=False, comment="create, add, import, withdraw, expire…"),
    Column("actor", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("removed", BigInteger, nullable=False, comment="signals that stopped matching"),
    Column("entries", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False, comment="RFC 9162 Merkle root"),
)
"""What a list was after each edit."""

list_trees = Table(
    "list_trees",
    metadata,
    Column("list_row", Integer, ForeignKey("lists.row"), primary_key=True, autoincrement=False),
    Column("slots", LargeBinary, nullable=False, comment="4096 roots of 32 bytes"),
    Column("dirty", LargeBinary, nullable=False, comment="4096 bits: roots to compute again"),
)
"""The inner nodes that make the next version's root cheap. Derived; can be computed again."""

list_imports = Table(
    "list_imports",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("list_row", Integer, ForeignKey("lists.row"), nullable=False, index=True),
    Column("started_at", UtcTime, nullable=False),
    Column("alive_at", UtcTime, nullable=False, comment="when it last committed a part"),
    Column("finished_at", UtcTime, nullable=True),
    Column("abandoned_at", UtcTime, nullable=True),
    Column("actor", String(128), nullable=False),
    Column("format", String(16), nullable=False),
    Column("facts", Json, nullable=True, comment="the report's counts"),
)
"""Imports. What an unfinished one added does not count, and is swept by the next."""

signals = Table(
    "signals",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=False),
    Column("list_row", Integer, ForeignKey("lists.row"), nullable=False),
    Column("key", LargeBinary(16), nullable=False, comment="SHA-256 of upstream_id, cut"),
    Column("upstream_id", Text, nullable=False, comment="the source's own id"),
    Column("state", String(16), nullable=False, comment="core.SignalState in force"),
    Column("source_state", String(16), nullable=False, comment="what the source says"),
    Column("own_state", String(16), nullable=True, comment="what the operator put it in"),
    Column("classification", Text, nullable=True, comment="the source's word, not interpreted"),
    Column("redistribute", Boolean, nullable=False),
    Column("first_seen", UtcTime, nullable=True),
    Column("last_seen", UtcTime, nullable=True),
    Column("expires_at", UtcTime, nullable=True),
    Column("details", Json, nullable=True, comment="tags, opinions, note, facts"),
    Column("leaf", LargeBinary(32), nullable=False, comment="Merkle leaf hash"),
    Column("first_hash", BigInteger, nullable=False, comment="its hashes are a range of ids"),
    Column("hash_count", Integer, nullable=False),
    Column("import_id", BigInteger, nullable=True, comment="the import that last wrote it"),
    Column("pending", Boolean, nullable=False, comment="does not count before import_id finished"),
    UniqueConstraint("list_row", "key"),
)
"""One row a signal. Ordered by ``key`` within a list, which is the order of its Merkle leaves."""

Index(
    "ix_signals_expires_at",
    signals.c.expires_at,
    sqlite_where=signals.c.expires_at.is_not(None),
    postgresql_where=signals.c.expires_at.is_not(None),
)

signal_hashes = Table(
    "signal_hashes",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=False, comment="the index's ref"),
    Column("signal_id", BigInteger, nullable=False),
    Column("list_row", Integer, nullable=False),
    Column("type", String(8), nullable=False, comment="core.HashType; vpdq rows are frames"),
    Column("value", LargeBinary, nullable=False),
    Column("quality", SmallInteger, nullable=True),
    Column("frame", Integer, nullable=True),
    Column("time", Float, nullable=True, comment="seconds from the start of the video"),
)
"""One row a hash, or a frame of a video. Found by the range that its signal names, or by ref."""

list_changes = Table(
    "list_changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="the range's last"),
    Column("at", UtcTime, nullable=False, index=True),
    Column("op", String(8), nullable=False, comment="add or remove"),
    Column("list_row", Integer, nullable=False),
    Column("ref_from", BigInteger, nullable=False),
    Column("ref_to", BigInteger, nullable=False, comment="inclusive; each ref takes one seq"),
)
"""What indexes have to take in, as ranges of ``signal_hashes.id``."""

list_counters = Table(
    "list_counters",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, comment="always 1"),
    Column("seq", BigInteger, nullable=False),
    Column("signal", BigInteger, nullable=False),
    Column("hash", BigInteger, nullable=False),
)
"""The last numbers given out. One row: updating it puts writers in one order."""
