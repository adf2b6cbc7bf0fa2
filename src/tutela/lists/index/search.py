"""The searching kernel: every signal within a radius, none missed, in one call for a whole batch.

**The scheme** is multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012) sharpened by the
pigeonring principle (Qin and Xiao, VLDB 2018). A PDQ hash is cut into sixteen words of 16 bits.
For a radius ``R`` the words get capacities ``c`` that sum to ``R + 1``. If two hashes lie within
``R`` of each other, their differing bits, spread over the words as ``x``, satisfy
``sum(x - c) < 0``; so, by the cycle lemma, there is a word from which on all running sums of
``x - c`` around the ring stay below 0. For that word ``x <= c - 1``, and together with the next
one ``x + x' <= c + c' - 1``. Hence, with ``R <= 31`` and ``c <= 2``:

* only a bucket for the word itself, and for each of its 16 one-bit neighbours where ``c`` is 2,
  is opened: 272 buckets at radius 31, 96 at radius 20, 16 at radius 15, ``R + 1`` under that;
* beside each entry of a bucket lies the *next* word of its hash (``next_words``). Comparing it,
  32 at a time, throws out 99.8 % of what a bucket holds before anything else of it is read.

Everything is a plain sequential scan of short runs, so it is bound by memory, not by thought;
three stages run ahead of each other (bucket bounds, bucket contents, then ids and hashes of the
few survivors), each fetched before it is needed.

**No signal twice, no list of the seen:** a survivor counts only for the first of the words that
would have let it through, which its whole hash tells.

Segments are rows of a table of numbers (``COLUMNS``): the memory-mapped snapshot and the layers
of the side list are searched by the same code in the same call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .native import LANES, bits_set, load16, load32, load64, lowest_bit, prefetch, within

WORDS = 16
"""Words of 16 bits in a hash."""
BOUNDS = 65537
"""Bucket bounds kept for one word: 65,536 values and the end."""
MAX_RADIUS = 31
"""Greatest radius: sixteen capacities of 2 sum to 32."""

COLUMNS = 12
"""Columns of a segment's row, in this order."""
(
    KIND,
    COUNT,
    HASHES,
    STARTS,
    NEXT_WORDS,
    IDS,
    ID_BITS,
    ID_STRIDE,
    REFS,
    REF_BYTES,
    REMOVED,
    REMOVED_COUNT,
) = range(COLUMNS)
INDEXED, PLAIN = 0, 1
"""Kinds of segment: with buckets, or a short plain run that is compared one by one."""

_LINE = 64
_RUN_AHEAD = 16
"""Cache lines of a bucket fetched ahead; the processor's own prefetcher sees to the rest."""
_SURVIVORS = 1024
"""Survivors waiting for their ids; more are worked off at once."""


_INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_part: Any = njit(cache=True, nogil=True, **_INNER)
"""For functions that only compiled ones call: half the time to compile."""


@njit(cache=True, nogil=True)
def plan(row: Any, query: Any, radius: Any, capacities: Any) -> None:
    """Capacities of the sixteen words for one query: 2 to the cheapest words first.

    A word's price is the size of its own bucket, so that crowded buckets (lists of frames, flat
    pictures) are opened with the least slack or not at all.
    """
    total = min(radius, MAX_RADIUS) + 1
    base = total // WORDS
    for word in range(WORDS):
        capacities[word] = base
    more = total - base * WORDS
    if more == 0:
        return
    sizes = np.empty(WORDS, np.int64)
    for word in range(WORDS):
        key = (query[word >> 2] >> np.uint64((word & 3) * 16)) & np.uint64(0xFFFF)
        at = row[STARTS] + (word * BOUNDS + np.int64(key)) * 4
        sizes[word] = np.int64(load32(at + 4)) - np.int64(load32(at))
    for _ in range(more):
        cheapest = 0
        for word in range(1, WORDS):
            if sizes[word] < sizes[cheapest]:
                cheapest = word
        capacities[cheapest] += 1
        sizes[cheapest] = np.int64(1) << 60


@_part
def _word(query: Any, word: Any) -> Any:
    return (query[word >> 2] >> np.uint64((word & 3) * 16)) & np.uint64(0xFFFF)


@_part
def _fetch_bounds(row: Any, query: Any, word: Any, capacity: Any) -> None:
    """First stage: ask for the bucket bounds. Flips of the four lowest bits share a line."""
    key = np.int64(_word(query, word))
    base = row[STARTS] + word * BOUNDS * 4
    prefetch(base + key * 4)
    if capacity == 2:
        for bit in range(4, 16):
            prefetch(base + (key ^ (1 << bit)) * 4)


