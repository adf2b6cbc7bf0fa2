"""Slow clients keep nobody waiting, and a thousand at once are all answered."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import psutil
import pytest
from tests.journeys.served.houses import House, Serving, marked, photo

PATIENCE = {
    "TUTELA_SERVER__HEADER_TIMEOUT_SECONDS": "2",
    "TUTELA_SERVER__BODY_TIMEOUT_SECONDS": "2",
}
SLOW = 40
UPLOADS = 1000
LISTED_EVERY = 50


def connected(serving: Serving) -> socket.socket:
    """A plain connection."""
    url = httpx.URL(serving.url)
    return socket.create_connection((url.host, url.port or 80), timeout=20)


@pytest.fixture
def impatient(module_house: House) -> Iterator[Serving]:
    """A server with little patience."""
    with module_house.serve(PATIENCE, dies="none") as running:
        yield running


def test_slow_loris_clients_keep_nobody_waiting_and_are_cut_off(
    module_house: House, impatient: Serving
) -> None:
    serving = impatient
    half_headers = b"POST /v1/uploads HTTP/1.1\r\nHost: t\r\nX-Slow: "
    half_body = (
        f"POST /v1/uploads HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {module_house.uploader}"
        "\r\nContent-Length: 100000\r\n\r\nabc"
    ).encode()
    slow = [connected(serving) for _ in range(2 * SLOW)]
    try:
        for number, line in enumerate(slow):
            line.sendall(half_headers if number % 2 else half_body)
        with serving.client(module_house.uploader) as client:
            for seed in (81, 82, 83):
                started = time.monotonic()
                said = client.post("/v1/uploads", content=photo(seed)).json()
                assert said["outcome"] == "allow"
                assert time.monotonic() - started < 1.5
        answers = []
        for line in slow:
            answers.append(line.recv(4096))
        assert {answer[:12] for answer in answers[1::2]} == {b""}
        assert {answer[:12] for answer in answers[0::2]} == {b"HTTP/1.1 408"}
    finally:
        for line in slow:
            line.close()
    assert module_house.count("decisions") == 3


def test_a_thousand_uploads_at_once_are_all_answered_and_each_is_recorded(
    house: House, listed: bytes
) -> None:
    small = photo(84, 128, 96)
    before = house.count("decisions"), house.count("cases")
    serving = house.serve(dies="none")
    process = psutil.Process(serving.pid)
    resident = process.memory_info().rss
    peak = resident

    async def everyone() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {house.uploader}"}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=serving.url, headers=headers, limits=limits, timeout=100
        ) as client:

            async def send(number: int) -> httpx.Response:
                picture = listed if number % LISTED_EVERY == 0 else small
                content = marked(picture, f"one of a thousand, {number}".encode())
                own = {"Idempotency-Key": f"thousand-{number}"}
                while True:
                    answer = await client.post("/v1/uploads", content=content, headers=own)
                    if answer.status_code != 503:
                        return answer
                    await asyncio.sleep(int(answer.headers["retry-after"]))

            async def watch() -> None:
                nonlocal peak
                while True:
                    peak = max(peak, process.memory_info().rss)
                    await asyncio.sleep(0.2)

            watching = asyncio.create_task(watch())
            try:
                return await asyncio.gather(*(send(number) for number in range(UPLOADS)))
            finally:
                watching.cancel()

    answers = asyncio.run(everyone())
    assert Counter(answer.status_code for answer in answers) == {200: UPLOADS}
    said = [answer.json() for answer in answers]
    outcomes = ["block" if n % LISTED_EVERY == 0 else "allow" for n in range(UPLOADS)]
    assert [one["outcome"] for one in said] == outcomes
    assert len({one["decision_id"] for one in said}) == UPLOADS
    assert house.count("decisions") == before[0] + UPLOADS
    assert house.count("cases") == before[1] + UPLOADS // LISTED_EVERY
    assert peak - resident < 400 << 20
    time.sleep(1.5)
    house.whole()
