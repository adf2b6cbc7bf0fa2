"""What it costs to decode in another process: CPU time a picture, with and without the pool.

The same 2 MP JPEGs, spooled in memory as uploads are, are hashed in this process and by one
worker, in turns, all on one core. The cost is the share of throughput lost: one less the CPU time
of a picture hashed here over that of a picture hashed in the pool (worker and asker together).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from statistics import median

from tutela.hashing.decoder import DecoderPool
from tutela.hashing.digests import digest_stream
from tutela.hashing.media import hash_media
from tutela.hashing.media import warm_up as warm_up_here
from tutela.hashing.options import HashOptions
from tutela.hashing.source import Source

from ._report import QUICK, Report
from .hashing import SIZES, composed, jpeg

BAR = 15.0
"""Per cent of throughput at 2 MP that isolation may cost."""
ROUNDS = 3 if QUICK else 9
PICTURES = 4
A_ROUND = 10 if QUICK else 40
AT_ONCE = 4
TICK = os.sysconf("SC_CLK_TCK")


def spooled(size: tuple[int, int]) -> list[Source]:
    """Pictures as the spool hands them over: in memory, with digests."""
    found = []
    for number in range(PICTURES):
        source = Source.from_bytes(jpeg(composed(size, number)))
        with source.open() as reader:
            source.digests = digest_stream(reader)
        found.append(source)
    return found


def process_seconds(pid: int) -> float:
    """CPU time that a process used, to the nanosecond where the kernel tells."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9
    except OSError:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


class Here:
    """Hashing in this process."""

    def __init__(self, options: HashOptions) -> None:
        self.options = options

    def run(self, sources: list[Source]) -> float:
        """CPU seconds a picture."""
        began = time.process_time()
        for number in range(A_ROUND):
            source = sources[number % PICTURES]
            with source.open() as reader:
                hash_media(reader, self.options, digests=source.digests)
        return (time.process_time() - began) / A_ROUND


class There:
    """Hashing by the pool's one worker; CPU time of both processes."""

    def __init__(self, pool: DecoderPool, options: HashOptions) -> None:
        self.pool = pool
        self.options = options

    def measured(self, work: Callable[[], None]) -> float:
        """CPU seconds a picture."""
        pid = self.pool.worker_pids[0]
        began = time.process_time() + process_seconds(pid)
        work()
        assert self.pool.worker_pids == (pid,), "the worker was replaced while measured"
        return (time.process_time() + process_seconds(pid) - began) / A_ROUND

    def run(self, sources: list[Source]) -> float:
        """One after the other, as a thread asks."""

        def work() -> None:
            for number in range(A_ROUND):
                self.pool.hash_blocking(sources[number % PICTURES], self.options)

        return self.measured(work)

    def run_async(self, sources: list[Source]) -> float:
        """Several at once from an event loop, as the server asks."""

        async def some(first: int) -> None:
            for number in range(first, A_ROUND, AT_ONCE):
                await self.pool.hash(sources[number % PICTURES], self.options)

        async def everything() -> None:
            await asyncio.gather(*(some(first) for first in range(AT_ONCE)))

        return self.measured(lambda: asyncio.run(everything()))


def cost(here: float, there: float) -> float:
    """Per cent of throughput lost."""
    return max(0.0, (1 - here / there) * 100)


def measure(report: Report, pool: DecoderPool, name: str, options: HashOptions) -> None:
    """One set of options at every size."""
    for size_name in ("2mp",) if QUICK else ("0.3mp", "2mp", "12mp"):
        sources = spooled(SIZES[size_name])
        here, there = Here(options), There(pool, options)
        taken: list[tuple[float, float, float]] = []
        for _ in range(ROUNDS + 1):
            fresh_worker(pool)
            there.run(sources)
            taken.append((here.run(sources), there.run(sources), there.run_async(sources)))
        taken = taken[1:]
        alone, blocking, looped = (min(row[k] for row in taken) for k in range(3))
        label = f"isolation_{size_name}{name}"
        detail = f"{alone * 1e3:.2f} ms here, {blocking * 1e3:.2f} from a thread, "
        detail += f"{looped * 1e3:.2f} from an event loop"
        if size_name == "2mp" and not name:
            report.ratio(
                f"{label}_cost_percent", cost(alone, max(blocking, looped)), BAR, at_most=True
            )
        else:
            report.figure(f"{label}_cost_percent", f"{cost(alone, max(blocking, looped)):.1f}")
        report.figure(f"{label}_cpu_ms", f"{max(blocking, looped) * 1e3:.2f} ({detail})")
        for source in sources:
            source.close()


def fresh_worker(pool: DecoderPool) -> None:
    """Begin every round with a new worker, so that none is replaced in its midst."""
    os.kill(pool.worker_pids[0], signal.SIGKILL)
    with Source.from_bytes(b"hello") as source:
        pool.hash_blocking(source)


def restarts(report: Report, pool: DecoderPool) -> None:
    """How long a file waits that comes after a crash."""
    taken = []
    for _ in range(5 if QUICK else 20):
        os.kill(pool.worker_pids[0], signal.SIGKILL)
        with Source.from_bytes(b"hello") as source:
            began = time.perf_counter()
            pool.hash_blocking(source)
            taken.append(time.perf_counter() - began)
    report.figure("isolation_restart_ms", f"{median(taken) * 1e3:.1f} crash to next answer")


def main() -> int:
    """Run it all on one core."""
    report = Report()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    warm_up_here()
    began = time.perf_counter()
    with DecoderPool(workers=1) as pool:
        report.figure("isolation_start_s", f"{time.perf_counter() - began:.2f} zygote and worker")
        report.figure("isolation_sandbox", ",".join(pool.health().sandbox) or "none")
        measure(report, pool, "", HashOptions())
        measure(report, pool, "_without_views", HashOptions(views=False))
        restarts(report, pool)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
