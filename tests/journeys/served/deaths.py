"""Where a server kills itself, for the journeys of kill -9: one entry for each step of an upload.

Armed in the forked server before it starts. The product has no hook for this: functions of the
steps are replaced by ones that end the process, by SIGKILL, as the kernel or an operator would.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn


def arm(step: str) -> None:
    """Let this process die at a step, or (``none``) only use the quick decoder, as all of them
    do: decoding in this process instead of a sandboxed one, which takes seconds to start."""
    _decode_here()
    STEPS[step]()


def die(*_: object, **__: object) -> NoReturn:
    """kill -9, from within. Nothing is flushed, closed or undone."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def _before(owner: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(owner(), name, die)


def _after(owner: Any, name: str) -> Callable[[], None]:
    def replace() -> None:
        made, here = getattr(owner(), name), owner()

        def then_die(*args: Any, **options: Any) -> NoReturn:
            made(*args, **options)
            die()

        setattr(here, name, then_die)

    return replace


def _spool_writer() -> Any:
    from tutela.uploads.spool import SpoolWriter

    return SpoolWriter


def _spool() -> Any:
    from tutela.uploads.spool import Spool

    return Spool


def _vault() -> Any:
    from tutela.cases import Vault

    return Vault


def _writer() -> Any:
    from tutela.store import writer

    return writer


def _answers() -> Any:
    from tutela.web.api import uploads

    return uploads


def _lists_away() -> None:
    """Every look-up is a fault of ours, so that uploads are parked."""
    from tutela.uploads import gate

    async def away(*_: object) -> Any:
        return (gate._lists_away(),)

    gate.UploadGate._match = away


def _parking(arm_step: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        _lists_away()
        arm_step()

    return both


STEPS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "lists-away": _lists_away,
    "when the body is in the spool": _after(_spool_writer, "finish"),
    "when it is sealed and not yet recorded": _after(_vault, "seal_blocking"),
    "when it is committed and not yet answered": _before(_writer, "_answer"),
    "before the answer is sent": _before(_answers, "_response"),
    "before it is parked": _parking(_before(_spool, "park")),
    "when it is parked and not yet recorded": _parking(_after(_spool, "park")),
}


def _decode_here() -> None:
    from tutela import app
    from tutela.hashing.decoder import DecoderPool
    from tutela.hashing.media import hash_media

    class Here(DecoderPool):
        """Decodes in a thread of this process."""

        async def start(self) -> None:
            """Nothing to start."""

        async def stop(self) -> None:
            """Nothing to stop."""

        def health(self) -> Any:
            """In health, as this process lives."""
            return replace(super().health(), workers=1, idle=1)

        async def hash(self, source: Any, options: Any = None) -> Any:
            """As the pool's own job does."""

            def work() -> Any:
                with source.open() as reader:
                    return hash_media(reader, options or self.options, digests=source.digests)

            return await asyncio.to_thread(work)

    app.DecoderPool = Here
