"""Bring a database to this version's schema, whoever else is starting at the same moment.

SQLite: everything happens inside one ``BEGIN IMMEDIATE``, which only one process gets; the next
one finds the work done. PostgreSQL: the same under a transaction-level advisory lock. Both can
roll back changes of schema, so a migration that fails leaves the former schema whole.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from tutela.errors import InvalidSetting, StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

    from tutela.store.engine import Database

FOLDER = Path(__file__).resolve().parent
"""Where ``env.py`` and the revisions are; packaged with Tutela."""

_REVISION = re.compile(r'^revision\b[^=\n]*= "(\w+)"', re.MULTILINE)
_DOWN = re.compile(r'^down_revision\b[^=\n]*= "(\w+)"', re.MULTILINE)

ADVISORY_LOCK = 0x7475_7465_6C61
"""The PostgreSQL advisory lock held while migrating ("tutela" in ASCII)."""

LONGEST_WAIT_MS = 120_000
"""How long a process waits for another one's migration, in milliseconds."""


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, with the connection that ``env.py`` is to use."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made


def migrate(database: Database, revision: str = "head") -> None:
    """Upgrade to ``revision``. Raises ``InvalidSetting`` where the database is newer than we are.

    ``StoreUnavailable`` and ``StorageFull`` as any write; the schema is then as it was.
    """
    if revision == "head" and _is_at_head(database):
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if database.is_sqlite:
        _wait_longer(database)
    with database.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"SET LOCAL lock_timeout = {LONGEST_WAIT_MS}"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
        present = current(connection)
        if present is not None and present not in known:
            raise InvalidSetting(
                "The database was written by a newer Tutela than this one.",
                next_step="Start the newer version again, or restore the backup made before it.",
            )
        command.upgrade(config(connection), revision)


def head() -> str:
    """The newest revision, read from the revisions' text: loading Alembic for that would cost
    every command half a second."""
    texts = [path.read_text("utf-8") for path in (FOLDER / "versions").glob("*.py")]
    revised = {name for text in texts for name in _DOWN.findall(text)}
    (newest,) = {name for text in texts for name in _REVISION.findall(text)} - revised
    return str(newest)


def _is_at_head(database: Database) -> bool:
    """Whether there is nothing to do. A database that does not answer now is waited for below."""
    try:
        with database.read() as connection:
            return current(connection) == head()
    except StoreUnavailable:
        return False


def current(connection: Connection) -> str | None:
    """The revision a database is at, or None where it has no schema yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _wait_longer(database: Database) -> None:
    """Wait for another process's migration before asking for the write lock ourselves."""
    import sqlite3
    import time

    until = time.monotonic() + LONGEST_WAIT_MS / 1000
    while time.monotonic() < until:
        connection = sqlite3.connect(str(database.url.database), timeout=1.0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            if (error.sqlite_errorcode & 0xFF) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                continue
            return  # the real attempt will say what is wrong
        finally:
            connection.close()
        return
