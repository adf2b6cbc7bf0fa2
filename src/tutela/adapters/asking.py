"""One file on its way to Tutela while it still comes in from the uploader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tutela.client import Answer


@dataclass
class Asking:
    """Chunks go into the queue, the task brings the answer."""

    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(8))
    task: asyncio.Task[Answer] | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """What the client sends."""
        while (chunk := await self.queue.get()) is not None:
            yield chunk

    async def put(self, chunk: bytes | None) -> None:
        """Hand a chunk over, unless the client has stopped reading."""
        assert self.task is not None
        put = asyncio.ensure_future(self.queue.put(chunk))
        await asyncio.wait({put, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if not put.done():
            put.cancel()
