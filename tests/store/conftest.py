"""What the store's tests share: a table row that is quick to write, and children that write too."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from tutela.core import new_id, utc_now
from tutela.store.tables.cases import cases


class Rows:
    """Writes and counts rows of ``cases``, which needs no other row."""

    def values(self, **given: Any) -> dict[str, Any]:
        now = utc_now()
        row = {"id": new_id("case"), "purpose": "own", "state": "open"}
        return {**row, "state_at": now, "opened_at": now, **given}

    def write(self, connection: Connection, **given: Any) -> str:
        row = self.values(**given)
        connection.execute(cases.insert(), row)
        return str(row["id"])

    def count(self, connection: Connection) -> int:
        return int(connection.execute(select(func.count()).select_from(cases)).scalar_one())


@pytest.fixture
def rows() -> Rows:
    """Writes and counts rows."""
    return Rows()
