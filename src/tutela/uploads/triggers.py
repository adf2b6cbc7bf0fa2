"""The self-test's harmless triggers: a picture and a file of our own, the field's EICAR.

Both are made from text by integer arithmetic, so every machine makes the same bytes. The picture is
a soft chequered field that resembles nothing; the control is another one that no list knows.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

import numpy as np

SIDE = 384
"""Pixels of the picture's side."""
_CELLS = 12
_TRIGGER = b"tutela selftest trigger 1"
_STORED = 65_535

TRIGGER_FILE = (
    b"TUTELA-SELFTEST-FILE-1\n"
    b"This file is harmless. A gate that lists its digest must block it, and by that shows that it "
    b"works.\n"
)
"""The trigger file. Its digests are on the list ``selftest``."""


def trigger_picture(note: bytes = b"") -> bytes:
    """The trigger picture as PNG. A ``note`` in it changes the bytes and not the pixels, so that
    only its likeness can be found, not its digest."""
    return _png(_field(_TRIGGER), note)


def trigger_luma() -> np.ndarray:
    """The trigger picture's grey values, SIDE x SIDE uint8."""
    return _field(_TRIGGER)


def control_picture(note: bytes = b"") -> bytes:
    """A picture of the same kind that is on no list and must be let through."""
    return _png(_field(b"tutela selftest control 1"), note)


def _field(seed: bytes) -> np.ndarray:
    """A SIDE x SIDE grey picture (uint8): random cells, blended bilinearly in integers."""
    count = (_CELLS + 1) ** 2
    stream = b"".join(hashlib.sha256(seed + bytes([n])).digest() for n in range(count // 32 + 1))
    cells = np.frombuffer(stream[:count], np.uint8).astype(np.int64).reshape(_CELLS + 1, -1)
    step = SIDE // _CELLS
    at = np.arange(SIDE)
    low, part = at // step, at % step
    rows = cells[low] * (step - part)[:, None] + cells[low + 1] * part[:, None]
    field = rows[:, low] * (step - part) + rows[:, low + 1] * part
    grey: np.ndarray = (field // (step * step)).astype(np.uint8)
    return grey


def _png(grey: np.ndarray, note: bytes) -> bytes:
    height, width = grey.shape
    raw = b"".join(b"\0" + row.tobytes() for row in grey)
    parts = [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
    ]
    if note:
        parts.append(_chunk(b"tEXt", b"Comment\0" + note))
    parts += [_chunk(b"IDAT", _stored(raw)), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _stored(raw: bytes) -> bytes:
    """A zlib stream of stored blocks: the same bytes whatever zlib is installed."""
    blocks = [raw[at : at + _STORED] for at in range(0, len(raw), _STORED)]
    out = [b"\x78\x01"]
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        out.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    return b"".join(out) + struct.pack(">I", zlib.adler32(raw))
