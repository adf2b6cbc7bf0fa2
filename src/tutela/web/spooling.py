"""Bodies into the spool, without holding up the event loop."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import Receive, Scope

from tutela.hashing.source import Source
from tutela.uploads.bodies import BodyLimits, body_parts
from tutela.uploads.spool import Spool, SpoolWriter

IN_THREAD_BYTES = 8 * 1024 * 1024
"""Above so many bytes of one upload, spooling goes to a thread: encryption and disk take time."""


async def spooled(writer: SpoolWriter, part: bytes) -> None:
    """Write a part. Where the request is cancelled meanwhile, the cancellation waits until the
    thread is done: whoever closes the writer then closes no descriptor under it.

    Raises ``StorageFull`` or ``StoreUnavailable``.
    """
    if writer.size + len(part) <= IN_THREAD_BYTES:
        writer.write(part)
        return
    work = asyncio.ensure_future(asyncio.to_thread(writer.write, part))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # looked at, so that nobody reports it as lost
        raise


async def spool_body(scope: Scope, receive: Receive, spool: Spool, limits: BodyLimits) -> Source:
    """A raw body as a source that the caller closes; empty where the body is.

    Raises ``TooLarge``, ``RequestTimeout``, ``ClientGone``, ``StorageFull``, ``StoreUnavailable``.
    """
    with spool.writer() as writer:
        async for part in body_parts(scope, receive, limits):
            await spooled(writer, part)
        return writer.finish()
