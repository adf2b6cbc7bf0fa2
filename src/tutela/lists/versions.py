"""Merkle roots of lists: each version of a list is one root that commits to every entry.

Hashing is that of RFC 9162 §2.1.1: a leaf is ``SHA-256(0x00 || data)``, a node is
``SHA-256(0x01 || left || right)``, and the tree over nothing is ``SHA-256("")``.

The order is canonical, so that two parties who hold the same entries get the same root however
they got them: entries are sorted by their key, the first 16 bytes of ``SHA-256(upstream_id)``.
To make the root of a list of millions cheap after a small edit, the tree has two levels: entries
fall into 4,096 slots by the first twelve bits of their key; each slot's root is the RFC 9162 root
over its entries, and the list's root is the RFC 9162 root whose leaf data are the 4,096 slot
roots. Only entries that match (active and disputed ones) are in the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from operator import itemgetter

import msgspec

from tutela.core import Signal, SignalHash, SignalState

SLOTS = 4096
"""Slots of a list's tree."""
KEY_BYTES = 16
"""Bytes of an entry's key."""
ROOT_BYTES = 32
"""Bytes of a root."""

EMPTY = sha256(b"").digest()
"""The root over nothing (RFC 9162 §2.1.1)."""

_encode = msgspec.msgpack.Encoder().encode


def entry_key(upstream_id: str) -> bytes:
    """The key of the entry with this upstream id: 16 bytes, its place in the order."""
    return sha256(upstream_id.encode()).digest()[:KEY_BYTES]


def slot_of(key: bytes) -> int:
    """The slot, 0 to 4,095, of an entry: the first twelve bits of its key."""
    return key[0] << 4 | key[1] >> 4


def slot_bounds(slot: int) -> tuple[bytes, bytes | None]:
    """The least key of a slot, and the least key of the next (None after the last slot)."""
    low = (slot << 4).to_bytes(2, "big")
    return low, ((slot + 1) << 4).to_bytes(2, "big") if slot + 1 < SLOTS else None


def entry_leaf(signal: Signal, state: SignalState | None = None) -> bytes:
    """The leaf hash of an entry, in ``state`` rather than its own if given: 32 bytes.

    The leaf data is the MessagePack array ``[upstream_id, state, classification, hashes]`` with
    hashes ``[type, value, quality]``, for ``vpdq`` ``["vpdq", [[frame, quality, value], …]]``,
    sorted by their encoding.
    """
    word = (state or signal.state)._value_
    hashes = signal.hashes
    plain = [_plain_hash(part) for part in hashes]
    if len(plain) > 1:
        plain.sort(key=_encode)
    return sha256(
        b"\x00" + _encode([signal.upstream_id, word, signal.classification, plain])
    ).digest()


def _plain_hash(part: SignalHash) -> list[object]:
    if part.frames:
        return ["vpdq", [[frame.number, frame.quality, frame.pdq] for frame in part.frames]]
    return [part.type._value_, part.value, part.quality]


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The RFC 9162 root over leaf hashes (already hashed, 32 bytes each) in their order.

    An odd node at the end of a level is carried up unchanged, which gives the same tree as
    RFC 9162's split at the largest power of two.
    """
    if not leaves:
        return EMPTY
    level = list(leaves)
    while len(level) > 1:
        odd = level[-1:] if len(level) & 1 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        level += odd
    return level[0]


def slot_roots(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Slot and root of each slot that has entries; ``entries`` are (key, leaf) sorted by key."""
    for slot, group in groupby(entries, key=lambda entry: entry[0][0] << 4 | entry[0][1] >> 4):
        yield slot, merkle_root(list(map(itemgetter(1), group)))


class Slots:
    """The 4,096 slot roots of one list, as kept between versions. Mutable."""

    def __init__(self, packed: bytes | None = None) -> None:
        self._roots = bytearray(packed if packed is not None else EMPTY * SLOTS)
        if len(self._roots) != SLOTS * ROOT_BYTES:
            raise ValueError("packed slot roots have the wrong length")

    def set(self, slot: int, root: bytes | None) -> None:
        """Set the root of a slot; None where it has no entries."""
        self._roots[slot * ROOT_BYTES : (slot + 1) * ROOT_BYTES] = root or EMPTY

    def __getitem__(self, slot: int) -> bytes:
        return bytes(self._roots[slot * ROOT_BYTES : (slot + 1) * ROOT_BYTES])

    def packed(self) -> bytes:
        """All roots, one after the other: 128 KiB."""
        return bytes(self._roots)

    def root(self) -> bytes:
        """The list's root."""
        return merkle_root([sha256(b"\x00" + self[slot]).digest() for slot in range(SLOTS)])


EMPTY_ROOT = Slots().root()
"""The root of a list without entries."""


def root_of(signals: Iterable[Signal]) -> bytes:
    """The root of the list that has exactly these signals, computed from nothing.

    For checking: it equals the root of the version whose content the signals are. Signals that do
    not match (withdrawn, expired) are left out, as they are from the list's tree.
    """
    entries = sorted(
        (entry_key(signal.upstream_id), entry_leaf(signal))
        for signal in signals
        if signal.state.matches
    )
    slots = Slots()
    for slot, root in slot_roots(entries):
        slots.set(slot, root)
    return slots.root()
