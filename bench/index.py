"""Exact lookups on one core, beside HMA's ``PDQIndex`` and faiss ``IndexBinaryFlat``.

Random hashes, radius 31, half of the queries planted at 0 to 31 bits. All three indexes live in one
process: *warm* is each alone with its queries one after the other, *interleaved* is each query by
all three in turn, so that each finds the processor's caches full of the others' data. The whole
result of every query is compared with the flat index's. Then what an index lives through: changes,
a rebuild in the background, digests and a hundred million signals.

``--ten-million`` and ``--hundred-million`` run that part alone; both need some room under
``TMPDIR`` (15 GB for the larger) and memory (12 GB and 20 GB).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import psutil
from threatexchange.signal_type.pdq.pdq_index import PDQIndex

from tutela.core import HashType
from tutela.lists.index import Change, Index, build_snapshot

from ._report import QUICK, Report

Hashes = npt.NDArray[np.uint8]

SIGNALS = 200_000 if QUICK else 10_000_000
DIGESTS = 1_000_000 if QUICK else 50_000_000
MANY = 100_000_000
QUERIES = 200 if QUICK else 1000
ROUNDS = 3
RADIUS = 31
VIEWS = 40
"""Look-ups of one upload with its views; theirs are at a tighter radius."""
VIEW_RADIUS = 20
PACE = 0.5
"""Share of a core that a rebuild in the background takes."""


def random_hashes(count: int, seed: int) -> Hashes:
    """Hashes of random bits, made in parts so that no copy is needed."""
    rng = np.random.default_rng(seed)
    hashes = np.empty((count, 32), np.uint8)
    for at in range(0, count, 1_000_000):
        part = hashes[at : at + 1_000_000]
        part[:] = np.frombuffer(rng.bytes(part.size), np.uint8).reshape(-1, 32)
    return hashes


def planted(hashes: Hashes, count: int, seed: int) -> list[bytes]:
    """Queries: every other one is a listed hash with 0 to 31 bits turned over."""
    rng = np.random.default_rng(seed)
    queries = []
    for k in range(count):
        value = rng.integers(0, 256, 32, dtype=np.uint8)
        if k % 2 == 0:
            bits = np.zeros(256, np.uint8)
            bits[rng.choice(256, k // 2 % (RADIUS + 1), replace=False)] = 1
            value = hashes[rng.integers(0, len(hashes))] ^ np.packbits(bits)
        queries.append(value.tobytes())
    return queries


def resident() -> int:
    """Bytes of this process in memory, with what was freed given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def seconds_each(ask: Callable[[bytes], object], queries: list[bytes]) -> list[float]:
    """Wall seconds of each query."""
    times = []
    for query in queries:
        began = time.perf_counter()
        ask(query)
        times.append(time.perf_counter() - began)
    return times


def median_ms(times: list[float]) -> float:
    """The median, in milliseconds."""
    return float(np.median(times)) * 1e3


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for snapshots."""
    folder = Path(tempfile.mkdtemp(prefix="tutela-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def built(folder: Path, hashes: Hashes) -> tuple[Index, float]:
    """An open index of some hashes, and the seconds that building and opening it took."""
    refs = np.arange(len(hashes), dtype=np.int64)
    index = Index(folder)
    began = time.perf_counter()
    build_snapshot(index.path, pdq=hashes, pdq_refs=refs, digests={}, seq=1)
    index.open()
    return index, time.perf_counter() - began


def warm_up(folder: Path) -> None:
    """Have Numba's kernels loaded, as in a process that has begun its work."""
    index, _ = built(folder / "warm", random_hashes(1000, 1))
    index.near([(bytes(32), RADIUS)])
    index.apply([Change(2, "add", HashType.PDQ, bytes(32), 5000)])
    index.near([(bytes(32), RADIUS)])
    index.exact(HashType.MD5, bytes(16))


class Peers:
    """HMA's index and faiss's flat one over the same hashes, with what they took."""

    def __init__(self, hashes: Hashes) -> None:
        self.flat = faiss.IndexBinaryFlat(256)
        self.flat.add(hashes)
        before = resident()
        began = time.perf_counter()
        self.hma: PDQIndex[int] = PDQIndex((row.tobytes().hex(), k) for k, row in enumerate(hashes))
        self.hma_seconds = time.perf_counter() - began
        self.hma_bytes = resident() - before

    def ask_hma(self, query: bytes) -> object:
        """One look-up as HMA does it."""
        return self.hma.query(query.hex())

    def ask_flat(self, query: bytes) -> set[tuple[int, int]]:
        """All ``(ref, distance)`` by brute force."""
        row = np.frombuffer(query, np.uint8).reshape(1, 32)
        _, distances, refs = self.flat.range_search(row, RADIUS + 1)
        return {(int(r), int(d)) for r, d in zip(refs, distances, strict=True)}


