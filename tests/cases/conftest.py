"""What the vault's tests share: a vault over a deployment, and a way to put evidence into it."""

from __future__ import annotations

import io
import os
from datetime import datetime, timedelta
from typing import Any

import pytest
from pyrage import x25519

from tutela.cases import Vault
from tutela.core import new_id, utc_now
from tutela.settings import Settings
from tutela.store import Database, Objects
from tutela.store.tables.cases import case_items, cases
from tutela.store.tables.decisions import decisions, items
from tutela.transparency import Ledger


class Bytes:
    """A source of bytes, such as an upload in the spool."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.data)


class House:
    """A vault with its stores, and the rows that an upload leaves in them."""

    def __init__(self, settings: Settings, identity: x25519.Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.database = Database(settings)
        self.objects = Objects(settings)
        self.vault = Vault(settings, self.objects)
        self.ledger = Ledger(self.database, settings)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self.key = settings.data_dir / "offline.agekey"
        self.key.write_text(f"# kept elsewhere\n{identity}\n")

    def block(
        self,
        data: bytes | None = None,
        *,
        at: datetime | None = None,
        keep: timedelta = timedelta(days=365),
        outcome: str = "block",
    ) -> dict[str, Any]:
        """Seal and record an upload, as the road does; the ids of its rows."""
        moment = at or utc_now()
        until = moment + keep
        names = {kind: new_id(kind) for kind in ("item", "dec", "case")}
        seals = outcome != "allow"
        sealed = self.vault.seal_blocking(Bytes(data or os.urandom(1000))) if seals else None
        with self.database.begin() as connection:
            connection.execute(
                items.insert(),
                {
                    "id": names["item"], "kind": "upload", "received_at": moment,
                    "entrance": "api", "surface": "post", "recipients_age_band": "unknown",
                    "expires_at": until,
                },
            )  # fmt: skip
            if sealed is not None:
                connection.execute(
                    cases.insert(),
                    {
                        "id": names["case"], "purpose": "own", "state": "open",
                        "state_at": moment, "opened_at": moment, "account_id": "user-1",
                        "facts": {"a": 1}, "expires_at": until,
                    },
                )  # fmt: skip
                connection.execute(
                    case_items.insert(),
                    {"case_id": names["case"], "item_id": names["item"], "added_at": moment},
                )
                self.vault.record(
                    connection, sealed, names["case"], ledger=self.ledger, expires_at=until
                )
                names["ev"] = sealed.evidence_id
                names["object"] = sealed.object_name
            decision = {
                "id": names["dec"], "item_id": names["item"], "at": moment,
                "outcome": outcome, "rule": "r", "policy_version": "1", "deferred": False,
                "protecting": True, "expires_at": until,
                "case_id": names["case"] if seals else None,
            }  # fmt: skip
            self.ledger.append_decisions(connection, [decision])
            connection.execute(decisions.insert(), decision)
        return names

    def close(self) -> None:
        self.database.close()


def make_house(settings: Settings) -> House:
    identity = x25519.Identity.generate()
    vault = settings.vault.model_copy(update={"recipients": [str(identity.to_public())]})
    return House(settings.model_copy(update={"vault": vault}), identity)


@pytest.fixture
def house(deployment):
    """A vault over SQLite with a folder, and over PostgreSQL with S3."""
    made = make_house(deployment)
    yield made
    made.close()


@pytest.fixture
def small_house(sqlite_settings):
    """A vault over SQLite with a folder only."""
    made = make_house(sqlite_settings)
    yield made
    made.close()
