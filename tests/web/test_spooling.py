"""A body goes into the spool beside the event loop, and a cancelled one leaves no thread behind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tutela.settings import Settings
from tutela.uploads.bodies import BodyLimits
from tutela.uploads.spool import Spool, SpoolWriter
from tutela.web import spooling
from tutela.web.spooling import spool_body, spooled

LIMITS = BodyLimits(max_bytes=1 << 20, part_seconds=5)


@pytest.fixture
def spool(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(spooling, "IN_THREAD_BYTES", 10)
    return Spool(sqlite_settings)


def test_a_cancelled_request_waits_for_the_thread_that_writes_its_part(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let_go = threading.Event(), threading.Event()
    happened: list[str] = []
    write, close = SpoolWriter.write, SpoolWriter.close

    def slowly(writer: SpoolWriter, chunk: bytes) -> None:
        begun.set()
        let_go.wait(5)
        write(writer, chunk)
        happened.append("written")

    def noted(writer: SpoolWriter) -> None:
        happened.append("closed")
        close(writer)

    async def request() -> None:
        with spool.writer() as writer:
            await spooled(writer, bytes(100))

    async def main() -> None:
        task = asyncio.create_task(request())
        await asyncio.to_thread(begun.wait, 5)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.01)
        let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    monkeypatch.setattr(SpoolWriter, "write", slowly)
    monkeypatch.setattr(SpoolWriter, "close", noted)
    asyncio.run(main())
    assert happened[:2] == ["written", "closed"]
    assert spool.memory_in_use == 0


def test_a_large_body_is_written_beside_the_event_loop(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    write = SpoolWriter.write

    def noted(writer: SpoolWriter, chunk: bytes) -> None:
        threads.append(threading.current_thread() is threading.main_thread())
        write(writer, chunk)

    monkeypatch.setattr(SpoolWriter, "write", noted)
    parts = [b"12345678", b"12345678", b"12345678"]

    async def receive() -> dict[str, Any]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    with asyncio.run(spool_body({"headers": []}, receive, spool, LIMITS)) as source:
        assert source.size == 24
    assert threads == [True, False, False]