@_part
def _fetch_buckets(
    row: Any, query: Any, word: Any, capacities: Any, first: Any, last: Any, most: Any
) -> int:
    """Second stage: read the bounds, ask for what lies between, note both."""
    own = np.int64(_word(query, word))
    base = row[STARTS] + word * BOUNDS * 4
    run = row[NEXT_WORDS] + word * row[COUNT] * 2
    slack = np.int64(capacities[word]) + np.int64(capacities[(word + 1) & 15]) - 1
    probes = 0
    for flip in range(17 if capacities[word] == 2 else 1):
        key = own if flip == 0 else own ^ (1 << (flip - 1))
        start = np.int64(load32(base + key * 4))
        end = np.int64(load32(base + key * 4 + 4))
        if start < end:
            first[probes] = start
            last[probes] = end
            most[probes] = slack if flip == 0 else slack - 1
            probes += 1
            line = run + start * 2
            stop = min(run + end * 2, line + _RUN_AHEAD * _LINE)
            while line < stop:
                prefetch(line)
                line += _LINE
    return probes


@_part
def _ref(row: Any, identity: Any) -> Any:
    if row[REF_BYTES] == 4:
        return np.int64(load32(row[REFS] + identity * 4))
    return np.int64(load64(row[REFS] + identity * 8))


@_part
def _was_removed(row: Any, ref: Any) -> bool:
    low = np.int64(0)
    high = row[REMOVED_COUNT]
    while low < high:
        middle = (low + high) >> 1
        found = np.int64(load64(row[REMOVED] + middle * 8))
        if found == ref:
            return True
        if found < ref:
            low = middle + 1
        else:
            high = middle
    return False


@_part
def _distance(at: Any, query: Any) -> Any:
    return np.int64(
        bits_set(load64(at) ^ query[0])
        + bits_set(load64(at + 8) ^ query[1])
        + bits_set(load64(at + 16) ^ query[2])
        + bits_set(load64(at + 24) ^ query[3])
    )


@_part
def _found_before(at: Any, query: Any, capacities: Any, word: Any) -> bool:
    """Whether a word before ``word`` lets this hash through: then it is found there instead."""
    for earlier in range(word):
        capacity = np.int64(capacities[earlier])
        if capacity == 0:
            continue
        here = np.int64(bits_set(load16(at + 2 * earlier) ^ _word(query, earlier)))
        if here >= capacity:
            continue
        following = (earlier + 1) & 15
        beside = np.int64(bits_set(load16(at + 2 * following) ^ _word(query, following)))
        if here + beside < capacity + np.int64(capacities[following]):
            return True
    return False


@_part
def _resolve(row: Any, survivors: Any, count: Any, ids: Any) -> None:
    """Third stage: positions in a bucket become ids; ask for their hashes."""
    bits = row[ID_BITS]
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    for k in range(count):
        position = survivors[k, 0]
        word = survivors[k, 1]
        if word == 0:
            identity = position
        else:
            bit = position * bits
            packed = load64(row[IDS] + (word - 1) * row[ID_STRIDE] + (bit >> 3))
            identity = np.int64((packed >> np.uint64(bit & 7)) & mask)
        ids[k, 0] = identity
        ids[k, 1] = word
        ids[k, 2] = survivors[k, 2]
        prefetch(row[HASHES] + identity * 32)


@_part
def _grown(rows: Any) -> Any:
    larger = np.empty((rows.shape[0] * 2, rows.shape[1]), rows.dtype)
    for k in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            larger[k, column] = rows[k, column]
    return larger


@_part
def _verify(
    row: Any, queries: Any, radii: Any, plans: Any, ids: Any, count: Any, hits: Any, found: int
) -> Any:
    """Last stage: whole distances; what is near, new and not removed becomes a hit."""
    for k in range(count):
        number = ids[k, 2]
        query = queries[number]
        at = row[HASHES] + ids[k, 0] * 32
        distance = _distance(at, query)
        if distance > radii[number] or _found_before(at, query, plans[number], ids[k, 1]):
            continue
        ref = _ref(row, ids[k, 0])
        if row[REMOVED_COUNT] > 0 and _was_removed(row, ref):
            continue
        if found == hits.shape[0]:
            hits = _grown(hits)
        hits[found, 0] = number
        hits[found, 1] = distance
        hits[found, 2] = ref
        found += 1
    return hits, found


@_part
def _search_plain(row: Any, queries: Any, radii: Any, hits: Any, found: Any) -> Any:
    """A short run without buckets, compared one by one."""
    for number in range(queries.shape[0]):
        query = queries[number]
        radius = np.int64(radii[number])
        for k in range(row[COUNT]):
            distance = _distance(row[HASHES] + k * 32, query)
            if distance <= radius:
                ref = _ref(row, k)
                if row[REMOVED_COUNT] > 0 and _was_removed(row, ref):
                    continue
                if found == hits.shape[0]:
                    hits = _grown(hits)
                hits[found, 0] = number
                hits[found, 1] = distance
                hits[found, 2] = ref
                found += 1
    return hits, found


