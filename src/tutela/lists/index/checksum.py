"""XXH64 (Yann Collet's xxHash, 64 bits), so that a snapshot of gigabytes is checked in a moment.

It finds damage, not malice: whoever can write the file can write its sums.
Source: the xxHash specification, ``doc/xxhash_spec.md`` of Cyan4973/xxHash.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from .native import load8, load32, load64

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)


@njit(cache=True, nogil=True, inline="always")
def _turn(value: Any, by: int) -> Any:
    return (value << np.uint64(by)) | (value >> np.uint64(64 - by))


@njit(cache=True, nogil=True, inline="always")
def _round(held: Any, word: Any) -> Any:
    return _turn(held + word * _P2, 31) * _P1


@njit(cache=True, nogil=True)
def _xxh64(at: Any, length: Any) -> Any:
    end = at + length
    if length >= 32:
        a, b = _P1 + _P2, _P2
        c, d = np.uint64(0), np.uint64(0) - _P1
        while at + 32 <= end:
            a = _round(a, load64(at))
            b = _round(b, load64(at + 8))
            c = _round(c, load64(at + 16))
            d = _round(d, load64(at + 24))
            at += 32
        held = _turn(a, 1) + _turn(b, 7) + _turn(c, 12) + _turn(d, 18)
        for lane in (a, b, c, d):
            held = (held ^ _round(np.uint64(0), lane)) * _P1 + _P4
    else:
        held = _P5
    held += np.uint64(length)
    while at + 8 <= end:
        held = _turn(held ^ _round(np.uint64(0), load64(at)), 27) * _P1 + _P4
        at += 8
    if at + 4 <= end:
        held = _turn(held ^ (load32(at) * _P1), 23) * _P2 + _P3
        at += 4
    while at < end:
        held = _turn(held ^ (load8(at) * _P5), 11) * _P1
        at += 1
    held = (held ^ (held >> np.uint64(33))) * _P2
    held = (held ^ (held >> np.uint64(29))) * _P3
    return held ^ (held >> np.uint64(32))


def xxh64(data: bytes | bytearray | memoryview | npt.NDArray[np.uint8]) -> int:
    """XXH64 with seed 0 of some bytes. Lets other threads run meanwhile."""
    view = data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
    return int(_xxh64(view.ctypes.data, len(view)))
