"""The index as the rest of the house uses it: additions, removals, swaps, threads, faults."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tutela.core import HashType
from tutela.errors import IndexUnavailable, InvalidHash, InvalidInput, SnapshotDamaged
from tutela.lists.index import Change, Hit, Index, build_snapshot

RNG = np.random.default_rng(21)
PDQ = RNG.integers(0, 256, (2000, 32), dtype=np.uint8)
NEW = bytes(range(32))


def _add(seq: int, value: bytes, ref: int, kind: HashType = HashType.PDQ) -> Change:
    return Change(seq, "add", kind, value, ref)


def _remove(seq: int, value: bytes, ref: int, kind: HashType = HashType.PDQ) -> Change:
    return Change(seq, "remove", kind, value, ref)


@pytest.fixture
def index(make_index: Callable[..., Index]) -> Index:
    sha = np.arange(64, dtype=np.uint8).reshape(2, 32)
    return make_index(PDQ, digests={HashType.SHA256: (sha, np.array([1, 2], np.int64))})


def _one(index: Index, value: bytes, radius: int = 0) -> list[int]:
    [hits] = index.near([(value, radius)])
    return [hit.ref for hit in hits]


def test_hits_come_nearest_first_and_each_query_has_its_radius(index, flip):
    value = PDQ[5].tobytes()
    index.apply([_add(11, flip(value, [3]), 1), _add(12, flip(value, [4, 9]), 0)])
    answers = index.near([(value, 31), (value, 1), (value, 0), (NEW, 31)])
    assert answers[0] == [Hit(1005, 0), Hit(1, 1), Hit(0, 2)]
    assert answers[1] == [Hit(1005, 0), Hit(1, 1)]
    assert answers[2] == [Hit(1005, 0)]
    assert answers[3] == []


def test_no_queries_no_answers(index):
    assert index.near([]) == []


@pytest.mark.parametrize("value", [b"", bytes(31), bytes(33)])
def test_a_hash_of_the_wrong_length_is_refused(index, value):
    with pytest.raises(InvalidHash):
        index.near([(bytes(32), 31), (value, 31)])


def test_lengths_that_only_add_up_are_refused(index):
    with pytest.raises(InvalidHash):
        index.near([(bytes(31), 31), (bytes(33), 31)])


@pytest.mark.parametrize("radius", [-1, 32, 1000])
def test_a_radius_that_could_not_be_exact_is_refused(index, radius):
    with pytest.raises(InvalidInput):
        index.near([(bytes(32), radius)])


def test_digests_are_found_in_the_snapshot_and_beside_it(index):
    first = bytes(range(32))
    assert index.exact(HashType.SHA256, first) == [1]
    index.apply(
        [
            _add(11, first, 9, HashType.SHA256),
            _add(12, bytes(16), 8, HashType.MD5),
            _remove(13, first, 1, HashType.SHA256),
        ]
    )
    assert index.exact(HashType.SHA256, first) == [9]
    assert index.exact(HashType.MD5, bytes(16)) == [8]
    index.apply([_remove(14, bytes(16), 8, HashType.MD5)])
    assert index.exact(HashType.MD5, bytes(16)) == []
    index.apply([_add(15, first, 1, HashType.SHA256)])
    assert index.exact(HashType.SHA256, first) == [1, 9]


@pytest.mark.parametrize(("kind", "value"), [(HashType.MD5, bytes(20)), (HashType.PDQ, bytes(32))])
def test_what_is_no_such_digest_is_refused(index, kind, value):
    with pytest.raises(InvalidHash):
        index.exact(kind, value)


def test_an_addition_is_in_force_at_once_and_a_removal_too(index):
    index.apply([_add(11, NEW, 7)])
    assert _one(index, NEW) == [7]
    index.apply([_remove(12, NEW, 7), _remove(13, PDQ[0].tobytes(), 1000)])
    assert _one(index, NEW) == []
    assert _one(index, PDQ[0].tobytes()) == []
    assert index.seq == 13
    assert index.side_size == 3


def test_a_restored_signal_counts_again(index):
    value = PDQ[0].tobytes()
    index.apply([_remove(11, value, 1000)])
    index.apply([_add(12, value, 1000)])
    assert _one(index, value) == [1000]
    index.apply([_remove(13, value, 1000)])
    assert _one(index, value) == []


def test_a_frame_of_a_listed_video_is_found_by_a_picture(index):
    index.apply([_add(11, NEW, 7, HashType.VPDQ)])
    assert _one(index, NEW) == [7]


def test_changes_known_already_are_skipped(index):
    index.apply([_add(11, NEW, 7)])
    index.apply([_remove(9, NEW, 7), _remove(11, NEW, 7)])
    assert _one(index, NEW) == [7]
    assert index.side_size == 1


def test_what_was_added_twice_is_one_hit(index):
    index.apply([_add(11, PDQ[3].tobytes(), 1003)])
    assert index.near([(PDQ[3].tobytes(), 31)]) == [[Hit(1003, 0)]]


def test_a_change_of_the_wrong_length_changes_nothing(index):
    with pytest.raises(InvalidHash):
        index.apply([_add(11, NEW, 7), _add(12, bytes(31), 8)])
    assert _one(index, NEW) == []
    assert index.seq == 10


def test_a_side_list_of_thousands_is_searched_exactly(index, brute):
    more = np.random.default_rng(4).integers(0, 256, (6000, 32), dtype=np.uint8)
    more[::3] = PDQ[: len(more[::3])] ^ np.uint8(1)
    for at in range(0, 6000, 250):
        index.apply(
            _add(11 + k, more[k].tobytes(), 5000 + k) for k in range(at, min(at + 250, 6000))
        )
    gone = [_remove(7000 + k, more[k].tobytes(), 5000 + k) for k in range(0, 6000, 7)]
    index.apply(gone)
    keep = np.array([k % 7 != 0 for k in range(6000)])
    hashes = np.concatenate([PDQ, more[keep]])
    refs = np.concatenate([np.arange(1000, 3000), np.arange(5000, 11000)[keep]])
    queries = [(hashes[k].tobytes(), 31) for k in range(0, len(hashes), 40)]
    expected = brute(hashes, refs, queries)
    assert index.near(queries) == expected
    assert max(len(answer) for answer in expected) >= 1


def test_without_a_snapshot_nothing_is_answered(tmp_path):
    index = Index(tmp_path)
    assert index.open() is False
    assert not index.healthy
    index.apply([_add(1, NEW, 7)])
    for ask in (lambda: index.near([(NEW, 31)]), lambda: index.exact(HashType.MD5, bytes(16))):
        with pytest.raises(IndexUnavailable):
            ask()


def test_a_damaged_snapshot_is_refused_until_it_is_built_again(index):
    damaged = bytearray(index.path.read_bytes())
    damaged[-20_000] ^= 1
    index.path.unlink()
    index.path.write_bytes(damaged)
    other = Index(index.directory)
    with pytest.raises(SnapshotDamaged):
        other.open()
    assert not other.healthy
    with pytest.raises(IndexUnavailable):
        other.near([(PDQ[0].tobytes(), 31)])
    build_snapshot(
        other.path, pdq=PDQ[:10], pdq_refs=np.arange(10, dtype=np.int64), digests={}, seq=12
    )
    other.swap(other.path)
    assert _one(other, PDQ[0].tobytes()) == [0]


def test_a_damaged_successor_leaves_the_snapshot_in_force(index, tmp_path):
    (tmp_path / "bad").write_bytes(index.path.read_bytes()[:-1])
    with pytest.raises(SnapshotDamaged):
        index.swap(tmp_path / "bad")
    with pytest.raises(IndexUnavailable):
        index.swap(tmp_path / "none")
    assert _one(index, PDQ[0].tobytes()) == [1000]


def _next(path: Path, count: int, seq: int) -> Path:
    build_snapshot(
        path,
        pdq=PDQ[:count],
        pdq_refs=np.arange(1000, 1000 + count, dtype=np.int64),
        digests={},
        seq=seq,
    )
    return path


def test_a_swap_keeps_what_is_newer_than_the_snapshot(index, tmp_path):
    value = PDQ[1].tobytes()
    index.apply([_add(11, NEW, 7), _remove(12, value, 1001), _add(13, bytes(16), 6, HashType.MD5)])
    index.swap(_next(tmp_path / "next", 1500, seq=11))
    assert _one(index, NEW) == []
    assert _one(index, value) == []
    assert index.exact(HashType.MD5, bytes(16)) == [6]
    assert index.exact(HashType.SHA256, bytes(range(32))) == []
    assert index.seq == 13
    assert index.side_size == 2
    assert not (tmp_path / "next").exists()


def test_no_upload_waits_for_kernels_after_a_swap(index, tmp_path, monkeypatch):
    """At the very first start the snapshot is built, not opened: that too loads the kernels."""
    asked = []
    monkeypatch.setattr(Index, "near", lambda self, queries: asked.append(len(queries)))
    index.swap(_next(tmp_path / "next", 1500, seq=11))
    assert asked == [1]


def test_other_processes_follow_to_the_new_snapshot(index, tmp_path):
    other = Index(index.directory)
    assert other.open()
    assert other.signals == 2002
    index.swap(_next(tmp_path / "next", 1500, seq=11))
    assert other.follow()
    assert (other.seq, other.signals) == (11, 1500)
    assert other.follow()


def test_an_older_snapshot_is_not_followed_but_may_be_put_in_force(index, tmp_path):
    other = Index(index.directory)
    assert other.open()
    index.apply([_add(11, NEW, 7)])
    _next(index.path, 100, seq=3)
    assert other.follow()
    assert other.follow()
    assert (other.seq, other.signals) == (10, 2002)
    index.swap(index.path)
    assert (index.seq, index.signals, index.side_size) == (3, 100, 0)


def test_a_vanished_file_leaves_the_snapshot_in_force(index):
    index.path.unlink()
    assert index.follow()
    assert _one(index, PDQ[0].tobytes()) == [1000]


def test_a_closed_index_answers_nothing(index):
    index.close()
    with pytest.raises(IndexUnavailable):
        index.near([(NEW, 31)])
    assert (index.seq, index.signals) == (0, 0)


def test_look_ups_are_right_while_others_add_remove_and_swap(index, tmp_path):
    """A signal that stays is found by every look-up; one that is told removed by none after."""
    stop = threading.Event()
    wrong: list[str] = []
    gone: list[bytes] = []

    def look() -> None:
        k = 0
        while not stop.is_set():
            k = (k + 37) % 1000
            told = list(gone)
            answers = index.near([(PDQ[k].tobytes(), 31), *((value, 0) for value in told[-5:])])
            if Hit(1000 + k, 0) not in answers[0]:
                wrong.append("missed")
            if any(answers[1:]):
                wrong.append("found though removed")

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        seq = 11
        values = np.random.default_rng(8).integers(0, 256, (3000, 32), dtype=np.uint8)
        for round_ in range(30):
            batch = [values[round_ * 100 + k].tobytes() for k in range(100)]
            index.apply([_add(seq + k, value, 9000 + k) for k, value in enumerate(batch)])
            seq += 100
            index.apply([_remove(seq + k, value, 9000 + k) for k, value in enumerate(batch)])
            seq += 100
            gone.extend(batch[::20])
            if round_ % 10 == 9:
                index.swap(_next(tmp_path / "next", 2000, seq=seq - 150))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert index.seq == seq - 1


class Story(RuleBasedStateMachine):
    """Any sequence of additions, removals and swaps answers as a plain dictionary would."""

    folder: Path

    @initialize(count=st.integers(0, 30))
    def begin(self, count: int) -> None:
        self.rng = np.random.default_rng(count)
        self.truth: dict[int, bytes] = {}
        self.seq = 0
        self.next_ref = 0
        self.index = Index(self.folder)
        for _ in range(count):
            self.truth[self._ref()] = self._value()
        self._swap()

    def _ref(self) -> int:
        self.next_ref += 1
        return self.next_ref

    def _value(self) -> bytes:
        """A hash near some others, so that radii matter."""
        value = np.zeros(256, np.uint8)
        value[self.rng.choice(256, int(self.rng.integers(0, 25)), replace=False)] = 1
        return np.packbits(value).tobytes()

    def _swap(self) -> None:
        refs = np.array(list(self.truth), np.int64)
        pdq = np.frombuffer(b"".join(self.truth.values()), np.uint8).reshape(-1, 32)
        path = self.folder / "next"
        build_snapshot(path, pdq=pdq, pdq_refs=refs, digests={}, seq=self.seq)
        self.index.swap(path)

    @rule(count=st.integers(1, 700))
    def add(self, count: int) -> None:
        changes = []
        for _ in range(count):
            self.seq += 1
            ref, value = self._ref(), self._value()
            self.truth[ref] = value
            changes.append(_add(self.seq, value, ref))
        self.index.apply(changes)

    @rule(share=st.floats(0, 1))
    def remove(self, share: float) -> None:
        changes = []
        for ref in [ref for ref in self.truth if self.rng.random() < share]:
            self.seq += 1
            changes.append(_remove(self.seq, self.truth.pop(ref), ref))
        self.index.apply(changes)

    @rule()
    def replace(self) -> None:
        for ref in list(self.truth)[:3]:
            self.seq += 2
            value = self.truth[ref]
            self.index.apply([_remove(self.seq - 1, value, ref), _add(self.seq, value, ref)])

    @rule()
    def rebuild(self) -> None:
        self._swap()

    @invariant()
    def answers_as_the_truth(self) -> None:
        if not hasattr(self, "index"):
            return
        queries = [(self._value(), radius) for radius in (31, 20, 12, 3)]
        for (query, radius), hits in zip(queries, self.index.near(queries), strict=True):
            wanted = int.from_bytes(query)
            expected = [
                Hit(ref, distance)
                for ref, value in self.truth.items()
                if (distance := (int.from_bytes(value) ^ wanted).bit_count()) <= radius
            ]
            assert hits == sorted(expected, key=lambda hit: (hit.distance, hit.ref))
        assert self.index.seq == self.seq


def test_any_story_of_changes_is_answered_as_a_dictionary_would(tmp_path_factory):
    class Told(Story):
        def __init__(self) -> None:
            super().__init__()
            self.folder = tmp_path_factory.mktemp("story")

    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Told, settings=settings(max_examples=25, stateful_step_count=12, deadline=None)
    )
