"""A pool whose job does what the file tells it to, and counts of what it leaves behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tutela.core import Media
from tutela.hashing.decoder import DecoderPool
from tutela.hashing.options import HashOptions
from tutela.hashing.source import Source

HOSTILE = "hostile:hash_media"
MIB = 1024 * 1024


@pytest.fixture(scope="session")
def hostile_path() -> Iterator[None]:
    """The zygote finds the hostile job by this process's path."""
    here = str(Path(__file__).parent)
    sys.path.insert(0, here)
    yield
    sys.path.remove(here)


@pytest.fixture
def make_pool(hostile_path: None) -> Iterator[Callable[..., DecoderPool]]:
    """Starts pools and stops them, whatever the test does."""
    pools: list[DecoderPool] = []

    def make(
        workers: int = 1, cpu: float = 5.0, memory: int = 700 * MIB, **options: object
    ) -> DecoderPool:
        pool = DecoderPool(HashOptions(cpu_seconds=cpu, **options), workers, memory, job=HOSTILE)
        pools.append(pool)
        pool.start_blocking()
        return pool

    yield make
    for pool in pools:
        pool.stop_blocking()


@pytest.fixture(scope="module")
def pool(hostile_path: None) -> Iterator[DecoderPool]:
    """One worker that does what it is told."""
    with DecoderPool(HashOptions(cpu_seconds=5.0), 1, 700 * MIB, job=HOSTILE) as shared:
        yield shared


@pytest.fixture
def tell() -> Callable[[DecoderPool, str], Media]:
    """Give a pool an order as a file."""

    def give(pool: DecoderPool, order: str) -> Media:
        with Source.from_bytes(order.encode()) as source:
            return pool.hash_blocking(source)

    return give


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many descriptors this process has open."""
    return lambda: len(os.listdir("/proc/self/fd"))


@pytest.fixture
def family() -> Callable[[DecoderPool], list[psutil.Process]]:
    """The living and dead children of a pool's zygote."""

    def children(pool: DecoderPool) -> list[psutil.Process]:
        assert pool._zygote is not None
        return psutil.Process(pool._zygote.pid).children(recursive=True)

    return children
