"""What every status says, and what no status tells."""

from __future__ import annotations

import re
from dataclasses import replace

import httpx
import pytest
from tests.conftest import SettingsFor
from tests.house import QUICK, Server, picture, wait_until

from tutela.core import ListMode
from tutela.web.auth.keys import Scope


def test_a_fresh_house_is_ready_and_says_not_protecting_everywhere(
    settings_for: SettingsFor,
) -> None:
    """Invariant 15, through a list's whole life."""
    with Server(settings_for(**QUICK)) as server, server.client() as client:

        def told() -> set[bool]:
            ready = client.get("/readyz")
            page = client.get("/").text
            shown = client.get("/v1/lists").json()["protecting"]
            header = ready.headers["tutela-protecting"] == "true"
            words = "NOT PROTECTING" not in page
            answer = client.post("/v1/uploads", content=picture(40)).json()["protecting"]
            return {ready.json()["protecting"], header, words, shown, answer}

        assert client.get("/readyz").status_code == 200
        assert client.get("/readyz?protecting=true").status_code == 503
        assert told() == {False}
        server.list_picture("l", picture(41), mode=ListMode.HOLD)
        assert told() == {False}
        server.tutela.lists.set_mode("l", ListMode.BLOCK, actor="t", reason="t")
        wait_until(lambda: told() == {True})
        assert client.get("/readyz?protecting=true").status_code == 200
        server.tutela.lists.set_mode("l", ListMode.OFF, actor="t", reason="t")
        wait_until(lambda: told() == {False})


def test_the_self_test_runs_on_demand_and_is_told(server: Server, admin: httpx.Client) -> None:
    said = admin.post("/v1/selftest").json()
    assert said["ok"] is True
    assert [step["name"] for step in said["steps"]] == ["picture", "file", "control"]
    ready = admin.get("/readyz").json()
    assert ready["selftest"]["ok"] is True
    assert ready["selftest"]["seconds_ago"] < 30
    assert "passed at" in admin.get("/").text


def test_status_and_metrics_name_no_list_rule_or_key(server: Server, admin: httpx.Client) -> None:
    server.list_picture("terrible-secret-name", picture(42))
    admin.post("/v1/uploads", content=picture(42))
    anybody = httpx.get(f"{server.url}/readyz").text + httpx.get(f"{server.url}/").text
    text = anybody + admin.get("/metrics").text
    for word in ("terrible", "known", "exact", "near", "default@", "key_", "list_", "sig_"):
        assert word not in text, word


def test_metrics_count_outcomes_and_steps(admin: httpx.Client) -> None:
    admin.post("/v1/uploads", content=picture(43))
    text = admin.get("/metrics").text
    allowed = re.search(r'tutela_decisions_total\{.*entrance="api",outcome="allow"\} (\d+)', text)
    assert allowed is not None
    assert float(allowed.group(1)) >= 1
    for name in ("tutela_protecting 1.0", 'route="/v1/uploads",status="200"', 'step="act"'):
        assert name in text
    assert 'route="/v1/nothing' not in text


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/nothing", "/v1/lists"])
def test_every_answer_carries_the_security_headers(server: Server, path: str) -> None:
    headers = httpx.get(server.url + path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_a_request_id_is_taken_over_only_where_it_is_harmless(server: Server) -> None:
    good = httpx.get(f"{server.url}/healthz", headers={"X-Request-Id": "abc-1"})
    assert good.headers["x-request-id"] == "abc-1"
    for bad in ("a b", "x" * 65, "<script>"):
        said = httpx.get(f"{server.url}/healthz", headers={"X-Request-Id": bad}).headers
        assert said["x-request-id"].startswith("req_")


def test_what_nobody_foresaw_is_a_500_that_shows_nothing(
    server: Server, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("SECRET of the inside")

    monkeypatch.setattr(server.tutela.road, "upload", broken)
    answer = admin.post("/v1/uploads", content=b"x")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"]
    assert "SECRET" not in answer.text
    assert "RuntimeError" not in answer.text


def test_a_decision_read_back_says_what_was_decided(server: Server, admin: httpx.Client) -> None:
    made = admin.post("/v1/uploads", content=picture(44), headers={"Tutela-Account": "u"}).json()
    said = admin.get(f"/v1/decisions/{made['decision_id']}").json()
    for name in ("decision_id", "outcome", "case_id", "reason", "deferred", "findings"):
        assert said[name] == made[name]
    assert said["superseded_by"] is None
    assert said["item"]["account_id"] == "u"
    assert said["ledger_entry"].startswith("led_")
    with server.client(Scope.DECISIONS_READ) as client:
        assert client.get("/v1/decisions/dec_none").status_code == 404


def test_a_decoder_that_keeps_uploads_waiting_is_busy_and_still_ready(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = replace(server.tutela.decoder.health(), waiting=3, longest_wait=5.0)
    monkeypatch.setattr(server.tutela.decoder, "health", lambda: health)
    ready = httpx.get(f"{server.url}/readyz")
    assert (ready.status_code, ready.json()["checks"]["decoder"]) == (200, "busy")
