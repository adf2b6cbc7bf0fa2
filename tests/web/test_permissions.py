"""Every route by every key: none opens with a wrong key, a lesser one, or none at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.house import Server, picture

from tutela.core import utc_now
from tutela.web.auth.keys import Scope

MADE_UP = "dec_none"

ROUTES: list[tuple[str, str, dict[str, Any], set[Scope]]] = [
    ("POST", "/v1/uploads", {"content": b"x"}, {Scope.UPLOADS_WRITE}),
    ("POST", "/v1/hashes", {"json": {"md5": "0" * 32}}, {Scope.HASHES_CHECK}),
    ("GET", "/v1/lists", {}, {Scope.LISTS_READ}),
    ("POST", "/v1/lists", {"json": {}}, {Scope.LISTS_WRITE}),
    ("GET", "/v1/lists/known", {}, {Scope.LISTS_READ}),
    ("GET", "/v1/lists/known/versions", {}, {Scope.LISTS_READ}),
    ("POST", "/v1/lists/known/mode", {"json": {}}, {Scope.LISTS_WRITE}),
    ("POST", "/v1/lists/known/signals", {"json": {}}, {Scope.LISTS_WRITE}),
    ("POST", "/v1/lists/known/withdraw", {"json": {}}, {Scope.LISTS_WRITE}),
    ("POST", "/v1/lists/known/dispute", {"json": {}}, {Scope.LISTS_WRITE}),
    ("POST", "/v1/lists/known/restore", {"json": {}}, {Scope.LISTS_WRITE}),
    ("POST", "/v1/lists/known/files", {"content": b"x"}, {Scope.LISTS_WRITE}),
    ("POST", "/v1/lists/known/import", {"content": b"x"}, {Scope.LISTS_WRITE}),
    ("GET", "/v1/lists/known/export", {}, {Scope.LISTS_WRITE}),
    (
        "GET",
        f"/v1/decisions/{MADE_UP}",
        {},
        {Scope.DECISIONS_READ, Scope.UPLOADS_WRITE, Scope.HASHES_CHECK},
    ),
    ("GET", "/metrics", {}, {Scope.METRICS_READ}),
    ("POST", "/v1/selftest", {}, {Scope.SELFTEST_RUN}),
]
OPEN = {"/healthz", "/readyz"}
IDS = [f"{method} {path}" for method, path, _, _ in ROUTES]


def test_every_described_route_is_in_this_table(server: Server) -> None:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    described = {
        (method.upper(), path.replace("{name}", "known").replace("{decision_id}", MADE_UP))
        for path, methods in paths.items()
        for method in methods
        if path not in OPEN
    }
    assert described == {(method, path) for method, path, _, _ in ROUTES}


@pytest.mark.parametrize(("method", "path", "body", "scopes"), ROUTES, ids=IDS)
def test_no_key_wrong_key_expired_key_revoked_key(
    server: Server, method: str, path: str, body: dict[str, Any], scopes: set[Scope]
) -> None:
    revoked, token = server.keys.create("r", [Scope.ADMIN])
    server.keys.revoke(revoked.id)
    soon = utc_now() + timedelta(milliseconds=1)
    _, expired = server.keys.create("e", [Scope.ADMIN], expires_at=soon)
    for header in (None, "Bearer nonsense", f"Bearer {token}", f"Bearer {expired}"):
        headers = {"Authorization": header} if header else {}
        answer = httpx.request(method, server.url + path, headers=headers, **body)
        assert answer.status_code == 401, header
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "tutela_" not in answer.text.replace("tutela_…", "")


@pytest.mark.parametrize(("method", "path", "body", "scopes"), ROUTES, ids=IDS)
def test_a_key_with_every_other_scope_is_refused(
    server: Server, method: str, path: str, body: dict[str, Any], scopes: set[Scope]
) -> None:
    others = set(Scope) - scopes - {Scope.ADMIN}
    with server.client(*others) as client:
        assert client.request(method, path, **body).status_code == 403


@pytest.mark.parametrize(("method", "path", "body", "scopes"), ROUTES, ids=IDS)
def test_a_key_with_the_scope_gets_past_the_door(
    server: Server, method: str, path: str, body: dict[str, Any], scopes: set[Scope]
) -> None:
    for scope in scopes:
        with server.client(scope) as client:
            assert client.request(method, path, **body).status_code not in (401, 403)


def test_a_decision_of_another_key_is_not_there_for_a_lesser_one(server: Server) -> None:
    with server.client(Scope.UPLOADS_WRITE) as mine:
        made = mine.post("/v1/uploads", content=picture(20)).json()["decision_id"]
        assert mine.get(f"/v1/decisions/{made}").status_code == 200
    with server.client(Scope.UPLOADS_WRITE) as other:
        missing = other.get(f"/v1/decisions/{made}")
        never = other.get("/v1/decisions/dec_never")
    assert missing.status_code == never.status_code == 404
    assert missing.json() == never.json()
    with server.client(Scope.DECISIONS_READ) as reader:
        said = reader.get(f"/v1/decisions/{made}").json()
    assert said["outcome"] == "allow"
    assert "findings" not in said
    assert "item" not in said


def test_a_keys_own_rate_is_enforced_with_the_wait_told(server: Server) -> None:
    with server.client(Scope.LISTS_READ, rate_per_minute=12) as client:
        answers = [client.get("/v1/lists") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].json()["retry_after"] >= 1
