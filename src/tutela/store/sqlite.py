"""SQLite as Tutela uses it: when a transaction begins, how a connection is set up.

The driver would begin transactions by itself, and late; SQLAlchemy's own ``begin`` event would
cost a quarter of the time of every statement. So this dialect begins them, where SQLAlchemy says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

DRIVER = "sqlite+tutela"
"""The driver name under which SQLAlchemy knows this dialect."""

PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=FAST",
    "temp_store=MEMORY",
    "cache_size=-32768",
)
"""Said on every new connection: readers and a writer side by side, commits that survive a power
cut, references that hold, deleted rows overwritten."""

_intent = threading.local()


@contextmanager
def writing() -> Iterator[None]:
    """Transactions begun inside this block, by this thread, take the write lock at once."""
    _intent.writes = True
    try:
        yield
    finally:
        _intent.writes = False


class Dialect(SQLiteDialect_pysqlite):
    """pysqlite that begins its transactions itself: ``IMMEDIATE`` where we are to write."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin now, not at the first change."""
        writes = getattr(_intent, "writes", False)
        dbapi_connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    def on_connect(self) -> Callable[[Any], None]:
        """What is done with every new connection."""
        usual = super().on_connect()

        def connected(connection: Any) -> None:
            if usual is not None:
                usual(connection)
            connection.isolation_level = None  # the driver begins nothing by itself
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").close()

        return connected


registry.register("sqlite.tutela", __name__, "Dialect")
