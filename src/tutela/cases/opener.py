"""``python -m tutela.cases.opener``: the one process that reads the vault's private key.

It loads nothing of Tutela but this file, gets none of its settings or secrets, dumps no core, and
speaks over its pipes only::

    make-key KEY RECIPIENTS   make an X25519 key (0600) and write its public half beside it
    verify KEY                for each sealed object on standard input, an 8-byte length (big
                              endian) and its bytes: one line of JSON on standard output with
                              size, md5 and sha256 of what was inside, or {"error": "..."}

The plain bytes never leave it: ``verify`` hashes them part by part and forgets them.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pyrage
from pyrage import ssh, x25519

_PR_SET_DUMPABLE = 4
LENGTH_BYTES = 8
"""Bytes of the length before each sealed object."""


def main(arguments: list[str]) -> int:
    """Run one command; 0, or 1 with a line on standard error that holds no secret."""
    _close_off()
    try:
        match arguments:
            case ["make-key", key, recipients]:
                make_key(Path(key), Path(recipients))
            case ["verify", key]:
                verify_all(read_identities(Path(key)), sys.stdin.buffer, sys.stdout.buffer)
            case _:
                sys.stderr.write("usage: opener make-key KEY RECIPIENTS | verify KEY\n")
                return 1
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        sys.stderr.write(f"{type(error).__name__} {os.strerror(number) if number else ''}\n")
        return 1
    return 0


def make_key(key: Path, recipients: Path) -> None:
    """Make the key unless there is one, and write its public half. Whole and durable, or not."""
    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not key.exists():
        identity = x25519.Identity.generate()
        text = (
            "# The private key of Tutela's evidence vault. Keep two copies in safe places and\n"
            "# move it away from this machine; without it no evidence can be opened.\n"
            f"# public key: {identity.to_public()}\n{identity}\n"
        )
        with contextlib.suppress(FileExistsError):  # another process was first
            _write_new(key, text)
    public = [str(identity.to_public()) for identity in read_identities(key)]
    with contextlib.suppress(FileExistsError):
        _write_new(recipients, "".join(f"{line}\n" for line in public))


def read_identities(path: Path) -> list[Any]:
    """The private keys of a file: age's own format, or one OpenSSH private key.

    Raises ``ValueError`` where there is none, ``OSError`` where it cannot be read.
    """
    data = path.read_bytes()
    try:
        if data.startswith(b"-----BEGIN"):
            return [ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.decode().splitlines()]
        found = [x25519.Identity.from_str(line) for line in lines if line and line[0] != "#"]
    except (pyrage.IdentityError, UnicodeDecodeError) as error:
        raise ValueError("not a key") from error
    if not found:
        raise ValueError("no key")
    return found


def verify_all(identities: list[Any], source: BinaryIO, answers: BinaryIO) -> None:
    """Answer for each framed object of ``source`` until it ends."""
    while True:
        prefix = source.read(LENGTH_BYTES)
        if len(prefix) < LENGTH_BYTES:
            return
        frame = _Frame(source, int.from_bytes(prefix, "big"))
        answer = verify_one(identities, frame)
        frame.drain()
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def verify_one(identities: list[Any], reader: Any) -> dict[str, Any]:
    """What is inside one sealed object: ``size``, ``md5``, ``sha256``; or ``error``."""
    hashed = _Digests()
    try:
        pyrage.decrypt_io(reader, hashed, identities)
    except (pyrage.DecryptError, OSError, ValueError):
        return {"error": "it does not open: damaged, or sealed to another key"}
    return hashed.answer()


class _Digests:
    """Takes plain bytes, keeps their hashes."""

    def __init__(self) -> None:
        self._size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._size += len(data)
        self._md5.update(data)
        self._sha256.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def answer(self) -> dict[str, Any]:
        return {
            "size": self._size,
            "md5": self._md5.hexdigest(),
            "sha256": self._sha256.hexdigest(),
        }


class _Frame:
    """The next ``length`` bytes of a stream, as a reader."""

    def __init__(self, source: BinaryIO, length: int) -> None:
        self._source = source
        self._left = length

    def read(self, count: int = -1) -> bytes:
        wanted = self._left if count < 0 else min(count, self._left)
        data = self._source.read(wanted) if wanted else b""
        self._left -= len(data) if data else self._left
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass


def _write_new(path: Path, text: str) -> None:
    """Write a file that must not exist yet; it appears whole (link), 0600, flushed."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(staging, path)
    finally:
        staging.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _close_off() -> None:
    """No core dump, and no other process of this user may read our memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
