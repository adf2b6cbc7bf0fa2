"""The upload guard: nothing held or blocked reaches the application, and it streams."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, UploadFile

from tutela.adapters.asgi import UploadGuard
from tutela.adapters.replay import Replay
from tutela.client import Answer, AsyncClient, Refused

KEY = "tutela_x"


class FakeClient:
    """Stands in for the client: blocks files that say so, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.arrived = 0

    async def upload(self, file: AsyncIterator[bytes], **facts: Any) -> Answer:
        parts: list[bytes] = []
        async for part in file:
            parts.append(part)
            self.arrived += len(part)
        data = b"".join(parts)
        self.asked.append({"data": data, **facts})
        if self.error is not None:
            raise self.error
        outcome = "block" if b"BAD" in data else "hold" if b"ODD" in data else "allow"
        return Answer(outcome=outcome, reason="not_accepted", decision_id="dec_1")  # type: ignore[arg-type]


class Platform:
    """An application behind the guard, and a browser in front of it."""

    def __init__(self, **options: Any) -> None:
        self.client = FakeClient()
        self.got: list[Any] = []
        app = FastAPI()

        @app.post("/photos")
        async def photos(photo: UploadFile, request: Request) -> dict[str, Any]:
            data = await photo.read()
            self.got.append((data, request.state.tutela))
            return {"size": len(data), "name": photo.filename}

        @app.api_route("/raw", methods=["PUT", "GET"])
        async def raw(request: Request) -> dict[str, Any]:
            data = await request.body()
            self.got.append((data, getattr(request.state, "tutela", None)))
            return {"size": len(data)}

        @app.post("/open")
        async def unguarded(request: Request) -> dict[str, Any]:
            return {"size": len(await request.body())}

        options = {"paths": ["/photos", "/raw"]} | options
        app.add_middleware(UploadGuard, client=self.client, **options)
        self.app = app

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://p.test") as browser:
                return await browser.request(method, path, **options)

        return asyncio.run(run())


def test_an_allowed_file_reaches_the_application_unchanged() -> None:
    platform = Platform()
    data = os.urandom(300_000)
    answer = platform.send("POST", "/photos", files={"photo": ("été.jpg", data)})
    assert answer.json() == {"size": len(data), "name": "été.jpg"}
    got, decisions = platform.got[0]
    assert got == data
    assert [decision.outcome for decision in decisions] == ["allow"]
    assert platform.client.asked[0]["data"] == data
    assert platform.client.asked[0]["file_name"] == "été.jpg"


def test_bytes_go_to_tutela_while_they_come_in() -> None:
    """It streams: the first part has arrived there before the last has left here."""
    platform = Platform()
    seen: list[int] = []

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 1000
            await asyncio.sleep(0.01)
            seen.append(platform.client.arrived)

    assert platform.send("PUT", "/raw", content=slowly()).json() == {"size": 5000}
    assert seen == [1000, 2000, 3000, 4000, 5000]


def test_a_blocked_file_does_not_reach_the_application() -> None:
    platform = Platform()
    answer = platform.send("POST", "/photos", files={"photo": ("a.jpg", b"BAD")})
    assert answer.status_code == 403
    assert answer.json()["outcome"] == "block"
    assert platform.got == []


def test_a_browser_gets_a_page_that_names_no_reason() -> None:
    platform = Platform()
    answer = platform.send(
        "POST",
        "/photos",
        files={"photo": ("a.jpg", b"BAD")},
        headers={"Accept": "text/html,application/xhtml+xml"},
    )
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")
    assert "not accepted" in answer.text
    assert "list" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_one_bad_file_among_several_refuses_them_all() -> None:
    platform = Platform()
    files = [("photo", ("a", b"good")), ("more", ("b", b"BAD")), ("more", ("c", b"good"))]
    assert platform.send("POST", "/photos", files=files).status_code == 403
    assert platform.got == []
    assert len(platform.client.asked) == 3


def test_a_bad_file_without_a_file_name_is_examined_too() -> None:
    """A long field is a file by another name."""
    platform = Platform()
    answer = platform.send(
        "POST",
        "/photos",
        files={"photo": ("a", b"good"), "note": (None, b"x" * 20_000 + b"BAD")},
    )
    assert answer.status_code == 403


