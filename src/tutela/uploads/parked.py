"""Uploads whose examination was put off: authenticated, encrypted files with a short life.

A file is ``MAGIC ‖ salt (32) ‖ chunks``; each chunk is up to 64 KiB sealed by AES-256-GCM under a
key derived (HKDF-SHA-256) from ``keys/spool.key``, the salt and the file's name. The nonce is the
chunk's number and a last-chunk mark, so chunks cannot be cut off, moved or swapped between files
(the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015, as in age).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tutela.core import new_id, utc_now
from tutela.errors import EvidenceDamaged, NotFound
from tutela.hashing.source import Source, write_all

MAGIC = b"tutela parked 1\n"
SALT_BYTES = 32
KEY_BYTES = 32
CHUNK = 64 * 1024
TAG = 16
PART = ".part"
HOLDER = "holder"
"""File beside the folder of put-off uploads with the id under which it is known to others."""
HALF_WRITTEN = timedelta(hours=1)
"""A half-written file older than this belongs to a process that was killed."""

_NAME = re.compile(r"parked_[0-9a-f]{32}")
_HOLDER = re.compile(r"holder_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """One upload that waits. ``size`` is the encrypted file's, in bytes."""

    name: str
    size: int
    parked_at: datetime
    expires_at: datetime


class ParkingLot:
    """The folder of put-off uploads and its key, which is made when first needed."""

    def __init__(self, folder: Path, key_path: Path, life: timedelta) -> None:
        self._folder = folder
        self._key_path = key_path
        self._life = life
        self._key: bytes | None = None
        self._holder: str | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def holder(self) -> str:
        """The id of this folder, made when first needed. Processes that share the folder share it;
        one that has another folder cannot read what lies here, though it may share the database."""
        if self._holder is None:
            path = self._folder.with_name(HOLDER)
            text = _read_or_make(path, new_id("holder").encode()).decode("ascii", "replace")
            if not _HOLDER.fullmatch(text):
                raise EvidenceDamaged(
                    "The id of the folder of deferred uploads is not readable.",
                    where=path.name,
                    next_step="Restore the file; without it what waits is held when its time ends.",
                )
            self._holder = text
        return self._holder

    def park(self, source: Source) -> str:
        """Write ``source`` under a fresh name, synced to disk; all or nothing."""
        _ = self.holder  # where it cannot be known, nothing may be parked
        name = new_id("parked")
        salt = os.urandom(SALT_BYTES)
        cipher = self._cipher(name, salt)
        part = self._folder / (name + PART)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                write_all(fd, MAGIC + salt)
                with source.open() as reader:
                    number, chunk = 0, reader.read(CHUNK)
                    while True:
                        following = reader.read(CHUNK)
                        write_all(fd, cipher.encrypt(_nonce(number, not following), chunk, MAGIC))
                        if not following:
                            break
                        number, chunk = number + 1, following
                os.fsync(fd)
            finally:
                os.close(fd)
            part.rename(self._folder / name)
            _sync_folder(self._folder)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return name

    def read(self, name: str) -> Iterator[bytes]:
        """The plaintext, chunk by chunk, each one checked before it is given out."""
        damaged = EvidenceDamaged("A deferred upload does not match its seal.", where=name)
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(self._path(name).open("rb"))
            except FileNotFoundError:
                raise NotFound("There is no such deferred upload.") from None
            if file.read(len(MAGIC)) != MAGIC:
                raise damaged
            cipher = self._cipher(name, file.read(SALT_BYTES))
            number, sealed = 0, file.read(CHUNK + TAG)
            while True:
                following = file.read(CHUNK + TAG)
                try:
                    yield cipher.decrypt(_nonce(number, not following), sealed, MAGIC)
                except (InvalidTag, ValueError):
                    raise damaged from None
                if not following:
                    return
                number, sealed = number + 1, following

    def parked(self) -> list[Parked]:
        """What waits, oldest first."""
        found = []
        for path in sorted(self._folder.iterdir()):
            if not _NAME.fullmatch(path.name):
                continue
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                at = datetime.fromtimestamp(facts.st_mtime, UTC)
                found.append(
                    Parked(
                        name=path.name,
                        size=facts.st_size,
                        parked_at=at,
                        expires_at=at + self._life,
                    )
                )
        return found

    def drop(self, name: str) -> None:
        """Overwrite the salt, so that no key opens what the disk may still hold, and unlink."""
        path = self._path(name)
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(fd, bytes(len(MAGIC) + SALT_BYTES), 0)
                os.fdatasync(fd)
            finally:
                os.close(fd)
            path.unlink()
            _sync_folder(self._folder)

    def sweep(self) -> list[str]:
        """Destroy what is past its time, and old half-written files. Returns expired names."""
        now = utc_now()
        for path in self._folder.glob("*" + PART):
            with contextlib.suppress(FileNotFoundError):
                age = now - datetime.fromtimestamp(path.stat().st_mtime, UTC)
                if age > HALF_WRITTEN:
                    path.unlink()
        expired = [parked.name for parked in self.parked() if parked.expires_at <= now]
        for name in expired:
            self.drop(name)
        return expired

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise NotFound("There is no such deferred upload.")
        return self._folder / name

    def _cipher(self, name: str, salt: bytes) -> AESGCM:
        if self._key is None:
            self._key = _read_or_make_key(self._key_path)
        derive = HKDF(algorithm=SHA256(), length=32, salt=salt, info=MAGIC + name.encode())
        return AESGCM(derive.derive(self._key))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _read_or_make(path: Path, content: bytes) -> bytes:
    """What a small file holds, made with ``content`` where there is none; of two processes that
    make it at once, one wins and both use its content."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}{PART}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
    with contextlib.suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()
    _sync_folder(path.parent)
    return path.read_bytes()


def _read_or_make_key(path: Path) -> bytes:
    key = _read_or_make(path, os.urandom(KEY_BYTES))
    if len(key) != KEY_BYTES:
        raise EvidenceDamaged(
            "The spool's key has the wrong length.",
            where=path.name,
            next_step="Restore keys/spool.key from a backup; without it deferred uploads are lost.",
        )
    return key


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
