"""The Merkle tree of RFC 9162 section 2.1 (the same as RFC 6962): hashes, roots and proofs.

A tree of ``size`` leaves is read through a function ``read(level, index)`` that gives the hash of
the perfect subtree of ``2**level`` leaves beginning at leaf ``index * 2**level``; tiles or a list
of leaves can stand behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
"""SHA-256."""
EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

Read = Callable[[int, int], bytes]
"""``(level, index)`` to the hash of that perfect subtree."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf holding ``entry``."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def perfect(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of neighbouring subtrees' hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def reader(leaves: Sequence[bytes]) -> Read:
    """A tree's reader over the leaf hashes themselves; for small trees and tests."""

    def read(level: int, index: int) -> bytes:
        return perfect(leaves[index << level : (index + 1) << level])

    return read


def _split(count: int) -> int:
    """The largest power of two smaller than ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def root(read: Read, size: int) -> bytes:
    """The root of the tree's first ``size`` leaves."""
    return _range(read, 0, size) if size else EMPTY


def _range(read: Read, low: int, high: int) -> bytes:
    count = high - low
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return read(level, low >> level)
    middle = low + _split(count)
    return node_hash(_range(read, low, middle), _range(read, middle, high))


def inclusion_proof(read: Read, index: int, size: int) -> list[bytes]:
    """The hashes that lead from leaf ``index`` to the root of ``size`` leaves, leaf side first."""
    if not 0 <= index < size:
        raise ValueError("no such leaf in a tree of that size")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range(read, middle, high))
            high = middle
        else:
            path.append(_range(read, low, middle))
            low = middle
    return path[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a proof leads to, or None for a proof of the wrong shape (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    number, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if number & 1 or number == last:
            value = node_hash(sibling, value)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        number, last = number >> 1, last >> 1
    return value if last == 0 else None


def consistency_proof(read: Read, first: int, second: int) -> list[bytes]:
    """The hashes that show the tree of ``second`` leaves to begin with the one of ``first``."""
    if not 0 < first <= second:
        raise ValueError("a consistency proof goes from a tree that is not empty to a larger one")
    path: list[bytes] = []
    low, high, whole = 0, second, True
    while first - low != high - low:
        middle = low + _split(high - low)
        if first <= middle:
            path.append(_range(read, middle, high))
            high = middle
        else:
            path.append(_range(read, low, middle))
            low, whole = middle, False
    if not whole:
        path.append(_range(read, low, high))
    return path[::-1]


def consistent(
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether a consistency proof holds (RFC 9162 section 2.1.4.2)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    if not steps:
        return False
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new = node_hash(new, step)
        number, last = number >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root