def test_a_raw_body_is_guarded_whatever_it_says_it_is() -> None:
    for kind in ("image/jpeg", "application/x-www-form-urlencoded", "application/json"):
        platform = Platform()
        headers = {"Content-Type": kind}
        assert platform.send("PUT", "/raw", content=b"BAD", headers=headers).status_code == 403
        assert platform.send("PUT", "/raw", content=b"ok", headers=headers).json() == {"size": 2}
        assert [data for data, _ in platform.got] == [b"ok"]


def test_a_held_file_is_not_passed_on_unless_the_application_asked_for_it() -> None:
    refusing = Platform()
    assert refusing.send("PUT", "/raw", content=b"ODD").status_code == 202
    assert refusing.got == []
    passing = Platform(on_hold="pass")
    assert passing.send("PUT", "/raw", content=b"ODD").json() == {"size": 3}
    assert passing.got[0][1][0].held
    assert passing.send("PUT", "/raw", content=b"BAD").status_code == 403


def test_other_paths_and_methods_are_let_be() -> None:
    platform = Platform()
    assert platform.send("POST", "/open", content=b"BAD").json() == {"size": 3}
    assert platform.send("GET", "/raw").json() == {"size": 0}
    assert platform.client.asked == []


def test_a_trailing_slash_does_not_pass_the_guard_by() -> None:
    platform = Platform()
    assert platform.send("PUT", "/raw/", content=b"BAD").status_code in (403, 404)
    assert platform.got == []


def test_a_form_without_files_is_passed_on() -> None:
    platform = Platform(paths=lambda scope: True)
    answer = platform.send("POST", "/open", files={"a": (None, b"text")})
    assert answer.status_code == 200
    assert platform.client.asked == []


def test_a_client_that_is_refused_lets_nothing_through() -> None:
    """A wrong key is a mistake of the platform's operator: 502, and nothing passes."""
    platform = Platform()
    platform.client.error = Refused(401, "not-authenticated", "no", {})
    assert platform.send("PUT", "/raw", content=b"good").status_code == 502
    platform.client.error = Refused(413, "too-large", "no", {})
    assert platform.send("PUT", "/raw", content=b"good").status_code == 413
    assert platform.got == []


def test_a_body_over_the_limit_is_refused() -> None:
    platform = Platform(max_bytes=1000)
    assert platform.send("PUT", "/raw", content=b"x" * 1001).status_code == 413
    assert platform.got == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"junk", "multipart/form-data; boundary=a"), (b"junk", "multipart/form-data")],
)
def test_a_malformed_form_is_refused(body: bytes, kind: str) -> None:
    platform = Platform()
    answer = platform.send("POST", "/photos", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert platform.got == []


def test_the_account_and_the_surface_go_along() -> None:
    platform = Platform(account=lambda scope: "u-7", surface="avatar")
    platform.send("PUT", "/raw", content=b"x")
    asked = platform.client.asked[0]
    assert (asked["account"], asked["surface"]) == ("u-7", "avatar")


def test_the_refusal_can_be_ones_own() -> None:
    platform = Platform(refusal=lambda scope, answer: (451, {"x-a": "b"}, answer.outcome.encode()))
    answer = platform.send("PUT", "/raw", content=b"BAD")
    assert (answer.status_code, answer.headers["x-a"], answer.text) == (451, "b", "block")


def test_a_bound_that_is_a_text_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        UploadGuard(FastAPI(), client=AsyncClient("http://t", KEY), paths="/photos")


@pytest.mark.parametrize("size", [0, 10, 999, 1000, 1001, 5_000_000])
def test_a_replay_gives_back_what_was_written(size: int) -> None:
    data = os.urandom(size)
    replay = Replay(1000)
    for start in range(0, size, 700_001):
        replay.write(data[start : start + 700_001])
    assert b"".join(replay.read()) == data
    replay.close()
    replay.close()


def test_a_long_replay_is_not_readable_on_the_disk(tmp_path: Any, monkeypatch: Any) -> None:
    """What is refused must not have been on the platform's disk as plaintext."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    replay = Replay(100)
    replay.write(b"MARKER" * 1000)
    assert list(tmp_path.iterdir()) == []
    raw = os.pread(replay._fd, 10_000, 0)
    assert len(raw) == 6000
    assert b"MARKER" not in raw
    replay.close()
