"""Exact: whatever the data, the radius and where the bits differ, nothing near is missed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tutela.lists.index import MAX_RADIUS, search
from tutela.lists.index.segment import Segment, indexed


def _dataset(shape: str, count: int, seed: int) -> np.ndarray:
    """Hashes of some shape: as pictures' are, or as unlike as an unlucky list may be."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    if shape == "frames" and count:
        centres = rng.integers(0, 256, (max(1, count // 40), 32), dtype=np.uint8)
        noise = np.packbits(rng.random((count, 256)) < 0.04, axis=1)
        hashes = centres[rng.integers(0, len(centres), count)] ^ noise
    elif shape == "crowded":
        hashes[:, : int(rng.integers(0, 31))] = rng.integers(0, 256, dtype=np.uint8)
    elif shape == "alike" and count:
        hashes[:] = hashes[0]
    elif shape == "two words":
        hashes = rng.integers(0, 2, (count, 32), dtype=np.uint8) * np.uint8(255)
    return hashes


def _queries(hashes: np.ndarray, seed: int) -> list[tuple[bytes, int]]:
    rng = np.random.default_rng(seed)
    queries = []
    for _ in range(24):
        radius = int(rng.integers(0, MAX_RADIUS + 1))
        value = rng.integers(0, 256, 32, dtype=np.uint8)
        if len(hashes) and rng.random() < 0.85:
            value = hashes[rng.integers(0, len(hashes))].copy()
            for bit in _places(rng, int(np.clip(radius + rng.integers(-2, 3), 0, 256))):
                value[bit // 8] ^= np.uint8(1 << (bit % 8))
        queries.append((value.tobytes(), radius))
    return queries


def _places(rng: np.random.Generator, bits: int) -> list[int]:
    """Which bits differ: anywhere, all in few words, or spread evenly over the words (the case
    that the pigeonhole principle only just covers)."""
    how = rng.integers(0, 3)
    if how == 0:
        return rng.choice(256, bits, replace=False).tolist()
    words = rng.permutation(16)
    if how == 1:
        return [int(words[k // 16]) * 16 + k % 16 for k in range(bits)]
    inside = rng.permutation(16)
    return [int(words[k % 16]) * 16 + int(inside[k // 16]) for k in range(bits)]


def _answers(segments: list[Segment], queries: list[tuple[bytes, int]]) -> list[list[tuple]]:
    table = np.stack([segment.row() for segment in segments])
    values = np.frombuffer(b"".join(value for value, _ in queries), np.uint64).reshape(-1, 4)
    radii = np.array([radius for _, radius in queries], np.uint8)
    answers: list[list[tuple]] = [[] for _ in queries]
    for number, distance, ref in search.search(table, values, radii).tolist():
        answers[number].append((ref, distance))
    return [sorted(answer, key=lambda hit: (hit[1], hit[0])) for answer in answers]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=st.sampled_from(["even", "frames", "crowded", "alike", "two words"]),
    count=st.one_of(st.integers(0, 5), st.integers(6, 4000)),
    seed=st.integers(0, 2**32 - 1),
)
@example(shape="even", count=0, seed=1)
@example(shape="even", count=1, seed=1)
@example(shape="alike", count=3000, seed=2)
@example(shape="frames", count=4000, seed=3)
def test_every_signal_within_the_radius_is_found_once(brute, shape, count, seed):
    hashes = _dataset(shape, count, seed)
    refs = np.arange(count, dtype=np.int64) * 3 + 7
    queries = _queries(hashes, seed)
    plain = Segment(hashes.view(np.uint64).reshape(-1, 4), refs)
    expected = brute(hashes, refs, queries)
    assert _answers([plain], queries) == expected
    if count:
        assert _answers([indexed(plain.hashes, refs)], queries) == expected


@pytest.mark.parametrize("radius", range(MAX_RADIUS + 1))
def test_recall_is_one_at_every_radius(brute, flip, radius):
    rng = np.random.default_rng(radius)
    hashes = rng.integers(0, 256, (20_000, 32), dtype=np.uint8)
    refs = np.arange(len(hashes), dtype=np.int64)
    queries = []
    for k in range(60):
        places = _places(rng, radius + (k % 4 == 0))
        queries.append((flip(hashes[k * 300].tobytes(), places), radius))
    found = _answers([indexed(hashes.view(np.uint64), refs)], queries)
    assert found == brute(hashes, refs, queries)
    assert sum(len(answer) for answer in found) == 45


@pytest.mark.parametrize("word", range(16))
def test_the_one_word_that_must_find_it_does(flip, word):
    """31 differing bits, two in every word and one in this: no other word may let it through."""
    rng = np.random.default_rng(word)
    hashes = rng.integers(0, 256, (500, 32), dtype=np.uint8)
    segment = indexed(hashes.view(np.uint64), np.arange(500, dtype=np.int64))
    for k in range(50):
        places = []
        for other in range(16):
            bits = rng.choice(16, 1 if other == word else 2, replace=False)
            places += [other * 16 + int(bit) for bit in bits]
        query = flip(hashes[k].tobytes(), places)
        assert _answers([segment], [(query, 31)]) == [[(k, 31)]]
        assert _answers([segment], [(query, 30)]) == [[]]


def test_one_batch_answers_as_single_queries_do(brute):
    hashes = _dataset("frames", 3000, 5)
    refs = np.arange(3000, dtype=np.int64)
    segment = indexed(hashes.view(np.uint64), refs)
    queries = [query for seed in range(4) for query in _queries(hashes, seed)]
    together = _answers([segment], queries)
    assert together == [_answers([segment], [query])[0] for query in queries]
    assert together == brute(hashes, refs, queries)


def test_thousands_of_hits_all_come_back():
    hashes = np.zeros((9000, 32), np.uint8)
    refs = np.arange(9000, dtype=np.int64)
    [answer] = _answers([indexed(hashes.view(np.uint64), refs)], [(bytes(32), 31)])
    assert answer == [(ref, 0) for ref in range(9000)]


def test_removed_refs_do_not_count_in_their_segment_only():
    hashes = np.zeros((3, 32), np.uint8)
    refs = np.array([5, 6, 7], np.int64)
    older = indexed(hashes.view(np.uint64), refs).without(np.array([7, 5], np.int64))
    newer = Segment(hashes[:1].view(np.uint64), np.array([5], np.int64))
    assert _answers([older], [(bytes(32), 0)]) == [[(6, 0)]]
    assert _answers([older, newer], [(bytes(32), 0)]) == [[(5, 0), (6, 0)]]
    kept, kept_refs = older.living()
    assert kept_refs.tolist() == [6]
    assert len(kept) == 1


def test_a_tighter_radius_opens_fewer_buckets():
    """What makes views affordable: capacities sum to one more than the radius, never over."""
    hashes = _dataset("crowded", 2000, 9)
    row = indexed(hashes.view(np.uint64), np.arange(2000, dtype=np.int64)).row()
    query = hashes[0].view(np.uint64)
    for radius in range(MAX_RADIUS + 1):
        capacities = np.zeros(16, np.uint8)
        search.plan(row, query, radius, capacities)
        assert int(capacities.sum()) == radius + 1
        assert capacities.max() <= 2


def test_crowded_buckets_get_the_least_slack():
    hashes = np.random.default_rng(3).integers(0, 256, (2000, 32), dtype=np.uint8)
    hashes[:, 4:8] = 0
    row = indexed(hashes.view(np.uint64), np.arange(2000, dtype=np.int64)).row()
    capacities = np.zeros(16, np.uint8)
    search.plan(row, np.zeros(4, np.uint64), 13, capacities)
    assert capacities[2] == capacities[3] == 0
    assert sorted(capacities) == [0, 0] + [1] * 14
