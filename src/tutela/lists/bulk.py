"""Many rows at once, past the work that SQLAlchemy does for each of them.

An import of a million signals would spend most of its time between dictionary and driver. Here
rows are tuples of what the driver takes: times and JSON are converted by ``Bound``, and both
drivers take everything else as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table

from tutela.store.metadata import Json, UtcTime

Row = tuple[Any, ...]


class Bound:
    """Converts values as the column types of this connection's database do."""

    def __init__(self, connection: Connection) -> None:
        dialect = connection.dialect
        self._time = UtcTime().dialect_impl(dialect).bind_processor(dialect)
        self._json = Json().dialect_impl(dialect).bind_processor(dialect)
        self._seen: dict[datetime, Any] = {}

    def time(self, value: datetime | None) -> Any:
        """A time as the driver takes it; equal ones are converted once."""
        if value is None or self._time is None:
            return value
        made = self._seen.get(value)
        if made is None:
            made = self._seen[value] = self._time(value)
        return made

    def json(self, value: Any) -> Any:
        """JSON as the driver takes it."""
        return value if value is None or self._json is None else self._json(value)


def insert_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
) -> None:
    """Insert tuples whose values stand in the order of ``columns``. Nothing for no rows."""
    if not rows:
        return
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(name) for name in columns)
    marks = ", ".join([_mark(connection)] * len(columns))
    statement = f"INSERT INTO {quote(table.name)} ({names}) VALUES ({marks})"  # noqa: S608  our names
    connection.exec_driver_sql(statement, list(rows))


def known_keys(connection: Connection, list_row: int, keys: Sequence[bytes]) -> set[bytes]:
    """Which of these keys a list has, signals of unfinished imports too. Asks the index only."""
    mark = _mark(connection)
    marks = ", ".join([mark] * len(keys))
    query = f"SELECT key FROM signals WHERE list_row = {mark} AND key IN ({marks})"  # noqa: S608  marks
    return {row[0] for row in connection.exec_driver_sql(query, (list_row, *keys))}


def _mark(connection: Connection) -> str:
    return "?" if connection.dialect.paramstyle == "qmark" else "%s"
