"""The upload guard: nothing held or blocked reaches the application, and it streams."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import structlog
from fastapi import FastAPI, Request, UploadFile
from tests.house import picture

from tutela.adapters.asgi import UploadGuard, plain_refusal
from tutela.adapters.replay import Replay
from tutela.client import Answer, AsyncClient, Refused, Unreachable
from tutela.errors import InvalidInput
from tutela.hashing.containers import inline

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
        return Answer(outcome=outcome, reason="not_accepted", decision_id="dec_1")


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

        @app.api_route("/raw", methods=["PUT", "GET", "DELETE"])
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
    data = os.urandom(300_000).replace(b"BAD", b"bad").replace(b"ODD", b"odd")
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
        bad = b"\xff\xd8\xff\xe0 BAD"
        assert platform.send("PUT", "/raw", content=bad, headers=headers).status_code == 403
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
    assert platform.got == [(b"", ())]


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_a_body_is_guarded_whatever_the_method(method: str) -> None:
    platform = Platform()
    assert platform.send(method, "/raw", content=b"BAD").status_code == 403
    assert platform.got == []


def chunked() -> AsyncIterator[bytes]:
    async def run() -> AsyncIterator[bytes]:
        yield b"BAD"

    return run()


def test_a_body_without_a_length_is_guarded() -> None:
    assert Platform().send("DELETE", "/raw", content=chunked()).status_code == 403


PHOTO = picture(1, side=96)
"""A small picture (about 3 kB) that is sent inside of texts."""
WRITTEN = base64.b64encode(PHOTO).decode()
URI = "data:image/jpeg;base64," + WRITTEN


def escaped(text: str) -> str:
    """Every character as JSON's ``\\uXXXX``."""
    return "".join(f"\\u{ord(char):04x}" for char in text)


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PLAIN = {"Content-Type": "text/plain"}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps({"photo": URI}), JSON),
        (json.dumps({"photo": URI}).replace("/", "\\/"), JSON),
        ('{"photo": "' + escaped(URI) + '"}', JSON),
        ('{"photo": "' + escaped(URI) + '"}', PLAIN),
        (json.dumps({"inner": json.dumps({"photo": URI.replace("/", "\\/")})}), JSON),
        (json.dumps({"photo": URI}), {"Content-Type": "application/vnd.api+json"}),
        (urlencode({"name": "a", "photo": URI}), FORM),
        (urlencode({"photo": json.dumps({"photo": URI})}), FORM),
        (urlencode({"photo": URI}).replace("%2B", "+"), FORM),
        (json.dumps({"photo": URI}).encode("utf-16"), JSON),
        (json.dumps({"photo": URI}).encode("utf-16"), PLAIN),
    ],
)
def test_a_picture_written_into_a_text_body_is_examined_as_the_application_reads_it(
    body: str | bytes, headers: dict[str, str]
) -> None:
    platform = Platform()
    platform.send("PUT", "/raw", content=body, headers=headers)
    assert PHOTO in found_in(platform.client.asked)


def found_in(asked: list[dict[str, Any]]) -> list[bytes]:
    """What the decoder's search for ``data:`` URIs finds in what was asked about."""
    return [b"".join(data) for one in asked for _, data in inline.members(io.BytesIO(one["data"]))]


def test_a_binary_value_of_an_urlencoded_body_is_examined_as_a_file() -> None:
    platform = Platform()
    body = urlencode({"name": "a", "photo": PHOTO})
    platform.send("PUT", "/raw", content=body, headers=FORM)
    assert PHOTO in [one["data"] for one in platform.client.asked]


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_a_picture_written_into_a_field_is_examined(long: bool, slash: str) -> None:
    """A field without a file name, short or long, escaped or not."""
    platform = Platform()
    text = json.dumps({"note": "x " * (5000 if long else 1), "photo": URI}).replace("/", slash)
    platform.send("POST", "/photos", files={"photo": ("a", b"good"), "more": (None, text)})
    assert PHOTO in found_in(platform.client.asked)


def test_plain_base64_in_a_short_field_is_handed_over() -> None:
    platform = Platform()
    files = {"photo": ("a", b"good"), "more": (None, WRITTEN), "again": (None, "short")}
    assert platform.send("POST", "/photos", files=files).status_code == 200
    assert [one["data"] for one in platform.client.asked] == [b"good", WRITTEN.encode()]
    files["again"] = (None, WRITTEN + "BAD")
    assert platform.send("POST", "/photos", files=files).status_code == 403


def test_json_sent_as_a_file_is_read_too() -> None:
    platform = Platform()
    text = json.dumps({"photo": URI}).replace("/", "\\/")
    platform.send("POST", "/photos", files={"photo": ("blob", text, "application/json")})
    assert PHOTO in found_in(platform.client.asked)