def lookups(report: Report, index: Index, peers: Peers, queries: list[bytes]) -> None:
    """Recall and single look-ups, warm and interleaved."""

    def ask(query: bytes) -> object:
        return index.near([(query, RADIUS)])

    found = index.near([(query, RADIUS) for query in queries])
    wrong = sum(
        {tuple(hit) for hit in hits} != peers.ask_flat(query)
        for query, hits in zip(queries, found, strict=True)
    )
    report.ratio("index_recall", 1 - wrong / len(queries), 1.0)

    few = queries[: len(queries) // 4]
    ours = min(median_ms(seconds_each(ask, queries)) for _ in range(ROUNDS))
    hma = min(median_ms(seconds_each(peers.ask_hma, few)) for _ in range(ROUNDS))
    flat = min(median_ms(seconds_each(peers.ask_flat, few)) for _ in range(ROUNDS))
    report.figure("index_p50_ms", f"{ours:.3f} ms; PDQIndex {hma:.2f} ms, faiss flat {flat:.2f} ms")
    report.ratio("index_p50_of_hma_warm", hma / ours, 25.0)
    report.ratio("index_p50_of_faiss_flat", flat / ours, 40.0)

    taken: dict[str, list[float]] = {"ours": [], "hma": [], "flat": []}
    for query in few:
        taken["flat"] += seconds_each(peers.ask_flat, [query])
        taken["hma"] += seconds_each(peers.ask_hma, [query])
        taken["ours"] += seconds_each(ask, [query])
    cold = {name: median_ms(times) for name, times in taken.items()}
    report.figure(
        "index_p50_interleaved_ms",
        f"{cold['ours']:.3f} ms; PDQIndex {cold['hma']:.2f} ms, faiss flat {cold['flat']:.2f} ms",
    )
    report.ratio("index_p50_of_hma_interleaved", cold["hma"] / cold["ours"], 10.0)


def batches(report: Report, index: Index, queries: list[bytes]) -> None:
    """Look-ups a second in batches, by one thread and by two; an upload with its views."""
    batch = [(query, RADIUS) for query in queries]
    index.near(batch)
    rates = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        index.near(batch)
        rates.append(len(batch) / (time.perf_counter() - began))
    report.ratio("index_batch_per_second", max(rates), 3000.0)

    def work() -> None:
        index.near(batch)

    both = []
    for _ in range(ROUNDS):
        threads = [threading.Thread(target=work) for _ in range(2)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        both.append(2 * len(batch) / (time.perf_counter() - began))
    report.ratio("index_two_threads_of_one", max(both) / max(rates), 1.4)

    upload = [(query, VIEW_RADIUS) for query in queries[: VIEWS - 1]]
    upload.append((queries[VIEWS], RADIUS))
    times = []
    for _ in range(50):
        began = time.perf_counter()
        index.near(upload)
        times.append(time.perf_counter() - began)
    report.figure(
        "index_upload_ms", f"{median_ms(times):.3f} ms for {VIEWS - 1} views at {VIEW_RADIUS}"
    )


def changes(report: Report, index: Index, queries: list[bytes]) -> None:
    """How soon an addition is found, and look-ups with a side list of twenty thousand."""
    before = median_ms(seconds_each(lambda query: index.near([(query, RADIUS)]), queries))
    fresh = random_hashes(20_001, 77)
    seq = index.seq + 1
    began = time.perf_counter()
    index.apply([Change(seq, "add", HashType.PDQ, fresh[0].tobytes(), 10**9)])
    [hits] = index.near([(fresh[0].tobytes(), RADIUS)])
    taken = time.perf_counter() - began
    if (10**9, 0) not in hits:
        raise SystemExit("an addition was not found")
    report.figure("index_add_and_find_ms", f"{taken * 1e3:.2f} ms")
    for at in range(1, 20_001, 500):
        index.apply(
            Change(seq + k, "add", HashType.PDQ, fresh[k].tobytes(), 10**9 + k)
            for k in range(at, at + 500)
        )
    after = median_ms(seconds_each(lambda query: index.near([(query, RADIUS)]), queries))
    report.figure(
        "index_side_list_ms", f"{after:.3f} ms with 20,000 changes since, {before:.3f} without"
    )


_REBUILD = """
import sys
import numpy as np
from tutela.lists.index import build_snapshot
pdq = np.lib.format.open_memmap(sys.argv[1], mode="r")
refs = np.arange(len(pdq), dtype=np.int64)
print("ready", flush=True)
sys.stdin.readline()
build_snapshot(sys.argv[2], pdq=pdq, pdq_refs=refs, digests={}, seq=2, pace=float(sys.argv[3]))
"""


def rebuild(
    report: Report, folder: Path, index: Index, hashes: Hashes, queries: list[bytes]
) -> None:
    """Look-ups while another process builds the next snapshot, beside look-ups while none does."""
    np.save(folder / "hashes.npy", hashes)
    places = str(folder / "hashes.npy"), str(folder / "next")
    command = [sys.executable, "-c", _REBUILD, *places, str(PACE)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as builder:
        assert builder.stdin is not None
        assert builder.stdout is not None
        builder.stdout.readline()

        def ask(query: bytes) -> object:
            return index.near([(query, RADIUS)])

        quiet = seconds_each(ask, queries * 2)
        builder.stdin.write("go\n")
        builder.stdin.flush()
        began = time.perf_counter()
        busy: list[float] = []
        while builder.poll() is None:
            busy += seconds_each(ask, queries[:100])
        taken = time.perf_counter() - began
    quiet += seconds_each(ask, queries * 2)
    began = time.perf_counter()
    index.swap(folder / "next")
    swapped = time.perf_counter() - began
    report.figure(
        "index_rebuild_seconds",
        f"{taken:.1f} s in the background, {swapped:.2f} s to check and swap",
    )
    report.ratio(
        "index_p50_while_rebuilding", median_ms(busy) / median_ms(quiet), 1.1, at_most=True
    )


def ten_million(report: Report) -> None:
    """Beside the peers."""
    hashes = random_hashes(SIGNALS, 5)
    queries = planted(hashes, QUERIES, 6)
    with scratch() as folder:
        warm_up(folder)
        before = resident()
        index, seconds = built(folder / "index", hashes)
        ours_bytes = resident() - before
        index.near([(query, RADIUS) for query in queries])
        peers = Peers(hashes)
        report.figure("index_signals", f"{SIGNALS:_} random hashes, radius {RADIUS}")
        lookups(report, index, peers, queries)
        report.figure(
            "index_memory_mb", f"{ours_bytes / 1e6:.0f} MB; PDQIndex {peers.hma_bytes / 1e6:.0f} MB"
        )
        report.ratio("index_memory_of_hma", peers.hma_bytes / ours_bytes, 5.0)
        report.figure(
            "index_build_seconds",
            f"{seconds:.2f} s, on disk, checked and open; PDQIndex {peers.hma_seconds:.1f} s",
        )
        report.ratio("index_build_of_hma", peers.hma_seconds / seconds, 8.0)
        del peers
        gc.collect()
        batches(report, index, queries)
        rebuild(report, folder, index, hashes, queries)
        changes(report, index, queries)


def digests(report: Report) -> None:
    """Exact look-ups of a digest."""
    values = random_hashes((DIGESTS + 1) // 2, 9).reshape(-1, 16)
    refs = np.arange(len(values), dtype=np.int64)
    with scratch() as folder:
        index = Index(folder)
        none = np.empty((0, 32), np.uint8)
        began = time.perf_counter()
        build_snapshot(
            index.path, pdq=none, pdq_refs=refs[:0], digests={HashType.MD5: (values, refs)}, seq=1
        )
        index.open()
        seconds = time.perf_counter() - began
        asked = np.random.default_rng(3).integers(0, len(values), 5000)
        wanted = [values[k].tobytes() for k in asked]
        times = []
        for k, digest in zip(asked.tolist(), wanted, strict=True):
            began = time.perf_counter()
            found = index.exact(HashType.MD5, digest)
            times.append(time.perf_counter() - began)
            if k not in found:
                raise SystemExit("a digest was not found")
        report.figure(
            "index_digests", f"{len(values):_} digests, built, checked and open in {seconds:.1f} s"
        )
        report.ratio("index_digest_us", median_ms(times) * 1e3, 20.0, at_most=True)


def hundred_million(report: Report) -> None:
    """A hundred million signals on one machine."""
    hashes = random_hashes(MANY, 5)
    queries = planted(hashes, QUERIES, 6)
    with scratch() as folder:
        index, seconds = built(folder / "index", hashes)
        part = hashes[: MANY // 4].copy()
        del hashes
        for _ in range(2):
            times = seconds_each(lambda query: index.near([(query, RADIUS)]), queries)
        answers = index.near([(query, RADIUS) for query in queries])
        missed = sum(not hits for hits in answers[::2])
        flat = faiss.IndexBinaryFlat(256)
        flat.add(part)
        rows = np.frombuffer(b"".join(queries[:40]), np.uint8).reshape(-1, 32)
        limits, _, refs = flat.range_search(rows, RADIUS + 1)
        for k in range(len(rows)):
            expected = set(refs[limits[k] : limits[k + 1]].tolist())
            missed += expected != {hit.ref for hit in answers[k] if hit.ref < len(part)}
        report.ratio("index_100m_missed", missed, 0, at_most=True)
        report.figure(
            "index_100m_build_seconds", f"{seconds:.0f} s, written to disk, checked and open"
        )
        size = index.path.stat().st_size
        report.figure("index_100m_gb", f"{size / 1e9:.2f} GB mapped")
        report.ratio("index_100m_p50_ms", median_ms(times), 3.0, at_most=True)
        report.figure("index_100m_p99_ms", f"{float(np.quantile(times, 0.99)) * 1e3:.3f} ms")


def main() -> int:
    """Run the parts asked for, or all. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ten-million", action="store_true", help="beside the peers only")
    parser.add_argument("--digests", action="store_true", help="digests only")
    parser.add_argument("--hundred-million", action="store_true", help="the largest only")
    asked = parser.parse_args()
    everything = not (asked.ten_million or asked.digests or asked.hundred_million)
    report = Report()
    if everything or asked.ten_million:
        ten_million(report)
    if everything or asked.digests:
        digests(report)
    if asked.hundred_million or (everything and not QUICK):
        hundred_million(report)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
