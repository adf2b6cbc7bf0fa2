"""Uploads that are killed (-9) at a step of the road.

For each line ``STEP KEY`` on its input a process is forked, which sends the picture given as the
argument down the real road over the real stores (only the decoder is in-process), and dies at the
step, or lives to the end for the step ``none``. The answer is one line: how it ended, then what
the entrance would have answered.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tutela.app import Tutela
from tutela.core import Account, Item, ItemKind, Media
from tutela.hashing.media import hash_media
from tutela.hashing.options import HashOptions
from tutela.hashing.source import Source
from tutela.settings import load_settings
from tutela.store import objects
from tutela.store import writer as store_writer
from tutela.uploads.records import Asker

STEPS = (
    "received",
    "examined",
    "decided",
    "staged",
    "sealed",
    "in-transaction",
    "before-commit",
    "committed",
)
"""Where to die: with the body spooled; before the verdict; before, within and after sealing;
within the transaction; with everything written; after the commit, before the answer."""


def die(*_: Any, **__: Any) -> Any:
    """kill -9, ourselves."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(work: Callable[..., Any]) -> Callable[..., Any]:
    """Do it, then die."""

    def done(*args: Any, **options: Any) -> Any:
        work(*args, **options)
        die()

    return done


class InProcess:
    """A decoder in this process."""

    async def hash(self, source: Source, options: HashOptions | None = None) -> Media:
        """Hash one of our own pictures."""
        with source.open() as stream:
            return hash_media(stream, options or HashOptions(), digests=source.digests)


def break_at(tutela: Tutela, step: str) -> None:
    """Put the death in its place."""
    vault, act, gate = tutela.vault, tutela.act, tutela.gate
    if step == "received":
        gate.examine = die  # type: ignore[method-assign]
    elif step == "examined":
        tutela.road.decide = die  # type: ignore[assignment]
    elif step == "decided":
        act._prepare = die  # type: ignore[method-assign]
    elif step == "staged":
        objects._StagedFile.commit = die  # type: ignore[method-assign]
    elif step == "sealed":
        vault.seal_blocking = after(vault.seal_blocking)  # type: ignore[method-assign]
    elif step == "in-transaction":
        vault.record = after(vault.record)  # type: ignore[method-assign]
    elif step == "before-commit":
        act.write = after(act.write)  # type: ignore[method-assign]
    elif step == "committed":
        store_writer._answer = die


async def upload(step: str, data: bytes, key: str) -> str:
    """Send the picture down the road, to its death or to the end."""
    tutela = Tutela(load_settings(), background=False)
    tutela.open_lists()
    tutela.gate._decoder = InProcess()
    with tutela.spool.writer() as writer:
        writer.write(data)
        source = writer.finish()
    break_at(tutela, step)
    digest = hashlib.sha256(data).digest()
    asker = Asker(key_id="k", idempotency_key=key, request_digest=digest)
    item = Item(kind=ItemKind.UPLOAD, account=Account(id="u"))
    with source:
        if step == "warm":
            decision = await tutela.road.look(item, source)
        else:
            decision = await tutela.road.upload(item, source, asker)
    tutela.close()
    return f"{decision.outcome.value} {decision.id} {decision.case_id} {decision.repeated}"


def main() -> None:
    """Fork for each line, so that the imports are paid for once."""
    data = Path(sys.argv[1]).read_bytes()
    asyncio.run(upload("warm", data, ""))
    for line in sys.stdin:
        step, key = line.split()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            os.write(write, asyncio.run(upload(step, data, key)).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            said = answer.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, said, flush=True)


if __name__ == "__main__":
    main()
