"""Shutting a process off: no network, no files but the interpreter's own, no new privileges.

Each measure is used where the kernel has it, and what took hold is reported by name, so that an
operator can see it; none needs root. In the order of use: a network namespace of its own (where
allowed), no new privileges, capabilities dropped, Landlock (files readable only where the
code lies, see ``folders``; none writable), and in each worker a seccomp filter (see ``seccomp``).

Sources: landlock(7) and ``linux/landlock.h``, prctl(2), capabilities(7), unshare(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWNET = 0x4000_0000

LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
READ_FILE = 1 << 2
READ_DIR = 1 << 3
FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many file system rights (lowest bits) each version of Landlock's interface knows."""

SYSTEM_FOLDERS = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
)
MAX_OPEN_FILES = 64


def no_core_dumps() -> None:
    """Let no crash of this process write its memory (uploads, keys) to disk, nor others read it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; ends it now if that happened."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def shut_off(readable: Iterable[str]) -> list[str]:
    """Take away network, privileges and files from this process and all it will fork.

    ``readable`` are files and folders that stay readable besides the system's libraries. Returns
    the names of the measures that took hold.
    """
    held = []
    if _libc.unshare(CLONE_NEWNET) == 0:
        held.append("network-namespace")
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        held.append("no-new-privileges")
    if _drop_capabilities():
        held.append("no-capabilities")
    if _landlock([*SYSTEM_FOLDERS, *readable]):
        held.append("landlock")
    return held


def limit(memory_bytes: int, file_bytes: int) -> None:
    """Bound this process's address space, open files and the size of what it writes (memfds)."""
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))


def landlock_version() -> int:
    """The version of Landlock's interface that the kernel offers; under 1, it offers none."""
    return int(_libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def _drop_capabilities() -> bool:
    header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    nothing = (ctypes.c_uint32 * 6)()
    try:
        return bool(_libc.capset(header, nothing) == 0)
    except AttributeError:
        return False


def _landlock(paths: Iterable[str]) -> bool:
    version = landlock_version()
    if version < 1:
        return False
    handled = (1 << FS_RIGHTS[min(version, 5)]) - 1
    net = 0b11 if version >= 4 else 0  # binding and connecting TCP
    scoped = 0b11 if version >= 6 else 0  # abstract sockets and signals stay inside
    attributes = (ctypes.c_uint64 * 3)(handled, net, scoped)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _libc.syscall(LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    try:
        for path in paths:
            _allow_reading(ruleset, path)
        return bool(_libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: str) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = READ_FILE | READ_DIR if Path(path).is_dir() else READ_FILE
        rule = rights.to_bytes(8, "little") + fd.to_bytes(4, "little")
        _libc.syscall(LANDLOCK_ADD_RULE, ruleset, 1, ctypes.c_char_p(rule), 0)
    finally:
        os.close(fd)
