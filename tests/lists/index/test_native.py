"""The machine operations do what their names say."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from tutela.lists.index import native


@njit
def _within(address, word, most):
    return native.within(address, np.uint64(word), np.uint64(most))


@njit
def _loads(address):
    native.prefetch(address)
    return native.load16(address), native.load32(address), native.load64(address)


@njit
def _bits(word):
    return native.bits_set(np.uint64(word)), native.lowest_bit(np.uint64(word))


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.integers(0, 65535), min_size=32, max_size=40),
    word=st.integers(0, 65535),
    most=st.integers(0, 16),
)
def test_within_marks_exactly_the_words_that_are_near(words, word, most):
    array = np.array(words, np.uint16)
    mask = int(_within(array.ctypes.data, word, most))
    near = [bin(value ^ word).count("1") <= most for value in words[: native.LANES]]
    assert mask == sum(1 << lane for lane, yes in enumerate(near) if yes)


@settings(max_examples=40, deadline=None)
@given(data=st.binary(min_size=9, max_size=24), shift=st.integers(0, 1))
def test_loads_read_little_numbers_at_any_address(data, shift):
    array = np.frombuffer(data, np.uint8)
    read = [int(value) for value in _loads(array.ctypes.data + shift)]
    assert read == [int.from_bytes(data[shift : shift + n], "little") for n in (2, 4, 8)]


@settings(max_examples=40, deadline=None)
@given(word=st.integers(1, 2**63 - 1))
def test_bits_are_counted_and_the_lowest_found(word):
    count, lowest = (int(value) for value in _bits(word))
    assert count == word.bit_count()
    assert lowest == (word & -word).bit_length() - 1
