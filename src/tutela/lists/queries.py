"""Reading lists. Every function takes a connection and answers values, never rows."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, func, or_, select

from tutela.core import HashType, ListMode, ListRef, SignalState
from tutela.errors import NotFound
from tutela.store.tables.lists import (
    list_changes,
    list_events,
    list_imports,
    list_versions,
    lists,
    signal_hashes,
    signals,
)

from .bulk import known_keys
from .edits import BATCH, MATCHING, counts
from .records import ListEvent, ListInfo, ListVersion, StoredSignal
from .rows import (
    event_from,
    hashes_from,
    list_from,
    signal_from,
    signal_id,
    signal_row_id,
    version_from,
)
from .versions import entry_key

_T = TypeVar("_T")

_FEW_HASHES = 32
"""Signals with more hashes than this (videos) have them read by range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A hash that a lookup hit, with the signal and list it belongs to, as they stand now."""

    ref: int
    type: HashType
    value: bytes
    quality: int | None
    signal_row: int
    first_hash: int
    hash_count: int
    upstream_id: str
    state: SignalState
    classification: str | None
    list: ListRef


def all_lists(connection: Connection, stale_after_hours: float) -> tuple[ListInfo, ...]:
    """Every list that was not deleted, by name."""
    query = select(lists).where(lists.c.deleted_at.is_(None)).order_by(lists.c.name)
    return tuple(list_from(row, stale_after_hours) for row in connection.execute(query))


def one_list(connection: Connection, name: str, stale_after_hours: float) -> ListInfo:
    """The list of this name or id. Raises ``NotFound``."""
    row = connection.execute(
        select(lists).where(
            or_(lists.c.name == name, lists.c.id == name), lists.c.deleted_at.is_(None)
        )
    ).first()
    if row is None:
        raise NotFound(
            "There is no list of that name or id.",
            kept="Nothing was changed.",
            next_step="See the names: tutela lists ls",
        )
    return list_from(row, stale_after_hours)


def events(connection: Connection, info: ListInfo) -> tuple[ListEvent, ...]:
    """A list's history, oldest first."""
    query = select(list_events).where(list_events.c.list_row == info.row).order_by(list_events.c.id)
    return tuple(event_from(row) for row in connection.execute(query))


def versions(connection: Connection, info: ListInfo, limit: int) -> tuple[ListVersion, ...]:
    """A list's newest versions, newest first."""
    query = (
        select(list_versions)
        .where(list_versions.c.list_row == info.row)
        .order_by(list_versions.c.number.desc())
        .limit(limit)
    )
    return tuple(version_from(row, info.id) for row in connection.execute(query))


def known(
    connection: Connection, refs: Iterable[int], now: datetime, stale_after_hours: float
) -> dict[int, Known]:
    """The hashes behind refs that may count now: their signal matches, has not expired, belongs
    to a finished import, and their list is there and not switched off."""
    query = (
        select(
            signal_hashes.c.id.label("ref"),
            signal_hashes.c.type,
            signal_hashes.c.value,
            signal_hashes.c.quality,
            signals.c.id.label("signal_row"),
            signals.c.first_hash,
            signals.c.hash_count,
            signals.c.upstream_id,
            signals.c.state,
            signals.c.classification,
            signals.c.list_row,
        )
        .join(signals, signals.c.id == signal_hashes.c.signal_id)
        .where(
            signals.c.state.in_(MATCHING),
            or_(signals.c.expires_at.is_(None), signals.c.expires_at > now),
            signal_hashes.c.id >= signals.c.first_hash,
            signal_hashes.c.id < signals.c.first_hash + signals.c.hash_count,
            counts(),
        )
    )
    found: dict[int, Known] = {}
    references: dict[int, ListRef | None] = {}
    for part in batches(refs):
        for row in connection.execute(query.where(signal_hashes.c.id.in_(part))):
            if row.list_row not in references:
                references[row.list_row] = _reference(connection, row.list_row, stale_after_hours)
            reference = references[row.list_row]
            if reference is None:
                continue
            found[row.ref] = Known(
                ref=row.ref,
                type=HashType(row.type),
                value=row.value,
                quality=row.quality,
                signal_row=row.signal_row,
                first_hash=row.first_hash,
                hash_count=row.hash_count,
                upstream_id=row.upstream_id,
                state=SignalState(row.state),
                classification=row.classification,
                list=reference,
            )
    return found


def _reference(connection: Connection, list_row: int, stale_after_hours: float) -> ListRef | None:
    row = connection.execute(select(lists).where(lists.c.row == list_row)).first()
    if row is None or row.deleted_at is not None or row.mode == ListMode.OFF:
        return None
    return list_from(row, stale_after_hours).reference()


