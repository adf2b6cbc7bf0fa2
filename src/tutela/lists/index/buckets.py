"""Buckets: hashes laid out for the searching kernel, in memory or on their way into a file.

One counting sort per word of 16 bits. All of it streams: the first word's order is the order of
the hashes themselves, the other fifteen are sorted from columns cut out of it, so that building
needs a few bytes per signal besides what it makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from .native import LANES
from .search import BOUNDS, WORDS

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

MOST_SIGNALS = 2**32 - 1
"""Bucket bounds are 32 bits wide."""
PACK_PADDING = 8
"""Bytes after packed ids, so that the last one may be read as a whole word."""


def ref_kind(refs: I64) -> type[np.uint32] | type[np.int64]:
    """The narrowest kind of number that these refs fit in."""
    if len(refs) and (refs.min() < 0 or refs.max() >= 2**32):
        return np.int64
    return np.uint32


def id_bits(count: int) -> int:
    """Bits that one id (0 … count - 1) takes."""
    return max(1, (count - 1).bit_length())


def id_stride(count: int) -> int:
    """Bytes of one word's packed ids, padding included, a multiple of 8."""
    return (count * id_bits(count) + 7) // 8 // 8 * 8 + 8 + PACK_PADDING


@njit(cache=True, nogil=True)
def _bounds_of(column: Any, bounds: Any) -> None:
    for value in range(BOUNDS):
        bounds[value] = 0
    for k in range(column.shape[0]):
        bounds[np.int64(column[k]) + 1] += np.uint32(1)
    for value in range(1, BOUNDS):
        bounds[value] += bounds[value - 1]


@njit(cache=True, nogil=True)
def _order_by(column: Any, bounds: Any, order: Any) -> None:
    cursor = np.empty(BOUNDS - 1, np.uint32)
    for value in range(BOUNDS - 1):
        cursor[value] = bounds[value]
    for k in range(column.shape[0]):
        key = np.int64(column[k])
        order[cursor[key]] = k
        cursor[key] += np.uint32(1)


@njit(cache=True, nogil=True)
def _part(column: Any, following: Any, bounds: Any, parted: Any) -> None:
    """First of two passes: by the upper byte of the word, into 256 streams.

    An entry is its id, the following word and the word in one 64-bit number, so that the second
    pass reads one stream and writes only within a part that the processor's cache holds.
    """
    cursor = np.empty(256, np.int64)
    for upper in range(256):
        cursor[upper] = np.int64(bounds[upper << 8])
    for k in range(column.shape[0]):
        key = np.uint64(column[k])
        part = np.int64(key >> np.uint64(8))
        entry = (np.uint64(k) << np.uint64(32)) | (np.uint64(following[k]) << np.uint64(16)) | key
        parted[cursor[part]] = entry
        cursor[part] += 1


@njit(cache=True, nogil=True)
def _fill(parted: Any, bounds: Any, ids: Any, next_words: Any) -> None:
    """Second pass: each entry to its place in its bucket, in the order of ids."""
    cursor = np.empty(BOUNDS - 1, np.uint32)
    for value in range(BOUNDS - 1):
        cursor[value] = bounds[value]
    for k in range(parted.shape[0]):
        entry = parted[k]
        key = np.int64(entry & np.uint64(0xFFFF))
        at = np.int64(cursor[key])
        ids[at] = np.uint32(entry >> np.uint64(32))
        next_words[at] = np.uint16((entry >> np.uint64(16)) & np.uint64(0xFFFF))
        cursor[key] = np.uint32(at + 1)


@njit(cache=True, nogil=True)
def _pack(ids: Any, bits: int, out: Any) -> None:
    """Ids, ``bits`` each, lowest bit first, into 64-bit words."""
    held = np.uint64(0)
    used = 0
    at = 0
    for k in range(ids.shape[0]):
        value = np.uint64(ids[k])
        held |= value << np.uint64(used)
        used += bits
        if used >= 64:
            out[at] = held
            at += 1
            used -= 64
            held = value >> np.uint64(bits - used) if used > 0 else np.uint64(0)
    while at < out.shape[0]:
        out[at] = held
        held = np.uint64(0)
        at += 1


@njit(cache=True, nogil=True)
def _gather(source: Any, order: Any, out: Any) -> None:
    for k in range(order.shape[0]):
        out[k] = source[order[k]]


@njit(cache=True, nogil=True)
def _gather_rows(source: Any, order: Any, out: Any) -> None:
    for k in range(order.shape[0]):
        at = np.int64(order[k])
        for part in range(4):
            out[k, part] = source[at, part]


@njit(cache=True, nogil=True)
def _cut(words: Any, word: int, out: Any) -> None:
    for k in range(words.shape[0]):
        out[k] = words[k, word]


@dataclass(frozen=True, slots=True)
class Buckets:
    """One word's buckets: ``bounds`` uint32 (65,537), ``next_words`` uint16 (n), ``packed`` ids
    uint64 (empty for the first word, whose ids are the positions themselves)."""

    bounds: U32
    next_words: U16
    packed: U64


def first_order(hashes: U64) -> U32:
    """The order that sorts hashes (uint64 ``(n, 4)``) by their first word, stable."""
    column = np.empty(len(hashes), np.uint16)
    _cut(hashes.view(np.uint16), 0, column)
    bounds = np.empty(BOUNDS, np.uint32)
    order = np.empty(len(hashes), np.uint32)
    _bounds_of(column, bounds)
    _order_by(column, bounds, order)
    return order


def gather_hashes(hashes: U64, order: U32, out: U64) -> None:
    """``out[k] = hashes[order[k]]``, four words each."""
    _gather_rows(hashes, order, out)


def gather_refs(refs: I64, order: U32, out: I64 | U32) -> None:
    """``out[k] = refs[order[k]]``."""
    _gather(refs, order, out)


def buckets_of(hashes: U64) -> Iterator[Buckets]:
    """The sixteen words' buckets of hashes that are sorted by their first word, one at a time.

    The arrays are used again for the next word: take what you need before going on.
    """
    count = len(hashes)
    words = hashes.view(np.uint16)
    column, following = np.empty(count, np.uint16), np.empty(count, np.uint16)
    bounds, next_words = np.empty(BOUNDS, np.uint32), np.empty(count, np.uint16)
    ids, parted = np.empty(count, np.uint32), np.empty(count, np.uint64)
    packed = np.empty(id_stride(count) // 8, np.uint64)
    _cut(words, 0, column)
    for word in range(WORDS):
        _cut(words, (word + 1) % WORDS, following)
        _bounds_of(column, bounds)
        if word == 0:
            yield Buckets(bounds, following, packed[:0])
        else:
            _part(column, following, bounds, parted)
            _fill(parted, bounds, ids, next_words)
            _pack(ids, id_bits(count), packed)
            yield Buckets(bounds, next_words, packed)
        column, following = following, column


def padded(count: int) -> int:
    """Words of the ``next_words`` of all sixteen, with room for the last comparison."""
    return WORDS * count + LANES
