"""The whole road over HTTP: uploads of 2 MP JPEGs against a list of a million, decisions recorded.

HMA isn't packaged. Measured elsewhere it spends 1.3 times the CPU of threatexchange's in-process
hashing on an upload (35 a second on two cores at its best setting), so both sides are related to
that hashing, measured in this very run on the same pictures: HMA's CPU for an upload is taken as
1.3 of it. Ours is the CPU of every process of the server, decoder workers included.

Requests go over loopback from a process of its own whose CPU is not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
from PIL import Image
from threatexchange.signal_type.pdq.pdq_hasher import pdq_from_bytes

from ._report import QUICK, Report
from .hashing import composed

LISTED = 100_000 if QUICK else 1_000_000
UPLOADS = 300 if QUICK else 2_000
BATCHES = 40 if QUICK else 200
SINGLES = 1_000 if QUICK else 6_000
FLAT = 3_000 if QUICK else 100_000
HMA_SHARE = 1.3
"""HMA's CPU for an upload, in threatexchange's in-process hashings (measured by the project)."""
HMA_SINGLE = 130.0
"""HMA's look-ups by hash a second and core."""
CONNECTIONS = 8
TURNS = 4


@dataclass(frozen=True)
class Load:
    """What a load came to: seconds for each request, wall seconds, CPU seconds of the server."""

    latencies: Sequence[float]
    wall: float
    cpu: float

    @property
    def per_core(self) -> float:
        """Requests for each CPU second."""
        return len(self.latencies) / self.cpu

    @property
    def per_second(self) -> float:
        """Requests for each second of wall time."""
        return len(self.latencies) / self.wall

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return float(np.quantile(self.latencies, share) * 1000)


def pictures(count: int = 12) -> list[bytes]:
    """Photograph-like JPEGs of 2 MP, about 300 kB each."""
    made = []
    for number in range(count):
        image = composed((1632, 1224), number).rotate(90 * (number // 4))
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=80)
        made.append(out.getvalue())
    return made


def small_pictures(count: int = 64) -> list[bytes]:
    """Little JPEGs, for a great many uploads."""
    made = []
    for number in range(count):
        cells = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        out = io.BytesIO()
        Image.fromarray(cells).resize((160, 160)).save(out, "JPEG", quality=80)
        made.append(out.getvalue())
    return made


class Server:
    """``tutela serve`` on a folder that holds the list, with its CPU and memory to be read."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self._port_file = data_dir.parent / f"port-{os.urandom(4).hex()}.json"
        self._env = {
            **os.environ,
            "TUTELA_DATA_DIR": str(data_dir),
            "TUTELA_LOG__LEVEL": "warning",
            "TUTELA_SELFTEST__EVERY_MINUTES": "0",
            "TUTELA_SERVER__RATE_PER_MINUTE": "100000000",
            **settings,
        }

    def __enter__(self) -> Server:
        command = [sys.executable, "-m", "tutela"]
        self._process = subprocess.Popen(
            [*command, "serve", "--port", "0", "--port-file", str(self._port_file)],
            env=self._env,
            stdout=subprocess.DEVNULL,
        )
        while not self._port_file.exists():
            if self._process.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.05)
        self.url = json.loads(self._port_file.read_text())["url"]
        scopes = ["--scope", "uploads:write", "--scope", "hashes:check"]
        self.key = subprocess.run(
            [*command, "keys", "create", "bench", *scopes],
            env=self._env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _all(self) -> list[psutil.Process]:
        mother = psutil.Process(self._process.pid)
        return [mother, *mother.children(recursive=True)]

    def cpu(self) -> float:
        """CPU seconds of all its processes so far, those that ended included."""
        total = 0.0
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def memory(self) -> float:
        """Megabytes that its processes use for themselves (USS)."""
        total = 0
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().uss
        return total / 1e6


def request(url: str, key: str, path: str, body: bytes, kind: str) -> bytes:
    """One request as bytes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def client(url: str, bodies: list[bytes], count: int, rate: float, answers: Connection) -> None:
    """The load process: keeps ``CONNECTIONS`` busy, or sends at a rate (requests a second)."""
    answers.send(asyncio.run(_client(url, bodies, count, rate)))


async def _client(url: str, bodies: list[bytes], count: int, rate: float) -> list[float]:
    parts = urlsplit(url)
    latencies: list[float] = []
    numbers = iter(range(count))
    began = time.perf_counter()

    async def line() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 22)
        for number in numbers:
            due = began + number / rate if rate else 0.0
            if due:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            start = due or time.perf_counter()
            writer.write(bodies[number % len(bodies)])
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"an answer was not 200: {head[:200]!r}")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - start)
        writer.close()

    lines = CONNECTIONS * (8 if rate else 1)
    await asyncio.gather(*(line() for _ in range(lines)))
    return latencies


