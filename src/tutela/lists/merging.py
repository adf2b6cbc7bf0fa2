"""Bringing what a source says together with what is stored: new, changed, unchanged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from tutela.core import HashType, Signal, SignalHash, SignalState
from tutela.store.tables.lists import signal_hashes

from . import edits, queries
from .bulk import insert_rows
from .rows import (
    HASH_COLUMNS,
    SIGNAL_COLUMNS,
    Draft,
    details_of,
    draft,
    hash_rows,
    hashes_from,
    signal_from,
    signal_row,
)
from .versions import entry_leaf

Range = tuple[str, int, int]
"""An op (add or remove) and the first and last hash id that it touches."""


@dataclass(slots=True)
class Merged:
    """What one merge did. ``ranges`` are to be announced with this transaction; ``later`` with
    the end of the import, as are ``later_slots``."""

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    duplicates: int = 0
    removed: int = 0
    entries: int = 0
    ranges: list[Range] = field(default_factory=list)
    slots: set[int] = field(default_factory=set)
    later: list[Range] = field(default_factory=list)
    later_slots: set[int] = field(default_factory=set)
    seen: list[int] = field(default_factory=list)


def merge(
    connection: Connection,
    list_row: int,
    items: Sequence[Draft],
    now: datetime,
    *,
    import_id: int | None = None,
    dry_run: bool = False,
) -> Merged:
    """Insert what is new and bring what is known up to date, in the caller's transaction.

    A known signal takes the source's whole record. Where one import names an upstream id again,
    its hashes join those of the earlier line instead (one line a hash is a common form). New
    signals of an import are pending: they count when it finishes. ``items`` have distinct keys.
    """
    merged = Merged()
    known = queries.existing(connection, list_row, [item.key for item in items])
    fresh = [item for item in items if item.key not in known]
    updates = [(known[item.key], item) for item in items if item.key in known]
    if updates:
        _update(connection, updates, now, import_id, dry_run, merged)
    if not fresh:
        return merged
    merged.inserted = len(fresh)
    matching = [item for item in fresh if item.matches]
    slots = edits.slots_of(item.key for item in matching)
    ranges: list[Range] = []
    if not dry_run:
        first, last = edits.insert_signals(
            connection,
            list_row,
            fresh,
            import_id=import_id,
            pending=import_id is not None,
            now=now,
        )
        ranges.append(("add", first, last))
    if import_id is None:
        merged.ranges += ranges
        merged.slots |= slots
        merged.entries += len(matching)
    else:
        merged.later += ranges
        merged.later_slots |= slots
    return merged


def _update(
    connection: Connection,
    updates: Sequence[tuple[Any, Draft]],
    now: datetime,
    import_id: int | None,
    dry_run: bool,
    merged: Merged,
) -> None:
    """Bring known signals up to date, with as few statements as there are kinds of change."""
    unfinished = queries.unfinished_imports(connection, updates[0][0].list_row)
    differing: list[tuple[Any, Draft]] = []
    for old, given in updates:
        own = SignalState(old.own_state) if old.own_state else None
        item = given if own is None else draft(given.signal, now, own)
        if (
            item.leaf != old.leaf
            or not _same_facts(old, item.signal)
            or _waiting(old, import_id, unfinished)
        ):
            differing.append((old, item))
        elif _again(old, import_id):
            merged.duplicates += 1
        else:
            merged.unchanged += 1
            merged.seen.append(old.id)
    if not differing:
        return
    stored = queries.hash_rows(connection, [old for old, _ in differing])
    rows: list[dict[str, Any]] = []
    fresh_hashes: list[tuple[Any, ...]] = []
    for old, given in differing:
        before = hashes_from(stored.get(old.id, []))
        item = given
        if _again(old, import_id):
            merged.duplicates += 1
            joined = _joined(before, item.signal.hashes)
            if _plain(joined) == _plain(before):
                continue
            own = SignalState(old.own_state) if old.own_state else None
            item = draft(replace(item.signal, hashes=joined), now, own)
        else:
            merged.changed += 1
        replaced = _plain(before) != _plain(item.signal.hashes)
        if dry_run:
            continue
        first = old.first_hash
        if replaced:
            first = edits.take_numbers(connection, hashes=item.hashes).hash
            fresh_hashes += hash_rows(item.signal, old.id, old.list_row, first)
        pending = old.pending and _again(old, import_id)
        rows.append(_values(old, item, first, import_id, pending=pending))
        was = old.state in edits.MATCHING and not _waiting(old, import_id, unfinished)
        _account(old, item, first, was=was, replaced=replaced, pending=pending, merged=merged)
    insert_rows(connection, signal_hashes, HASH_COLUMNS, fresh_hashes)
    if rows:
        edits.update_rows(connection, rows, [name for name in rows[0] if name != "id"])


def _again(old: Any, import_id: int | None) -> bool:
    """Whether this very import wrote the row before."""
    return import_id is not None and old.import_id == import_id


def _waiting(old: Any, import_id: int | None, unfinished: Collection[int]) -> bool:
    """Whether the row does not count yet because another import that added it goes on. What is
    written now makes it count."""
    return old.pending and old.import_id in unfinished and old.import_id != import_id


def _account(
    old: Any,
    item: Draft,
    first: int,
    *,
    was: bool,
    replaced: bool,
    pending: bool,
    merged: Merged,
) -> None:
    """Count one changed signal and note what indexes must be told. ``was``: it counted before."""
    now = item.matches
    after = ("add", first, first + item.hashes - 1)
    if pending:
        if now and replaced:
            merged.later.append(after)
        merged.later_slots |= edits.slots_of([item.key])
        return
    if was and (replaced or not now):
        merged.ranges.append(("remove", old.first_hash, old.first_hash + old.hash_count - 1))
    if now and (replaced or not was):
        merged.ranges.append(after)
    merged.entries += int(now) - int(was)
    merged.removed += int(was and not now)
    if was or now:
        merged.slots |= edits.slots_of([item.key])


def _values(
    old: Any, item: Draft, first: int, import_id: int | None, *, pending: bool
) -> dict[str, Any]:
    """The row of a known signal as its source now has it."""
    row = signal_row(item, old.own_state, old.first_seen)
    values = dict(zip(SIGNAL_COLUMNS, row, strict=True))
    values["last_seen"] = item.signal.last_seen or old.last_seen
    values.update(id=old.id, first_hash=first, import_id=import_id, pending=pending)
    return values


def _same_facts(old: Any, signal: Signal) -> bool:
    """Whether all but the leaf's data is as stored. Times that the source leaves out stay."""
    return bool(
        old.source_state == signal.state.value
        and old.redistribute == signal.redistribute
        and old.expires_at == signal.expires_at
        and signal.first_seen in (None, old.first_seen)
        and signal.last_seen in (None, old.last_seen)
        and (old.details or None) == details_of(signal)
    )


