"""The database: one engine over SQLite or PostgreSQL, with our errors and nobody else's.

SQLite runs in WAL mode with ``synchronous=FULL``: a committed decision survives a power cut.
Writers begin with ``BEGIN IMMEDIATE``, so that two processes queue for the lock (``busy_timeout``)
instead of failing half-way with ``SQLITE_BUSY_SNAPSHOT``
(https://www.sqlite.org/isolation.html, https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tutela.core import utc_now
from tutela.errors import InvalidSetting, MissingExtra
from tutela.settings import Settings
from tutela.store import sqlite
from tutela.store import tables as _tables  # noqa: F401  fills the metadata
from tutela.store.faults import from_sqlalchemy
from tutela.store.folder import cannot, make_data_folder

DATABASE_FILE = "tutela.db"
"""Name of the SQLite file in the data folder."""


class Database:
    """The one door to the database. Thread-safe; make one a process, after any ``fork``.

    Raises ``InvalidSetting`` for an unusable URL, ``MissingExtra`` for PostgreSQL without its
    driver, ``StoreUnavailable`` or ``StorageFull`` where the data folder cannot be made.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = _url(settings)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _make_engine(self.url, settings)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection whose statements see one moment (SQLite) and write nothing.

        Raises ``StoreUnavailable`` where the database does not answer.
        """
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction: committed at the end of the block, rolled back by any exception.

        Raises ``StoreUnavailable`` (locked for longer than ``store.busy_timeout_seconds``, away),
        ``StorageFull``, and ``Conflict`` for a broken uniqueness or foreign key.
        """
        with _translated(), self._begin() as connection:
            yield connection

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            with sqlite.writing():
                transaction = connection.begin()
            with transaction:
                yield connection

    def now(self, connection: Connection) -> datetime:
        """The time by which processes on several machines agree: the database server's.

        SQLite is used by one machine, so there it is that machine's clock.
        """
        if self.is_sqlite:
            return utc_now()
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now

    def migrate(self) -> None:
        """Bring the schema to this version's. Safe when several processes start at once.

        Raises ``InvalidSetting`` where the database was written by a newer Tutela.
        """
        from tutela.store.migrations import migrate

        migrate(self)

    def check(self) -> None:
        """Ask the database for a sign of life. Raises ``StoreUnavailable``."""
        with self.read() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise from_sqlalchemy(error) from error


def _url(settings: Settings) -> URL:
    text = settings.store.database_url.get_secret_value()
    if not text:
        return URL.create("sqlite", database=str(settings.data_dir / DATABASE_FILE))
    try:
        url = make_url(text)
    except ArgumentError:
        url = URL.create("unusable")
    if url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}:
        return url.set(drivername="sqlite")
    if url.get_backend_name() in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    raise InvalidSetting(
        "store.database_url is neither a PostgreSQL nor an SQLite file URL.",
        next_step="Give postgresql+psycopg://user:password@host/name, or leave it empty.",
    )


def _make_engine(url: URL, settings: Settings) -> Engine:
    wait = settings.store.busy_timeout_seconds
    common: dict[str, Any] = {
        "pool_size": settings.store.pool_size,
        "max_overflow": settings.store.pool_size,
        "pool_timeout": wait,
        "hide_parameters": True,
        "json_serializer": _encode_json,
        "json_deserializer": _decode_json,
    }
    if url.get_backend_name() == "sqlite":
        _prepare_file(Path(str(url.database)))
        return create_engine(
            url.set(drivername=sqlite.DRIVER), connect_args={"timeout": wait}, **common
        )
    milliseconds = round(wait * 1000)
    options = f"-c lock_timeout={milliseconds} -c idle_in_transaction_session_timeout=60000"
    try:
        return create_engine(
            url,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(2, round(wait)),
                "application_name": "tutela",
                "options": f"{options} -c timezone=UTC",
            },
            **common,
        )
    except ModuleNotFoundError as error:
        raise MissingExtra("postgres", "A PostgreSQL database") from error


def _prepare_file(path: Path) -> None:
    """Make the folder (0700) and the database file (0600, which SQLite gives -wal and -shm too)."""
    make_data_folder(path.parent)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise cannot(path, error) from error


def _encode_json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


def _decode_json(text: str | bytes) -> Any:
    import msgspec

    return msgspec.json.decode(text)
