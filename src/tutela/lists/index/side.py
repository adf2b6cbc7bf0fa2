"""The side list: what was added and removed since the snapshot, in force at once.

Additions lie in a short plain run until there are enough of them for buckets of their own; buckets
are merged as they grow (a small log-structured merge), so a side list of a million is searched
nearly as fast as a snapshot. Every state is a frozen value: a search holds on to the one it began
with while the next is being made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tutela.core import HashType

from .buckets import I64, U64
from .search import COLUMNS
from .segment import Segment, indexed, nothing

PLAIN_RUN = 512
"""Additions compared one by one before they get buckets."""
_GROWTH = 4
"""A layer is merged into the one below it once that is less than so many times larger."""

DigestKey = tuple[HashType, bytes]


def _no_hashes() -> U64:
    return np.empty((0, 4), np.uint64)


@dataclass(frozen=True, slots=True)
class SideState:
    """The snapshot's segment as it counts now, the layers above it and the plain run.

    ``table`` is what the kernel reads; it is made once for each state. ``added`` and ``removed``
    are digests.
    """

    base: Segment
    layers: tuple[Segment, ...] = ()
    run: U64 = field(default_factory=_no_hashes)
    run_refs: I64 = field(default_factory=nothing)
    added: Mapping[DigestKey, tuple[int, ...]] = field(default_factory=dict)
    removed: frozenset[int] = frozenset()
    plain: Segment | None = None
    table: I64 = field(default_factory=lambda: np.empty((0, COLUMNS), np.int64))

    @property
    def size(self) -> int:
        """Additions and removals held here."""
        layers = sum(len(layer) + len(layer.removed) for layer in self.layers)
        digests = sum(len(refs) for refs in self.added.values()) + len(self.removed)
        return len(self.base.removed) + layers + len(self.run) + digests


def sealed(state: SideState) -> SideState:
    """The state with its plain run and table made ready for the kernel."""
    plain = Segment(state.run, state.run_refs)
    segments = [state.base, *state.layers, plain]
    table = np.stack([segment.row() for segment in segments if len(segment)] or [plain.row()])
    return replace(state, plain=plain, table=table)


def add_near(state: SideState, hashes: U64, refs: I64) -> SideState:
    """More hashes, uint64 ``(n, 4)``."""
    run = np.concatenate([state.run, hashes])
    run_refs = np.concatenate([state.run_refs, refs])
    if len(run) <= PLAIN_RUN:
        return replace(state, run=run, run_refs=run_refs)
    layers = list(state.layers)
    while layers and len(layers[-1]) < _GROWTH * len(run):
        more, more_refs = layers.pop().living()
        run, run_refs = np.concatenate([more, run]), np.concatenate([more_refs, run_refs])
    return replace(
        state,
        layers=(*layers, indexed(run, run_refs)),
        run=_no_hashes(),
        run_refs=nothing(),
    )


def remove_near(state: SideState, refs: I64) -> SideState:
    """These refs count no more, wherever they lie now. What is added later counts again."""
    keep = ~np.isin(state.run_refs, refs)
    return replace(
        state,
        base=state.base.without(refs),
        layers=tuple(layer.without(refs) for layer in state.layers),
        run=state.run[keep],
        run_refs=state.run_refs[keep],
    )


def add_digests(state: SideState, entries: Iterable[tuple[DigestKey, int]]) -> SideState:
    """More digests."""
    added = dict(state.added)
    for key, ref in entries:
        added[key] = (*added.get(key, ()), ref)
    return replace(state, added=added)


def remove_digests(state: SideState, entries: Iterable[tuple[DigestKey, int]]) -> SideState:
    """These digests' refs count no more."""
    added = dict(state.added)
    gone = set()
    for key, ref in entries:
        gone.add(ref)
        left = tuple(other for other in added.get(key, ()) if other != ref)
        if left:
            added[key] = left
        else:
            added.pop(key, None)
    return replace(state, added=added, removed=state.removed | gone)
