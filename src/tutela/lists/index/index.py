"""The index: which signals lie near a hash, or have a digest. Exact: none is missed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tutela.core import HashType
from tutela.core.hashes import PDQ_BYTES
from tutela.errors import IndexUnavailable, InvalidHash, InvalidInput, SnapshotDamaged

from .search import MAX_RADIUS, search
from .side import (
    SideState,
    add_digests,
    add_near,
    remove_digests,
    remove_near,
    sealed,
)
from .snapshot import Identity, Snapshot, identity_of, open_snapshot

SNAPSHOT_NAME = "signals.index"
"""The file in the index's folder that every process maps."""
_NEAR_TYPES = frozenset({HashType.PDQ, HashType.VPDQ})


class Hit(NamedTuple):
    """A signal near a query. ``ref`` is the row of its hash, ``distance`` is bits."""

    ref: int
    distance: int


@dataclass(frozen=True, slots=True)
class Change:
    """One addition or removal since a snapshot, as the database numbered it.

    ``value`` is the hash itself (32 bytes for ``pdq`` and for a ``vpdq`` frame), for removals too.
    """

    seq: int
    op: Literal["add", "remove"]
    type: HashType
    value: bytes
    ref: int


@dataclass(frozen=True, slots=True)
class _Force:
    """What is in force: a snapshot, and what was changed since."""

    snapshot: Snapshot
    side: SideState
    seq: int


