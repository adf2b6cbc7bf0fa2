"""Files of the ledger: written whole or not at all, one writer at a time, keys apart.

A file is written beside the ledger's folder, flushed to disk and renamed into it, so the folder
never holds half a file whatever happens.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutela.errors import InvalidSetting, StorageFull, StoreUnavailable, TutelaError

from .notes import SignerKey, check_name

FOLDER = "ledger"
"""The public folder inside the data folder."""
STAGING = "ledger.tmp"
"""Where files are written before they are renamed into place; beside the public folder."""
LOCK = "ledger.lock"
"""Held by whoever changes or reads the right edge of the folder."""
KEY = Path("keys") / "ledger.key"
"""The signing key; only its public half ever stands in the public folder."""


@contextmanager
def faults(what: str) -> Iterator[None]:
    """Turns the disk's errors into ours: ``StorageFull`` or ``StoreUnavailable``."""
    try:
        yield
    except OSError as error:
        raise _fault(error, what) from error


def _fault(error: OSError, what: str) -> TutelaError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StorageFull(f"{what}: the disk is full.", retry_after=30)
    word = errno.errorcode.get(error.errno or 0, "unknown error")
    return StoreUnavailable(f"{what} ({word}).")


@contextmanager
def locked(data_dir: Path, *, shared: bool = False) -> Iterator[None]:
    """Holds the ledger's lock in this data folder; waits for whoever has it.

    ``shared`` is for readers; where there is no lock file, or none to open (a copy), a reader goes
    on without.
    """
    path = data_dir / LOCK
    try:
        if shared:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        else:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if not shared:
            raise _fault(error, "The ledger's lock cannot be taken") from error
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes, staging: Path, *, mode: int = 0o644) -> None:
    """Writes a file so that it is there whole, on disk, or not at all.

    ``staging`` is a folder on the same file system. The folder entry is not flushed: call
    ``flush_folder`` once for a group of files.
    """
    staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = staging / secrets.token_hex(8)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def flush_folder(folder: Path) -> None:
    """Puts a folder's entries on disk, so that renames in it outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep_staging(staging: Path) -> None:
    """Removes what an interrupted write left behind."""
    if staging.is_dir():
        for part in staging.iterdir():
            part.unlink(missing_ok=True)


def signer(data_dir: Path, origin: str) -> SignerKey:
    """The log's key, made at first use with mode 0600. Call it under ``locked``.

    Raises ``InvalidSetting`` where the file is damaged or belongs to another origin: a log keeps
    its name for life.
    """
    path = data_dir / KEY
    check_name(origin)
    with faults("The ledger's key cannot be read"):
        if path.exists():
            key = SignerKey.parse(path.read_bytes().decode("ascii", "replace"))
        else:
            key = SignerKey.generate(origin)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, (key.secret_text() + "\n").encode(), path.parent, mode=0o600)
            flush_folder(path.parent)
    if key.name != origin:
        raise InvalidSetting(
            f"ledger.origin is {origin}, but this ledger was begun as {key.name}.",
            next_step="Set ledger.origin back; a ledger keeps its name for life.",
        )
    return key
