"""Bodies, streamed within limits: too large is 413, too slow is 408, gone is the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.types import Receive, Scope

from tutela.errors import InvalidInput, RequestTimeout, TooLarge


class ClientGone(InvalidInput):
    """The client hung up before its body was whole; nobody is left to answer."""

    code = "client-gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What a body may take: ``max_bytes``; seconds between two parts; least average bytes/second
    once that many seconds have passed (0: none); seconds for the whole of it (0: no bound)."""

    max_bytes: int
    part_seconds: float
    min_rate: int = 0
    whole_seconds: float = 0.0


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that (lower-case) name as text, or None."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None


def declared_length(scope: Scope, limits: BodyLimits) -> int | None:
    """The ``Content-Length``, checked against the limit before a byte is read."""
    text = header(scope, b"content-length")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise InvalidInput("The Content-Length is not a number.")
    length = int(text)
    if length > limits.max_bytes:
        raise too_large(limits)
    return length


def too_large(limits: BodyLimits) -> TooLarge:
    """The refusal of a body over the limit."""
    return TooLarge(
        f"The body is larger than the {limits.max_bytes} bytes accepted here.",
        next_step="Send a smaller file, or ask the operator to raise the limit.",
    )


async def body_parts(scope: Scope, receive: Receive, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The body part by part. Raises ``TooLarge``, ``RequestTimeout`` or ``ClientGone``."""
    declared_length(scope, limits)
    loop = asyncio.get_running_loop()
    started = loop.time()
    seen = 0
    try:
        async with asyncio.timeout(limits.part_seconds) as clock:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone("The client hung up before the body was whole.")
                part = message.get("body", b"")
                more = message.get("more_body", False)
                if part:
                    seen += len(part)
                    if seen > limits.max_bytes:
                        raise too_large(limits)
                    clock.reschedule(None)  # what we do with it is not the client's time
                    yield part
                    if more:
                        clock.reschedule(_deadline(started, loop.time(), seen, limits))
                if not more:
                    return
    except TimeoutError:
        raise RequestTimeout(
            "The body came too slowly, so the line was given up.",
            next_step="Send it again over a better line, with the same idempotency key.",
        ) from None


def _deadline(started: float, now: float, seen: int, limits: BodyLimits) -> float:
    """When patience ends: a part's wait from now, and never later than the least rate or the time
    for the whole body allows."""
    patience = now + limits.part_seconds
    if limits.whole_seconds:
        patience = min(patience, max(started + limits.whole_seconds, now))
    if not limits.min_rate:
        return patience
    allowed = started + limits.part_seconds + seen / limits.min_rate
    return min(patience, max(allowed, now))


async def whole_body(scope: Scope, receive: Receive, limits: BodyLimits) -> bytes:
    """A small body in one piece."""
    parts = [part async for part in body_parts(scope, receive, limits)]
    return parts[0] if len(parts) == 1 else b"".join(parts)
