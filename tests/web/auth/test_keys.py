"""API keys: what is kept of them, when they end, what they may."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta

import pytest
import structlog

from tutela.core import utc_now
from tutela.errors import InvalidInput, NotAuthenticated, NotFound, NotPermitted, StoreUnavailable
from tutela.store import Database
from tutela.web.auth.keys import CACHE_SECONDS, LENGTH, PREFIX, ApiKeys, Scope


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def allowed(keys: ApiKeys, header: str | None) -> bool:
    try:
        asyncio.run(keys.authenticate(header))
    except NotAuthenticated:
        return False
    return True


def test_a_key_opens_and_only_its_digest_is_kept(sqlite_database: Database) -> None:
    keys = ApiKeys(sqlite_database)
    key, token = keys.create("photo service", [Scope.UPLOADS_WRITE])
    assert token.startswith(PREFIX)
    assert len(token) == LENGTH
    assert asyncio.run(keys.authenticate(f"Bearer {token}")) == key
    with sqlite3.connect(str(sqlite_database.url.database)) as raw:
        dump = "\n".join(raw.iterdump())
    assert token.removeprefix(PREFIX) not in dump
    assert token.encode().hex() not in dump.lower()


def test_keys_are_the_same_on_every_database(database: Database) -> None:
    keys = ApiKeys(database)
    key, token = keys.create("a", [Scope.ADMIN], rate_per_minute=5)
    assert keys.find(token) == key
    assert keys.all() == [key]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dTpw",
        "Bearer " + PREFIX + "x" * 43,
        "Bearer " + "x" * 5000,
        "Bearer tutela_' OR 1=1 --xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "Bearer \u00ff" + "x" * 49,
    ],
)
def test_what_is_no_key_does_not_open(sqlite_database: Database, header: str | None) -> None:
    keys = ApiKeys(sqlite_database)
    keys.create("a", [Scope.ADMIN])
    assert not allowed(keys, header)


def test_a_revoked_key_stops_at_once_here_and_within_the_cache_time_elsewhere(
    sqlite_database: Database,
) -> None:
    clock = Clock()
    here, elsewhere = ApiKeys(sqlite_database), ApiKeys(sqlite_database, clock=clock)
    key, token = here.create("a", [Scope.ADMIN])
    header = f"Bearer {token}"
    assert allowed(here, header)
    assert allowed(elsewhere, header)
    assert here.revoke(key.id).state == "revoked"
    assert not allowed(here, header)
    clock.now += CACHE_SECONDS
    assert not allowed(elsewhere, header)


def test_an_expired_key_stops_although_it_is_cached(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ApiKeys(sqlite_database)
    _, token = keys.create("a", [Scope.ADMIN], expires_at=utc_now() + timedelta(hours=1))
    assert allowed(keys, f"Bearer {token}")
    later = utc_now() + timedelta(hours=2)
    monkeypatch.setattr("tutela.web.auth.keys.utc_now", lambda: later)
    assert not allowed(keys, f"Bearer {token}")
    assert keys.all()[0].state == "expired"


def test_scopes_are_what_a_key_may_and_admin_is_all(sqlite_database: Database) -> None:
    keys = ApiKeys(sqlite_database)
    small, _ = keys.create("a", [Scope.LISTS_READ])
    small.require(Scope.LISTS_READ)
    for scope in Scope:
        if scope is not Scope.LISTS_READ:
            with pytest.raises(NotPermitted):
                small.require(scope)
    admin, _ = keys.create("b", [Scope.ADMIN])
    for scope in Scope:
        admin.require(scope)


def test_a_scope_that_this_version_does_not_know_grants_nothing(
    sqlite_database: Database,
) -> None:
    from sqlalchemy import update

    from tutela.store.tables.keys import api_keys

    keys = ApiKeys(sqlite_database)
    _, token = keys.create("a", [Scope.LISTS_READ])
    with sqlite_database.begin() as connection:
        connection.execute(update(api_keys).values(scopes=["lists:read", "future:thing"]))
    found = keys.find(token)
    assert found is not None
    assert found.scopes == {Scope.LISTS_READ}


def test_use_is_noted(sqlite_database: Database) -> None:
    keys = ApiKeys(sqlite_database)
    _, token = keys.create("a", [Scope.ADMIN])
    keys.note_use()
    assert keys.all()[0].last_used_at is None
    assert allowed(keys, f"Bearer {token}")
    keys.note_use()
    assert keys.all()[0].last_used_at is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 101},
        {"scopes": []},
        {"rate_per_minute": 0},
        {"expires_at": utc_now() - timedelta(seconds=1)},
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(
    sqlite_database: Database, wrong: dict[str, object]
) -> None:
    keys = ApiKeys(sqlite_database)
    options: dict[str, object] = {"name": "a", "scopes": [Scope.ADMIN]} | wrong
    with pytest.raises(InvalidInput):
        keys.create(**options)  # type: ignore[arg-type]
    assert keys.all() == []


def test_revoking_what_is_not_there_says_so(sqlite_database: Database) -> None:
    with pytest.raises(NotFound):
        ApiKeys(sqlite_database).revoke("key_none")


def test_uses_that_could_not_be_written_are_written_the_next_time(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise StoreUnavailable("told to")

    keys = ApiKeys(sqlite_database)
    _, token = keys.create("a", [Scope.ADMIN])
    assert allowed(keys, f"Bearer {token}")
    with monkeypatch.context() as patch:
        patch.setattr(keys._database, "begin", away)
        with pytest.raises(StoreUnavailable):
            keys.note_use()
    keys.note_use()
    assert keys.all()[0].last_used_at is not None


def test_the_log_names_an_expired_key_and_the_caller_hears_nothing_of_it(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ApiKeys(sqlite_database)
    soon = utc_now() + timedelta(seconds=60)
    key, token = keys.create("short", [Scope.UPLOADS_WRITE], expires_at=soon)
    monkeypatch.setattr("tutela.web.auth.keys.utc_now", lambda: soon)
    heard = []
    with structlog.testing.capture_logs() as logs:
        for each in (token, token, PREFIX + "x" * (LENGTH - len(PREFIX))):
            with pytest.raises(NotAuthenticated) as caught:
                asyncio.run(keys.authenticate(f"Bearer {each}"))
            heard.append(caught.value.spoken())
    assert [(log["key_id"], log["state"]) for log in logs] == [(key.id, "expired")]
    assert token not in str(logs)
    assert len(set(heard)) == 1
    assert key.id not in heard[0]
