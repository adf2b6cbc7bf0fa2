"""Merkle roots: RFC 9162's, in an order that does not depend on how the entries came."""

from __future__ import annotations

import random
from dataclasses import replace
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from tutela.core import HashType, Signal, SignalHash, SignalState
from tutela.lists.versions import (
    EMPTY,
    EMPTY_ROOT,
    SLOTS,
    Slots,
    entry_key,
    entry_leaf,
    merkle_root,
    root_of,
    slot_bounds,
    slot_of,
)


def rfc9162_root(leaves: list[bytes]) -> bytes:
    """The recursive definition of RFC 9162 §2.1.1 over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + rfc9162_root(leaves[:split]) + rfc9162_root(leaves[split:])).digest()


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70))
def test_the_root_is_the_one_of_rfc_9162(leaves):
    assert merkle_root(leaves) == rfc9162_root(leaves)


def signal(number: int, **facts: object) -> Signal:
    hashes = (SignalHash(type=HashType.MD5, value=sha256(bytes([number % 256])).digest()[:16]),)
    return Signal(**{"upstream_id": f"id {number}", "hashes": hashes} | facts)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 10_000), unique=True, max_size=60), st.randoms())
def test_the_root_does_not_depend_on_the_order_of_entries(numbers, shuffler):
    signals = [signal(number) for number in numbers]
    root = root_of(signals)
    shuffler.shuffle(signals)
    assert root_of(signals) == root


def test_the_root_of_a_list_is_two_levels_of_rfc_9162():
    signals = [signal(number) for number in range(300)]
    slots: dict[int, list[tuple[bytes, bytes]]] = {}
    for each in signals:
        key = entry_key(each.upstream_id)
        slots.setdefault(key[0] * 16 + key[1] // 16, []).append((key, entry_leaf(each)))
    roots = [rfc9162_root([leaf for _, leaf in sorted(slots.get(n, []))]) for n in range(4096)]
    assert root_of(signals) == rfc9162_root([sha256(b"\x00" + root).digest() for root in roots])


def test_every_fact_that_matters_for_matching_changes_the_leaf():
    first = signal(1)
    other = (SignalHash(type=HashType.MD5, value=b"x" * 16),)
    leaves = {
        entry_leaf(changed)
        for changed in (
            first,
            replace(first, upstream_id="another"),
            replace(first, state=SignalState.DISPUTED),
            replace(first, classification="A1"),
            replace(first, hashes=other),
            replace(first, hashes=first.hashes + other),
        )
    }
    assert len(leaves) == 6
    assert entry_leaf(replace(first, note="a note", tags=("x",))) == entry_leaf(first)


def test_the_order_of_hashes_does_not_change_the_leaf():
    parts = [SignalHash(type=HashType.SHA1, value=bytes([n]) * 20) for n in range(5)]
    leaf = entry_leaf(replace(signal(1), hashes=tuple(parts)))
    random.Random(1).shuffle(parts)
    assert entry_leaf(replace(signal(1), hashes=tuple(parts))) == leaf


def test_signals_that_do_not_match_are_not_in_the_tree():
    assert root_of([signal(1, state=SignalState.WITHDRAWN)]) == EMPTY_ROOT
    assert root_of([signal(1), signal(2, state=SignalState.EXPIRED)]) == root_of([signal(1)])


@given(st.binary(min_size=16, max_size=16))
def test_a_key_lies_within_its_slots_bounds(key):
    low, high = slot_bounds(slot_of(key))
    assert low <= key
    assert high is None or key < high


def test_packed_slots_come_back_as_they_were():
    slots = Slots()
    slots.set(0, b"a" * 32)
    slots.set(SLOTS - 1, b"b" * 32)
    again = Slots(slots.packed())
    assert again[0] == b"a" * 32
    assert again[SLOTS - 1] == b"b" * 32
    assert again[7] == EMPTY
    again.set(0, None)
    again.set(SLOTS - 1, None)
    assert again.root() == EMPTY_ROOT
