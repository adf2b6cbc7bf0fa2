"""A reader that does not keep up holds nothing for long."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from tutela.uploads.bodies import BodyLimits
from tutela.web.downloads import Download


class Reader:
    """Takes ``quick`` messages at once, and each further one after ``seconds``."""

    def __init__(self, quick: int, seconds: float) -> None:
        self.quick = quick
        self.seconds = seconds
        self.taken: list[dict[str, Any]] = []

    async def send(self, message: dict[str, Any]) -> None:
        if len(self.taken) >= self.quick:
            await asyncio.sleep(self.seconds)
        self.taken.append(message)

    async def receive(self) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}


def run(reader: Reader, limits: BodyLimits) -> bool:
    """Send three parts; whether what they are made of was let go."""
    closed = False

    def parts() -> Generator[bytes, None, None]:
        nonlocal closed
        try:
            for _ in range(3):
                yield b"x" * 100
        finally:
            closed = True

    response = Download(parts(), limits)
    asyncio.run(response({"type": "http"}, reader.receive, reader.send))
    return closed


@pytest.mark.parametrize(
    ("seconds", "min_rate"), [(30.0, 0), (0.06, 100_000)], ids=["it stops", "it is slow throughout"]
)
def test_a_reader_that_does_not_keep_up_is_left(seconds: float, min_rate: int) -> None:
    reader = Reader(2, seconds)
    assert run(reader, BodyLimits(max_bytes=1, part_seconds=0.1, min_rate=min_rate))
    assert 2 <= len(reader.taken) < 5
    assert reader.taken[-1].get("more_body", True), "it was not told that the file is whole"


def test_one_that_keeps_up_gets_it_whole() -> None:
    reader = Reader(1, 0.01)
    assert run(reader, BodyLimits(max_bytes=1, part_seconds=5, min_rate=1))
    assert b"".join(message.get("body", b"") for message in reader.taken) == b"x" * 300
    assert reader.taken[-1]["more_body"] is False
