"""False matches: how often unrelated pictures match, plain and with every view on.

Every picture is an upload once, with all its views, against the plain hashes of all others. A pair
of pictures counts once, however many views match and whichever of the two is the upload: the two
ways are not independent, and counting so makes the bound larger, not smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from tutela.hashing.pdq import spectrum_from_luma, spectrum_from_rgb
from tutela.hashing.views import view_hashes

from .recall import PLAIN_RADIUS

LEAST_QUALITY = 50
"""PDQ's own advice for both sides; lists refuse hashes under it."""
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Query:
    """All hashes of all uploads: ``hashes`` (n, 4), and for each its upload and radius."""

    hashes: U64
    uploads: I64
    radii: I64


@dataclass(frozen=True, slots=True)
class FalseMatches:
    """What all pairs gave. ``pairs`` is how many pairs of two different pictures there are."""

    pictures: int
    pairs: int
    plain: int
    with_views: int
    nearest_plain: int
    nearest_view: int
    views_per_picture: float

    def bound(self, found: int, listed: int) -> float:
        """Upper 95 % bound of false matches per upload against a list of ``listed`` pictures."""
        return poisson_upper(found) / self.pairs * listed


def poisson_upper(found: int, confidence: float = 0.95) -> float:
    """The exact one-sided upper bound of a Poisson mean of which ``found`` events were seen: the
    mean at which so few have a probability of 1 - ``confidence``."""
    low, high = 0.0, 10.0 + 4 * found
    for _ in range(200):
        mean = (low + high) / 2
        term = total = math.exp(-mean)
        for k in range(1, found + 1):
            term *= mean / k
            total += term
        low, high = (mean, high) if total > 1 - confidence else (low, mean)
    return high


@numba.njit(cache=True, nogil=True)
def _bits_set(word: np.uint64) -> np.uint64:
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@numba.njit(cache=True, nogil=True)
def all_pairs(queries: U64, uploads: I64, radii: I64, listed: U64, owners: I64) -> tuple[I64, I64]:
    """Distances of every query to every listed hash but its own picture's.

    Gives how many pairs lie at each distance, and (upload, listed) numbers of the pairs within
    the query's radius, interleaved, not yet made unique.
    """
    counts = np.zeros(257, np.int64)
    room = 1024
    hits = np.empty(room, np.int64)
    used = 0
    for q in range(queries.shape[0]):
        a, b, c, d = queries[q, 0], queries[q, 1], queries[q, 2], queries[q, 3]
        for k in range(listed.shape[0]):
            if owners[k] == uploads[q]:
                continue
            apart = np.int64(
                _bits_set(a ^ listed[k, 0])
                + _bits_set(b ^ listed[k, 1])
                + _bits_set(c ^ listed[k, 2])
                + _bits_set(d ^ listed[k, 3])
            )
            counts[apart] += 1
            if apart <= radii[q]:
                if used + 2 > room:
                    grown = np.empty(2 * room, np.int64)
                    grown[:room] = hits
                    hits, room = grown, 2 * room
                hits[used], hits[used + 1] = uploads[q], owners[k]
                used += 2
    return counts, hits[:used]


def _query(hashes: list[bytes], uploads: list[int], radii: list[int]) -> Query:
    raw = np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 4)
    return Query(raw, np.array(uploads, np.int64), np.array(radii, np.int64))


def hash_all(pictures: Iterable[np.ndarray]) -> tuple[Query, Query]:
    """The plain hashes of all pictures (also the list), and those of all their views."""
    plain: tuple[list[bytes], list[int], list[int]] = ([], [], [])
    views: tuple[list[bytes], list[int], list[int]] = ([], [], [])
    for number, picture in enumerate(pictures):
        spectrum = spectrum_from_rgb(picture)
        whole = spectrum.pdq()
        if whole.quality >= LEAST_QUALITY:
            plain[0].append(whole.bits)
            plain[1].append(number)
            plain[2].append(PLAIN_RADIUS)
        weights = np.array([0.299, 0.587, 0.114])
        luma = np.ascontiguousarray(np.rint(picture @ weights).astype(np.uint8))
        for view in view_hashes(luma, spectrum_from_luma(luma)):
            views[0].append(view.pdq)
            views[1].append(number)
            views[2].append(view.radius)
    return _query(*plain), _query(*views)


def _unordered(hits: I64) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in hits.reshape(-1, 2).tolist()}


def measure(pictures: Iterable[np.ndarray], count: int) -> FalseMatches:
    """All pairs among ``count`` unrelated pictures."""
    plain, views = hash_all(pictures)
    listed = plain.hashes, plain.uploads
    by_plain, plain_hits = all_pairs(plain.hashes, plain.uploads, plain.radii, *listed)
    by_view, view_hits = all_pairs(views.hashes, views.uploads, views.radii, *listed)
    plain_pairs, view_pairs = _unordered(plain_hits), _unordered(view_hits)
    return FalseMatches(
        pictures=count,
        pairs=len(plain.hashes) * (len(plain.hashes) - 1) // 2,
        plain=len(plain_pairs),
        with_views=len(plain_pairs | view_pairs),
        nearest_plain=int(np.flatnonzero(by_plain)[0]),
        nearest_view=int(np.flatnonzero(by_view)[0]),
        views_per_picture=len(views.hashes) / count,
    )
