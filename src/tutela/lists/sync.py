"""Keeping this process's index at the state of the database.

Edits write ranges of hash ids into ``list_changes``; each process reads those after its own place
(at once after its own edits, every ``lists.refresh_seconds`` otherwise) and applies them to its
index. Numbers rise in the order of commits, so nothing is ever missed (``store.tables.lists``).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, and_, delete, exists, not_, select

from tutela.core import HashType, utc_now
from tutela.errors import SnapshotDamaged
from tutela.settings import ListSettings
from tutela.store import Database
from tutela.store.faults import from_os
from tutela.store.tables.lists import list_changes, lists, signal_hashes, signals

from .edits import MATCHING, counts
from .index import Change, Index, build_snapshot
from .queries import last_seq

_log = structlog.get_logger(__name__)

REFRESH_LIMIT = 100_000
"""Hashes applied by one refresh."""

_READ = 20_000
"""Hash rows read and applied at a time."""

_MOST_RANGES = 10_000
"""Ranges looked at by one refresh."""

_KEEP_CHANGES = timedelta(days=2)
"""How long changes under a snapshot are kept for processes that have not taken it yet."""

_PERCEPTUAL = (HashType.PDQ.value, HashType.VPDQ.value)
_DIGESTS = (HashType.MD5, HashType.SHA1, HashType.SHA256)


class IndexSync:
    """Brings one index up to date with the database. Thread-safe."""

    def __init__(self, database: Database, index: Index, settings: ListSettings) -> None:
        self._database = database
        self._index = index
        self._settings = settings
        self._lock = threading.Lock()
        self._place = 0
        self._seq = 0
        self._damaged = False
        self._up_to_date_at: float | None = None

    @property
    def seconds_since_refresh(self) -> float | None:
        """Seconds since the index was last known to be up to date; None before the first time."""
        since = self._up_to_date_at
        return None if since is None else time.monotonic() - since

    @property
    def rebuild_due(self) -> bool:
        """Whether there is no sound snapshot in force or in the folder, or enough changed since it
        to build another."""
        enough = self._index.side_size >= self._settings.rebuild_after_changes
        return not self._index.healthy or self._damaged or enough

    def refresh(self, *, limit: int = REFRESH_LIMIT) -> int:
        """Take up the newest snapshot and what changed since; the number of hashes applied.

        A call stops after about ``limit`` hashes, so that a huge import by another process does
        not keep this one busy while that one builds the snapshot with it. Where there is no sound
        snapshot, one is built. Raises ``StoreUnavailable``.
        """
        with self._lock:
            self._follow()
            if self._index.healthy:
                return self._apply(limit)
        self.rebuild(only_if_missing=True)
        return 0

    def _follow(self) -> None:
        """Take up the snapshot in the folder. A damaged one counts as none, and is logged."""
        try:
            self._index.follow()
            self._damaged = False
        except SnapshotDamaged as error:
            self._damaged = True
            _log.error("index.damaged", what=error.what, where=error.where)

    def _apply(self, limit: int) -> int:
        started = time.monotonic()
        if self._index.seq < self._seq:  # an older snapshot is in force: what came since is not
            self._place = 0
        self._place = max(self._place, self._index.seq)
        applied = 0
        with self._database.read() as connection:
            query = (
                select(list_changes)
                .where(list_changes.c.seq > self._place)
                .order_by(list_changes.c.seq)
            )
            for change in connection.execute(query.limit(_MOST_RANGES)).all():
                with closing(_changes_of(connection, change, self._index.seq)) as parts:
                    for part in parts:
                        self._index.apply(part)
                        self._seq = self._index.seq
                        applied += len(part)
                        if applied >= limit:
                            return applied
                self._place = change.seq
        self._seq = self._index.seq
        self._up_to_date_at = started
        return applied

    def rebuild(self, *, only_if_missing: bool = False, pace: float = 1.0) -> None:
        """Build a new snapshot from the database and put it in force. Takes seconds a million.

        Look-ups go on meanwhile, and what changes meanwhile is applied after it. Only one process
        builds at a time; another one that asks waits and then uses what was built if it asked
        ``only_if_missing``. ``pace`` below 1 leaves that share of a core to others. Raises
        ``StoreUnavailable`` and ``StorageFull``.
        """
        with self._alone():
            if only_if_missing:
                with self._lock:
                    self._follow()
                if self._index.healthy:
                    return
            with self._database.read() as connection:
                hashes = read_hashes(connection)
            build_snapshot(
                self._index.path,
                pdq=hashes.pdq,
                pdq_refs=hashes.pdq_refs,
                digests=hashes.digests,
                seq=hashes.seq,
                pace=pace,
            )
            with self._lock:
                self._index.swap(self._index.path)
                self._damaged = False
                self._apply(REFRESH_LIMIT)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock file of builders, of this process and of others."""
        folder = self._index.directory
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(folder / "build.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise from_os(error, f"The folder of the index, {folder}, cannot be used") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def prune(self) -> int:
        """Delete changes that are in the snapshot and two days old, and the hashes that signals
        had before their source replaced them; how many ranges."""
        old = and_(
            list_changes.c.seq <= self._index.seq - self._index.side_size,
            list_changes.c.at < utc_now() - _KEEP_CHANGES,
        )
        named = exists().where(
            signals.c.id == signal_hashes.c.signal_id,
            signal_hashes.c.id >= signals.c.first_hash,
            signal_hashes.c.id < signals.c.first_hash + signals.c.hash_count,
        )
        with self._database.begin() as connection:
            query = select(list_changes).where(old).order_by(list_changes.c.seq)
            rows = connection.execute(query.limit(_MOST_RANGES)).all()
            for row in rows:
                if row.op == "remove":
                    connection.execute(
                        delete(signal_hashes).where(
                            signal_hashes.c.id.between(row.ref_from, row.ref_to), not_(named)
                        )
                    )
            if rows:
                connection.execute(
                    delete(list_changes).where(old, list_changes.c.seq <= rows[-1].seq)
                )
            return len(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveHashes:
    """Every hash that matches, as ``build_snapshot`` takes it, and the last change included."""

    pdq: NDArray[np.uint8]
    pdq_refs: NDArray[np.int64]
    digests: dict[HashType, tuple[NDArray[np.uint8], NDArray[np.int64]]]
    seq: int


def read_hashes(connection: Connection) -> LiveHashes:
    """Read every live hash, packed: 32 bytes and a ref for each PDQ, no Python object kept.

    The number of the last change is read first: what is committed meanwhile may be among the
    hashes already, and is applied again without harm.
    """
    seq = last_seq(connection)
    lengths = {"pdq": 32} | {kind.value: kind.digest_bytes or 0 for kind in _DIGESTS}
    values = {word: bytearray() for word in lengths}
    refs = {word: bytearray() for word in lengths}
    with connection.execute(_live_hashes(), execution_options={"yield_per": _READ}) as result:
        for rows in result.partitions(_READ):
            for row in _distinct_frames(rows):
                word = "pdq" if row.type in _PERCEPTUAL else row.type
                values[word] += row.value
                refs[word] += row.id.to_bytes(8, "little")
    arrays = {
        word: (
            np.frombuffer(values[word], np.uint8).reshape(-1, length),
            np.frombuffer(refs[word], "<i8").astype(np.int64, copy=False),
        )
        for word, length in lengths.items()
    }
    return LiveHashes(
        pdq=arrays["pdq"][0],
        pdq_refs=arrays["pdq"][1],
        digests={kind: arrays[kind.value] for kind in _DIGESTS if len(arrays[kind.value][1])},
        seq=seq,
    )


def _distinct_frames(rows: Sequence[Any]) -> Iterator[Any]:
    """Rows without frames that repeat an earlier frame of the same video: a still scene would
    otherwise answer every look-up a thousand times."""
    seen: set[tuple[int, bytes]] = set()
    for row in rows:
        if row.type == HashType.VPDQ.value:
            key = (row.signal_id, row.value)
            if key in seen:
                continue
            seen.add(key)
        yield row


def _changes_of(connection: Connection, change: Any, after: int) -> Generator[list[Change]]:
    """The changes of one range with a seq above ``after``, in parts.

    Hashes that do not count (any more) are not added. Replaced hashes keep their rows until they
    are pruned, so that a removal can name what it removes.
    """
    base = change.seq - change.ref_to
    first = max(change.ref_from, after - base + 1)
    add = change.op == "add"
    query = _live_hashes() if add else _any_hashes()
    query = query.where(signal_hashes.c.id >= first, signal_hashes.c.id <= change.ref_to)
    with connection.execute(query, execution_options={"yield_per": _READ}) as result:
        for rows in result.partitions(_READ):
            yield [
                Change(
                    seq=base + row.id,
                    op="add" if add else "remove",
                    type=HashType.PDQ if row.type in _PERCEPTUAL else HashType(row.type),
                    value=row.value,
                    ref=row.id,
                )
                for row in (_distinct_frames(rows) if add else rows)
            ]


_HASH = (
    signal_hashes.c.id,
    signal_hashes.c.type,
    signal_hashes.c.value,
    signal_hashes.c.signal_id,
)


def _any_hashes() -> Select[Any]:
    """Hashes whatever becomes of their signal, in the order of their ids."""
    return select(*_HASH).order_by(signal_hashes.c.id)


def _live_hashes() -> Select[Any]:
    """Hashes of signals that match, of lists that were not deleted, in the order of their ids."""
    return (
        select(*_HASH)
        .join(signals, signals.c.id == signal_hashes.c.signal_id)
        .join(lists, lists.c.row == signals.c.list_row)
        .where(
            lists.c.deleted_at.is_(None),
            signals.c.state.in_(MATCHING),
            signal_hashes.c.id >= signals.c.first_hash,
            signal_hashes.c.id < signals.c.first_hash + signals.c.hash_count,
            counts(),
        )
        .order_by(signal_hashes.c.id)
    )
