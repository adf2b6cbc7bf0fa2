"""Exact digests: sorted values with a directory over their first bits, and who holds them.

A look-up reads one directory entry and a handful of neighbouring values, whatever the number of
digests. Values that someone made alike (equal first bits) cost a binary search, never a scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from .buckets import I64, U8, U32, U64

MOST_DIRECTORY_BITS = 28
"""A directory of at most 2^28 entries (1 GiB, reached at two thousand million digests)."""


def directory_bits(count: int) -> int:
    """First bits of a digest that the directory is over: about eight values an entry."""
    return min(MOST_DIRECTORY_BITS, max(1, count.bit_length() - 3))


@njit(cache=True, nogil=True)
def _prefixes(values: Any, out: Any) -> None:
    """The first eight bytes of each value as a number that sorts as the bytes do."""
    for k in range(values.shape[0]):
        number = np.uint64(0)
        for byte in range(8):
            number = (number << np.uint64(8)) | np.uint64(values[k, byte])
        out[k] = number


@njit(cache=True, nogil=True)
def _directory(prefixes: Any, order: Any, bits: int, out: Any) -> None:
    shift = np.uint64(64 - bits)
    filled = 0
    for k in range(order.shape[0]):
        entry = np.int64(prefixes[order[k]] >> shift)
        while filled <= entry:
            out[filled] = k
            filled += 1
    while filled < out.shape[0]:
        out[filled] = order.shape[0]
        filled += 1


@njit(cache=True, nogil=True)
def _prefix_at(values: Any, at: Any) -> Any:
    number = np.uint64(0)
    for byte in range(8):
        number = (number << np.uint64(8)) | np.uint64(values[at, byte])
    return number


@njit(cache=True, nogil=True)
def _find(values: Any, refs: Any, directory: Any, bits: int, digest: Any) -> Any:
    wanted = np.uint64(0)
    for byte in range(8):
        wanted = (wanted << np.uint64(8)) | np.uint64(digest[byte])
    entry = np.int64(wanted >> np.uint64(64 - bits))
    low, high = np.int64(directory[entry]), np.int64(directory[entry + 1])
    end = high
    while low < high:
        middle = (low + high) >> 1
        if _prefix_at(values, middle) < wanted:
            low = middle + 1
        else:
            high = middle
    found = np.empty(4, np.int64)
    count = 0
    while low < end and _prefix_at(values, low) == wanted:
        equal = True
        for byte in range(8, values.shape[1]):
            if values[low, byte] != digest[byte]:
                equal = False
                break
        if equal:
            if count == found.shape[0]:
                larger = np.empty(2 * count, np.int64)
                for k in range(count):
                    larger[k] = found[k]
                found = larger
            found[count] = refs[low]
            count += 1
        low += 1
    return found[:count]


@dataclass(frozen=True, slots=True)
class DigestTable:
    """Digests of one type: ``values`` uint8 ``(n, length)`` sorted, ``refs`` int64 or uint32
    ``(n,)``, ``directory`` uint32 ``(2 ** bits + 1,)``."""

    values: U8
    refs: I64 | U32
    directory: U32
    bits: int

    def find(self, digest: bytes) -> list[int]:
        """Refs of every signal with this digest; the digest has the table's length."""
        if not len(self.refs):
            return []
        wanted = np.frombuffer(digest, np.uint8)
        found: list[int] = _find(self.values, self.refs, self.directory, self.bits, wanted).tolist()
        return found


@dataclass(frozen=True, slots=True)
class DigestOrder:
    """How to sort some digests: their order, and the directory over the sorted ones."""

    order: I64
    directory: U32
    bits: int


def order_digests(values: U8) -> DigestOrder:
    """Plan the sorting of digests, uint8 ``(n, length)`` with a length of at least 8."""
    prefixes: U64 = np.empty(len(values), np.uint64)
    _prefixes(values, prefixes)
    order: I64 = np.argsort(prefixes).astype(np.int64, copy=False)
    bits = directory_bits(len(values))
    directory = np.empty(2**bits + 1, np.uint32)
    _directory(prefixes, order, bits, directory)
    return DigestOrder(order, directory, bits)
