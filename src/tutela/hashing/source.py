"""A file to examine that is never plaintext on disk: a descriptor, a size and, on disk, a key.

Small uploads live in a ``memfd`` (anonymous memory with a descriptor), large ones in an unlinked
file encrypted with AES-256 in counter mode under a key that exists in memory only. Both look the
same to a reader, can be read at any offset, and travel to the decoder as a descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tutela.errors import StorageFull

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

    from tutela.core import Digests

KEY_BYTES = 32
"""AES-256."""
NONCE_BYTES = 16
"""The first counter block; each file has a key of its own, so it need not be random."""
BLOCK = 16
"""An AES block."""
BUFFER_BYTES = 256 * 1024

_F_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4 | 0x8
"""No more sealing, shrinking, growing or writing (``fcntl(2)``)."""


def counter_mode(key: bytes, nonce: bytes, offset: int) -> CipherContext:
    """AES-CTR key stream standing at ``offset`` bytes; ``update`` encrypts and decrypts alike."""
    counter = (int.from_bytes(nonce, "big") + offset // BLOCK) % (1 << 128)
    context = Cipher(algorithms.AES(key), modes.CTR(counter.to_bytes(BLOCK, "big"))).encryptor()
    if offset % BLOCK:
        context.update(bytes(offset % BLOCK))
    return context


def new_memfd(name: str = "tutela") -> int:
    """An empty anonymous file in memory that can be sealed. Raises ``StorageFull``."""
    try:
        return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise StorageFull("There is no memory to take in the file.") from error


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of ``data`` at the descriptor's position."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def seal_memfd(fd: int) -> None:
    """Make a memfd unchangeable, so that whoever decodes it cannot alter what becomes evidence."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)


class Source:
    """A file to examine. It owns ``fd`` and closes it; readers got by ``open`` live on their own.

    ``key`` and ``nonce`` are set where the bytes behind ``fd`` are AES-256-CTR; ``digests`` where
    they were computed while the bytes came in, so that nobody reads them again for that.
    """

    __slots__ = ("_on_close", "digests", "fd", "key", "nonce", "size")

    def __init__(
        self,
        fd: int,
        size: int,
        *,
        key: bytes | None = None,
        nonce: bytes = bytes(NONCE_BYTES),
        digests: Digests | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.fd = fd
        self.size = size
        self.key = key
        self.nonce = nonce
        self.digests = digests
        self._on_close = on_close

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """A source holding a copy of ``data`` in memory. Raises ``StorageFull``."""
        fd = new_memfd()
        try:
            write_all(fd, data)
        except OSError as error:
            os.close(fd)
            raise StorageFull("There is no memory to take in the file.") from error
        seal_memfd(fd)
        return cls(fd, memoryview(data).nbytes)

    @classmethod
    def from_path(cls, path: str | Path) -> Self:
        """A source over a regular file that is there already, opened for reading only.

        Raises ``OSError`` as ``open`` does, and for what is no regular file: nobody may be kept
        waiting by a pipe or device.
        """
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return cls(fd, found.st_size)

    @property
    def closed(self) -> bool:
        """True once ``close`` was called."""
        return self.fd < 0

    def open(self) -> BinaryIO:
        """A seekable reader of the plaintext from the start, with a position of its own."""
        if self.closed:
            raise ValueError("the source is closed")
        raw = _Reader(os.dup(self.fd), self.size, self.key, self.nonce)
        return cast(BinaryIO, io.BufferedReader(raw, BUFFER_BYTES))

    def close(self) -> None:
        """Give the bytes back: memory is freed, an unlinked file vanishes, the key is dropped."""
        if self.closed:
            return
        fd, self.fd, self.key = self.fd, -1, None
        os.close(fd)
        if self._on_close is not None:
            done, self._on_close = self._on_close, None
            done()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


class _Reader(io.RawIOBase):
    """Reads a descriptor by position (never moving the shared offset), decrypting on the way."""

    def __init__(self, fd: int, size: int, key: bytes | None, nonce: bytes) -> None:
        self._fd = fd
        self._size = size
        self._key = key
        self._nonce = nonce
        self._at = 0
        self._stream: CipherContext | None = None
        self._stream_at = -1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(22, "negative seek position")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer has no length
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        if not view:
            return 0
        count = os.preadv(self._fd, [view], self._at)
        if count and self._key is not None:
            view[:count] = self._decrypt(view[:count])
        self._at += count
        return count

    def readall(self) -> bytes:
        parts = []
        while self._at < self._size:
            part = os.pread(self._fd, self._size - self._at, self._at)
            if not part:
                break
            parts.append(part if self._key is None else self._decrypt(memoryview(part)))
            self._at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _decrypt(self, data: memoryview) -> bytes:
        if self._stream is None or self._stream_at != self._at:
            assert self._key is not None
            self._stream = counter_mode(self._key, self._nonce, self._at)
        self._stream_at = self._at + len(data)
        return self._stream.update(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()
