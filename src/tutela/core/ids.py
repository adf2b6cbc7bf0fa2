"""Identifiers: UUID version 7 (RFC 9562), so that rows made later sort later."""

from __future__ import annotations

import os
import threading
import time
import uuid

_lock = threading.Lock()
_last_ms = 0
_counter = 0


def new_id(prefix: str) -> str:
    """A fresh identifier such as ``dec_0199f0c2b1f07c3e9d0e2f4a5b6c7d8e``.

    ``prefix`` names the noun (``item``, ``dec``, ``case``, ``ev``, ``sig``…). Identifiers made by
    one process sort in the order in which they were made; 62 random bits make them unguessable.
    """
    global _last_ms, _counter
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms, _counter = now_ms, int.from_bytes(os.urandom(2), "big") & 0x3FF
        else:
            _counter += 1
            if _counter > 0xFFF:
                _last_ms, _counter = _last_ms + 1, 0
        stamp, sequence = _last_ms, _counter
    value = (stamp & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | sequence << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8), "big") >> 2
    return f"{prefix}_{uuid.UUID(int=value).hex}"
