"""The worker's seccomp filter: what a decoder never needs is refused with EPERM.

A deny list on top of Landlock and limits: starting programs and processes, sockets, tracing and
signalling others, other processes' limits, priority and processors, changing any file by name,
opening anything for writing, namespaces, mounts, kernel interfaces with a long history of holes
(io_uring, bpf, userfaultfd, keyrings, splicing…). Threads are allowed, processes are not. A worker
may read and lower its own limits and signal itself (``abort`` of the C library does), no other.
Known for x86-64 and AArch64; elsewhere it is left out and reported so.

Sources: seccomp(2), ``linux/filter.h``, the kernel's syscall tables.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
ALLOW = 0x7FFF_0000
REFUSE = 0x0005_0000 | errno.EPERM
ABSENT = 0x0005_0000 | errno.ENOSYS

LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
CLONE_THREAD = 0x0001_0000
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
X32 = 0x4000_0000

REFUSED: dict[str, tuple[int, ...]] = {
    "x86_64": (
        *(41, 42, 43, 49, 50, 53, 288),  # sockets
        *(57, 58, 59, 322),  # fork, vfork, execve, execveat
        *(62, 129, 200, 297, 424),  # kill, rt_sigqueueinfo, tkill, rt_tgsigqueueinfo, pidfd
        *(101, 310, 311, 312, 434, 438, 440),  # ptrace, process_vm_*, kcmp, pidfd_*, madvise
        *(76, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 93, 94, 132, 133, 235),  # files by name
        *(258, 259, 260, 261, 263, 264, 265, 266, 268, 280, 316, 452),  # the same, …at
        *(188, 189, 190, 197, 198, 199),  # extended attributes
        *(155, 161, 165, 166, 272, 308, 428, 429, 430, 431, 432, 442),  # mounts, namespaces
        *(103, 163, 164, 167, 168, 169, 170, 171, 172, 173, 175, 176, 179, 227, 246, 313, 320),
        *(134, 135, 154, 248, 249, 250, 298, 300, 303, 304, 321, 323, 425, 426, 427),
        *(29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 220, 240),  # System V IPC, message queues
        *(141, 142, 144, 203, 251, 256, 279, 314, 448),  # priority, processors, memory of others
        *(153, 159, 212, 275, 276, 278, 305, 433, 443, 463, 466, 467, 469),  # clocks, splicing…
    ),
    "aarch64": (
        *(198, 199, 200, 201, 202, 203, 242),
        *(221, 281),
        *(129, 130, 138, 240, 424),
        *(117, 270, 271, 272, 434, 438, 440),
        *(33, 34, 35, 36, 37, 38, 45, 52, 53, 54, 55, 88, 276, 452),
        *(5, 6, 7, 14, 15, 16),
        *(39, 40, 41, 51, 97, 268, 428, 429, 430, 431, 432, 442),
        *(60, 89, 104, 105, 106, 112, 116, 142, 161, 162, 170, 224, 225, 273, 294),
        *(92, 217, 218, 219, 241, 262, 264, 265, 280, 282, 425, 426, 427),
        *(180, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196),
        *(30, 118, 119, 122, 140, 238, 239, 274, 448),
        *(18, 58, 75, 76, 77, 171, 266, 433, 443, 463, 466, 467, 469),
    ),
}
OPENS: dict[str, tuple[tuple[int, int], ...]] = {
    "x86_64": ((2, 1), (257, 2)),
    "aarch64": ((56, 2),),
}
"""Numbers of open and openat, and which argument holds the flags."""
PRLIMIT = {"x86_64": 302, "aarch64": 261}
"""prlimit64: the C library sets a process's own limits by it, with 0 for whose they are."""
TGKILL = {"x86_64": 234, "aarch64": 131}
FCNTL = {"x86_64": 72, "aarch64": 25}
IOCTL = {"x86_64": 16, "aarch64": 29}
OWNING = (8, 10, 15)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX: with them the kernel sends any signal to any process of the
same user when something can be read."""
OWNING_BY_IOCTL = (0x8901, 0x8902, 0x5412)
"""FIOSETOWN and SIOCSPGRP, which do the same; TIOCSTI, which types into a terminal."""
CLONE = {"x86_64": 56, "aarch64": 220}
UNREADABLE_ARGUMENTS = (435, 437)
"""clone3 and openat2 take structures a filter cannot see; libc falls back on ENOSYS."""


def program(machine: str, process: int) -> bytes:
    """The filter for a machine as classic BPF, for the worker with the number ``process``.

    Raises ``KeyError`` for an unknown machine. Of an argument only the lower half is looked at
    where the kernel takes 32 bits of it.
    """
    steps: list[tuple[int, int, int, int]] = []

    def refuse_if(opcode: int, value: int, answer: int = REFUSE) -> None:
        steps.append((opcode, 0, 1, value))
        steps.append((RETURN, 0, 0, answer))

    def only(number: int, value: int) -> None:
        """Allow a call where its first argument is ``value``."""
        steps.append((JUMP_EQUAL, 0, 4, number))
        steps.append((LOAD, 0, 0, ARGUMENTS))
        steps.append((JUMP_EQUAL, 0, 1, value))
        steps.append((RETURN, 0, 0, ALLOW))
        steps.append((RETURN, 0, 0, REFUSE))

    def never(number: int, commands: tuple[int, ...]) -> None:
        """Refuse some commands (second argument) of a call, and allow all others."""
        steps.append((JUMP_EQUAL, 0, 2 + 2 * len(commands), number))
        steps.append((LOAD, 0, 0, ARGUMENTS + 8))
        for command in commands:
            refuse_if(JUMP_EQUAL, command)
        steps.append((RETURN, 0, 0, ALLOW))

    steps.append((LOAD, 0, 0, ARCHITECTURE))
    steps.append((JUMP_EQUAL, 1, 0, ARCHITECTURES[machine]))
    steps.append((RETURN, 0, 0, REFUSE))
    steps.append((LOAD, 0, 0, NUMBER))
    if machine == "x86_64":
        refuse_if(JUMP_GREATER_EQUAL, X32)
    for number in REFUSED[machine]:
        refuse_if(JUMP_EQUAL, number)
    for number in UNREADABLE_ARGUMENTS:
        refuse_if(JUMP_EQUAL, number, ABSENT)
    only(PRLIMIT[machine], 0)
    only(TGKILL[machine], process)
    never(FCNTL[machine], OWNING)
    never(IOCTL[machine], OWNING_BY_IOCTL)
    for number, argument in OPENS[machine]:
        steps.append((JUMP_EQUAL, 0, 4, number))
        steps.append((LOAD, 0, 0, ARGUMENTS + 8 * argument))
        steps.append((JUMP_ANY_BIT, 0, 1, WRITING))
        steps.append((RETURN, 0, 0, REFUSE))
        steps.append((RETURN, 0, 0, ALLOW))
    steps.append((JUMP_EQUAL, 0, 4, CLONE[machine]))
    steps.append((LOAD, 0, 0, ARGUMENTS))
    steps.append((JUMP_ANY_BIT, 1, 0, CLONE_THREAD))
    steps.append((RETURN, 0, 0, REFUSE))
    steps.append((RETURN, 0, 0, ALLOW))
    steps.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def apply() -> bool:
    """Filter this process, after its last fork. True where it took hold; needs no_new_privs or
    root."""
    try:
        code = program(platform.machine(), os.getpid())
    except KeyError:
        return False
    held = ctypes.create_string_buffer(code, len(code))

    class _Program(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    found = _Program(len(code) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(found), 0, 0) == 0)
