"""Helpers of the ledger's tests: a ledger over a database, decisions to log, damage to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from sqlalchemy import insert

from tutela.core import new_id, utc_now
from tutela.store import Database
from tutela.store.tables.decisions import decisions, items
from tutela.transparency import Ledger, LedgerEntry, Sequencer
from tutela.transparency.report import Report
from tutela.transparency.verify import verify

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@dataclass
class Log:
    """A ledger with its sequencer over one database and data folder."""

    database: Database
    ledger: Ledger
    sequencer: Sequencer

    @property
    def folder(self) -> Path:
        return self.ledger.folder

    def append(self, count: int = 1) -> list[LedgerEntry]:
        with self.database.begin() as conn:
            return [self.ledger.append(conn, "policy", {"n": n}) for n in range(count)]

    def grow(self, *counts: int) -> None:
        """Publishes once after each of these numbers of entries."""
        for count in counts:
            self.append(count)
            self.sequencer.run_once()

    def decide(self, **values: Any) -> str:
        """Records one decision with its entry, as the gate does; its id."""
        item_id, row = decision_row(**values)
        with self.database.begin() as conn:
            conn.execute(insert(items), item_row(item_id))
            row["ledger_entry"] = self.ledger.append_decisions(conn, [row])[0].id
            conn.execute(insert(decisions), row)
        return str(row["id"])

    def verify(self, *, database: bool = True, key: str | None = None) -> Report:
        return verify(self.folder, self.database if database else None, key=key)


def item_row(item_id: str) -> dict[str, Any]:
    return {
        "id": item_id,
        "kind": "upload",
        "received_at": utc_now(),
        "entrance": "api",
        "surface": "post",
        "recipients_age_band": "unknown",
    }


def decision_row(**values: Any) -> tuple[str, dict[str, Any]]:
    item_id = new_id("item")
    row: dict[str, Any] = {
        "id": new_id("dec"),
        "item_id": item_id,
        "at": utc_now(),
        "outcome": "block",
        "rule": "exact",
        "policy_version": "default@0123456789ab",
        "reasons": ["Grüße, a reason"],
        "opaque_reason": "not_accepted",
        "purpose": "csam",
        "deferred": False,
        "protecting": True,
        "request_digest": bytes(range(32)),
        "findings": [{"kind": "near", "distance": 12, "share": 0.25, "time": 1.0, "list": None}],
        "context": {"item": {"surface": "post", "facts": {}}, "context": {"tries": 0}},
        "timings": {"decode": 4.25, "match": 0.0, "total": 1e-05},
        **values,
    }
    return item_id, row


@pytest.fixture
def make_log() -> Callable[[Database], Log]:
    def make(database: Database) -> Log:
        settings = database.settings
        return Log(database, Ledger(database, settings), Sequencer(database, settings))

    return make


@pytest.fixture
def log(sqlite_database: Database, make_log: Callable[[Database], Log]) -> Log:
    """A ledger on SQLite."""
    return make_log(sqlite_database)


@pytest.fixture
def any_log(database: Database, make_log: Callable[[Database], Log]) -> Log:
    """A ledger on SQLite and on PostgreSQL."""
    return make_log(database)
