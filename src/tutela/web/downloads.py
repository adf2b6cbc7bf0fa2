"""Files that leave as a stream, to readers that keep up."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from tutela.uploads.bodies import BodyLimits


class Download(StreamingResponse):
    """A file made while it is sent. Making it may hold a moment of the database, so a reader has
    the patience that a sender of a body has (``limits``); then the line is closed, unfinished.
    """

    def __init__(self, parts: Generator[bytes, None, None], limits: BodyLimits) -> None:
        super().__init__(parts, media_type="application/octet-stream")
        self._parts = parts
        self._limits = limits

    async def stream_response(self, send: Send) -> None:
        """Send what the reader takes in time; then let go of what the file is made of."""
        try:
            await super().stream_response(_in_time(send, self._limits))
        except TimeoutError:
            return  # the server closes a line whose response was not finished
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._parts.close)


def _in_time(send: Send, limits: BodyLimits) -> Send:
    """``send``, raising ``TimeoutError`` when the reader lets one part wait for longer than
    ``part_seconds``, or all of them for longer than that and ``min_rate`` allow."""
    loop = asyncio.get_running_loop()
    waited, sent = 0.0, 0

    async def sending(message: Message) -> None:
        nonlocal waited, sent
        sent += len(message.get("body", b""))
        patience = limits.part_seconds
        if limits.min_rate:
            patience = min(patience, limits.part_seconds + sent / limits.min_rate - waited)
        begun = loop.time()
        async with asyncio.timeout(max(0.0, patience)):
            await send(message)
        waited += loop.time() - begun

    return sending