PROSE = "Ich wohne seit 1987 in Köln und habe hier schon viel gesehen und erlebt " * 40


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps({"name": "Jo", "age": 12}), JSON),
        (json.dumps({"text": PROSE}), JSON),
        (json.dumps({"text": PROSE}, ensure_ascii=False).encode(), JSON),
        (json.dumps([{"id": n, "at": n * 17.5, "ok": True} for n in range(500)]), JSON),
        (json.dumps({"ids": [f"0199f0c2-b2a4-7d1e-8c0b-1d2e3f{n:06x}" for n in range(200)]}), JSON),
        (json.dumps({"escapes": "\u0000\u0001\u0002 " * 100}), JSON),
        (urlencode({"text": PROSE, "csrf": "a1B2" * 16}), FORM),
        (b"\r\n".join([b"name=value"] * 100), FORM),
    ],
)
def test_ordinary_json_and_forms_go_through_unasked(
    body: str | bytes, headers: dict[str, str]
) -> None:
    platform = Platform()
    answer = platform.send("PUT", "/raw", content=body, headers=headers)
    raw = body if isinstance(body, bytes) else body.encode()
    assert platform.got == [(raw, ())]
    assert answer.json() == {"size": len(raw)}
    assert platform.client.asked == []


@pytest.mark.parametrize("size", [70, 8 * 1024, 3_000_000])
def test_a_file_that_is_no_text_is_examined_once(size: int) -> None:
    platform = Platform()
    data = b"\xff\xd8\xff\xe0" + os.urandom(size)
    platform.send("POST", "/photos", files={"photo": ("a", data)})
    assert [one["data"] for one in platform.client.asked] == [data]


def test_a_text_file_with_escapes_in_it_is_examined_once() -> None:
    platform = Platform()
    source = rb'NUL = "\u0000"; PATH = "C:\\temp"; RE = /[\x00-\x1f]/' + b"\n" * 300
    platform.send("POST", "/photos", files={"photo": ("a.js", source)})
    assert [one["data"] for one in platform.client.asked] == [source]


def test_json_that_is_too_long_to_be_read_is_refused() -> None:
    platform = Platform(max_text_bytes=1000)
    body = json.dumps({"a": ["b"] * 300})
    assert platform.send("PUT", "/raw", content=body, headers=JSON).status_code == 413
    assert platform.send("PUT", "/raw", content=body[:900], headers=JSON).status_code == 200


def test_a_long_text_in_a_file_is_streamed_without_being_kept() -> None:
    platform = Platform(max_text_bytes=1000)
    text = b"a text\n" * 1000
    assert platform.send("PUT", "/raw", content=text).status_code == 200
    assert [one["data"] for one in platform.client.asked] == [text]


def form(more: bytes = b"", header: bytes = b"") -> bytes:
    head = b'--a\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n' + header
    return head + b"\r\nx\r\n--a--\r\n" + more


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (form(), 200),
        (form(more=form()), 400),
        (form(header=b"Content-Transfer-Encoding: base64\r\n"), 415),
    ],
)
def test_what_another_parser_would_read_differently_is_refused(body: bytes, status: int) -> None:
    platform = Platform()
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    assert platform.send("POST", "/photos", content=body, headers=headers).status_code == status
    assert len(platform.got) == (status == 200)


def test_a_body_that_drips_is_given_up() -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.02)

    for options in ({"min_rate": 1000, "part_seconds": 0.1}, {"body_seconds": 0.1}):
        platform = Platform(**options)
        assert platform.send("PUT", "/raw", content=drip()).status_code == 408
        assert platform.got == []


@pytest.mark.parametrize("deferred", [False, True])
def test_a_held_page_promises_nothing(deferred: bool) -> None:
    """The application never gets a file that was held, so it cannot appear by itself."""
    answer = Answer(outcome="hold", reason="being_checked", deferred=deferred)
    for accept in (b"text/html", b"*/*"):
        scope = {"headers": [(b"accept", accept)]}
        status, _, body = plain_refusal(scope, answer)
        assert status == 202
        assert b"could not be accepted just now" in body
        assert (b"Please send it again later" in body) is deferred
        assert b"appears" not in body


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
    with structlog.testing.capture_logs() as logs:
        assert platform.send("PUT", "/raw", content=b"good").status_code == 502
    assert [(log["log_level"], log["status"]) for log in logs] == [("warning", 401)]
    assert "tutela keys ls" in logs[0]["next_step"]
    platform.client.error = Refused(413, "too-large", "no", {})
    assert platform.send("PUT", "/raw", content=b"good").status_code == 413
    assert platform.got == []


def test_where_tutela_cannot_be_had_the_uploader_is_asked_to_come_again() -> None:
    platform = Platform()
    platform.client.error = Unreachable("away")
    answer = platform.send("PUT", "/raw", content=b"good")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert platform.got == []


@pytest.mark.parametrize("error", [OSError("its own disk"), InvalidInput("its own words")])
def test_the_applications_own_failures_are_its_own(error: Exception) -> None:
    """The guard answers for what it does, never a second time for what the application did."""
    sent: list[Any] = []

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"good", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    guard = UploadGuard(failing, client=FakeClient(), paths=["/raw"])  # type: ignore[arg-type]
    length = [(b"content-length", b"4")]
    scope = {"type": "http", "method": "PUT", "path": "/raw", "headers": length}
    with pytest.raises(type(error)) as caught:
        asyncio.run(guard(scope, receive, send))
    assert caught.value is error
    assert sent == ["http.response.start"]


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