def frame_values(connection: Connection, known_hash: Known, min_quality: int) -> set[bytes]:
    """The distinct frames of a listed video whose quality passes the gate."""
    query = select(signal_hashes.c.value).where(
        signal_hashes.c.id >= known_hash.first_hash,
        signal_hashes.c.id < known_hash.first_hash + known_hash.hash_count,
        signal_hashes.c.type == HashType.VPDQ.value,
        signal_hashes.c.quality >= min_quality,
    )
    return set(connection.execute(query).scalars())


def stored(
    connection: Connection,
    infos: Mapping[int, ListInfo],
    condition: ColumnElement[bool],
    limit: int | None = None,
) -> Generator[StoredSignal]:
    """Signals that meet a condition, with their hashes, in the order of their keys, in constant
    memory. Signals of lists that are not among ``infos`` are left out."""
    query = (
        select(signals)
        .where(condition, counts(), signals.c.list_row.in_(list(infos)))
        .order_by(signals.c.list_row, signals.c.key)
    )
    if limit is not None:
        query = query.limit(limit)
    with connection.execute(query, execution_options={"yield_per": 1_000}) as result:
        for part in result.partitions(1_000):
            by_signal = hash_rows(connection, part)
            for row in part:
                yield StoredSignal(
                    id=signal_id(row.id),
                    list=infos[row.list_row],
                    signal=signal_from(row, hashes_from(by_signal.get(row.id, []))),
                )


def hash_rows(connection: Connection, rows: Sequence[Any]) -> dict[int, list[Any]]:
    """The hash rows of these signals' present ranges, by signal."""
    by_signal: dict[int, list[Any]] = {}
    starts = {row.id: row.first_hash for row in rows}
    single: list[int] = []
    conditions: list[ColumnElement[bool]] = []
    for row in rows:
        first, last = row.first_hash, row.first_hash + row.hash_count
        if row.hash_count <= _FEW_HASHES:
            single.extend(range(first, last))
        else:
            conditions.append(signal_hashes.c.id.between(first, last - 1))
    conditions.extend(signal_hashes.c.id.in_(part) for part in batches(single))
    for condition in conditions:
        query = select(signal_hashes).where(condition).order_by(signal_hashes.c.id)
        for row in connection.execute(query).all():
            if row.signal_id in starts and row.id >= starts[row.signal_id]:
                by_signal.setdefault(row.signal_id, []).append(row)
    return by_signal


def signal_rows(connection: Connection, info: ListInfo, names: Sequence[str]) -> list[Any]:
    """The rows of a list's signals by Tutela's id (``sig_…``) or upstream id, in their order.

    Raises ``NotFound`` for the first that is not there, naming its place and not its id.
    """
    rows: dict[str, Any] = {}
    ids = {signal_row_id(name): name for name in names if name.startswith("sig_")}
    keys = {entry_key(name): name for name in names if not name.startswith("sig_")}
    own = (signals.c.list_row == info.row, counts())
    for part in batches(ids):
        for row in connection.execute(select(signals).where(*own, signals.c.id.in_(part))):
            rows[ids[row.id]] = row
    for some in batches(keys):
        for row in connection.execute(select(signals).where(*own, signals.c.key.in_(some))):
            rows[keys[row.key]] = row
    for place, name in enumerate(names, start=1):
        if name not in rows:
            raise NotFound(
                f"Number {place} of the signals named is not in list '{info.name}'.",
                kept="Nothing was changed.",
                next_step="Name signals by Tutela's id (sig_…) or the source's own id.",
            )
    return list({row.id: row for row in (rows[name] for name in names)}.values())


def existing(connection: Connection, list_row: int, keys: Iterable[bytes]) -> dict[bytes, Any]:
    """The rows of a list's signals by key, those of unfinished imports too."""
    found: dict[bytes, Any] = {}
    for part in batches(keys):
        there = known_keys(connection, list_row, part)
        if there:
            query = select(signals).where(signals.c.list_row == list_row, signals.c.key.in_(there))
            for row in connection.execute(query).all():
                found[row.key] = row
    return found


def unfinished_imports(connection: Connection, list_row: int) -> set[int]:
    """The imports into a list that have not finished."""
    query = select(list_imports.c.id).where(
        list_imports.c.list_row == list_row, list_imports.c.finished_at.is_(None)
    )
    return set(connection.execute(query).scalars())


def last_seq(connection: Connection) -> int:
    """The last change number given out that is committed."""
    return connection.execute(select(func.max(list_changes.c.seq))).scalar_one() or 0


def batches(items: Iterable[_T], size: int = BATCH) -> Iterator[list[_T]]:
    """Lists of at most ``size`` items."""
    source = iter(items)
    while part := list(islice(source, size)):
        yield part
