"""Writing lists, inside the caller's transaction. No rule and no permission is decided here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    insert,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement

from tutela.core import SignalState, utc_now
from tutela.store.statements import insert_new
from tutela.store.tables.lists import (
    list_changes,
    list_counters,
    list_imports,
    list_trees,
    list_versions,
    lists,
    signal_hashes,
    signals,
)

from .bulk import Bound, insert_rows
from .rows import HASH_COLUMNS, SIGNAL_COLUMNS, Draft, hash_rows, signal_row
from .versions import SLOTS, Slots, slot_bounds, slot_of, slot_roots

MATCHING = (SignalState.ACTIVE.value, SignalState.DISPUTED.value)
"""States in which a signal is in the index and in the tree."""

_MANY_SLOTS = 256
"""Above so many touched slots one ordered scan is cheaper than a query for each."""

PLACE_COLUMNS = ("id", "list_row", "key", "first_hash", "import_id", "pending")
"""The columns of ``signals`` that say where a signal is kept."""

BATCH = 5_000
"""Keys or refs in one query, under SQLite's and PostgreSQL's limits of bound values."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The first of each run of numbers taken."""

    seq: int
    signal: int
    hash: int


def take_numbers(
    connection: Connection, *, seq: int = 0, signals: int = 0, hashes: int = 0
) -> Numbers:
    """Reserve runs of numbers. Locks the counters until the transaction ends, which puts all
    writers of lists in one order (see ``store.tables.lists``)."""
    statement = (
        update(list_counters)
        .where(list_counters.c.id == 1)
        .values(
            seq=list_counters.c.seq + seq,
            signal=list_counters.c.signal + signals,
            hash=list_counters.c.hash + hashes,
        )
        .returning(list_counters.c.seq, list_counters.c.signal, list_counters.c.hash)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        insert_new(connection, list_counters, {"id": 1, "seq": 0, "signal": 0, "hash": 0})
        row = connection.execute(statement).one()
    return Numbers(row.seq - seq + 1, row.signal - signals + 1, row.hash - hashes + 1)


def counts() -> ColumnElement[bool]:
    """The condition that a signal's row counts: not part of an import that never finished."""
    unfinished = select(list_imports.c.id).where(list_imports.c.finished_at.is_(None))
    return or_(not_(signals.c.pending), signals.c.import_id.not_in(unfinished))


def insert_signals(
    connection: Connection,
    list_row: int,
    items: Sequence[Draft],
    *,
    import_id: int | None = None,
    pending: bool = False,
    now: datetime,
) -> tuple[int, int]:
    """Insert new signals with their hashes; the first and last hash id they were given.

    Nothing tells the indexes yet: that is ``announce``'s part.
    """
    total = sum(item.hashes for item in items)
    taken = take_numbers(connection, signals=len(items), hashes=total)
    row_id, ref = taken.signal, taken.hash
    bound = Bound(connection)
    rows: list[tuple[Any, ...]] = []
    hashes: list[tuple[Any, ...]] = []
    for item in sorted(items, key=_key):  # neighbours in the index lie together
        place = (row_id, list_row, item.key, ref, import_id, pending)
        rows.append(place + signal_row(item, None, now, bound))
        hashes += hash_rows(item.signal, row_id, list_row, ref)
        row_id += 1
        ref += item.hashes
    insert_rows(connection, signals, PLACE_COLUMNS + SIGNAL_COLUMNS, rows)
    insert_rows(connection, signal_hashes, HASH_COLUMNS, hashes)
    return taken.hash, ref - 1


_key = attrgetter("key")


def update_rows(
    connection: Connection, rows: Sequence[dict[str, Any]], columns: Iterable[str]
) -> None:
    """Write some columns of many signals by ``id``, in one go."""
    statement = (
        update(signals)
        .where(signals.c.id == bindparam("at_id"))
        .values({name: bindparam(f"new_{name}") for name in columns})
    )
    connection.execute(
        statement,
        [{("at_id" if k == "id" else f"new_{k}"): v for k, v in row.items()} for row in rows],
    )


def announce(
    connection: Connection,
    list_row: int,
    ranges: Iterable[tuple[str, int, int]],
    now: datetime | None = None,
) -> None:
    """Tell every index of ranges of hashes (op, from, to) to take in or drop."""
    merged = _merged(ranges)
    if not merged:
        return
    taken = take_numbers(connection, seq=sum(last - first + 1 for _, first, last in merged))
    seq = taken.seq - 1
    rows = []
    for op, first, last in merged:
        seq += last - first + 1
        rows.append(
            {
                "seq": seq,
                "at": now or utc_now(),
                "op": op,
                "list_row": list_row,
                "ref_from": first,
                "ref_to": last,
            }
        )
    connection.execute(insert(list_changes), rows)


def _merged(ranges: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Neighbouring ranges of the same op joined; their order kept."""
    merged: list[tuple[str, int, int]] = []
    for op, first, last in ranges:
        if merged and merged[-1][0] == op and merged[-1][2] + 1 == first:
            merged[-1] = (op, merged[-1][1], last)
        else:
            merged.append((op, first, last))
    return merged


def lock_list(connection: Connection, list_row: int) -> Any:
    """The list's row, locked against other edits until the transaction ends (PostgreSQL; SQLite
    has one writer anyway)."""
    return connection.execute(select(lists).where(lists.c.row == list_row).with_for_update()).one()


def mark_dirty(connection: Connection, list_row: int, slots: Iterable[int]) -> None:
    """Note that the roots of these slots have to be computed again by the next version."""
    row = connection.execute(
        select(list_trees.c.dirty).where(list_trees.c.list_row == list_row)
    ).one()
    bits = bytearray(row.dirty)
    for slot in slots:
        bits[slot >> 3] |= 1 << (slot & 7)
    connection.execute(
        update(list_trees).where(list_trees.c.list_row == list_row).values(dirty=bytes(bits))
    )


def dirty_slots(bits: bytes) -> set[int]:
    """The slots whose bits are set."""
    return {slot for slot in range(SLOTS) if bits[slot >> 3] >> (slot & 7) & 1}


def slots_of(keys: Iterable[bytes]) -> set[int]:
    """The slots that these keys fall into."""
    return {slot_of(key) for key in keys}


def compute_slots(
    connection: Connection,
    list_row: int,
    wanted: Collection[int],
    *,
    finishing: int | None = None,
) -> dict[int, bytes]:
    """The roots of the wanted slots from the rows; ``finishing`` is an import counted already.

    Slots without entries are absent from the answer. Reads in the order of keys, a row at a time.
    """
    visible = counts()
    if finishing is not None:
        visible = or_(visible, signals.c.import_id == finishing)
    query = (
        select(signals.c.key, signals.c.leaf)
        .where(signals.c.list_row == list_row, signals.c.state.in_(MATCHING), visible)
        .order_by(signals.c.key)
    )
    if len(wanted) > _MANY_SLOTS:
        with connection.execute(query, execution_options={"yield_per": 20_000}) as result:
            found = dict(slot_roots((key, leaf) for key, leaf in result))
        return {slot: root for slot, root in found.items() if slot in wanted}
    answer: dict[int, bytes] = {}
    for slot in sorted(wanted):
        low, high = slot_bounds(slot)
        within = signals.c.key >= low
        if high is not None:
            within = and_(within, signals.c.key < high)
        rows = connection.execute(query.where(within)).all()
        answer.update(slot_roots((row.key, row.leaf) for row in rows))
    return answer


@dataclass(frozen=True, slots=True)
class VersionDraft:
    """What ``close_version`` needs to know of an edit."""

    kind: str
    actor: str
    reason: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    entries: int = 0
    """By how much the number of matching signals grew."""


@dataclass(frozen=True, slots=True)
class ComputedSlots:
    """Slot roots computed before the write lock was taken, for the list at ``version``."""

    version: int
    roots: dict[int, bytes]
    wanted: frozenset[int]
    dirty: bytes


def close_version(
    connection: Connection,
    list_row: int,
    done: VersionDraft,
    touched: Iterable[int],
    *,
    now: datetime,
    computed: ComputedSlots | None = None,
    refreshed: bool = False,
) -> Any:
    """Make the next version of the list: its root, counts and row. The row inserted.

    ``touched`` are the slots that the edit changed; slots marked dirty are computed too.
    """
    row = lock_list(connection, list_row)
    tree = connection.execute(
        select(list_trees).where(list_trees.c.list_row == list_row).with_for_update()
    ).one()
    slots = Slots(tree.slots)
    wanted = dirty_slots(tree.dirty) | set(touched)
    if computed is not None and computed.version == row.version and computed.dirty == tree.dirty:
        for slot in computed.wanted:
            slots.set(slot, computed.roots.get(slot))
        wanted -= computed.wanted
    if wanted:
        found = compute_slots(connection, list_row, wanted)
        for slot in wanted:
            slots.set(slot, found.get(slot))
    root = slots.root()
    connection.execute(
        update(list_trees)
        .where(list_trees.c.list_row == list_row)
        .values(slots=slots.packed(), dirty=bytes(SLOTS // 8))
    )
    number = row.version + 1
    values: dict[str, Any] = {
        "version": number,
        "entries": row.entries + done.entries,
        "root": root,
    }
    if refreshed:
        values["refreshed_at"] = now
    connection.execute(update(lists).where(lists.c.row == list_row).values(**values))
    connection.execute(
        insert(list_versions).values(
            list_row=list_row,
            number=number,
            at=now,
            kind=done.kind,
            actor=done.actor,
            reason=done.reason,
            added=done.added,
            changed=done.changed,
            removed=done.removed,
            entries=row.entries + done.entries,
            root=root,
        )
    )
    return connection.execute(
        select(list_versions).where(
            list_versions.c.list_row == list_row, list_versions.c.number == number
        )
    ).one()
