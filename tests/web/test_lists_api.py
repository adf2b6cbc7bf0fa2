"""``/v1/lists``: an operator's edits take effect at once, and are recorded."""

from __future__ import annotations

import hashlib
import json

import httpx
from tests.house import Server, picture

from tutela.core import ListMode


def test_a_list_is_made_filled_switched_and_withdrawn_from(
    server: Server, admin: httpx.Client
) -> None:
    data = picture(30)
    digest = hashlib.sha256(data).hexdigest()
    made = admin.post(
        "/v1/lists", json={"name": "story", "purpose": "own", "mode": "block", "reason": "try"}
    )
    assert made.status_code == 201
    assert made.json()["state"] == "empty"

    def outcome() -> str:
        said: str = admin.post("/v1/uploads", content=data).json()["outcome"]
        return said

    assert outcome() == "allow"
    signals = [{"upstream_id": "one", "sha256": digest}]
    added = admin.post("/v1/lists/story/signals", json={"signals": signals, "reason": "seen"})
    assert added.json()["version"]["added"] == 1
    assert outcome() == "block"
    assert admin.post("/v1/lists/story/mode", json={"mode": "hold", "reason": "x"}).is_success
    assert outcome() == "hold"
    assert admin.post("/v1/lists/story/mode", json={"mode": "block", "reason": "x"}).is_success
    which = {"signals": ["one"], "reason": "unsure"}
    assert admin.post("/v1/lists/story/dispute", json=which).is_success
    assert outcome() == "hold"
    assert admin.post("/v1/lists/story/restore", json=which).is_success
    assert outcome() == "block"
    assert admin.post("/v1/lists/story/withdraw", json=which).is_success
    assert outcome() == "allow"
    shown = admin.get("/v1/lists/story").json()
    assert (shown["entries"], shown["mode"]) == (0, "block")
    kinds = [v["kind"] for v in admin.get("/v1/lists/story/versions").json()["versions"]]
    assert kinds[0] == "withdraw"
    assert kinds[-1] == "create"
    history = server.tutela.lists.history("story")
    assert [event.mode for event in history][-1] is ListMode.BLOCK
    assert all(event.actor.startswith("key key_") for event in history)


def test_a_file_is_added_by_what_it_hashes_to(admin: httpx.Client) -> None:
    new = {"name": "by-file", "purpose": "own", "mode": "block", "reason": "x"}
    assert admin.post("/v1/lists", json=new).status_code == 201
    url = "/v1/lists/by-file/files?reason=found+by+us"
    added = admin.post(url, content=picture(31))
    assert added.json()["version"]["added"] == 1
    assert admin.post("/v1/uploads", content=picture(31, quality=50)).json()["outcome"] == "block"
    damaged = admin.post(url, content=picture(32)[:400])
    assert damaged.status_code == 400


def test_a_file_is_imported_after_a_dry_run_with_its_bad_lines_told(admin: httpx.Client) -> None:
    new = {"name": "imported", "purpose": "csam", "mode": "hold", "reason": "x"}
    assert admin.post("/v1/lists", json=new).status_code == 201
    lines = [json.dumps({"md5": "cd" * 16, "id": "a"}), "not json", json.dumps({"md5": "zz"})]
    body = "\n".join(lines).encode()
    url = "/v1/lists/imported/import?format=csv&reason=first+delivery"
    body = b"id,md5\na," + b"cd" * 16 + b"\nb,zz\n"
    dry = admin.post(url + "&dry_run=true", content=body).json()
    assert (dry["dry_run"], dry["version"], dry["added"]) == (True, None, 1)
    done = admin.post(url, content=body).json()
    assert (done["added"], done["refused"]) == (1, 1)
    assert done["refusals"][0]["number"] == 3
    said = admin.post("/v1/hashes", json={"md5": "cd" * 16}).json()
    assert said["outcome"] == "hold"


def test_an_export_is_given_and_recorded(server: Server, admin: httpx.Client) -> None:
    answer = admin.get("/v1/lists/known/export?format=jsonl&reason=backup")
    assert answer.status_code == 200
    assert len(answer.content.splitlines()) >= 1
    assert server.tutela.lists.history("known")[-1].kind == "export"


def test_a_taken_name_and_a_missing_list_say_so(admin: httpx.Client) -> None:
    again = {"name": "known", "purpose": "csam", "mode": "hold", "reason": "x"}
    assert admin.post("/v1/lists", json=again).status_code == 409
    assert admin.get("/v1/lists/nowhere").status_code == 404


def test_a_wrong_body_is_a_problem_that_repeats_nothing(admin: httpx.Client) -> None:
    answer = admin.post("/v1/lists", json={"name": "x", "purpose": "5ECRET", "reason": "y"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "5ECRET" not in answer.text
    assert answer.json()["errors"][0]["at"] == "body.purpose"


def test_an_edit_needs_a_reason(admin: httpx.Client) -> None:
    assert admin.post("/v1/lists/known/mode", json={"mode": "hold"}).status_code == 400
    blank = admin.post("/v1/lists/known/mode", json={"mode": "hold", "reason": "  "})
    assert blank.status_code == 400
    assert admin.post("/v1/lists/known/files", content=b"x").status_code == 400


def test_a_json_body_over_the_limit_is_refused(server: Server, admin: httpx.Client) -> None:
    size = server.tutela.settings.server.max_json_bytes
    answer = admin.post(
        "/v1/lists", content=b" " * (size + 1), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