def joined_signals(before: Signal, more: Signal) -> Signal:
    """Two records of one upstream id in one file: the later facts, the hashes of both."""
    return replace(more, hashes=_joined(before.hashes, more.hashes))


@dataclass(frozen=True, slots=True)
class Move:
    """A signal's row, the state it shall be in, and whose word that is."""

    row: Any
    state: SignalState
    own_state: str | None
    source_state: str


def move(connection: Connection, moves: Sequence[Move]) -> Merged:
    """Write new states. The caller announces ``ranges`` and makes the version."""
    merged = Merged(changed=len(moves))
    stored = queries.hash_rows(connection, [each.row for each in moves])
    rows = []
    for each in moves:
        old = each.row
        signal = signal_from(old, hashes_from(stored.get(old.id, [])))
        rows.append(
            {
                "id": old.id,
                "state": each.state.value,
                "own_state": each.own_state,
                "source_state": each.source_state,
                "leaf": entry_leaf(signal, each.state),
            }
        )
        was, now = old.state in edits.MATCHING, each.state.matches
        if was != now:
            span = (old.first_hash, old.first_hash + old.hash_count - 1)
            merged.ranges.append(("add" if now else "remove", *span))
        merged.entries += int(now) - int(was)
        merged.removed += int(was and not now)
        if was or now:
            merged.slots |= edits.slots_of([old.key])
    if rows:
        edits.update_rows(connection, rows, ("state", "own_state", "source_state", "leaf"))
    return merged


def _joined(before: Sequence[SignalHash], more: Sequence[SignalHash]) -> tuple[SignalHash, ...]:
    """The hashes of both, each once; frames of videos joined into one."""
    plain = [part for part in (*before, *more) if part.type is not HashType.VPDQ]
    frames = [
        frame for part in (*before, *more) if part.type is HashType.VPDQ for frame in part.frames
    ]
    joined = tuple(dict.fromkeys(plain))
    if frames:
        joined += (SignalHash(type=HashType.VPDQ, frames=tuple(dict.fromkeys(frames))),)
    return joined


def _plain(hashes: Sequence[SignalHash]) -> set[tuple[object, ...]]:
    """Hashes as a set that compares equal whatever their order."""
    plain: set[tuple[object, ...]] = set()
    for part in hashes:
        plain.add((part.type, part.value, part.quality))
        plain.update((frame.number, frame.time, frame.pdq, frame.quality) for frame in part.frames)
    return plain
