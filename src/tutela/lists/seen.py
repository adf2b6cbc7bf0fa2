"""Which keys a dry run met already: on disk where there are many, gone when closed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

_PART = 5_000


class SeenKeys:
    """A set of keys of any size in constant memory: SQLite's anonymous temporary file.

    It holds keys (digests of upstream ids), never hashes of lists.
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")
        self._connection.execute("BEGIN")

    def add(self, keys: Sequence[bytes]) -> set[bytes]:
        """Add keys; those that were there before."""
        before: set[bytes] = set()
        for start in range(0, len(keys), _PART):
            part = keys[start : start + _PART]
            marks = ",".join("?" * len(part))
            query = f"SELECT key FROM seen WHERE key IN ({marks})"  # noqa: S608  marks only
            before.update(row[0] for row in self._connection.execute(query, part))
        rows = [(key,) for key in keys]
        self._connection.executemany("INSERT OR IGNORE INTO seen VALUES (?)", rows)
        return before

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()
