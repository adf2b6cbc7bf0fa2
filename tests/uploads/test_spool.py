"""The spool: bytes wait in memory or encrypted, and nothing readable is ever on disk."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tutela.errors import EvidenceDamaged, NotFound, StorageFull, StoreUnavailable
from tutela.hashing.source import Source
from tutela.settings import Settings, UploadSettings
from tutela.uploads import parked as parked_module
from tutela.uploads import spool as spool_module
from tutela.uploads.spool import Spool

MARK = b"these very bytes must never be on disk; "
IN_MEMORY = 64 * 1024


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data", uploads=UploadSettings(spool_memory_bytes=IN_MEMORY)
    )


@pytest.fixture
def spool(settings: Settings) -> Spool:
    return Spool(settings)


def taken_in(spool: Spool, data: bytes, part: int = 10_000) -> Source:
    with spool.writer() as writer:
        for at in range(0, len(data), part):
            writer.write(data[at : at + part])
        return writer.finish()


def plain(source: Source) -> bytes:
    with source.open() as reader:
        return reader.read()


def on_disk(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.read_bytes()


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY, IN_MEMORY + 1, 3_000_000])
def test_what_goes_in_comes_out_with_its_digests(spool: Spool, size: int) -> None:
    data = (MARK * (size // len(MARK) + 1))[:size]
    with taken_in(spool, data) as source:
        assert (plain(source), source.size) == (data, size)
        assert source.digests is not None
        assert source.digests.sha256 == hashlib.sha256(data).digest()
        assert source.digests.md5 == hashlib.md5(data).digest()
        assert (source.key is not None) == (size > IN_MEMORY)


def test_a_large_upload_is_on_disk_without_a_name_and_not_in_plain(
    spool: Spool, settings: Settings
) -> None:
    with taken_in(spool, MARK * 50_000) as source:
        assert source.key is not None
        assert list((settings.data_dir / "spool").iterdir()) == []
        stored = os.pread(source.fd, source.size, 0)
        assert len(stored) == source.size
        assert MARK[:16] not in stored
        with pytest.raises(OSError, match="descriptor"):
            os.write(source.fd, b"X")


def test_small_uploads_go_to_disk_too_when_memory_is_short(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [taken_in(spool, b"x" * IN_MEMORY) for _ in range(spool_module.MEMORY_SHARE)]
    assert spool.memory_in_use == IN_MEMORY * spool_module.MEMORY_SHARE
    with taken_in(spool, b"y" * 100) as late:
        assert late.key is not None
        assert plain(late) == b"y" * 100
    for source in held:
        source.close()
    assert spool.memory_in_use == 0
    with taken_in(spool, b"y" * 100) as early:
        assert early.key is None


def test_leaving_early_drops_the_bytes(spool: Spool) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for size in (100, IN_MEMORY * 2):
        with spool.writer() as writer:
            writer.write(b"x" * size)
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"more")
        with pytest.raises(ValueError, match="closed"):
            writer.finish()
    assert spool.memory_in_use == 0
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("code", "error"), [(errno.ENOSPC, StorageFull), (errno.EIO, StoreUnavailable)]
)
def test_a_full_or_failing_disk_is_an_error_with_a_retry_time(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, code: int, error: type[StorageFull]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    before = len(os.listdir("/proc/self/fd"))
    writer = spool.writer()
    writer.write(b"x" * IN_MEMORY)
    monkeypatch.setattr(spool_module, "write_all", fail)
    with pytest.raises(error) as caught:
        writer.write(b"more")
    assert caught.value.retry_after
    assert len(os.listdir("/proc/self/fd")) == before
    monkeypatch.setattr(parked_module, "write_all", fail)
    with Source.from_bytes(b"x") as source, pytest.raises(error):
        spool.park(source)
    assert spool.parked() == []
    assert spool.sweep() == []


def test_file_systems_without_unnamed_files(
    spool: Spool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def old_kernel(path: object, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(path, flags, *rest)  # type: ignore[arg-type]  # as os.open takes it

    monkeypatch.setattr(spool_module.os, "open", old_kernel)
    with taken_in(spool, MARK * 5000) as source:
        assert plain(source) == MARK * 5000
        assert list((settings.data_dir / "spool").iterdir()) == []


# ------------------------------------------------------------------------------- deferred holds


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_a_parked_upload_comes_back(spool: Spool, settings: Settings, size: int) -> None:
    data = (MARK * (size // len(MARK) + 1))[:size]
    with Source.from_bytes(data) as source:
        name = spool.park(source)
        assert not source.closed
    assert [waiting.name for waiting in spool.parked()] == [name]
    with Spool(settings).unpark(name) as back:  # as another process sees it
        assert plain(back) == data
        assert back.digests is not None
        assert back.digests.sha256 == hashlib.sha256(data).digest()
    assert len(spool.parked()) == 1
    assert not any(MARK in stored for stored in on_disk(settings.data_dir))
    spool.drop(name)
    spool.drop(name)
    assert spool.parked() == []
    with pytest.raises(NotFound):
        spool.unpark(name)


def test_files_and_folders_are_private(spool: Spool, settings: Settings) -> None:
    with Source.from_bytes(b"x") as source:
        name = spool.park(source)
    folder = settings.data_dir
    assert (folder / "keys" / "spool.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "deferred" / name).stat().st_mode & 0o777 == 0o600
    for part in ("deferred", "keys", "spool"):
        assert (folder / part).stat().st_mode & 0o777 == 0o700


@given(where=st.integers(0, 140_000), flip=st.integers(1, 255))
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_noticed(
    spool: Spool, settings: Settings, where: int, flip: int
) -> None:
    with Source.from_bytes(MARK * 3500) as source:
        name = spool.park(source)
    path = settings.data_dir / "deferred" / name
    stored = bytearray(path.read_bytes())
    stored[where % len(stored)] ^= flip
    path.write_bytes(stored)
    with pytest.raises(EvidenceDamaged):
        spool.unpark(name)
    spool.drop(name)


@pytest.mark.parametrize("change", ["cut", "cut at a chunk", "longer", "swapped", "empty"])
def test_a_cut_longer_or_swapped_file_is_noticed(
    spool: Spool, settings: Settings, change: str
) -> None:
    names = []
    for fill in (b"a", b"b"):
        with Source.from_bytes(fill * 200_000) as source:
            names.append(spool.park(source))
    first, second = (settings.data_dir / "deferred" / name for name in names)
    stored = first.read_bytes()
    head = len(parked_module.MAGIC) + parked_module.SALT_BYTES
    first.write_bytes(
        {
            "cut": stored[:-5],
            "cut at a chunk": stored[: head + 2 * (parked_module.CHUNK + parked_module.TAG)],
            "longer": stored + b"more",
            "swapped": second.read_bytes(),
            "empty": b"",
        }[change]
    )
    with pytest.raises(EvidenceDamaged):
        spool.unpark(names[0])


def test_another_key_opens_nothing(spool: Spool, settings: Settings) -> None:
    with Source.from_bytes(b"x") as source:
        name = spool.park(source)
    key = settings.data_dir / "keys" / "spool.key"
    key.write_bytes(os.urandom(32))
    with pytest.raises(EvidenceDamaged):
        Spool(settings).unpark(name)
    key.write_bytes(b"short")
    with pytest.raises(EvidenceDamaged, match="wrong length"):
        Spool(settings).unpark(name)


@pytest.mark.parametrize("name", ["", "../keys/spool.key", "parked_x", "/etc/passwd", "a\0b"])
def test_names_are_no_paths(spool: Spool, name: str) -> None:
    with pytest.raises(NotFound):
        spool.unpark(name)
    with pytest.raises(NotFound):
        spool.drop(name)


def test_processes_that_make_the_key_at_once_agree(settings: Settings) -> None:
    def park(spool: Spool) -> None:
        with Source.from_bytes(b"x") as source:
            spool.park(source)

    threads = [threading.Thread(target=park, args=(Spool(settings),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spool = Spool(settings)
    assert [plain(spool.unpark(waiting.name)) for waiting in spool.parked()] == [b"x"] * 8
    assert [path.name for path in (settings.data_dir / "keys").iterdir()] == ["spool.key"]


def test_the_sweep_destroys_what_is_past_its_time(
    spool: Spool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for _ in range(2):
        with Source.from_bytes(b"x") as source:
            names.append(spool.park(source))
    folder = settings.data_dir / "deferred"
    old = (datetime.now(UTC) - timedelta(hours=25)).timestamp()
    os.utime(folder / names[0], (old, old))
    (folder / "parked_half.part").write_bytes(b"half")
    (folder / "parked_old.part").write_bytes(b"half")
    os.utime(folder / "parked_old.part", (old, old))
    (settings.data_dir / "spool" / "left").write_bytes(b"")
    assert spool.sweep() == [names[0]]
    assert sorted(path.name for path in folder.iterdir()) == sorted([names[1], "parked_half.part"])
    assert list((settings.data_dir / "spool").iterdir()) == []


def test_a_killed_process_leaves_no_plaintext(settings: Settings) -> None:
    story = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from tutela.settings import Settings, UploadSettings\n"
        "from tutela.uploads.spool import Spool\n"
        "spool = Spool(Settings(data_dir=Path(sys.argv[1]),"
        " uploads=UploadSettings(spool_memory_bytes=1000)))\n"
        "mark = sys.argv[2].encode()\n"
        "for size in (10, 100_000):\n"
        "    writer = spool.writer(); writer.write(mark * size)\n"
        "    spool.park(writer.finish())\n"
        "late = spool.writer(); late.write(mark * 50_000)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", story, str(settings.data_dir), MARK.decode()], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert not any(MARK[:20] in stored for stored in on_disk(settings.data_dir))
    assert list((settings.data_dir / "spool").iterdir()) == []
    spool = Spool(settings)
    assert [len(plain(spool.unpark(p.name))) for p in spool.parked()] == [
        10 * len(MARK),
        100_000 * len(MARK),
    ]
