"""What was examined and what was decided: ``items`` and ``decisions``.

No content is kept here: hashes, facts and words only. Rows are deleted by the retention sweep
(``tutela.cases.retention``) once ``expires_at`` has passed.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tutela.store.metadata import Json, UtcTime, metadata

ID_LENGTH = 64
"""Room for any id made by ``tutela.core.new_id``."""

items = Table(
    "items",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column("kind", String(32), nullable=False, comment="core.ItemKind"),
    Column("received_at", UtcTime, nullable=False),
    Column("entrance", String(32), nullable=False, comment="api, cli, middleware…"),
    Column("surface", String(64), nullable=False),
    Column("account_id", Text, nullable=True, comment="the platform's opaque id"),
    Column("account", Json, nullable=True, comment="age band, its source and facts given"),
    Column("file_name", Text, nullable=True, comment="a label, never a path"),
    Column("recipients_age_band", String(16), nullable=False),
    Column("client_time", UtcTime, nullable=True),
    Column("client_ip", String(45), nullable=True),
    Column("client_port", Integer, nullable=True),
    Column("size", BigInteger, nullable=True, comment="bytes; null when only hashes were sent"),
    Column("media_kind", String(16), nullable=True, comment="core.MediaKind"),
    Column("format", String(32), nullable=True, comment="as sniffed"),
    Column("sha256", LargeBinary(32), nullable=True, index=True),
    Column("hashes", Json, nullable=True, comment="md5, sha1, pdq, quality… as text"),
    Column("facts", Json, nullable=True, comment="further facts that the platform gave"),
    Column("expires_at", UtcTime, nullable=True, comment="null: kept until something sets it"),
    Index("ix_items_account_id", "account_id", "received_at"),
)
"""One row for each thing examined."""

decisions = Table(
    "decisions",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column("item_id", String(ID_LENGTH), ForeignKey("items.id"), nullable=False, index=True),
    Column("at", UtcTime, nullable=False, index=True),
    Column("outcome", String(16), nullable=False, comment="core.Outcome"),
    Column("rule", String(128), nullable=False),
    Column("policy_version", String(128), nullable=False),
    Column("reasons", Json, nullable=True),
    Column("opaque_reason", String(64), nullable=True, comment="the word the uploader sees"),
    Column("purpose", String(16), nullable=True, comment="core.Purpose of the deciding list"),
    Column("severity", String(64), nullable=True),
    Column("deferred", Boolean, nullable=False, comment="a hold that rests on a fault of ours"),
    Column("protecting", Boolean, nullable=False),
    Column("case_id", String(ID_LENGTH), nullable=True),
    Column("evidence_id", String(ID_LENGTH), nullable=True),
    Column("supersedes", String(ID_LENGTH), nullable=True, comment="an earlier decision"),
    Column("key_id", String(ID_LENGTH), nullable=False, default="", comment="API key; '' is local"),
    Column("idempotency_key", String(255), nullable=True),
    Column("request_digest", LargeBinary(32), nullable=True, comment="SHA-256 of the request"),
    Column("findings", Json, nullable=True, comment="core.Finding values as plain data"),
    Column("context", Json, nullable=True, comment="what policy saw besides, for replay"),
    Column("would", Json, nullable=True, comment="dry-run rules and their outcomes"),
    Column("answer", Json, nullable=True, comment="what was answered, for repeated requests"),
    Column("timings", Json, nullable=True, comment="milliseconds by step"),
    Column("ledger_entry", String(ID_LENGTH), nullable=True, comment="its entry in the ledger"),
    Column("expires_at", UtcTime, nullable=True, index=True),
    UniqueConstraint("key_id", "idempotency_key"),
    Index(
        "ix_decisions_case_id",
        "case_id",
        sqlite_where=text("case_id IS NOT NULL"),
        postgresql_where=text("case_id IS NOT NULL"),
    ),
    Index(
        "ix_decisions_supersedes",
        "supersedes",
        sqlite_where=text("supersedes IS NOT NULL"),
        postgresql_where=text("supersedes IS NOT NULL"),
    ),
)
"""One row for each decision. A repeated idempotency key of the same API key finds its row here."""
