"""Sources: readable anywhere, unchangeable, and gone when closed."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutela.hashing.source import KEY_BYTES, NONCE_BYTES, Source, counter_mode, new_memfd, write_all


def encrypted(data: bytes, nonce: bytes) -> Source:
    key = bytes(range(KEY_BYTES))
    fd = new_memfd()
    write_all(fd, counter_mode(key, nonce, 0).update(data))
    return Source(fd, len(data), key=key, nonce=nonce)


steps = st.lists(
    st.tuples(st.sampled_from(["seek", "end", "read"]), st.integers(0, 5000)), max_size=12
)


@given(data=st.binary(max_size=4000), steps=steps, nonce=st.binary(min_size=16, max_size=16))
def test_an_encrypted_source_reads_as_the_plain_bytes_would(
    data: bytes, steps: list[tuple[str, int]], nonce: bytes
) -> None:
    with encrypted(data, nonce) as source, source.open() as ours:
        theirs = io.BytesIO(data)
        for what, number in steps:
            if what == "seek":
                assert ours.seek(number) == theirs.seek(number)
            elif what == "end":
                back = min(number, len(data))
                assert ours.seek(-back, 2) == theirs.seek(-back, 2)
            else:
                assert ours.read(number) == theirs.read(number)
        assert ours.read() == theirs.read()


def test_the_counter_wraps_around() -> None:
    data = os.urandom(100)
    with encrypted(data, b"\xff" * NONCE_BYTES) as source, source.open() as reader:
        reader.seek(50)
        assert reader.read() == data[50:]


def test_the_bytes_behind_an_encrypted_source_are_not_the_plain_ones() -> None:
    data = b"plain text that must not be found " * 10
    with encrypted(data, bytes(NONCE_BYTES)) as source:
        assert b"plain" not in os.pread(source.fd, len(data), 0)


def test_readers_do_not_share_a_position_and_outlive_the_source() -> None:
    source = Source.from_bytes(b"0123456789")
    first, second = source.open(), source.open()
    assert first.read(4) == b"0123"
    source.close()
    assert second.read() == b"0123456789"
    assert first.read() == b"456789"
    first.close()
    second.close()


def test_a_source_in_memory_cannot_be_changed_any_more() -> None:
    with Source.from_bytes(b"evidence") as source:
        for change in (
            lambda: os.pwrite(source.fd, b"X", 0),
            lambda: os.ftruncate(source.fd, 1),
            lambda: os.ftruncate(source.fd, 100),
        ):
            with pytest.raises(PermissionError):
                change()
        with source.open() as reader:
            assert reader.read() == b"evidence"


def test_closing_frees_once_and_says_so() -> None:
    before = len(os.listdir("/proc/self/fd"))
    freed: list[int] = []
    source = Source(new_memfd(), 0, on_close=lambda: freed.append(1))
    source.close()
    source.close()
    assert (freed, source.closed) == ([1], True)
    with pytest.raises(ValueError, match="closed"):
        source.open()
    forgotten = Source(new_memfd(), 0, on_close=lambda: freed.append(2))
    del forgotten
    assert freed == [1, 2]
    assert len(os.listdir("/proc/self/fd")) == before


def test_seeking_before_the_start_is_refused() -> None:
    with Source.from_bytes(b"abc") as source, source.open() as reader:
        with pytest.raises(OSError, match="negative"):
            reader.seek(-4, 2)
        assert reader.seekable()
        assert reader.readable()
        assert not reader.writable()


def test_a_file_is_read_only_and_only_files_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello")
    with Source.from_path(path) as source, source.open() as reader:
        assert (source.size, reader.read()) == (5, b"hello")
        with pytest.raises(OSError, match="descriptor"):
            os.write(source.fd, b"X")
    os.mkfifo(tmp_path / "pipe")
    for wrong in (tmp_path, tmp_path / "pipe", tmp_path / "nothing", Path("/dev/zero")):
        with pytest.raises(OSError):
            Source.from_path(wrong)


def test_a_file_that_shrinks_ends_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    with Source.from_path(path) as source:
        os.truncate(path, 10)
        with source.open() as reader:
            assert reader.read() == b"x" * 10
        with source.open() as reader:
            assert reader.read(500) == b"x" * 10
