"""Hashes to search among, and the plain way of searching to compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tutela.core import HashType
from tutela.lists.index import Hit, Index, build_snapshot

Hashes = npt.NDArray[np.uint8]


def brute_force(
    hashes: Hashes, refs: npt.NDArray[np.int64], queries: Sequence[tuple[bytes, int]]
) -> list[list[Hit]]:
    """Every distance, counted."""
    answers = []
    for query, radius in queries:
        differing = hashes ^ np.frombuffer(query, np.uint8)
        distances = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
        near = np.flatnonzero(distances <= radius)
        hits = {Hit(int(refs[k]), int(distances[k])) for k in near}
        answers.append(sorted(hits, key=lambda hit: (hit.distance, hit.ref)))
    return answers


def flipped(value: bytes, bits: Sequence[int]) -> bytes:
    """The hash with these bits turned over."""
    changed = bytearray(value)
    for bit in bits:
        changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


@pytest.fixture(scope="session")
def brute() -> Callable[..., list[list[Hit]]]:
    return brute_force


@pytest.fixture(scope="session")
def flip() -> Callable[[bytes, Sequence[int]], bytes]:
    return flipped


@pytest.fixture
def make_index(tmp_path: Path) -> Callable[..., Index]:
    """Builds a snapshot of some hashes (refs count from 1000) and opens it."""

    def make(
        pdq: Hashes,
        *,
        seq: int = 10,
        digests: dict[HashType, tuple[Hashes, npt.NDArray[np.int64]]] | None = None,
        folder: str = "index",
    ) -> Index:
        index = Index(tmp_path / folder)
        build_snapshot(
            index.path,
            pdq=pdq,
            pdq_refs=np.arange(1000, 1000 + len(pdq), dtype=np.int64),
            digests=digests or {},
            seq=seq,
        )
        assert index.open()
        return index

    return make