@_part
def _search_indexed(row: Any, queries: Any, radii: Any, hits: Any, found: Any) -> Any:
    count = queries.shape[0]
    plans = np.empty((count, WORDS), np.uint8)
    steps = np.empty((count * WORDS + 2, 2), np.int64)
    total = 0
    for number in range(count):
        plan(row, queries[number], np.int64(radii[number]), plans[number])
        for word in range(WORDS):
            if plans[number, word] > 0:
                steps[total, 0] = number
                steps[total, 1] = word
                total += 1

    first = np.empty((2, 17), np.int64)
    last = np.empty((2, 17), np.int64)
    most = np.empty((2, 17), np.int64)
    probes = np.empty(2, np.int64)
    survivors = np.empty((_SURVIVORS, 3), np.int64)
    waiting = 0
    ids = np.empty((_SURVIVORS, 3), np.int64)
    resolved = 0

    for step in range(min(2, total)):
        number, word = steps[step, 0], steps[step, 1]
        _fetch_bounds(row, queries[number], word, plans[number, word])
    if total > 0:
        number, word = steps[0, 0], steps[0, 1]
        probes[0] = _fetch_buckets(
            row, queries[number], word, plans[number], first[0], last[0], most[0]
        )
    for step in range(total):
        side = step & 1
        if step + 2 < total:
            number, word = steps[step + 2, 0], steps[step + 2, 1]
            _fetch_bounds(row, queries[number], word, plans[number, word])
        if step + 1 < total:
            number, word = steps[step + 1, 0], steps[step + 1, 1]
            probes[1 - side] = _fetch_buckets(
                row,
                queries[number],
                word,
                plans[number],
                first[1 - side],
                last[1 - side],
                most[1 - side],
            )
        hits, found = _verify(row, queries, radii, plans, ids, resolved, hits, found)
        resolved = 0
        if waiting > 0:
            _resolve(row, survivors, waiting, ids)
            resolved = waiting
            waiting = 0

        number, word = steps[step, 0], steps[step, 1]
        beside = _word(queries[number], (word + 1) & 15)
        run = row[NEXT_WORDS] + word * row[COUNT] * 2
        for probe in range(probes[side]):
            position = first[side, probe]
            end = last[side, probe]
            limit = np.uint64(most[side, probe])
            while position < end:
                mask: Any = within(run + position * 2, beside, limit)
                if end - position < LANES:
                    mask &= (np.uint64(1) << np.uint64(end - position)) - np.uint64(1)
                while mask != np.uint64(0):
                    if waiting == _SURVIVORS:
                        hits, found = _verify(
                            row, queries, radii, plans, ids, resolved, hits, found
                        )
                        _resolve(row, survivors, waiting, ids)
                        resolved = waiting
                        waiting = 0
                    lane = np.int64(lowest_bit(mask))
                    mask &= mask - np.uint64(1)
                    at = position + lane
                    survivors[waiting, 0] = at
                    survivors[waiting, 1] = word
                    survivors[waiting, 2] = number
                    waiting += 1
                    if word > 0:
                        prefetch(
                            row[IDS] + (word - 1) * row[ID_STRIDE] + ((at * row[ID_BITS]) >> 3)
                        )
                position += LANES
    hits, found = _verify(row, queries, radii, plans, ids, resolved, hits, found)
    if waiting > 0:
        _resolve(row, survivors, waiting, ids)
        hits, found = _verify(row, queries, radii, plans, ids, waiting, hits, found)
    return hits, found


@njit(cache=True, nogil=True)
def search(table: Any, queries: Any, radii: Any) -> Any:
    """Every hit of every query in every segment.

    ``table`` is int64 ``(segments, COLUMNS)``, ``queries`` uint64 ``(q, 4)`` (the 32 bytes of each
    hash as they lie in memory), ``radii`` uint8 ``(q,)`` of at most ``MAX_RADIUS``. Gives int64
    ``(hits, 3)``: the query's number, the distance in bits, the signal's ref.
    """
    hits = np.empty((64, 3), np.int64)
    found = 0
    for segment in range(table.shape[0]):
        row = table[segment]
        if row[COUNT] == 0:
            continue
        if row[KIND] == PLAIN:
            hits, found = _search_plain(row, queries, radii, hits, found)
        else:
            hits, found = _search_indexed(row, queries, radii, hits, found)
    return hits[:found]
