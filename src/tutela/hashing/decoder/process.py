"""The zygote and its workers as seen from the process that uses them."""

from __future__ import annotations

import array
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading

import msgspec

import tutela
from tutela.core import Media
from tutela.errors import DecoderUnavailable, InvalidSetting

from . import folders, wire
from .zygote import CONTROL, NO_STATUS, STATUS, Config, Ready

START_SECONDS = 120.0
"""Longest start: compiling every kernel for the first time on a slow machine."""
ANSWER_SECONDS = 10.0
"""Longest wait for a fork, or for how a worker ended."""
RECEIVE_BYTES = 256 * 1024

KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME", "LD_LIBRARY_PATH")
"""All of the environment that a zygote gets, besides names that begin with ``NUMBA_``: settings
given by the environment may hold secrets."""

_LAUNCH = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[2]); "
    "from tutela.hashing.decoder.zygote import main; main(sys.argv[1])"
)


class Zygote:
    """A running zygote, for several threads. Raises ``DecoderUnavailable`` when it is gone, and
    ``InvalidSetting`` at the start where decoders could read a private folder."""

    def __init__(self, config: Config) -> None:
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        try:
            with theirs:
                self._process = _launch(config, theirs)
        except OSError as error:
            ours.close()
            raise DecoderUnavailable("The decoder could not be started.") from error
        try:
            ours.settimeout(START_SECONDS)
            word = ours.recv(65536)
            ready = msgspec.msgpack.decode(word, type=Ready) if word else None
        except (OSError, msgspec.MsgspecError):
            ready = None
        if ready is None:
            self.close()
            raise DecoderUnavailable("The decoder did not start.")
        if ready.exposed:
            self.close()
            raise _exposed(ready.exposed)
        self.sandbox = tuple(ready.sandbox)
        """The names of the measures that keep it shut off."""
        self.pid = self._process.pid
        ours.settimeout(ANSWER_SECONDS)

    def fork(self) -> Worker:
        """A new worker, ready for a file."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))]
        try:
            with theirs, self._lock:
                self._control.sendmsg([b"F"], rights)
                word, fds, _, _ = socket.recv_fds(self._control, 64, 1, socket.MSG_CMSG_CLOEXEC)
            if len(word) != STATUS.size or not fds:
                raise OSError("no worker")
        except OSError as error:
            ours.close()
            raise DecoderUnavailable("The decoder could not make a worker.") from error
        ours.setblocking(False)
        return Worker(STATUS.unpack(word)[0], fds[0], ours)

    def status(self, pid: int) -> int | None:
        """The wait status of a worker that ended, or None where it is not known."""
        try:
            with self._lock:
                self._control.send(b"S" + STATUS.pack(pid))
                word = self._control.recv(64)
        except OSError:
            return None
        status: int = STATUS.unpack(word)[0] if len(word) == STATUS.size else NO_STATUS
        return None if status == NO_STATUS else status

    def close(self) -> None:
        """End it and, with it, every worker; waits until it is gone."""
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Worker:
    """One worker process, used by one conversation at a time."""

    def __init__(self, pid: int, handle: int, talk: socket.socket) -> None:
        self.pid = pid
        self.talk = talk
        self.jobs = 0
        """Files it has been given."""
        self.spent = False
        """Whether it asked to be replaced."""
        self.overdue = False
        """Whether it was killed because its time was over."""
        self._handle = handle
        self._buffer = wire.ReplyBuffer()

    def send(self, request: wire.Request, fd: int) -> None:
        """Give it a file. Raises ``wire.BrokenTalk``."""
        self.jobs += 1
        wire.send_request(self.talk, request, fd)

    def receive(self) -> wire.Word | Media | None:
        """What it said: ``Word.VIDEO``, the result, or None when the message is not whole yet.

        Call it when the socket is readable. Raises ``wire.BrokenTalk``.
        """
        try:
            data = self.talk.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return self._next()
        except OSError as error:
            raise wire.BrokenTalk("the worker is gone") from error
        if not data:
            raise wire.BrokenTalk("the worker is gone")
        self._buffer.feed(data)
        return self._next()

    def pending(self) -> wire.Word | Media | None:
        """What arrived in the same breath as the last message."""
        return self._next()

    def _next(self) -> wire.Word | Media | None:
        message = self._buffer.next()
        if message is None:
            return None
        word, body = message
        if word is wire.Word.VIDEO:
            return word
        self.spent = word is wire.Word.SPENT
        return wire.decode_media(body)

    def wait(self, seconds: float) -> bool:
        """Block until it says something; False when ``seconds`` passed."""
        poll = select.poll()
        poll.register(self.talk, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it; an idle worker ends by itself then."""
        self.talk.close()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _exposed(folder: str) -> InvalidSetting:
    return InvalidSetting(
        f"Decoders read their code from {folder}, and the data folder overlaps it.",
        kept="Nothing was started.",
        next_step="Move the data folder (data_dir) away from where Python and Tutela are installed,"
        " so that no decoder can read keys or the database.",
    )


def _working_folder() -> str:
    """Where this process stands; the root where that folder is gone."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _launch(config: Config, control: socket.socket) -> subprocess.Popen[bytes]:
    kept = {k: v for k, v in os.environ.items() if k in KEPT_ENVIRONMENT or k.startswith("NUMBA_")}
    kept |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    searched = folders.search_path(sys.path, _working_folder(), os.path.dirname(tutela.__file__))
    paths = msgspec.json.encode(searched).decode()
    wanted = control.fileno()
    # ``pass_fds`` keeps the number, so the socket is moved to CONTROL by the interpreter started.
    launch = f"import os; os.dup2({wanted}, {CONTROL}); " if wanted != CONTROL else ""
    return subprocess.Popen(
        [sys.executable, "-I", "-c", launch + _LAUNCH, msgspec.json.encode(config).decode(), paths],
        env=kept,
        pass_fds=(wanted,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
