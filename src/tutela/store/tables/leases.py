"""Who does which background duty at the moment: ``leases``."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table

from tutela.store.metadata import UtcTime, metadata

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("token", BigInteger, nullable=False, comment="grows with every new holder (fencing)"),
    Column("since", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
)
"""One row for each duty that only one process at a time may do."""
