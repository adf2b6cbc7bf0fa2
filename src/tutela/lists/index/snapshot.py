"""A snapshot: every signal of every list in one file, mapped into memory by every process.

::

    0        header, 4096 bytes: magic, version, length and XXH64 of what follows it, then JSON
    4096     sections, each at a multiple of 4096:
             near.hashes, near.refs, near.bounds, near.next, near.ids,
             <type>.values, <type>.refs, <type>.directory for each digest type
             (refs are int64, or uint32 where all fit: ``wide`` in the header)
    …        sums: the XXH64 of each 8 MiB of the sections (padding included), uint64

Every byte is under a sum: the header's own covers the header, the header holds the sum of the
sums. All sums are checked when the file is opened and before anything in it is believed, at the
speed of memory (about 7 GB/s a core). Files are written beside their name, flushed to disk and
then renamed onto it, so a name always means a whole snapshot; whoever mapped the old one keeps it
until he lets go. Numbers are little-endian.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutela.core import HashType
from tutela.errors import IndexUnavailable, SnapshotDamaged

from .buckets import I64, U8, U32, U64
from .checksum import xxh64
from .digests import DigestTable
from .segment import Segment

MAGIC = b"TUTELAIX"
VERSION = 1
PAGE = 4096
BLOCK = 8 * 1024 * 1024
"""Bytes under one sum."""
_HEAD = struct.Struct("<8sIIQ")
_CHECKERS = 2
"""Threads that check sums when a snapshot is opened."""


Identity = tuple[int, int, int]
"""What tells one file from another: device, inode and time of writing."""


def identity_of(status: os.stat_result) -> Identity:
    """The identity of a file."""
    return status.st_dev, status.st_ino, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open snapshot. ``seq`` is the last change it holds; ``identity`` tells files apart."""

    path: Path
    seq: int
    near: Segment
    digests: dict[HashType, DigestTable]
    bytes: int
    identity: Identity


def write_header(file: int, facts: dict[str, Any]) -> None:
    """Put the header in front of a file whose sections are written."""
    text = json.dumps(facts, separators=(",", ":")).encode()
    body = text.ljust(PAGE - _HEAD.size, b"\0")
    if len(body) != PAGE - _HEAD.size:
        raise ValueError("the header does not fit its page")
    tail = struct.pack("<II", VERSION, len(text)) + body
    os.pwrite(file, _HEAD.pack(MAGIC, VERSION, len(text), xxh64(tail)) + body, 0)


def _damaged(path: Path, what: str, where: str) -> SnapshotDamaged:
    return SnapshotDamaged(
        f"The index snapshot is damaged: {what}.",
        where=f"{path.name}: {where}",
        kept="The file was left as it is; nothing in it was used.",
        next_step="It is built again from the database by itself; uploads are held meanwhile.",
    )


def _read_header(path: Path, head: bytes) -> dict[str, Any]:
    if len(head) < PAGE:
        raise _damaged(path, "the file is too short", "header")
    magic, version, length, total = _HEAD.unpack_from(head)
    if magic != MAGIC:
        raise _damaged(path, "it does not begin as a snapshot", "header")
    if xxh64(struct.pack("<II", version, length) + head[_HEAD.size : PAGE]) != total:
        raise _damaged(path, "the header's checksum does not hold", "header")
    if version != VERSION or sys.byteorder != "little":
        raise _damaged(path, f"version {version} is not one this program reads", "header")
    facts: dict[str, Any] = json.loads(head[_HEAD.size : _HEAD.size + length])
    return facts


def block_sums(data: U8) -> U64:
    """The XXH64 of each ``BLOCK`` bytes of the sections, in threads."""
    starts = range(0, len(data), BLOCK)
    with ThreadPoolExecutor(_CHECKERS) as pool:
        return np.fromiter(
            pool.map(lambda at: xxh64(data[at : at + BLOCK]), starts), np.uint64, len(starts)
        )


def _check(path: Path, data: U8, facts: dict[str, Any]) -> None:
    if len(data) != facts["bytes"]:
        raise _damaged(path, "its length is not what its header says", "end of file")
    sums = data[facts["sums"] :]
    if xxh64(sums) != facts["sums_sum"]:
        raise _damaged(path, "the checksums' own checksum does not hold", "sums")
    wrong = np.flatnonzero(block_sums(data[PAGE : facts["sums"]]) != sums.view(np.uint64))
    if len(wrong):
        at = PAGE + int(wrong[0]) * BLOCK
        names = [
            name
            for name, (start, length) in facts["sections"].items()
            if start < at + BLOCK and at < start + length
        ]
        raise _damaged(path, "a checksum does not hold", f"{', '.join(names)} near byte {at}")


def open_snapshot(path: Path) -> Snapshot:
    """Map a snapshot and check all of it.

    Raises ``FileNotFoundError``, ``SnapshotDamaged``, or ``IndexUnavailable`` where the file
    cannot be read for another reason.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(file)
            facts = _read_header(path, os.pread(file, PAGE, 0))
            mapped = mmap.mmap(file, status.st_size, mmap.MAP_SHARED, mmap.PROT_READ)
        finally:
            os.close(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise IndexUnavailable(
            f"The index snapshot cannot be read ({error.strerror}).",
            next_step="Give the process the right to read the data folder.",
        ) from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        mapped.madvise(mmap.MADV_HUGEPAGE)
    data: U8 = np.frombuffer(mapped, np.uint8)
    _check(path, data, facts)

    def section(name: str, kind: type[Any]) -> Any:
        start, length = facts["sections"][name]
        return data[start : start + length].view(kind)

    def refs_of(name: str) -> I64 | U32:
        wide: bool = facts["wide"][name]
        refs: I64 | U32 = section(f"{name}.refs", np.int64 if wide else np.uint32)
        return refs

    near = Segment(section("near.hashes", np.uint64).reshape(-1, 4), refs_of("near"))
    if len(near):
        near = Segment(
            near.hashes,
            near.refs,
            section("near.bounds", np.uint32),
            section("near.next", np.uint16),
            section("near.ids", np.uint8),
        )
    digests = {}
    for name, bits in facts["digests"].items():
        kind = HashType(name)
        refs = refs_of(name)
        directory: U32 = section(f"{name}.directory", np.uint32)
        values: U8 = section(f"{name}.values", np.uint8).reshape(len(refs), -1)
        digests[kind] = DigestTable(values, refs, directory, bits)
    return Snapshot(
        path=path,
        seq=facts["seq"],
        near=near,
        digests=digests,
        bytes=status.st_size,
        identity=identity_of(status),
    )
