"""Sealed evidence and the custody log of each piece: ``evidence`` and ``custody``."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from tutela.store.metadata import Json, RowId, UtcTime, metadata
from tutela.store.tables.decisions import ID_LENGTH

evidence = Table(
    "evidence",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column("case_id", String(ID_LENGTH), ForeignKey("cases.id"), nullable=True, index=True),
    Column("item_id", String(ID_LENGTH), nullable=True, index=True),
    Column("object_name", String(255), nullable=False, unique=True),
    Column("state", String(16), nullable=False, default="kept", comment="kept, ending, destroyed"),
    Column("sealed_at", UtcTime, nullable=False),
    Column("size", BigInteger, nullable=False, comment="bytes of the original"),
    Column("md5", LargeBinary(16), nullable=False, comment="of the original"),
    Column("sha256", LargeBinary(32), nullable=False, index=True, comment="of the original"),
    Column("sealed_size", BigInteger, nullable=False, comment="bytes of the sealed object"),
    Column("sealed_sha256", LargeBinary(32), nullable=False, comment="of the sealed object"),
    Column("recipients", Json, nullable=False, comment="age recipients it was sealed to"),
    Column("facts", Json, nullable=True),
    Column("expires_at", UtcTime, nullable=True, index=True),
    Column("destroyed_at", UtcTime, nullable=True),
)
"""One row for each sealed object. The row outlives the object as its certificate."""

custody = Table(
    "custody",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("evidence_id", String(ID_LENGTH), ForeignKey("evidence.id"), nullable=False),
    Column("number", Integer, nullable=False, comment="1, 2, 3… within one piece of evidence"),
    Column("at", UtcTime, nullable=False),
    Column("who", String(128), nullable=False),
    Column("action", String(32), nullable=False, comment="cases.custody.Action"),
    Column("why", Text, nullable=False),
    Column("origin", String(128), nullable=False, comment="from where: an entrance, a command"),
    Column("facts", Json, nullable=True),
    Column("previous", LargeBinary(32), nullable=False, comment="hash of the record before"),
    Column("hash", LargeBinary(32), nullable=False),
    UniqueConstraint("evidence_id", "number"),
)
"""Who did what to a piece of evidence, each record chained to the one before it by its hash."""
