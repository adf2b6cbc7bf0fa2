"""A segment: hashes that are searched together, and the row of numbers that the kernel reads."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import search
from .buckets import (
    I64,
    U8,
    U16,
    U32,
    U64,
    buckets_of,
    first_order,
    gather_hashes,
    gather_refs,
    id_bits,
    id_stride,
    padded,
)


def nothing() -> I64:
    """No refs."""
    return np.empty(0, np.int64)


def _address(array: U8 | U16 | U32 | U64 | I64) -> int:
    return int(array.ctypes.data)


@dataclass(frozen=True, slots=True)
class Segment:
    """Hashes and refs with (or, for a short run, without) buckets. Never changed once made.

    ``hashes`` uint64 ``(n, 4)``, ``refs`` int64 or uint32 ``(n,)``; ``removed`` are sorted refs
    that no longer count in this segment. The arrays may lie in a memory-mapped file: they live as
    long as the segment does, which is why a search holds on to its segments.
    """

    hashes: U64
    refs: I64 | U32
    bounds: U32 | None = None
    next_words: U16 | None = None
    ids: U8 | None = None
    removed: I64 = field(default_factory=nothing)

    def __len__(self) -> int:
        return len(self.refs)

    def row(self) -> I64:
        """The kernel's row: counts, widths and addresses (see ``search.COLUMNS``)."""
        row = np.zeros(search.COLUMNS, np.int64)
        row[search.KIND] = search.PLAIN
        row[search.COUNT] = len(self.refs)
        row[search.HASHES] = _address(self.hashes)
        row[search.REFS] = _address(self.refs)
        row[search.REF_BYTES] = self.refs.itemsize
        row[search.REMOVED] = _address(self.removed)
        row[search.REMOVED_COUNT] = len(self.removed)
        if self.bounds is not None and self.next_words is not None and self.ids is not None:
            row[search.KIND] = search.INDEXED
            row[search.STARTS] = _address(self.bounds)
            row[search.NEXT_WORDS] = _address(self.next_words)
            row[search.IDS] = _address(self.ids)
            row[search.ID_BITS] = id_bits(len(self.refs))
            row[search.ID_STRIDE] = id_stride(len(self.refs))
        return row

    def without(self, refs: I64) -> Segment:
        """The same segment with more refs that no longer count."""
        return Segment(
            self.hashes,
            self.refs,
            self.bounds,
            self.next_words,
            self.ids,
            np.union1d(self.removed, refs).astype(np.int64),
        )

    def living(self) -> tuple[U64, I64]:
        """Hashes and refs that still count."""
        if not len(self.removed):
            return self.hashes, self.refs.astype(np.int64, copy=False)
        keep = ~np.isin(self.refs, self.removed)
        return self.hashes[keep], self.refs[keep].astype(np.int64, copy=False)


def indexed(hashes: U64, refs: I64) -> Segment:
    """A segment with buckets, built in memory: about 0.2 s a million."""
    count = len(refs)
    order = first_order(hashes)
    ordered, ordered_refs = np.empty_like(hashes), np.empty(count, np.int64)
    gather_hashes(hashes, order, ordered)
    gather_refs(refs, order, ordered_refs)
    bounds = np.empty((search.WORDS, search.BOUNDS), np.uint32)
    next_words = np.zeros(padded(count), np.uint16)
    ids = np.zeros(((search.WORDS - 1), id_stride(count)), np.uint8)
    for word, made in enumerate(buckets_of(ordered)):
        bounds[word] = made.bounds
        next_words[word * count : (word + 1) * count] = made.next_words
        if word > 0:
            ids[word - 1] = made.packed.view(np.uint8)
    return Segment(ordered, ordered_refs, bounds, next_words, ids)
