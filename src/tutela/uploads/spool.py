"""The spool: where an upload's bytes wait while they are examined, never as plaintext on disk.

Up to ``spool_memory_bytes`` an upload stays in a ``memfd``; beyond that, or when uploads together
hold more than ``MEMORY_SHARE`` times as much, it goes to an unlinked file (``O_TMPFILE``) encrypted
with AES-256-CTR under a fresh key that exists in memory only. A killed process therefore leaves
nothing that can be read: the kernel frees the descriptor, and the key is gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tutela.errors import StorageFull, StoreUnavailable
from tutela.hashing.digests import Digester
from tutela.hashing.source import (
    KEY_BYTES,
    NONCE_BYTES,
    Source,
    counter_mode,
    new_memfd,
    seal_memfd,
    write_all,
)

from .parked import Parked, ParkingLot

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

    from tutela.core import Digests
    from tutela.settings import Settings

MEMORY_SHARE = 16
"""Uploads together stay in memory up to this many times the bound of a single one."""
COPY_BYTES = 1024 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM})


@contextlib.contextmanager
def disk_faults(what: str) -> Iterator[None]:
    """Turn an ``OSError`` into ``StorageFull`` or ``StoreUnavailable``."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull(
                f"There is no room to {what}.", next_step="Free space, then send it again."
            ) from error
        raise StoreUnavailable(f"It was not possible to {what}: {error.strerror}.") from error


class Spool:
    """Takes in uploads, and keeps those whose examination had to be put off.

    One per process; safe from several threads. ``settings.data_dir`` gets three private folders:
    ``spool`` (unlinked files), ``deferred`` (encrypted files of put-off uploads) and ``keys``.
    """

    def __init__(self, settings: Settings) -> None:
        self._single = settings.uploads.spool_memory_bytes
        self._folder = settings.data_dir / "spool"
        self._budget = _Budget(self._single * MEMORY_SHARE)
        self._lot = ParkingLot(
            settings.data_dir / "deferred",
            settings.data_dir / "keys" / "spool.key",
            timedelta(hours=settings.uploads.deferred_hours),
        )
        with disk_faults("prepare the spool folder"):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def writer(self) -> SpoolWriter:
        """A writer for one upload. Use it as a context manager: leaving early drops the bytes."""
        return SpoolWriter(self._folder, self._single, self._budget)

    @property
    def memory_in_use(self) -> int:
        """Bytes of uploads now held in memory."""
        return self._budget.used

    def park(self, source: Source) -> str:
        """Keep a copy of ``source`` encrypted on disk, synced, and return its name.

        The source stays open. Raises ``StorageFull`` or ``StoreUnavailable``; then nothing is kept.
        """
        with disk_faults("keep the upload for a later examination"):
            return self._lot.park(source)

    @property
    def holder(self) -> str:
        """The id of the folder that keeps what is parked here (see ``ParkingLot.holder``).

        Raises ``StoreUnavailable``, or ``EvidenceDamaged`` where the id cannot be read."""
        with disk_faults("read the id of the folder of deferred uploads"):
            return self._lot.holder

    def parked(self) -> list[Parked]:
        """What waits, oldest first."""
        with disk_faults("look through the deferred uploads"):
            return self._lot.parked()

    def unpark(self, name: str) -> Source:
        """The bytes parked under ``name``, as a source with digests; the parked copy stays.

        Raises ``NotFound``, or ``EvidenceDamaged`` where the file was changed or cut short.
        """
        with disk_faults("read a deferred upload"), self.writer() as writer:
            for chunk in self._lot.read(name):
                writer.write(chunk)
            return writer.finish()

    def drop(self, name: str) -> None:
        """Destroy what is parked under ``name``; without effect where there is nothing."""
        with disk_faults("destroy a deferred upload"):
            self._lot.drop(name)

    def sweep(self) -> list[str]:
        """Destroy what waited past its time and what killed processes left half written.

        Returns the names that expired, so that their holds can be closed.
        """
        with disk_faults("sweep the deferred uploads"):
            for left in self._folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    left.unlink()
            return self._lot.sweep()


class SpoolWriter:
    """Takes in one upload, part by part. Not for use by two threads at once."""

    def __init__(self, folder: Path, single: int, budget: _Budget) -> None:
        self._folder = folder
        self._single = single
        self._budget = budget
        self._digester = Digester()
        self._fd = new_memfd()
        self._key: bytes | None = None
        self._stream: CipherContext | None = None
        self._reserved = 0
        self._digests: Digests | None = None
        self.size = 0
        """Bytes taken in so far."""

    @property
    def on_disk(self) -> bool:
        """True once the bytes went to the encrypted file."""
        return self._key is not None

    @property
    def digests(self) -> Digests:
        """MD5, SHA-1 and SHA-256 of what was written; known after ``finish``."""
        assert self._digests is not None, "digests are known after finish()"
        return self._digests

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take in a part. Raises ``StorageFull`` or ``StoreUnavailable``; then the writer is closed
        and nothing is kept."""
        if self._fd < 0:
            raise ValueError("the writer is closed")
        try:
            with disk_faults("take in the upload"):
                self._digester.update(chunk)
                if self._stream is None and not self._fits(len(chunk)):
                    self._spill()
                write_all(self._fd, chunk if self._stream is None else self._stream.update(chunk))
        except BaseException:
            self.close()
            raise
        self.size += len(chunk)

    def finish(self) -> Source:
        """The upload as a source that owns the bytes and knows its digests."""
        if self._fd < 0:
            raise ValueError("the writer is closed")
        self._digests = self._digester.result()
        fd, self._fd = self._fd, -1
        if self._key is None:
            seal_memfd(fd)
        else:
            fd = _read_only(fd)
        budget, reserved, self._reserved = self._budget, self._reserved, 0
        return Source(
            fd,
            self.size,
            key=self._key,
            digests=self._digests,
            on_close=lambda: budget.give(reserved),
        )

    def close(self) -> None:
        """Drop the bytes, unless ``finish`` handed them over."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._budget.give(self._reserved)
        self._reserved = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def _fits(self, more: int) -> bool:
        if self.size + more > self._single or not self._budget.take(more):
            return False
        self._reserved += more
        return True

    def _spill(self) -> None:
        """Move what is in memory to the encrypted file and go on there."""
        key = os.urandom(KEY_BYTES)
        stream = counter_mode(key, bytes(NONCE_BYTES), 0)
        fd = _unlinked_file(self._folder)
        try:
            for at in range(0, self.size, COPY_BYTES):
                write_all(fd, stream.update(os.pread(self._fd, COPY_BYTES, at)))
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._key, self._stream = fd, key, stream
        self._budget.give(self._reserved)
        self._reserved = 0


class _Budget:
    """Bytes that all uploads together hold in memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.used = 0

    def take(self, count: int) -> bool:
        with self._lock:
            if self.used + count > self._most:
                return False
            self.used += count
            return True

    def give(self, count: int) -> None:
        with self._lock:
            self.used -= count


def _unlinked_file(folder: Path) -> int:
    """A new file that has no name, so that nothing has to be cleaned up after a kill."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
            raise
    fd, name = tempfile.mkstemp(dir=folder)  # file systems without O_TMPFILE
    with contextlib.suppress(FileNotFoundError):  # another process swept it
        os.unlink(name)
    return fd


def _read_only(fd: int) -> int:
    """The same file opened for reading only; ``fd`` itself where /proc does not allow it."""
    try:
        fresh = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return fd
    os.close(fd)
    return fresh
