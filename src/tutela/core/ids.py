"""Identifiers: UUID version 7 (RFC 9562), so that rows made later sort later."""

from __future__ import annotations

import os
import threading
import time

_POOL_BYTES = 4096
_lock = threading.Lock()
_last_ms = 0
_counter = 0
_pool = b""
_at = 0


def new_id(prefix: str) -> str:
    """A fresh identifier such as ``dec_0199f0c2b1f07c3e9d0e2f4a5b6c7d8e``.

    ``prefix`` names the noun (``item``, ``dec``, ``case``, ``ev``, ``sig``…). Identifiers made by
    one process sort in the order in which they were made; 62 random bits make them unguessable.
    They are taken from the system's randomness many at a time: asking it lets go of Python's
    lock, which under load costs more than everything else here.
    """
    global _last_ms, _counter, _pool, _at
    with _lock:
        if _at >= len(_pool):
            _pool, _at = os.urandom(_POOL_BYTES), 0
        random = int.from_bytes(_pool[_at : _at + 8], "big")
        _at += 8
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms, _counter = now_ms, random & 0x3FF
        else:
            _counter += 1
            if _counter > 0xFFF:
                _last_ms, _counter = _last_ms + 1, 0
        stamp, sequence = _last_ms, _counter
    value = (stamp & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | sequence << 64
    value |= 0b10 << 62 | random >> 2
    return f"{prefix}_{value:032x}"


def _forget() -> None:
    """A forked process takes randomness of its own, or two would make the same identifiers."""
    global _pool, _at, _lock
    _lock = threading.Lock()
    _pool, _at = b"", 0


os.register_at_fork(after_in_child=_forget)
