"""Talk to the opener's process: hand it sealed bytes, hear what was inside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tutela.cases.opener import LENGTH_BYTES
from tutela.cases.recipients import opener_command, opener_environment
from tutela.errors import NotFound, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Opened:
    """What was inside a sealed object, or that it does not open (``size`` is then None)."""

    size: int | None
    md5: bytes = b""
    sha256: bytes = b""


class Opener:
    """A running opener. Use it as a context manager; it ends with the block.

    ``key`` is the file of the private key, which only the opener's process reads. Raises
    ``NotFound`` where there is no such file.
    """

    def __init__(self, key: Path) -> None:
        if not key.is_file():
            raise NotFound(
                f"There is no key file {key}.",
                kept="",
                next_step="Give the file that holds the vault's private key.",
            )
        self._key = key
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Opener:
        self._process = subprocess.Popen(
            opener_command(["verify", str(self._key)]),
            env=opener_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        self._process = None
        if process is None:
            return
        try:
            process.communicate(timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.communicate()

    def verify(self, size: int, sealed: Iterable[bytes]) -> Opened:
        """Open an object of ``size`` sealed bytes; what was inside.

        Raises ``StoreUnavailable`` where the opener has gone (the key file is none it can use).
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise StoreUnavailable("The opener is not running.")
        left = size
        try:
            process.stdin.write(size.to_bytes(LENGTH_BYTES, "big"))
            for chunk in sealed:
                part = chunk[:left]
                process.stdin.write(part)
                left -= len(part)
            while left > 0:  # cut short since it was measured: it will not open, and be told so
                part = bytes(min(left, 1 << 20))
                process.stdin.write(part)
                left -= len(part)
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        if not line:
            raise StoreUnavailable(
                "The opener could not use the key.",
                next_step="Give a file with an age identity or an OpenSSH private key.",
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            return Opened(None)
        return Opened(answer["size"], bytes.fromhex(answer["md5"]), bytes.fromhex(answer["sha256"]))
