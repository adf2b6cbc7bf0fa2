"""MD5, SHA-1 and SHA-256 of a file in one streaming pass.

Lists from hash-sharing programmes hold all three. They identify known files here; none is used
to keep anything secret.
"""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from tutela.core import Digests

CHUNK_BYTES = 1 << 20
"""How much is read at a time: large enough for full speed, small enough for the cache."""


class Digester:
    """Takes bytes as they come by and gives the three digests of all so far."""

    __slots__ = ("_md5", "_sha1", "_sha256", "size")

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self.size = 0

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        """Adds ``chunk``. ``size`` counts the bytes so far."""
        self._md5.update(chunk)
        self._sha1.update(chunk)
        self._sha256.update(chunk)
        self.size += len(chunk)

    def result(self) -> Digests:
        """The digests of everything added so far; more may be added after."""
        return Digests(
            md5=self._md5.digest(), sha1=self._sha1.digest(), sha256=self._sha256.digest()
        )


def digest_stream(stream: BinaryIO) -> Digests:
    """The digests of a stream from where it stands to its end."""
    digester = Digester()
    while chunk := stream.read(CHUNK_BYTES):
        digester.update(chunk)
    return digester.result()
