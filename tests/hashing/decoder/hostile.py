"""A job for the pool that does what the file tells it to: everything a hostile codec might."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tutela.core import Digests, Fault, FaultKind, FrameHash, Media, MediaKind
from tutela.hashing.digests import digest_stream
from tutela.hashing.options import HashOptions


def _open_for_writing() -> object:
    return Path("/tmp/tutela-hostile-was-here").write_text("here")


def _memory() -> object:
    held = []
    while True:
        held.append(bytearray(64 << 20))


def _burn() -> None:
    while True:
        sum(range(100_000))


TRIALS: dict[str, Callable[[], object]] = {
    "read": lambda: Path("/etc/passwd").read_text(),
    "environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "write": _open_for_writing,
    "unlink": lambda: os.unlink("/tmp/tutela-hostile-target"),
    "run": lambda: subprocess.run(["/bin/true"]),
    "fork": os.fork,
    "socket": lambda: socket.socket(),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "kill": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "ftruncate": lambda: os.ftruncate(_fd, 0),
    "scribble": lambda: os.pwrite(_fd, b"X", 0),
}
_fd = -1


def hash_media(
    source: BinaryIO,
    options: HashOptions,
    *,
    digests: Digests | None = None,
    on_video: Callable[[], None] | None = None,
) -> Media:
    global _fd
    _fd = source.raw._fd
    order = source.read(4096).decode("ascii", "replace")
    source.seek(0)
    fault, frames = None, ()
    match order.partition(":")[0]:
        case "segv":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "exit":
            os._exit(0)
        case "burn":
            _burn()
        case "sleep":
            time.sleep(600)
        case "video":
            on_video()
            time.sleep(float(order.partition(":")[2]))
        case "video-twice":
            on_video()
            on_video()
            time.sleep(600)
        case "memory":
            _memory()
        case "raise":
            raise RuntimeError("secret text")
        case "babble":
            os.write(3, b"\xff" * 100_000)
            time.sleep(600)
        case "threads":
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
        case "flood":
            frames = (FrameHash(number=0, time=0.0, pdq=bytes(32), quality=0),) * 1_000_000
        case "lie":
            digests = Digests(md5=b"L" * 16, sha1=b"L" * 20, sha256=b"L" * 32)
        case "short":
            digests = Digests(md5=b"x", sha1=b"y", sha256=b"z")
        case "fds":
            fault = Fault(kind=FaultKind.DAMAGED, detail=",".join(map(str, _open_fds())))
        case "pid":
            fault = Fault(kind=FaultKind.DAMAGED, detail=str(os.getpid()))
        case "environ":
            fault = Fault(kind=FaultKind.DAMAGED, detail=" ".join(os.environ))
        case "try":
            try:
                TRIALS[order.partition(":")[2]]()
                detail = "done"
            except Exception as error:
                detail = type(error).__name__
            fault = Fault(kind=FaultKind.DAMAGED, detail=detail)
    return Media(
        kind=MediaKind.OTHER,
        format="text",
        size=len(order),
        digests=digests or digest_stream(source),
        frames=frames,
        faults=(fault,) if fault else (),
    )


def _open_fds() -> list[int]:
    found = []
    for fd in range(256):
        try:
            os.fstat(fd)
        except OSError:
            continue
        found.append(fd)
    return found
