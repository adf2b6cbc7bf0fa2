"""False matches: how often unrelated pictures match, plain and with every view on.

Every picture is an upload once, with all its views, against the plain hashes of all others. A pair
of pictures counts once, however many views match and whichever of the two is the upload: the two
ways are not independent, and counting so makes the bound larger, not smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic
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


@intrinsic
def _bits_set(typing: Any, word: Any) -> Any:
    """How many bits of a 64-bit word are set: one instruction of the processor."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return numba.types.uint64(numba.types.uint64), generate


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _distances(query: U64, words: U64, out: NDArray[np.uint16]) -> None:
    a, b, c, d = query[0], query[1], query[2], query[3]
    first, second, third, fourth = words[0], words[1], words[2], words[3]
    for k in range(len(out)):
        apart = _bits_set(a ^ first[k]) + _bits_set(b ^ second[k])
        out[k] = np.uint16(apart + _bits_set(c ^ third[k]) + _bits_set(d ^ fourth[k]))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _least(values: NDArray[np.uint16]) -> int:
    least = np.uint16(65535)
    for value in values:
        least = min(least, value)
    return least


@numba.njit(cache=True, nogil=True, error_model="numpy")
def all_pairs(
    queries: U64, uploads: I64, radii: I64, listed: U64, owners: I64
) -> tuple[int, list[tuple[int, int]]]:
    """Distances of every query to every listed hash but its own picture's.

    ``queries`` and ``listed`` are (n, 4) words; ``owners`` are ascending. Gives the least distance
    of all, and (upload, owner) for every hash within its query's radius.
    """
    words = np.ascontiguousarray(listed.T)
    apart = np.empty(len(owners), np.uint16)
    nearest = 65535
    hits = [(np.int64(-1), np.int64(-1))]
    for q in range(len(queries)):
        _distances(queries[q], words, apart)
        own = np.searchsorted(owners, uploads[q])
        if own < len(owners) and owners[own] == uploads[q]:
            apart[own] = 65535
        least = _least(apart)
        nearest = min(nearest, least)
        if least <= radii[q]:
            for k in range(len(owners)):
                if apart[k] <= radii[q]:
                    hits.append((uploads[q], owners[k]))
    return nearest, hits[1:]


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


def _unordered(hits: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in hits}


def measure(pictures: Iterable[np.ndarray], count: int) -> FalseMatches:
    """All pairs among ``count`` unrelated pictures."""
    plain, views = hash_all(pictures)
    listed = plain.hashes, plain.uploads
    nearest_plain, plain_hits = all_pairs(plain.hashes, plain.uploads, plain.radii, *listed)
    nearest_view, view_hits = all_pairs(views.hashes, views.uploads, views.radii, *listed)
    plain_pairs, view_pairs = _unordered(plain_hits), _unordered(view_hits)
    return FalseMatches(
        pictures=count,
        pairs=len(plain.hashes) * (len(plain.hashes) - 1) // 2,
        plain=len(plain_pairs),
        with_views=len(plain_pairs | view_pairs),
        nearest_plain=int(nearest_plain),
        nearest_view=int(nearest_view),
        views_per_picture=len(views.hashes) / count,
    )
