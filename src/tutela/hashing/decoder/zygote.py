"""The zygote: a fresh interpreter that is warm and shut off, and forks a worker on request.

Run as ``python -I -c … zygote.main(config)`` by ``process.Zygote``. It keeps one socket to the
process that started it and ends when that closes; its workers end with it. It answers two
requests: fork a worker (``F`` with the worker's socket beside it → pid and a pidfd), and say how a
worker ended (``S`` + pid → its wait status). It reaps every worker that ends.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import os
import platform
import select
import signal
import socket
import struct
import threading
from typing import Any

import msgspec

from . import folders, sandbox, seccomp, worker

CONTROL = 3
"""The zygote's socket."""
STATUS = struct.Struct("<i")
NO_STATUS = -1
STATUS_PATIENCE = 2.0
"""Seconds to wait for a worker, already killed, to end."""


class Config(msgspec.Struct, frozen=True):
    """What the zygote is told on its command line, as JSON."""

    job: str
    memory_bytes: int
    file_bytes: int
    private: tuple[str, ...] = ()
    """Folders that no decoder may be able to read: the data folder."""


class Ready(msgspec.Struct, frozen=True):
    """The zygote's first word: which measures of the sandbox took hold."""

    sandbox: list[str]
    threads: int
    exposed: str = ""
    """A readable folder that overlaps a private one: the zygote ended instead of serving."""


def main(config: str) -> None:
    """Warm up, shut off, and serve until the other side closes."""
    settings = msgspec.json.decode(config, type=Config)
    sandbox.no_core_dumps()
    control = socket.socket(fileno=CONTROL)
    job = worker.load_job(settings.job)
    warm_up(settings.job)
    forget_caches()
    nowhere = os.open(os.devnull, os.O_RDWR)
    readable = folders.code_folders()
    exposed = folders.overlap(settings.private, [*sandbox.SYSTEM_FOLDERS, *readable])
    if exposed is not None:
        control.send(msgspec.msgpack.encode(Ready([], _threads(), exposed)))
        return
    held = sandbox.shut_off(readable)
    if _seccomp_known():
        held.append("seccomp")
    _to_nowhere(nowhere)
    gc.collect()
    gc.freeze()
    control.send(msgspec.msgpack.encode(Ready(held, _threads())))
    _Server(control, job, settings).run()


def warm_up(job: str) -> None:
    """Load every codec and compile every kernel, so that no worker reads files or compiles."""
    module = importlib.import_module(job.partition(":")[0])
    warm = getattr(module, "warm_up", None)
    if warm is not None:
        warm()


def forget_caches() -> None:
    """Cut compiled kernels off from their files. A kernel that warming up did not foresee is then
    compiled in the worker's memory; reading or writing a cache would be refused by the sandbox."""
    from numba.core.caching import NullCache
    from numba.core.dispatcher import Dispatcher

    for thing in gc.get_objects():
        if isinstance(thing, Dispatcher):
            thing.__dict__["_cache"] = NullCache()


class _Server:
    def __init__(self, control: socket.socket, job: worker.Job, settings: Config) -> None:
        self._control = control
        self._job = job
        self._settings = settings
        self._living: set[int] = set()
        self._ended: dict[int, int] = {}

    def run(self) -> None:
        waker, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._control.fileno(), waker], [], [])
            if waker in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(waker, 4096)
                self._reap(os.WNOHANG)
            if self._control.fileno() in ready and not self._answer():
                return

    def _answer(self) -> bool:
        try:
            word, fds, _, _ = socket.recv_fds(self._control, 64, 1)
            if word == b"F" and fds:
                self._fork(fds[0])
            elif word[:1] == b"S" and len(word) == 5:
                self._control.send(STATUS.pack(self._status(*STATUS.unpack(word[1:]))))
            else:
                return False
        except (ConnectionError, BrokenPipeError):
            return False
        return True

    def _fork(self, fd: int) -> None:
        parent = os.getpid()
        talk = socket.socket(fileno=fd)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            worker.become(
                talk, self._job, self._settings.memory_bytes, self._settings.file_bytes, parent
            )
        talk.close()
        self._living.add(pid)
        handle = os.pidfd_open(pid)
        try:
            rights: list[Any] = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle]))]
            self._control.sendmsg([STATUS.pack(pid)], rights)
        finally:
            os.close(handle)

    def _status(self, pid: int) -> int:
        if pid in self._living:
            handle = os.pidfd_open(pid)
            try:
                select.select([handle], [], [], STATUS_PATIENCE)
            finally:
                os.close(handle)
            self._reap(os.WNOHANG)
        return self._ended.pop(pid, NO_STATUS)

    def _reap(self, how: int) -> None:
        for pid in tuple(self._living):
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(pid, how)
                if ended:
                    self._living.discard(pid)
                    self._ended[pid] = status
        while len(self._ended) > 256:
            self._ended.pop(next(iter(self._ended)))


def _to_nowhere(nowhere: int) -> None:
    """Point the three standard streams at nothing: codecs print what they read out of files."""
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _seccomp_known() -> bool:
    return platform.machine() in seccomp.REFUSED and hasattr(os, "pidfd_open")


def _threads() -> int:
    """Threads of this process; forking is safe with one."""
    return threading.active_count()
