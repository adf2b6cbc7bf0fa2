"""A snapshot is whole or refused; whatever byte of it is damaged."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tutela.core import HashType
from tutela.errors import IndexUnavailable, InvalidHash, SnapshotDamaged, StorageFull
from tutela.lists.index import Change, Hit, Index, build_snapshot
from tutela.lists.index.snapshot import open_snapshot

_RNG = np.random.default_rng(11)
PDQ = _RNG.integers(0, 256, (3000, 32), dtype=np.uint8)
SHA1 = _RNG.integers(0, 256, (500, 20), dtype=np.uint8)
REFS = np.arange(3000, dtype=np.int64)


def _build(path: Path, **changed: object) -> None:
    given: dict = {
        "pdq": PDQ,
        "pdq_refs": REFS,
        "digests": {HashType.SHA1: (SHA1, REFS[:500])},
        "seq": 4,
    }
    build_snapshot(path, **(given | changed))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    _build(tmp_path / "s.index")
    return tmp_path / "s.index"


def test_what_was_put_in_comes_out(path):
    snapshot = open_snapshot(path)
    assert snapshot.seq == 4
    assert snapshot.bytes == path.stat().st_size
    order = np.argsort(snapshot.near.refs)
    assert np.array_equal(snapshot.near.hashes.view(np.uint8)[order], PDQ)
    table = snapshot.digests[HashType.SHA1]
    assert [table.find(value.tobytes()) for value in SHA1] == [[k] for k in range(500)]


def test_a_snapshot_that_needs_huge_pages_is_laid_out_and_read_alike(tmp_path, monkeypatch, brute):
    monkeypatch.setattr("tutela.lists.index.building._LARGE", 0)
    _build(tmp_path / "signals.index")
    index = Index(tmp_path)
    assert index.open()
    queries = [(PDQ[k].tobytes(), 31) for k in range(0, 3000, 60)]
    assert index.near(queries) == brute(PDQ, REFS, queries)
    assert index.exact(HashType.SHA1, SHA1[7].tobytes()) == [7]


def test_refs_of_any_size_come_back(tmp_path):
    wide = np.arange(3000, dtype=np.int64) + 2**40
    digests = {HashType.SHA1: (SHA1, wide[:500]), HashType.MD5: (SHA1[:9, :16], REFS[:9])}
    _build(tmp_path / "signals.index", pdq_refs=wide, digests=digests)
    index = Index(tmp_path)
    assert index.open()
    assert index.near([(PDQ[17].tobytes(), 0)]) == [[Hit(2**40 + 17, 0)]]
    assert index.exact(HashType.SHA1, SHA1[5].tobytes()) == [2**40 + 5]
    assert index.exact(HashType.MD5, SHA1[5, :16].tobytes()) == [5]
    index.apply([Change(5, "remove", HashType.PDQ, PDQ[17].tobytes(), 2**40 + 17)])
    assert index.near([(PDQ[17].tobytes(), 0)]) == [[]]


def test_the_same_hashes_make_the_same_file(path, tmp_path):
    _build(tmp_path / "again.index")
    assert (tmp_path / "again.index").read_bytes() == path.read_bytes()


def test_a_snapshot_of_nothing_is_sound(tmp_path):
    none = np.empty((0, 32), np.uint8)
    _build(tmp_path / "signals.index", pdq=none, pdq_refs=REFS[:0], digests={})
    index = Index(tmp_path)
    assert index.open()
    assert index.near([(bytes(32), 31)]) == [[]]
    assert index.exact(HashType.MD5, bytes(16)) == []


def test_any_damaged_byte_is_noticed(path):
    sound = path.read_bytes()
    places = {0, 9, 14, 17, 30, 2000, 4095, 4096, len(sound) - 1, len(sound) - 8}
    places |= set(np.random.default_rng(2).integers(0, len(sound), 40).tolist())
    for at in sorted(places):
        damaged = bytearray(sound)
        damaged[at] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(SnapshotDamaged) as caught:
            open_snapshot(path)
        assert caught.value.where.startswith("s.index: ")
    path.write_bytes(sound)
    assert open_snapshot(path).seq == 4


def test_the_damaged_section_is_named(path, monkeypatch):
    monkeypatch.setattr("tutela.lists.index.snapshot.BLOCK", 4096)
    _build(path)
    damaged = bytearray(path.read_bytes())
    damaged[4096 + 100] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(SnapshotDamaged) as caught:
        open_snapshot(path)
    assert caught.value.where == "s.index: near.hashes near byte 4096"


@pytest.mark.parametrize("length", [0, 10, 4095, 4096, 100_000, -1])
def test_a_cut_file_is_refused(path, length):
    sound = path.read_bytes()
    path.write_bytes(sound[:length])
    with pytest.raises(SnapshotDamaged):
        open_snapshot(path)


def test_a_longer_file_is_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(SnapshotDamaged):
        open_snapshot(path)


def test_a_file_that_is_no_snapshot_is_refused(path):
    path.write_bytes(b"SQLite format 3\0" + bytes(8000))
    with pytest.raises(SnapshotDamaged, match="does not begin as a snapshot"):
        open_snapshot(path)


def test_a_full_disk_leaves_the_old_snapshot_and_nothing_else(small_disk):
    path = small_disk.path / "s.index"
    _build(path)
    before = path.read_bytes()
    small_disk.fill()
    with pytest.raises(StorageFull):
        _build(path, seq=5)
    assert path.read_bytes() == before
    assert list(small_disk.path.glob("*.building")) == []
    small_disk.free()
    _build(path, seq=5)
    assert open_snapshot(path).seq == 5


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexUnavailable):
        _build(tmp_path / "file" / "s.index")


@pytest.mark.parametrize(
    "changed",
    [
        {"pdq": PDQ[:, :31]},
        {"pdq_refs": REFS[:-1]},
        {"digests": {HashType.MD5: (SHA1, REFS[:500])}},
        {"digests": {HashType.SHA1: (SHA1, REFS)}},
    ],
)
def test_wrong_shapes_are_refused_before_anything_is_written(tmp_path, changed):
    with pytest.raises(InvalidHash):
        _build(tmp_path / "s.index", **changed)
    assert list(tmp_path.iterdir()) == []


def test_a_gentle_build_makes_the_same_file(path, tmp_path):
    _build(tmp_path / "gentle.index", pace=0.5)
    assert (tmp_path / "gentle.index").read_bytes() == path.read_bytes()


def test_what_goes_wrong_in_a_gentle_build_is_told(path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageFull):
        _build(path, pace=0.5)


_BUILDER = """
import sys, numpy as np
from tutela.lists.index import build_snapshot
pdq = np.random.default_rng(1).integers(0, 256, (20_000, 32), dtype=np.uint8)
print("ready", flush=True)
while True:
    build_snapshot(sys.argv[1], pdq=pdq, pdq_refs=np.arange(20_000), digests={}, seq=9)
"""


def test_a_builder_that_is_killed_leaves_a_whole_snapshot_and_is_swept_up_after(path):
    builder = subprocess.Popen([sys.executable, "-c", _BUILDER, str(path)], stdout=subprocess.PIPE)
    assert builder.stdout is not None
    with builder.stdout:
        builder.stdout.readline()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not list(path.parent.glob(".s.index.*")):
            time.sleep(0.001)
        builder.send_signal(signal.SIGKILL)
        builder.wait()
    assert open_snapshot(path).seq in {4, 9}
    (path.parent / f".s.index.{builder.pid}-1.building").write_bytes(b"left")
    _build(path)
    assert [file.name for file in path.parent.iterdir()] == ["s.index"]
