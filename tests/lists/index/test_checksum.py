"""XXH64 as others compute it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutela.lists.index.checksum import xxh64

_P = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_ALL = 2**64 - 1


def _turn(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & _ALL


def _round(held: int, word: int) -> int:
    return _turn((held + word * _P[1]) & _ALL, 31) * _P[0] & _ALL


def _reference(data: bytes) -> int:
    """The specification, word by word, in Python's whole numbers."""
    at = 0
    if len(data) >= 32:
        lanes = [(_P[0] + _P[1]) & _ALL, _P[1], 0, -_P[0] & _ALL]
        while at + 32 <= len(data):
            for k in range(4):
                word = int.from_bytes(data[at + 8 * k : at + 8 * k + 8], "little")
                lanes[k] = _round(lanes[k], word)
            at += 32
        held = sum(map(_turn, lanes, (1, 7, 12, 18))) & _ALL
        for lane in lanes:
            held = ((held ^ _round(0, lane)) * _P[0] + _P[3]) & _ALL
    else:
        held = _P[4]
    held = (held + len(data)) & _ALL
    while at + 8 <= len(data):
        held ^= _round(0, int.from_bytes(data[at : at + 8], "little"))
        held = (_turn(held, 27) * _P[0] + _P[3]) & _ALL
        at += 8
    if at + 4 <= len(data):
        held ^= int.from_bytes(data[at : at + 4], "little") * _P[0] & _ALL
        held = (_turn(held, 23) * _P[1] + _P[2]) & _ALL
        at += 4
    for byte in data[at:]:
        held = _turn(held ^ (byte * _P[4] & _ALL), 11) * _P[0] & _ALL
    held = (held ^ (held >> 33)) * _P[1] & _ALL
    held = (held ^ (held >> 29)) * _P[2] & _ALL
    return held ^ (held >> 32)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
    ],
)
def test_the_published_values_come_out(data, expected):
    assert xxh64(data) == expected


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_sum_as_the_specification_says(data):
    assert xxh64(data) == _reference(data)


def test_one_bit_anywhere_changes_the_sum():
    data = np.random.default_rng(1).integers(0, 256, 2000, dtype=np.uint8)
    whole = xxh64(data)
    for at in range(0, 2000, 37):
        data[at] ^= 16
        assert xxh64(data) != whole
        data[at] ^= 16
    assert xxh64(data) == whole
