"""What a worker in an attacker's hands cannot do."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tutela.core import Media
from tutela.hashing.decoder import DecoderPool, sandbox, seccomp

Tell = Callable[[DecoderPool, str], Media]


def said(media: Media) -> str:
    return media.faults[0].detail


@pytest.mark.parametrize(
    "what",
    ["read", "environment", "write", "unlink", "run", "fork", "socket", "unix", "kill"],
)
def test_it_reaches_no_file_process_or_network(pool: DecoderPool, tell: Tell, what: str) -> None:
    by = "landlock" if what in {"read", "environment"} else "seccomp"
    kernel_has = by == "seccomp" or sandbox.landlock_version() > 0
    assert (by in pool.health().sandbox) == kernel_has
    if kernel_has:
        assert said(tell(pool, f"try:{what}")) == "PermissionError"


@pytest.mark.parametrize(
    "what",
    [
        *("limits", "time", "thread-kill", "priority", "processor", "scheduler", "io-priority"),
        *("owner", "owner-ex", "owner-ioctl", "owner-signal"),
    ],
)
def test_it_can_neither_end_nor_slow_down_another_process(
    pool: DecoderPool, tell: Tell, what: str
) -> None:
    assert said(tell(pool, f"try:{what}")) == "PermissionError"


@pytest.mark.parametrize("what", ["own-limits", "own-signal"])
def test_it_can_limit_and_signal_itself(pool: DecoderPool, tell: Tell, what: str) -> None:
    assert said(tell(pool, f"try:{what}")) == "done"


@pytest.mark.parametrize("what", ["ftruncate", "scribble"])
def test_it_cannot_change_the_file_it_examines(pool: DecoderPool, tell: Tell, what: str) -> None:
    assert said(tell(pool, f"try:{what}")) == "PermissionError"


def test_it_can_start_threads_which_codecs_need(pool: DecoderPool, tell: Tell) -> None:
    assert tell(pool, "threads").faults == ()


def test_it_inherits_no_descriptor_but_its_socket_and_the_file(
    pool: DecoderPool, tell: Tell
) -> None:
    secret = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        # 0 to 2 lead nowhere, 3 is the socket, the file comes twice (source and reader)
        assert said(tell(pool, "fds")) == "0,1,2,3,4,5"
        assert said(tell(pool, "fds")) == "0,1,2,3,4,5"
    finally:
        os.close(secret)


def test_it_inherits_no_secret_from_the_environment(
    make_pool: Callable[..., DecoderPool], tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELA_STORE__DATABASE_URL", "postgresql://user:secret@host/db")
    names = said(tell(make_pool(), "environ")).split()
    assert "OPENBLAS_NUM_THREADS" in names
    assert not [name for name in names if "TUTELA" in name]


def test_it_dumps_no_core(pool: DecoderPool, tell: Tell) -> None:
    pid = int(said(tell(pool, "pid")))
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_AS) == (700 << 20, 700 << 20)


def test_nothing_of_it_outlives_the_process_that_started_it(hostile_path: None) -> None:
    story = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from tutela.hashing.decoder import DecoderPool\n"
        "from tutela.hashing.source import Source\n"
        "import threading, psutil\n"
        "pool = DecoderPool(workers=2, job='hostile:hash_media'); pool.start_blocking()\n"
        "for _ in range(2):\n"
        "    file = Source.from_bytes(b'sleep')\n"
        "    asleep = threading.Thread(target=pool.hash_blocking, args=[file])\n"
        "    asleep.daemon = True; asleep.start()\n"
        "time.sleep(0.3)\n"
        "print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True)\n"
        "time.sleep(60)\n"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", story, str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    pids = [int(pid) for pid in started.stdout.readline().split()]
    assert len(pids) == 3
    started.send_signal(signal.SIGKILL)
    started.wait()
    started.stdout.close()
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [p for p in pids if psutil.pid_exists(p) and psutil.Process(p).status() != "zombie"]
    assert not left


def test_shutting_off_works_where_the_kernel_has_none_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Nothing:
        def __getattr__(self, name: str) -> Callable[..., int]:
            if name == "capset":
                raise AttributeError(name)
            return lambda *_: -1

    monkeypatch.setattr(sandbox, "_libc", Nothing())
    monkeypatch.setattr(seccomp.platform, "machine", lambda: "riscv64")
    assert sandbox.shut_off(["/usr"]) == []
    assert seccomp.apply() is False


def emulate(code: bytes, number: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
    """A classic BPF machine with the four instructions of the filter (linux/filter.h)."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    steps = [struct.unpack_from("HBBI", code, at) for at in range(0, len(code), 8)]
    at, held = 0, 0
    while True:
        opcode, yes, no, value = steps[at]
        at += 1
        if opcode == seccomp.RETURN:
            return int(value)
        if opcode == seccomp.LOAD:
            held = struct.unpack_from("<I", data, value)[0]
            continue
        met = {
            seccomp.JUMP_EQUAL: held == value,
            seccomp.JUMP_GREATER_EQUAL: held >= value,
            seccomp.JUMP_ANY_BIT: bool(held & value),
        }[opcode]
        at += yes if met else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_on_each_machine(machine: str) -> None:
    code, known = seccomp.program(machine, 77), seccomp.ARCHITECTURES[machine]

    def answer(number: int, *arguments: int) -> int:
        return emulate(code, number, known, arguments)

    assert len(code) % 8 == 0
    assert len(code) // 8 < 4096
    allowed = {"x86_64": (0, 1, 9, 11, 12, 17, 231, 319), "aarch64": (63, 64, 67, 93, 222, 279)}
    assert {answer(number) for number in allowed[machine]} == {seccomp.ALLOW}
    assert {answer(number) for number in seccomp.REFUSED[machine]} == {seccomp.REFUSE}
    assert {answer(n) for n in seccomp.UNREADABLE_ARGUMENTS} == {seccomp.ABSENT}
    for number, argument in seccomp.OPENS[machine]:
        before = (0,) * argument
        assert answer(number, *before, os.O_RDONLY | os.O_CLOEXEC) == seccomp.ALLOW
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_RDWR | os.O_CLOEXEC):
            assert answer(number, *before, flags) == seccomp.REFUSE
    limits, signals = seccomp.PRLIMIT[machine], seccomp.TGKILL[machine]
    assert answer(limits, 0, resource.RLIMIT_CPU) == seccomp.ALLOW
    assert {answer(limits, each) for each in (1, 77, 1 << 31)} == {seccomp.REFUSE}
    assert answer(signals, 77, 78, signal.SIGABRT) == seccomp.ALLOW
    assert {answer(signals, each) for each in (0, 1, 76)} == {seccomp.REFUSE}
    for number, refused in (
        (seccomp.FCNTL[machine], seccomp.OWNING),
        (seccomp.IOCTL[machine], seccomp.OWNING_BY_IOCTL),
    ):
        assert {answer(number, 3, command) for command in refused} == {seccomp.REFUSE}
        assert {answer(number, 3, command) for command in (1, 3, 0x5401)} == {seccomp.ALLOW}
    assert answer(seccomp.CLONE[machine], 0x3D0F00) == seccomp.ALLOW
    assert answer(seccomp.CLONE[machine], signal.SIGCHLD) == seccomp.REFUSE
    assert emulate(code, 0, 0x1234) == seccomp.REFUSE
    if machine == "x86_64":
        assert answer(seccomp.X32 | 1) == seccomp.REFUSE
