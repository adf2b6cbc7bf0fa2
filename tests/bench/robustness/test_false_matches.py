"""The counting of false matches, against plain arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.robustness import corpus, false_matches


def words(hashes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(hashes).view(np.uint64)


def test_all_pairs_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(4)
    listed = rng.integers(0, 256, (60, 32)).astype(np.uint8)
    queries = rng.integers(0, 256, (40, 32)).astype(np.uint8)
    queries[3] = listed[17]
    queries[3, 0] ^= 0b111
    queries[8] = listed[8]  # its own picture: not a pair
    uploads, owners, radii = np.arange(40), np.arange(60), np.full(40, 110)
    apart = np.bitwise_count(queries[:, None] ^ listed[None]).sum(axis=2, dtype=np.int64)
    apart[uploads, uploads] = 999
    nearest, hits = false_matches.all_pairs(words(queries), uploads, radii, words(listed), owners)
    assert nearest == apart.min() == 3
    assert sorted(hits) == [tuple(pair) for pair in np.argwhere(apart <= 110).tolist()]


def test_nothing_within_the_radius_gives_no_pairs() -> None:
    hashes = words(np.eye(32, dtype=np.uint8) * 255)
    numbers = np.arange(32)
    nearest, hits = false_matches.all_pairs(hashes, numbers, np.full(32, 15), hashes, numbers)
    assert (nearest, hits) == (16, [])


@pytest.mark.parametrize(
    ("found", "upper"), [(0, 2.9957), (1, 4.7439), (5, 10.5130), (10, 16.9622)]
)
def test_poisson_bound_is_the_exact_one(found: int, upper: float) -> None:
    assert false_matches.poisson_upper(found) == pytest.approx(upper, abs=1e-3)
    mean = false_matches.poisson_upper(found)
    below = sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(found + 1))
    assert below == pytest.approx(0.05, abs=1e-6)


def test_views_add_no_false_matches_among_a_few_unrelated_pictures() -> None:
    false = false_matches.measure(corpus.unrelated(120), 120)
    assert false.with_views == false.plain == 0
    assert false.pairs > 4_000
    assert false.nearest_view > 40
    assert 15 < false.views_per_picture < 48


def test_halves_share_no_picture_and_are_the_same_every_time() -> None:
    tune, report = (
        {o.name: np.asarray(o.picture) for o in corpus.pictures(half, most=3)}
        for half in ("tune", "report")
    )
    assert not set(tune) & set(report)
    again = {o.name: np.asarray(o.picture) for o in corpus.pictures("tune", most=3)}
    assert all(np.array_equal(again[name], tune[name]) for name in tune)