def load(server: Server, bodies: list[bytes], count: int, *, rate: float = 0.0) -> Load:
    """Send ``count`` requests and measure both sides."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=client, args=(server.url, bodies, count, rate, there)
    )
    cpu, wall = server.cpu(), time.perf_counter()
    process.start()
    latencies = here.recv()
    done = time.perf_counter() - wall
    process.join()
    time.sleep(0.2)
    busy = sum(latencies) / (CONNECTIONS if not rate else 1)
    return Load(latencies, min(done, busy) if not rate else done, server.cpu() - cpu)


@contextlib.contextmanager
def listed() -> Iterator[Path]:
    """A data folder with a blocking list of random picture hashes."""
    from tutela.app import Tutela
    from tutela.core import ListMode, Purpose
    from tutela.settings import Settings

    with tempfile.TemporaryDirectory(prefix="tutela-bench-") as folder:
        data_dir = Path(folder) / "data"
        tutela = Tutela(Settings(data_dir=data_dir), background=False)
        tutela.open_lists()
        lists = tutela.lists
        lists.create("million", Purpose.CSAM, mode=ListMode.BLOCK, actor="bench", reason="bench")
        hashes = np.random.default_rng(7).integers(0, 256, (LISTED, 32), np.uint8)
        rows = (f"{n},{row.tobytes().hex()},100\n" for n, row in enumerate(hashes))
        stream = io.BytesIO(("id,pdq,quality\n" + "".join(rows)).encode())
        lists.import_file("million", stream, format="csv", actor="bench", reason="bench")
        lists.rebuild_snapshot()
        tutela.close()
        yield data_dir


def in_turns(server: Server, bodies: list[bytes], photos: Sequence[bytes]) -> tuple[Load, float]:
    """Uploads and threatexchange's hashing in turns, so that both meet the same noise: the load
    as a whole, and the CPU seconds of one hashing."""
    loads, spent = [], 0.0
    for _ in range(TURNS):
        began = time.process_time()
        for photo in photos:
            pdq_from_bytes(photo)
        spent += time.process_time() - began
        loads.append(load(server, bodies, UPLOADS // TURNS))
    latencies = [seconds for done in loads for seconds in done.latencies]
    whole = Load(latencies, sum(done.wall for done in loads), sum(done.cpu for done in loads))
    return whole, spent / TURNS / len(photos)


def uploads(report: Report, data_dir: Path) -> None:
    """``POST /v1/uploads`` with and without views, and the tail at half of the peak."""
    photos = pictures()
    size = sum(map(len, photos)) / len(photos) / 1000
    report.figure("http-picture-kb", f"{size:.0f} on average, 2 MP")
    for name, settings in (("http-upload", {}), ("http-upload-plain", {"views": "false"})):
        env = {f"TUTELA_HASHING__{key.upper()}": value for key, value in settings.items()}
        with Server(data_dir, **env) as server:
            bodies = [
                request(server.url, server.key, "/v1/uploads", p, "image/jpeg") for p in photos
            ]
            load(server, bodies, 60)
            done, te = in_turns(server, bodies, photos)
            ratio = done.per_core * HMA_SHARE * te
            report.figure(f"{name}-per-core", f"{done.per_core:.0f} uploads/s and core")
            report.figure(f"{name}-peak", f"{done.per_second:.0f} uploads/s on this machine")
            report.figure(f"{name}-threatexchange-ms", f"{te * 1000:.1f} for one hashing")
            if name == "http-upload":
                report.ratio("http-upload-vs-hma", ratio, 6.0)
                tail = load(server, bodies, UPLOADS // 2, rate=done.per_second / 2)
                report.figure("http-upload-p50-half-ms", f"{tail.percentile(0.5):.1f}")
                report.ratio("http-upload-p99-half-ms", tail.percentile(0.99), 60.0, at_most=True)
            else:
                report.figure("http-upload-plain-vs-hma", f"{ratio:.2f}")


def hashes(report: Report, data_dir: Path) -> None:
    """``POST /v1/hashes`` in batches of 100 and one by one."""
    random = np.random.default_rng(11)

    def items(count: int) -> list[dict[str, object]]:
        rows = random.integers(0, 256, (count, 32), np.uint8)
        return [{"pdq": row.tobytes().hex(), "quality": 90} for row in rows]

    with Server(data_dir) as server:
        path, kind = "/v1/hashes", "application/json"
        batches = [
            request(server.url, server.key, path, json.dumps({"items": items(100)}).encode(), kind)
            for _ in range(20)
        ]
        singles = [
            request(server.url, server.key, path, json.dumps(item).encode(), kind)
            for item in items(500)
        ]
        load(server, batches, 5)
        done = load(server, batches, BATCHES)
        report.ratio("http-hashes-batch-per-core", done.per_core * 100, 4000.0)
        load(server, singles, 50)
        done = load(server, singles, SINGLES)
        report.ratio("http-hashes-single-vs-hma", done.per_core / HMA_SINGLE, 4.0)
        report.figure("http-hashes-single-per-core", f"{done.per_core:.0f} checks/s and core")


def flat(report: Report, data_dir: Path) -> None:
    """Memory after a fifth of a great many uploads, and at their end."""
    with Server(data_dir) as server:
        bodies = [
            request(server.url, server.key, "/v1/uploads", picture, "image/jpeg")
            for picture in small_pictures()
        ]
        load(server, bodies, FLAT // 5)
        early = server.memory()
        load(server, bodies, FLAT - FLAT // 5)
        late = server.memory()
    report.figure("http-memory-mb", f"{late:.0f} after {FLAT} uploads, {early:.0f} at a fifth")
    report.ratio("http-memory-growth", late / early, 1.1, at_most=True)


def main() -> int:
    """Run it all."""
    report = Report()
    with listed() as data_dir:
        uploads(report, data_dir)
        hashes(report, data_dir)
        flat(report, data_dir)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
