"""The tree against the definition of RFC 9162, and its proofs against tampering."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutela.transparency.merkle import (
    EMPTY,
    consistency_proof,
    consistent,
    inclusion_proof,
    leaf_hash,
    reader,
    root,
    root_from_inclusion,
)


def by_definition(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, word for word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    left, right = by_definition(entries[:k]), by_definition(entries[k:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def entries_of(size: int) -> list[bytes]:
    return [bytes([n % 251]) * 3 for n in range(size)]


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(entry) for entry in entries_of(size)]


def test_the_known_roots_of_certificate_transparency() -> None:
    # Test data of the certificate-transparency project, also in RFC 6962 implementations.
    inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    leaves = [leaf_hash(bytes.fromhex(text)) for text in inputs]
    assert EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root(reader(leaves), 1).hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert root(reader(leaves), 8).hex() == (
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    )


@given(st.integers(0, 70))
def test_roots_follow_the_definition(size: int) -> None:
    assert root(reader(leaves_of(size)), size) == by_definition(entries_of(size))


@given(st.data())
def test_inclusion_proofs_hold_and_nothing_else_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    path = inclusion_proof(reader(leaves), index, size)
    wanted = root(reader(leaves), size)
    assert root_from_inclusion(leaves[index], index, size, path) == wanted
    assert root_from_inclusion(leaf_hash(b"other"), index, size, path) != wanted
    assert root_from_inclusion(leaves[index], size, size, path) is None
    assert root_from_inclusion(leaves[index], index, size, [*path, EMPTY]) is None
    if path:
        assert root_from_inclusion(leaves[index], index, size, path[:-1]) != wanted
        broken = [*path]
        broken[data.draw(st.integers(0, len(path) - 1))] = EMPTY
        assert root_from_inclusion(leaves[index], index, size, broken) != wanted


@given(st.data())
def test_consistency_proofs_hold_and_nothing_else_does(data: st.DataObject) -> None:
    second = data.draw(st.integers(1, 70))
    first = data.draw(st.integers(1, second))
    leaves = leaves_of(second)
    path = consistency_proof(reader(leaves), first, second)
    old, new = root(reader(leaves), first), root(reader(leaves), second)
    assert consistent(first, second, old, new, path)
    assert not consistent(first, second, EMPTY, new, path)
    assert not consistent(first, second, old, EMPTY, path)
    assert not consistent(first, second, old, new, [*path, EMPTY])
    assert not consistent(0, second, old, new, path)
    if path:
        assert not consistent(first, second, old, new, path[1:])


def test_there_is_no_proof_of_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(reader([]), 0, 0)
    with pytest.raises(ValueError, match="larger"):
        consistency_proof(reader([]), 0, 1)
