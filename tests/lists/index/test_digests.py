"""Digests are found by value, all of them, however alike someone made them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tutela.lists.index.digests import DigestTable, directory_bits, order_digests


def _table(values: np.ndarray, refs: np.ndarray) -> DigestTable:
    plan = order_digests(values)
    return DigestTable(values[plan.order], refs[plan.order], plan.directory, plan.bits)


@settings(max_examples=80, deadline=None)
@given(
    length=st.sampled_from([16, 20, 32]),
    count=st.integers(0, 400),
    alike=st.integers(0, 32),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_digest_gives_exactly_its_owners(length, count, alike, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (count, length), dtype=np.uint8)
    values[:, : min(alike, length)] = 0xAB
    if count > 4:
        values[count // 2 :: 3] = values[0]
    refs = rng.permutation(count).astype(np.int64) + 50
    table = _table(values, refs)
    owners: dict[bytes, list[int]] = {}
    for value, ref in zip(values, refs, strict=True):
        owners.setdefault(value.tobytes(), []).append(int(ref))
    for value, expected in owners.items():
        assert sorted(table.find(value)) == sorted(expected)
    for _ in range(10):
        absent = bytearray(rng.bytes(length))
        if count:
            absent[:-1] = values[0].tobytes()[:-1]
        assert sorted(table.find(bytes(absent))) == sorted(owners.get(bytes(absent), []))


def test_the_first_and_last_values_are_found():
    values = np.array([[0] * 16, [255] * 16], np.uint8)
    table = _table(values, np.array([1, 2], np.int64))
    assert table.find(bytes(16)) == [1]
    assert table.find(b"\xff" * 16) == [2]
    assert table.find(b"\x7f" * 16) == []


def test_the_directory_grows_with_the_digests():
    assert directory_bits(0) == 1
    assert directory_bits(50_000_000) == 23
    assert directory_bits(2**40) == 28