class Index:
    """The signals of all lists, for one process.

    ``open`` maps the snapshot in a folder; ``near`` and ``exact`` may be called from any number of
    threads while ``apply``, ``swap`` and ``follow`` run in another: each works on the state that
    was in force when it began. Where there is no sound snapshot, they raise ``IndexUnavailable``;
    an index never answers "nothing" because it is missing something.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._force: _Force | None = None
        self._log: list[Change] = []
        self._seen: Identity | None = None
        self._writing = threading.Lock()

    @property
    def path(self) -> Path:
        """Where the snapshot in force lies, and where ``build_snapshot`` may put the next."""
        return self.directory / SNAPSHOT_NAME

    @property
    def healthy(self) -> bool:
        """Whether look-ups are answered."""
        return self._force is not None

    @property
    def seq(self) -> int:
        """The last change that look-ups take into account; 0 where there is no snapshot."""
        force = self._force
        return force.seq if force else 0

    @property
    def side_size(self) -> int:
        """Changes since the snapshot was built."""
        return len(self._log)

    @property
    def signals(self) -> int:
        """Hashes in the snapshot, of all types."""
        force = self._force
        if force is None:
            return 0
        return len(force.snapshot.near) + sum(
            len(table.refs) for table in force.snapshot.digests.values()
        )

    def open(self) -> bool:
        """Map the folder's snapshot. False where there is none yet: build one and ``swap``.

        Raises ``SnapshotDamaged``; look-ups then raise ``IndexUnavailable`` until a ``swap``.
        """
        opened = self.follow()
        if opened:
            self._warm_up()
        return opened

    def follow(self) -> bool:
        """Take up the snapshot that is in the folder now, if it isn't the one in force already.

        Cheap (one look at the file's identity) where nothing changed, so it may be called at
        every refresh. One that is older than the one in force is left alone: what changed between
        the two might be known to nobody here. True where a snapshot is in force. Raises
        ``SnapshotDamaged``, or ``IndexUnavailable`` where the folder cannot be read: a snapshot
        that was in force stays so.
        """
        force = self._force
        try:
            status = os.stat(self.path)
            identity = identity_of(status)
            if identity == self._seen or (force and force.snapshot.identity == identity):
                return self.healthy
            snapshot = open_snapshot(self.path)
        except FileNotFoundError:
            return self.healthy
        except OSError as error:
            raise _unreadable(self.directory, error) from error
        if force and snapshot.seq < force.snapshot.seq:
            self._seen = identity
        else:
            self._take(snapshot)
        return True

    def swap(self, path: Path | str) -> None:
        """Put a snapshot that was built at ``path`` in force, here and (by its name) everywhere.

        Changes newer than it, applied before, stay in force. An older snapshot than the one in
        force (the database was put back) is taken with nothing on top: ``seq`` goes back. Raises
        ``SnapshotDamaged`` or ``IndexUnavailable`` (no such file); what was in force stays so.
        """
        built = Path(path)
        try:
            snapshot = open_snapshot(built)
        except FileNotFoundError:
            raise IndexUnavailable("There is no index snapshot at that place.") from None
        if built.absolute() != self.path.absolute():
            try:
                self.directory.mkdir(parents=True, exist_ok=True)
                os.replace(built, self.path)
            except OSError as error:
                raise _unreadable(self.directory, error) from error
        self._take(snapshot)
        self._warm_up()

    def close(self) -> None:
        """Let go of the snapshot. Look-ups raise ``IndexUnavailable`` from now on."""
        with self._writing:
            self._force = None
            self._log = []

    def apply(self, changes: Iterable[Change]) -> None:
        """Take changes into account at once, in the order of their ``seq``.

        Changes up to ``seq`` were taken into account already and are skipped, so hand over all
        since ``seq``, never just one's own. Without a snapshot in force nothing is done. Raises
        ``InvalidHash`` for a value of the wrong length, before anything is changed.
        """
        with self._writing:
            force = self._force
            if force is None:
                return
            fresh = sorted(
                (change for change in changes if change.seq > force.seq), key=lambda c: c.seq
            )
            if not fresh:
                return
            side = sealed(_applied(force.side, fresh))
            self._log.extend(fresh)
            self._force = _Force(force.snapshot, side, fresh[-1].seq)

    def near(self, queries: Sequence[tuple[bytes, int]]) -> list[list[Hit]]:
        """For each ``(hash, radius)`` all signals within the radius, nearest first, each once.

        A hash is 32 bytes, a radius 0 to 31 bits. One call for all views of an upload is far
        cheaper than one for each. Raises ``IndexUnavailable``, ``InvalidHash``, ``InvalidInput``.
        """
        force = self._in_force()
        answers: list[list[Hit]] = [[] for _ in queries]
        if not answers:
            return answers
        hashes, radii = zip(*queries, strict=True)
        joined = b"".join(hashes)
        if set(map(len, hashes)) != {PDQ_BYTES}:
            raise InvalidHash("A PDQ hash is 32 bytes.")
        if min(radii) < 0 or max(radii) > MAX_RADIUS:
            raise InvalidInput("A radius is 0 to 31 bits.")
        found = search(
            force.side.table,
            np.frombuffer(joined, np.uint64).reshape(-1, 4),
            np.frombuffer(bytes(radii), np.uint8),
        )
        if len(found):
            rows = sorted(set(map(tuple, found.tolist())))
            for number, group in groupby(rows, key=lambda row: row[0]):
                answers[number] = [Hit(ref, distance) for _, distance, ref in group]
        return answers

    def exact(self, type: HashType, digest: bytes) -> list[int]:
        """Refs of all signals with this digest. Raises ``IndexUnavailable``, ``InvalidHash``."""
        force = self._in_force()
        if len(digest) != type.digest_bytes:
            raise InvalidHash(f"That is not a {type.value}.")
        table = force.snapshot.digests.get(type)
        refs = table.find(digest) if table else []
        side = force.side
        if side.removed and refs:
            refs = [ref for ref in refs if ref not in side.removed]
        return sorted({*refs, *side.added.get((type, digest), ())})

    def _warm_up(self) -> None:
        """Look something up, so that no upload waits for kernels to be compiled or loaded."""
        self.near([(bytes(PDQ_BYTES), 0)])
        self.exact(HashType.SHA256, bytes(32))

    def _in_force(self) -> _Force:
        force = self._force
        if force is None:
            raise IndexUnavailable(
                "The index of signals is missing or being built.",
                next_step="Send the same request again later; it is built by itself.",
            )
        return force

    def _take(self, snapshot: Snapshot) -> None:
        with self._writing:
            force = self._force
            if force and snapshot.seq < force.snapshot.seq:
                self._log = []
            newer = [change for change in self._log if change.seq > snapshot.seq]
            side = _applied(SideState(snapshot.near), newer)
            self._log = newer
            seq = newer[-1].seq if newer else snapshot.seq
            self._force = _Force(snapshot, sealed(side), seq)


def _unreadable(folder: Path, error: OSError) -> IndexUnavailable:
    return IndexUnavailable(
        f"The folder of the index, {folder}, cannot be used: {error.strerror}.",
        kept="Nothing was changed.",
        next_step="Give the user that runs Tutela the right to read and write it.",
    )


def _applied(side: SideState, changes: Iterable[Change]) -> SideState:
    """The side list after these changes, worked off in runs of the same kind."""

    def kind(change: Change) -> tuple[str, bool]:
        return change.op, change.type in _NEAR_TYPES

    for (op, near), group in groupby(changes, key=kind):
        batch = list(group)
        for change in batch:
            if len(change.value) != (change.type.digest_bytes or PDQ_BYTES):
                raise InvalidHash(f"A change holds a {change.type.value} of the wrong length.")
        if near:
            refs = np.fromiter((change.ref for change in batch), np.int64, len(batch))
            if op == "add":
                joined = b"".join(change.value for change in batch)
                side = add_near(side, np.frombuffer(joined, np.uint64).reshape(-1, 4), refs)
            else:
                side = remove_near(side, refs)
        else:
            entries = [((change.type, change.value), change.ref) for change in batch]
            side = add_digests(side, entries) if op == "add" else remove_digests(side, entries)
    return side


__all__ = ["SNAPSHOT_NAME", "Change", "Hit", "Index", "SnapshotDamaged"]
