"""A file that crashes, hangs or blows up the decoder costs its own upload a hold; the next upload
is answered as ever."""

from __future__ import annotations

import io
import os
import signal
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator

import httpx
import psutil
import pytest
from tests.house import wait_until
from tests.journeys.served.houses import House, Serving, marked, photo

LIMITS = {
    "TUTELA_HASHING__CPU_SECONDS": "1",
    "TUTELA_UPLOADS__DEFERRED_RETRY_SECONDS": "1",
    "TUTELA_HASHING__MAX_UNPACKED_BYTES": str(32 << 20),
}


@pytest.fixture(scope="module")
def serving(module_house: House) -> Iterator[Serving]:
    """A server with its real, sandboxed decoder, of one worker."""
    with module_house.serve(LIMITS) as running:
        yield running


@pytest.fixture
def client(module_house: House, serving: Serving) -> Iterator[httpx.Client]:
    """A client that may do everything."""
    with serving.client(module_house.admin) as made:
        yield made


def workers(serving: Serving) -> list[psutil.Process]:
    """The decoder's workers: the zygote's children."""
    (zygote,) = psutil.Process(serving.pid).children()
    return zygote.children()


def stopped_worker(serving: Serving) -> psutil.Process:
    """The worker, stopped, so that the next file stays in its hands."""
    wait_until(lambda: workers(serving))
    (worker,) = workers(serving)
    worker.suspend()
    wait_until(lambda: worker.status() == psutil.STATUS_STOPPED)
    return worker


def test_a_worker_killed_with_a_file_in_hand_is_a_deferred_hold_and_the_next_upload_works(
    module_house: House, serving: Serving, client: httpx.Client, listed: bytes
) -> None:
    worker = stopped_worker(serving)
    said: list[dict[str, object]] = []

    def send() -> None:
        said.append(client.post("/v1/uploads", content=marked(listed, b"crash")).json())

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.5)
    os.kill(worker.pid, signal.SIGKILL)
    thread.join(20)
    (answer,) = said
    assert (answer["outcome"], answer["deferred"]) == ("hold", True)
    assert client.post("/v1/uploads", content=photo(71)).json()["outcome"] == "allow"
    assert client.post("/v1/uploads", content=listed).json()["outcome"] == "block"
    wait_until(lambda: module_house.count("deferred_uploads") == 0)
    row = module_house.rows(
        "SELECT outcome FROM decisions WHERE id = ? OR supersedes = ? ORDER BY at DESC",
        answer["decision_id"],
        answer["decision_id"],
    )[0]
    assert row["outcome"] == "block"


def test_a_worker_that_hangs_is_given_up_and_the_next_upload_works(
    module_house: House, serving: Serving, client: httpx.Client, listed: bytes
) -> None:
    stopped_worker(serving)
    started = time.monotonic()
    answer = client.post("/v1/uploads", content=marked(listed, b"hang")).json()
    assert (answer["outcome"], answer["deferred"]) == ("hold", True)
    assert time.monotonic() - started < 20
    assert client.post("/v1/uploads", content=photo(72)).json()["outcome"] == "allow"
    wait_until(lambda: module_house.count("deferred_uploads") == 0)


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims so many pixels, with a few bytes of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def zipped(*contents: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.bin", content)
    return out.getvalue()


def matryoshka(depth: int) -> bytes:
    content = photo(73)
    for _ in range(depth):
        content = zipped(content)
    return content


BOMBS = {
    "pixels": lambda: png_of(60_000, 60_000),
    "unpacked": lambda: zipped(bytes(64 << 20)),
    "depth": lambda: matryoshka(12),
    "members": lambda: zipped(*(b"x" for _ in range(2_500))),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_held_and_the_next_upload_works(
    serving: Serving, client: httpx.Client, bomb: str
) -> None:
    answer = client.post("/v1/uploads", content=BOMBS[bomb]()).json()
    assert (answer["outcome"], answer["deferred"], answer["case_id"]) == ("hold", False, None)
    assert client.post("/v1/uploads", content=photo(74)).json()["outcome"] == "allow"
    peak = max(worker.memory_info().rss for worker in [psutil.Process(serving.pid)])
    assert peak < 600 << 20


def test_a_zygote_that_is_killed_is_replaced(serving: Serving, client: httpx.Client) -> None:
    (zygote,) = psutil.Process(serving.pid).children()
    zygote.kill()

    def works() -> bool:
        said = client.post("/v1/uploads", content=photo(75)).json()
        assert said["outcome"] == "allow" or said["deferred"]
        return bool(said["outcome"] == "allow")

    wait_until(works, 30)
