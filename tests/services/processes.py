"""Start real servers for tests, and never leave one behind."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

NOBODY = 65534
PR_SET_PDEATHSIG = 1


class Server:
    """One server process in a folder of its own; both end with ``stop``, the process with us.

    ``as_nobody`` runs it as an unprivileged user where the tests run as root (PostgreSQL refuses
    root).
    """

    def __init__(self, *, as_nobody: bool = False) -> None:
        self.user = NOBODY if as_nobody and os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="tutela-test-"))
        if self.user is not None:
            os.chown(self.folder, self.user, self.user)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def run(self, command: Sequence[str]) -> None:
        """A preparatory command, to its end."""
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, check=False, **self._as_user()
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.decode(errors='replace')}")

    def start(self, command: Sequence[str], ready: Callable[[], bool], seconds: float = 60) -> bool:
        """Start the server; True once ``ready``, False where it ended first (a port was taken)."""
        libc = ctypes.CDLL(None)

        def die_with_parent() -> None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
                **self._as_user(),
            )
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                return False
            if ready():
                return True
            time.sleep(0.05)
        raise RuntimeError(f"{command[0]} is not ready: {self.log.read_text(errors='replace')}")

    def stop(self, how: int = signal.SIGKILL) -> None:
        """End the process and remove its folder."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(15)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _as_user(self) -> dict[str, object]:
        if self.user is None:
            return {}
        return {"user": self.user, "group": self.user, "extra_groups": []}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now, below those the kernel gives to clients."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.randbelow(20_000) + 12_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
