"""Identifiers sort as they were made, and no two are alike, whoever makes them."""

from __future__ import annotations

import threading
import uuid

from tutela.core import ids as ids_module
from tutela.core import new_id


def test_an_identifier_is_a_uuid_of_version_7() -> None:
    value = uuid.UUID(new_id("dec").removeprefix("dec_"))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)


def test_identifiers_sort_in_the_order_in_which_they_were_made() -> None:
    made = [new_id("x") for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_threads_never_make_the_same_identifier() -> None:
    made: list[str] = []

    def make() -> None:
        made.extend([new_id("x") for _ in range(3_000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 12_000


def test_a_forked_process_draws_its_own_randomness() -> None:
    new_id("x")
    before = (ids_module._pool, ids_module._at, ids_module._lock)
    try:
        ids_module._forget()  # what runs in the child after a fork
        assert ids_module._pool != before[0]
        assert len(ids_module._pool) == 0
        assert new_id("x") != new_id("x")
    finally:
        ids_module._pool, ids_module._at, ids_module._lock = before


def test_the_last_62_bits_are_random() -> None:
    tails = {new_id("x")[-15:] for _ in range(1_000)}
    assert len(tails) == 1_000
    ones = sum(bin(int(tail, 16)).count("1") for tail in tails) / 1_000
    assert 28 < ones < 32  # of 60 bits
