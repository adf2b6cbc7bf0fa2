"""Building a snapshot: memory-frugal, safe to interrupt, able to stay out of the way."""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tutela.core import HashType
from tutela.core.hashes import PDQ_BYTES
from tutela.errors import IndexUnavailable, InvalidHash, StorageFull, Unavailable

from .buckets import (
    I64,
    MOST_SIGNALS,
    U8,
    U32,
    U64,
    buckets_of,
    first_order,
    gather_hashes,
    gather_refs,
    id_stride,
    padded,
    ref_kind,
)
from .checksum import xxh64
from .digests import directory_bits, order_digests
from .search import BOUNDS, WORDS
from .snapshot import PAGE, block_sums, write_header

_CHUNK = 1 << 18
"""Hashes sorted at a time."""
HUGE = 2 * 1024 * 1024
"""A huge page."""
_PIECE = 4 * HUGE
"""Bytes written at a time."""
_LARGE = 64 * 1024 * 1024
"""From this size a file is laid out in huge pages."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NICE = 10
"""Priority of a build in the background: gives way, but is not starved on a busy machine."""

Digested = Mapping[HashType, tuple[U8, I64]]


class _Sections:
    """Where each section goes, and how it gets there.

    Large files have their sections at multiples of a huge page and are written in whole huge
    pages, in order: then the kernel keeps them in memory as such and maps them as such, which
    spares most of a look-up's address translations.
    """

    def __init__(self, file: int, breathe: Callable[[], None]) -> None:
        self.file = file
        self.places: dict[str, tuple[int, int]] = {}
        self.end = PAGE
        self.breathe = breathe
        self._held: dict[str, tuple[int, bytearray]] = {}

    def lay(self, lengths: Mapping[str, int]) -> None:
        """Give every section its place."""
        step = HUGE if sum(lengths.values()) > _LARGE else PAGE
        for name, length in lengths.items():
            self.places[name] = (-(-self.end // step) * step, length)
            self.end = sum(self.places[name])
        self.end = -(-self.end // PAGE) * PAGE
        os.truncate(self.file, self.end)

    def append(self, name: str, array: npt.NDArray[Any]) -> None:
        """Add ``array`` to what a section has so far."""
        done, held = self._held.pop(name, (0, bytearray()))
        held += np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        whole = len(held) // _PIECE * _PIECE
        if whole:
            self._write(self.places[name][0] + done, memoryview(held)[:whole])
            done, held = done + whole, held[whole:]
        self._held[name] = (done, held)

    def finish(self, name: str) -> None:
        """Write the rest of a section, zeros up to its length."""
        done, held = self._held.pop(name, (0, bytearray()))
        start, length = self.places[name]
        missing = length - done - len(held)
        if missing < 0:
            raise ValueError(f"section {name} is too short")
        self._write(start + done, memoryview(bytes(held)))

    def _write(self, at: int, view: memoryview) -> None:
        while view:
            written = os.pwrite(self.file, view[:_PIECE], at)
            at += written
            view = view[written:]
            self.breathe()


def _breather(pace: float) -> Callable[[], None]:
    """A function to call now and then: sleeps so that only ``pace`` of the time is worked.

    It counts processor time, so that a busy machine does not make it rest for waiting.
    """
    since = time.thread_time()

    def breathe() -> None:
        nonlocal since
        if pace < 1:
            time.sleep((time.thread_time() - since) * (1 - pace) / pace)
            since = time.thread_time()

    return breathe


def _check_shapes(pdq: U8, refs: I64, digests: Digested) -> None:
    if pdq.ndim != 2 or pdq.shape[1] != PDQ_BYTES or len(pdq) != len(refs):
        raise InvalidHash("PDQ hashes are 32 bytes each, with one ref for each.")
    for kind, (values, owners) in digests.items():
        if values.ndim != 2 or values.shape[1] != kind.digest_bytes or len(values) != len(owners):
            raise InvalidHash(f"{kind.value} digests have the wrong length or number of refs.")
    if max([len(pdq), *(len(v) for v, _ in digests.values())]) > MOST_SIGNALS:
        raise InvalidHash("A snapshot holds at most 4,294,967,295 hashes of a type.")


def _failed(error: OSError) -> Unavailable:
    kept = "The snapshot in force stays in force."
    if error.errno in _FULL:
        return StorageFull(
            "There is no room for the index snapshot.",
            kept=kept,
            next_step="Free some space; the snapshot is built again by itself.",
        )
    return IndexUnavailable(
        f"The index snapshot could not be written ({error.strerror}).",
        kept=kept,
        next_step="Give the process the right to write in the data folder.",
    )


def _sweep(path: Path) -> None:
    """Delete what builders left that were killed."""
    for left in path.parent.glob(f".{path.name}.*.building"):
        process = left.name.removeprefix(f".{path.name}.").partition("-")[0]
        if process.isdigit() and int(process) != os.getpid():
            try:
                os.kill(int(process), 0)
            except ProcessLookupError:
                left.unlink(missing_ok=True)
            except PermissionError:
                continue


@contextmanager
def _beside(path: Path) -> Iterator[int]:
    """A new file in the same folder that becomes ``path`` if all goes well, and goes if not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        building = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.building")
        file = os.open(building, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _failed(error) from error
    try:
        yield file
        os.fsync(file)
        os.replace(building, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _failed(error) from error
    finally:
        os.close(file)
        with suppress(FileNotFoundError):
            os.unlink(building)


def _near(sections: _Sections, pdq: U8, refs: I64) -> None:
    count = len(refs)
    hashes: U64 = np.ascontiguousarray(pdq).view(np.uint64)
    order = first_order(hashes)
    chunk = np.empty((_CHUNK, 4), np.uint64)
    owners: I64 | U32 = (
        np.empty(_CHUNK, np.uint32) if _width(refs) == 4 else np.empty(_CHUNK, np.int64)
    )
    for at in range(0, count, _CHUNK):
        part = order[at : at + _CHUNK]
        gather_hashes(hashes, part, chunk)
        gather_refs(refs, part, owners)
        sections.append("near.hashes", chunk[: len(part)])
        sections.append("near.refs", owners[: len(part)])
    sections.finish("near.hashes")
    sections.finish("near.refs")
    del order
    start, length = sections.places["near.hashes"]
    bounds = np.empty((WORDS, BOUNDS), np.uint32)
    with mmap.mmap(sections.file, start + length, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
        ordered = np.frombuffer(mapped, np.uint64, count * 4, start).reshape(count, 4)
        for word, made in enumerate(buckets_of(ordered)):
            bounds[word] = made.bounds
            sections.append("near.next", made.next_words)
            if word > 0:
                sections.append("near.ids", made.packed)
        del ordered
    sections.append("near.bounds", bounds)
    for name in ("near.bounds", "near.next", "near.ids"):
        sections.finish(name)


def _digests(sections: _Sections, digests: Digested) -> dict[str, int]:
    bits = {}
    for kind, (values, refs) in digests.items():
        plan = order_digests(values)
        kind_of_refs = ref_kind(refs)
        names = [f"{kind.value}.{part}" for part in ("values", "refs", "directory")]
        for at in range(0, len(refs), _CHUNK):
            part = plan.order[at : at + _CHUNK]
            sections.append(names[0], values[part])
            sections.append(names[1], refs[part].astype(kind_of_refs, copy=False))
        sections.append(names[2], plan.directory)
        for name in names:
            sections.finish(name)
        bits[kind.value] = plan.bits
    return bits


def _width(refs: I64) -> int:
    return np.dtype(ref_kind(refs)).itemsize


def _lengths(refs: I64, digests: Digested) -> dict[str, int]:
    count = len(refs)
    lengths = {"near.hashes": count * PDQ_BYTES, "near.refs": count * _width(refs)}
    if count:
        lengths["near.bounds"] = WORDS * BOUNDS * 4
        lengths["near.next"] = padded(count) * 2
        lengths["near.ids"] = (WORDS - 1) * id_stride(count)
    for kind, (values, owners) in digests.items():
        lengths[f"{kind.value}.values"] = values.size
        lengths[f"{kind.value}.refs"] = len(owners) * _width(owners)
        lengths[f"{kind.value}.directory"] = (2 ** directory_bits(len(owners)) + 1) * 4
    return lengths


def _build(path: Path, pdq: U8, refs: I64, digests: Digested, seq: int, pace: float) -> None:
    with _beside(path) as file:
        sections = _Sections(file, _breather(pace))
        sections.lay(_lengths(refs, digests))
        if len(refs):
            _near(sections, pdq, refs)
        bits = _digests(sections, digests)
        sums_at = sections.end
        with mmap.mmap(file, sums_at, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
            data = np.frombuffer(mapped, np.uint8, offset=PAGE)
            sums = block_sums(data)
            del data
        os.pwrite(file, sums.tobytes(), sums_at)
        write_header(
            file,
            {
                "seq": seq,
                "bytes": sums_at + sums.nbytes,
                "sections": sections.places,
                "digests": bits,
                "wide": {"near": _width(refs) == 8}
                | {kind.value: _width(owners) == 8 for kind, (_, owners) in digests.items()},
                "sums": sums_at,
                "sums_sum": xxh64(sums.view(np.uint8)),
            },
        )


def build_snapshot(
    path: Path | str,
    *,
    pdq: U8,
    pdq_refs: I64,
    digests: Digested,
    seq: int,
    pace: float = 1.0,
) -> None:
    """Write a snapshot of these hashes at ``path``, atomically.

    ``pdq`` is uint8 ``(n, 32)`` (pictures and video frames alike), ``pdq_refs`` int64 ``(n,)``;
    ``digests`` maps a digest type to uint8 ``(n, length)`` and int64 ``(n,)``; ``seq`` is the last
    change they include. Memory-mapped arrays will do. About 22 bytes a hash are needed besides.

    With ``pace`` below 1 it works in a thread of low priority and only that share of the
    time, so that look-ups on the same machine keep their speed.

    Raises ``InvalidHash`` (shapes), ``StorageFull``, ``IndexUnavailable`` (the folder cannot be
    written); a file that was there stays until the last moment.
    """
    _check_shapes(pdq, pdq_refs, digests)
    target = Path(path)
    if pace >= 1:
        _build(target, pdq, pdq_refs, digests, seq, pace)
        return
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            _build(target, pdq, pdq_refs, digests, seq, pace)
        except BaseException as error:  # carried to the caller, whatever it is
            failed.append(error)

    thread = threading.Thread(target=work, name="snapshot-build", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
