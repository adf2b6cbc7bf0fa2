"""Slow clients are cut off, crowds are held back, and neither stops anybody else."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.house import QUICK, Server, picture

from tutela.errors import Unavailable
from tutela.settings import Settings
from tutela.web.state import WAITING_PER_SLOT, Slots

HEAD = (
    "POST /v1/uploads HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\n"
    "Content-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with short patience and little room."""
    limits = {
        "header_timeout_seconds": 0.5,
        "body_timeout_seconds": 0.6,
        "min_body_bytes_per_second": 500,
        "max_concurrent_uploads": 4,
        "max_upload_bytes": 1_000_000,
    }
    options = QUICK | {"server": QUICK["server"] | limits}
    with Server(Settings(data_dir=tmp_path_factory.mktemp("slow") / "data", **options)) as server:
        yield server


def connect(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), timeout=10)
    return line


def rest(line: socket.socket) -> bytes:
    """Everything that still comes, until the line is closed."""
    parts = []
    try:
        while part := line.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_headers_that_dribble_are_cut_off(impatient: Server) -> None:
    started = time.monotonic()
    with connect(impatient) as line:
        line.sendall(b"POST /v1/uploads HTTP/1.1\r\n")
        try:
            for _ in range(40):
                time.sleep(0.1)
                line.sendall(b"X-A: b\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        rest(line)
    assert time.monotonic() - started < 3


def test_a_line_without_any_request_is_cut_off(impatient: Server) -> None:
    with connect(impatient) as line:
        assert rest(line) == b""


def test_a_keep_alive_line_still_serves_after_a_pause(impatient: Server) -> None:
    """The deadline is for a request's headers, not for the pause between requests."""
    with connect(impatient) as line:
        for _ in range(2):
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
            said = b""
            while not said.endswith(b'{"status":"ok"}'):
                part = line.recv(65536)
                assert part, "the line was closed"
                said += part
            assert said.startswith(b"HTTP/1.1 200")
            time.sleep(0.8)


def test_a_body_that_stops_or_dribbles_gets_408_and_the_line_is_closed(impatient: Server) -> None:
    key = impatient.key()
    for dribble in (False, True):
        with connect(impatient) as line:
            line.sendall(HEAD.format(key=key, length=5000).encode())
            for _ in range(30 if dribble else 0):
                try:
                    line.sendall(b"x")
                    time.sleep(0.1)
                except (BrokenPipeError, ConnectionResetError):
                    break
            answer = rest(line)
        assert answer.startswith(b"HTTP/1.1 408"), answer[:80]
        assert b"urn:tutela:problem:request-timeout" in answer


def test_slow_clients_do_not_keep_others_out(impatient: Server) -> None:
    lines = [connect(impatient) for _ in range(60)]
    for line in lines:
        line.sendall(b"POST /v1/uploads HTTP/1.1\r\nX-Slow: ")
    with impatient.client() as client:
        started = time.monotonic()
        said = client.post("/v1/uploads", content=picture(80)).json()
    assert said["outcome"] == "allow"
    assert time.monotonic() - started < 5
    for line in lines:
        line.close()


def test_a_client_that_hangs_up_leaves_nothing_behind(impatient: Server) -> None:
    before = impatient.tutela.spool.memory_in_use
    for _ in range(5):
        with connect(impatient) as line:
            line.sendall(HEAD.format(key=impatient.key(), length=500_000).encode() + b"x" * 9000)
    deadline = time.monotonic() + 5
    while impatient.tutela.spool.memory_in_use > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert impatient.tutela.spool.memory_in_use == before


def test_an_upload_over_the_limit_is_refused_and_heard(impatient: Server) -> None:
    with impatient.client() as client:
        declared = client.post("/v1/uploads", content=b"x" * 1_000_001)
        chunked = client.post("/v1/uploads", content=iter([b"x" * 300_000] * 4))
        formed = client.post("/v1/uploads", files={"file": ("a", b"x" * 1_000_001)})
    assert [a.status_code for a in (declared, chunked, formed)] == [413, 413, 413]


def test_a_refusal_before_the_body_is_heard(impatient: Server) -> None:
    answer = httpx.post(f"{impatient.url}/v1/uploads", content=b"x" * 900_000)
    assert answer.status_code == 401


def test_many_at_once_are_all_answered(impatient: Server) -> None:
    """More than may be held, and more than may wait: each gets a decision or a time to come
    back."""
    key = impatient.key(rate_per_minute=100_000)
    crowd = 4 * (1 + WAITING_PER_SLOT) * 3

    async def send(client: httpx.AsyncClient, number: int) -> httpx.Response:
        return await client.post("/v1/uploads", content=picture(number % 5))

    async def all_at_once() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=crowd)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            base_url=impatient.url, headers=headers, limits=limits, timeout=60
        ) as client:
            return await asyncio.gather(*(send(client, number) for number in range(crowd)))

    answers = asyncio.run(all_at_once())
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {200, 503}
    assert sum(answer.status_code == 200 for answer in answers) >= 4
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0


def test_slots_refuse_beyond_their_queue_and_are_given_back() -> None:
    async def story() -> None:
        slots = Slots(1)
        entered = asyncio.Event()
        leave = asyncio.Event()

        async def stay() -> None:
            async with slots.one("key"):
                entered.set()
                await leave.wait()

        staying = asyncio.ensure_future(stay())
        await entered.wait()
        waiting = [asyncio.ensure_future(stay()) for _ in range(WAITING_PER_SLOT)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            async with slots.one("key"):
                pass
        waiting[0].cancel()
        leave.set()
        await asyncio.gather(staying, *waiting, return_exceptions=True)
        async with slots.one("key"):
            pass

    asyncio.run(story())


def test_a_key_with_slow_uploaders_leaves_half_of_the_slots_to_the_others() -> None:
    async def story() -> None:
        slots = Slots(4)
        never = asyncio.Event()

        async def stay() -> None:
            async with slots.one("slow"):
                await never.wait()

        crowd = [asyncio.ensure_future(stay()) for _ in range(40)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with asyncio.timeout(1), slots.one("other"), slots.one("other"):
            pass
        for one in crowd:
            one.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        assert slots._of_key == {}
        async with slots.one("slow"), slots.one("slow"):
            pass

    asyncio.run(story())


def test_a_crowd_of_dribbling_lines_of_one_key_does_not_keep_another_key_out(
    impatient: Server,
) -> None:
    slow = impatient.key()
    lines = [connect(impatient) for _ in range(8)]
    for line in lines:
        line.sendall(HEAD.format(key=slow, length=500_000).encode() + b"x" * 100)
    time.sleep(0.2)
    with impatient.client() as client:
        started = time.monotonic()
        said = client.post("/v1/uploads", content=picture(81)).json()
    assert said["outcome"] == "allow"
    assert time.monotonic() - started < 0.35
    for line in lines:
        line.close()
