"""Sealing: plain bytes in, age-encrypted bytes out, hashed on both sides in one pass.

age (https://age-encryption.org/v1) encrypts in authenticated parts of 64 KiB, so any length
streams through little memory, and what was cut short or changed does not open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Protocol

import pyrage

from tutela.errors import InvalidSetting

READ_BYTES = 1024 * 1024
"""Plain bytes taken from the source at a time."""


class Sealable(Protocol):
    """What can be sealed; ``tutela.hashing.source.Source`` is one."""

    def open(self) -> BinaryIO:
        """A new reader from the first byte on."""
        ...


class Sink(Protocol):
    """What takes sealed bytes."""

    def write(self, data: bytes, /) -> int:
        """Append."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed object: stored and durable, not yet recorded in the database.

    ``size``, ``md5``, ``sha1`` and ``sha256`` are the original's, ``sealed_size`` and
    ``sealed_sha256`` those of the object ``object_name``; ``recipients`` are the public keys that
    open it.
    """

    evidence_id: str
    object_name: str
    sealed_at: datetime
    size: int
    md5: bytes
    sha1: bytes
    sha256: bytes
    sealed_size: int
    sealed_sha256: bytes
    recipients: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Counted:
    """Counts and hashes the plain bytes that pass by, in parts large enough to be quick.

    pyrage reads 8 KiB at a time; the source is read in parts of ``READ_BYTES``.
    """

    def __init__(self, reader: BinaryIO) -> None:
        self._reader = reader
        self._part = memoryview(b"")
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha1 = hashlib.sha1(usedforsecurity=False)
        self.sha256 = hashlib.sha256()
        self.fault: Exception | None = None

    def read(self, count: int = -1) -> bytes:
        """The next ``count`` bytes at most; empty at the end."""
        if not self._part:
            self._part = memoryview(self._fetch())
        if count < 0:
            count = len(self._part)
        given = bytes(self._part[:count])
        self._part = self._part[count:]
        return given

    def _fetch(self) -> bytes:
        try:
            part = self._reader.read(READ_BYTES)
        except Exception as error:
            self.fault = error
            raise
        self.size += len(part)
        for digest in (self.md5, self.sha1, self.sha256):
            digest.update(part)
        return part


class Hashed:
    """Passes sealed bytes on to a sink, counting and hashing them."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.fault: Exception | None = None

    def write(self, data: bytes) -> int:
        """Pass on; the sink's exception is kept in ``fault``, as pyrage keeps only its words."""
        try:
            self._sink.write(data)
        except Exception as error:
            self.fault = error
            raise
        self.size += len(data)
        self.sha256.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing to do: the sink is flushed when it is committed."""


def encrypt(reader: BinaryIO, sink: Sink, recipients: Sequence[Any]) -> tuple[Counted, Hashed]:
    """Encrypt all of ``reader`` into ``sink`` for ``recipients`` (as pyrage takes them).

    Raises what the reader or the sink raised, else ``InvalidSetting`` where age refuses the
    recipients together.
    """
    plain, sealed = Counted(reader), Hashed(sink)
    try:
        pyrage.encrypt_io(plain, sealed, list(recipients))
    except pyrage.EncryptError as error:
        fault = sealed.fault or plain.fault
        if fault is not None:
            raise fault from None
        raise InvalidSetting(
            "The vault's recipients cannot be sealed to together.",
            next_step="Use recipients of one kind: post-quantum ones do not mix with others.",
        ) from error
    return plain, sealed
