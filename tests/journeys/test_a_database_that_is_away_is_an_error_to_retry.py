"""Database locked or gone: an error with a retry time, no half-done decision; then it goes on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.house import QUICK, Server, picture, wait_until
from tests.journeys.conftest import Aftermath
from tests.services.postgres import Postgres

from tutela.settings import Settings
from tutela.store.tables.decisions import decisions


def test_a_locked_database_is_an_error_to_retry(data_dir: Path, aftermath: Aftermath) -> None:
    settings = Settings(data_dir=data_dir, store={"busy_timeout_seconds": 0.3}, **QUICK)
    with Server(settings) as server, server.client() as client:
        server.list_picture("l", picture(52))
        client.get("/v1/lists")
        locker = sqlite3.connect(data_dir / "tutela.db", isolation_level=None)
        locker.execute("BEGIN EXCLUSIVE")
        before = aftermath.count(decisions)
        for content in (picture(52), picture(53)):
            answer = client.post("/v1/uploads", content=content)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["type"].endswith("store-unavailable")
        locker.execute("ROLLBACK")
        locker.close()
        assert aftermath.count(decisions) == before
        assert client.post("/v1/uploads", content=picture(52)).json()["outcome"] == "block"
    aftermath.whole()


@pytest.mark.services
def test_a_postgresql_that_is_gone_is_an_error_to_retry(
    postgres_server: Postgres, data_dir: Path
) -> None:
    name = postgres_server.create()

    def reachable(yes: bool) -> None:
        with postgres_server.connect("postgres") as connection:
            connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {str(yes).lower()}")
        if not yes:
            postgres_server.cut_off(name)

    store = {"database_url": postgres_server.url(name), "busy_timeout_seconds": 1.0}
    settings = Settings(data_dir=data_dir, store=store, **QUICK)
    with Server(settings) as server, server.client() as client:
        server.list_picture("l", picture(54))
        assert client.post("/v1/uploads", content=picture(54)).json()["outcome"] == "block"
        reachable(False)
        for content in (picture(54), picture(55)):
            answer = client.post("/v1/uploads", content=content)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["headline"]) == (503, "NOT PROTECTING")
        reachable(True)
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/uploads", content=picture(54)).json()["outcome"] == "block"
        assert client.post("/v1/uploads", content=picture(55)).json()["outcome"] == "allow"
    postgres_server.drop(name)
