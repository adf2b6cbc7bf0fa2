"""The client: what it sends, when it asks again, and that no outage becomes an allow."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tutela.client import (
    Answer,
    AsyncClient,
    Client,
    HashQuery,
    InvalidInput,
    Refused,
    TutelaClientError,
    Unreachable,
)
from tutela.client.retries import Retries

QUICK = Retries(attempts=3, base=0.001, most=0.01)
ALLOWED = {"decision_id": "dec_1", "outcome": "allow", "reason": "accepted", "protecting": True}

Handler = Callable[[httpx.Request], httpx.Response]


class Fake:
    """A server: a list of answers (or exceptions), and the requests it got."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(request.read())
        return self._next()

    async def later(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(await request.aread())
        return self._next()

    def _next(self) -> httpx.Response:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def said(status: int, body: object = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body if body is not None else {}, headers=headers)


class Both:
    """One call made with the blocking and with the asynchronous client."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, fake: Fake, name: str, *args: Any, **options: Any) -> Any:
        settings = {"retries": QUICK} | options.pop("client", {})
        if self.kind == "blocking":
            transport = httpx.MockTransport(fake)
            with Client("http://tutela.test/", "key", transport=transport, **settings) as client:
                return getattr(client, name)(*args, **options)

        async def run() -> Any:
            transport = httpx.MockTransport(fake.later)
            async with AsyncClient("http://t.test", "key", transport=transport, **settings) as c:
                return await getattr(c, name)(*args, **options)

        return asyncio.run(run())


@pytest.fixture(params=["blocking", "asynchronous"])
def call(request: pytest.FixtureRequest) -> Both:
    """A test that takes it runs with both clients."""
    return Both(request.param)


def test_an_upload_is_sent_with_its_facts(call: Both, tmp_path: Path) -> None:
    path = tmp_path / "été.jpg"
    path.write_bytes(b"bytes of it")
    fake = Fake(said(200, ALLOWED))
    answer = call(
        fake, "upload", path, account="konto-ü", surface="post", facts={"client_ip": "::1"}
    )
    assert answer == Answer(
        outcome="allow", decision_id="dec_1", reason="accepted", protecting=True
    )
    assert answer.allowed
    request = fake.requests[0]
    assert fake.bodies == [b"bytes of it"]
    headers = {name.lower(): value for name, value in request.headers.raw}
    assert headers[b"tutela-account"] == "konto-ü".encode()
    assert headers[b"tutela-file-name"] == b"%C3%A9t%C3%A9.jpg"
    assert headers[b"tutela-client-ip"] == b"::1"
    assert headers[b"authorization"] == b"Bearer key"
    assert headers[b"idempotency-key"]


def chunks() -> Iterator[bytes]:
    yield b"by"
    yield b"tes"


async def later_chunks() -> AsyncIterator[bytes]:
    yield b"by"
    yield b"tes"


@pytest.mark.parametrize("make", [lambda: b"bytes", lambda: io.BytesIO(b"bytes"), chunks])
def test_a_file_may_be_given_in_many_forms(call: Both, make: Callable[[], Any]) -> None:
    fake = Fake(said(200, ALLOWED))
    assert call(fake, "upload", make()).allowed
    assert fake.bodies == [b"bytes"]


def test_an_asynchronous_stream_is_for_the_asynchronous_client() -> None:
    fake = Fake(said(200, ALLOWED))
    assert Both("asynchronous")(fake, "upload", later_chunks()).allowed
    assert fake.bodies == [b"bytes"]
    with pytest.raises(TypeError):
        Both("blocking")(fake, "upload", later_chunks())


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 507])
def test_it_asks_again_with_the_same_key_and_the_same_bytes(call: Both, status: int) -> None:
    fake = Fake(said(status), httpx.ConnectError("away"), said(200, ALLOWED))
    file = io.BytesIO(b"--bytes")
    file.seek(2)
    assert call(fake, "upload", file).allowed
    assert fake.bodies == [b"bytes"] * 3
    assert len({request.headers["idempotency-key"] for request in fake.requests}) == 1


@pytest.mark.parametrize("trouble", [said(503), httpx.ConnectError("x"), httpx.ReadTimeout("x")])
def test_an_outage_becomes_a_hold(call: Both, trouble: httpx.Response | Exception) -> None:
    fake = Fake(trouble)
    answer = call(fake, "upload", b"x")
    assert (answer.outcome, answer.deferred, answer.unreachable) == ("hold", True, True)
    assert answer.decision_id is None
    assert len(fake.requests) == QUICK.attempts


def test_an_outage_becomes_an_error_where_so_chosen(call: Both) -> None:
    with pytest.raises(Unreachable):
        call(Fake(said(503)), "upload", b"x", client={"fail": "error"})
    with pytest.raises(Unreachable):
        call(Fake(said(503)), "check_hashes", [HashQuery(md5="0" * 32)], client={"fail": "error"})


def test_there_is_no_way_to_fail_open() -> None:
    with pytest.raises(ValueError, match="fail"):
        Client("http://t", "k", fail="allow")  # type: ignore[arg-type]


def test_a_stream_is_not_sent_twice(call: Both) -> None:
    fake = Fake(said(503))
    assert call(fake, "upload", chunks()).held
    assert len(fake.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415])
def test_a_refusal_is_raised_at_once_whatever_the_choice(call: Both, status: int) -> None:
    problem = {"type": "urn:tutela:problem:the-code", "detail": "what happened", "status": status}
    fake = Fake(said(status, problem))
    with pytest.raises(Refused) as caught:
        call(fake, "upload", b"x")
    assert (caught.value.status, caught.value.code) == (status, "the-code")
    assert caught.value.detail == "what happened"
    assert isinstance(caught.value, TutelaClientError)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"[]", b'{"outcome": "sure"}', b"{}"])
def test_an_answer_that_is_no_answer_is_a_hold(call: Both, body: bytes) -> None:
    """A captive portal's 200 must not let anything through."""
    answer = call(Fake(httpx.Response(200, content=body)), "upload", b"x")
    assert answer.held


def test_hashes_are_asked_in_one_request_and_answered_in_order(call: Both) -> None:
    fake = Fake(said(200, {"items": [{"outcome": "block"}, {"outcome": "allow"}]}))
    queries = [
        HashQuery(pdq="5a" * 32, quality=90, facts={"surface": "post"}),
        HashQuery(sha256="00" * 32),
    ]
    answers = call(fake, "check_hashes", queries)
    assert [answer.outcome for answer in answers] == ["block", "allow"]
    assert json.loads(fake.bodies[0]) == {
        "items": [{"pdq": "5a" * 32, "quality": 90, "surface": "post"}, {"sha256": "00" * 32}]
    }
    held = call(Fake(said(503)), "check_hashes", queries)
    assert [answer.outcome for answer in held] == ["hold", "hold"]


def test_too_few_answers_to_a_batch_are_holds(call: Both) -> None:
    fake = Fake(said(200, {"items": [{"outcome": "allow"}]}))
    answers = call(fake, "check_hashes", [HashQuery(md5="0" * 32), HashQuery(md5="1" * 32)])
    assert [answer.outcome for answer in answers] == ["hold", "hold"]


def test_the_rest_of_the_api_is_there(call: Both) -> None:
    assert call(Fake(said(200, {"id": 1})), "decision", "dec/../x") == {"id": 1}
    assert call(Fake(said(200, {"lists": [{"name": "a"}]})), "lists") == [{"name": "a"}]
    assert call(Fake(said(200, {"ok": True})), "selftest") == {"ok": True}
    state = call(Fake(said(200, {"protecting": True})), "state")
    assert (state.ready, state.protecting) == (True, True)
    away = call(Fake(httpx.ConnectError("x")), "state")
    assert (away.ready, away.protecting) == (False, False)


def test_an_id_cannot_climb_out_of_its_path(call: Both) -> None:
    fake = Fake(said(200, {}))
    call(fake, "decision", "../lists")
    assert fake.requests[0].url.raw_path == b"/v1/decisions/..%2Flists"


def test_a_line_break_in_a_fact_is_refused_before_it_is_sent(call: Both) -> None:
    fake = Fake(said(200, ALLOWED))
    with pytest.raises(ValueError, match="line break"):
        call(fake, "upload", b"x", account="a\r\nX-Evil: 1")
    assert fake.requests == []


def test_the_key_is_not_shown() -> None:
    with Client("http://t.test", "tutela_secret") as client:
        assert "tutela_secret" not in repr(client)


def test_waits_grow_are_jittered_and_obey_retry_after() -> None:
    retries = Retries(attempts=9, base=1.0, most=8.0)
    for attempt, most in ((1, 1), (2, 2), (3, 4), (4, 8), (8, 8)):
        waits = [retries.wait(attempt, None) for _ in range(50)]
        assert min(waits) >= 0
        assert max(waits) <= most
        assert len(set(waits)) > 40
    assert 3 <= retries.wait(1, "3") <= 3.3
    assert retries.wait(1, "9999") <= 8.8
    assert retries.wait(1, "Wed, 21 Oct 2026 07:28:00 GMT") <= 1


@pytest.mark.parametrize("given", [bytes(range(32)), bytearray(range(32)), bytes(range(32)).hex()])
def test_a_hash_may_be_given_as_bytes_or_hexadecimal(call: Both, given: Any) -> None:
    fake = Fake(said(200, {"items": [ALLOWED]}))
    call(fake, "check_hashes", [HashQuery(pdq=given, quality=100)])
    item = json.loads(fake.bodies[0])["items"][0]
    assert item == {"pdq": bytes(range(32)).hex(), "quality": 100}


@pytest.mark.parametrize("value", [b"short", "xyz", "ab" * 31, 7, "é" * 64])
@pytest.mark.parametrize("field", ["sha256", "pdq"])
def test_a_hash_that_is_none_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=field) as caught:
        HashQuery(**{field: value})
    assert caught.value.field == field
    assert isinstance(caught.value, TutelaClientError)


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8780", "localhost:8780", "tutela.example", "", "http://", "ftp://a", "http:/a"],
)
def test_a_url_that_no_request_can_go_to_is_refused_at_once(make: Any, url: str) -> None:
    """Else every upload would be held and nothing would say why."""
    with pytest.raises(InvalidInput, match="http://"):
        make(url, "key")
