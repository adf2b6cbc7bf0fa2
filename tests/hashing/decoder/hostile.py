"""A job for the pool that does what the file tells it to: everything a hostile codec might."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import resource
import signal
import socket
import struct
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


def _call(x86_64: int, aarch64: int, *arguments: int) -> int:
    """A system call by its number. Raises ``OSError``."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = x86_64 if platform.machine() == "x86_64" else aarch64
    answer = libc.syscall(number, *arguments)
    if answer == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return int(answer)


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
    "limits": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (7, 7)),
    "time": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1)),
    "thread-kill": lambda: _call(234, 131, os.getppid(), os.getppid(), signal.SIGTERM),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
    "processor": lambda: os.sched_setaffinity(os.getppid(), {0}),
    "scheduler": lambda: os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0)),
    "io-priority": lambda: _call(251, 30, 1, os.getppid(), 3 << 13),
    "owner": lambda: fcntl.fcntl(3, fcntl.F_SETOWN, os.getppid()),
    "owner-ex": lambda: fcntl.fcntl(3, 15, struct.pack("ii", 1, os.getppid())),
    "owner-ioctl": lambda: fcntl.ioctl(3, 0x8901, struct.pack("i", os.getppid())),
    "owner-signal": lambda: fcntl.fcntl(3, 10, signal.SIGKILL),
    "own-limits": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    "own-signal": lambda: signal.pthread_kill(threading.get_ident(), 0),
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
        case "video-later":
            on_video()
            time.sleep(0.3)
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
        case "try" | "open":
            what = order.partition(":")[2]
            try:
                TRIALS[what]() if order.startswith("try") else Path(what).read_bytes()
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
