"""Bodies are bounded in size and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from tutela.errors import InvalidInput, RequestTimeout, TooLarge
from tutela.uploads.bodies import BodyLimits, ClientGone, whole_body

LIMITS = BodyLimits(max_bytes=100, part_seconds=0.2)


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "headers": list(headers)}


def receiving(parts: Iterable[bytes], *, wait: float = 0.0, then: str = "end") -> Any:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    if then == "end":
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    elif then == "gone":
        messages.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(wait)
        if not messages:
            await asyncio.sleep(3600)
        return messages.pop(0)

    return receive


def read(receive: Any, limits: BodyLimits = LIMITS, *headers: tuple[bytes, bytes]) -> bytes:
    return asyncio.run(whole_body(scope(*headers), receive, limits))


def test_a_body_comes_through_whole() -> None:
    assert read(receiving([b"ab", b"", b"cd"])) == b"abcd"


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read() -> None:
    async def never() -> dict[str, Any]:
        raise AssertionError("the body was read")

    with pytest.raises(TooLarge):
        read(never, LIMITS, (b"content-length", b"101"))


def test_a_body_that_lies_about_its_length_is_refused_once_it_passes_the_limit() -> None:
    with pytest.raises(TooLarge):
        read(receiving([b"x" * 60, b"x" * 60]), LIMITS, (b"content-length", b"5"))


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"\xb2", b"", b"0x10"])
def test_a_length_that_is_no_number_is_refused(length: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(receiving([b"x"]), LIMITS, (b"content-length", length))


def test_a_body_that_stops_coming_times_out() -> None:
    with pytest.raises(RequestTimeout):
        read(receiving([b"x"], then="silence"))


def test_a_body_that_drips_times_out_although_each_part_is_in_time() -> None:
    limits = BodyLimits(max_bytes=10_000, part_seconds=0.1, min_rate=1000)
    with pytest.raises(RequestTimeout):
        read(receiving([b"x"] * 50, wait=0.05), limits)


def test_a_steady_body_above_the_least_rate_comes_through() -> None:
    limits = BodyLimits(max_bytes=10_000, part_seconds=0.1, min_rate=100)
    assert len(read(receiving([b"x" * 100] * 8, wait=0.03), limits)) == 800


def test_a_client_that_hangs_up_is_noticed() -> None:
    with pytest.raises(ClientGone):
        read(receiving([b"half"], then="gone"))


def test_a_body_that_takes_too_long_as_a_whole_times_out() -> None:
    limits = BodyLimits(max_bytes=10_000, part_seconds=0.2, whole_seconds=0.1)
    with pytest.raises(RequestTimeout):
        read(receiving([b"x" * 100] * 20, wait=0.03), limits)
