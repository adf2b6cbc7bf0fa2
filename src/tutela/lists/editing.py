"""Changing lists: each method is one approved edit, one transaction and one version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from tutela.core import ListMode, Purpose, Signal, SignalState, new_id, utc_now
from tutela.errors import Conflict, InvalidInput
from tutela.store import Database, insert_new
from tutela.store.tables.lists import (
    list_events,
    list_trees,
    lists,
    signal_hashes,
    signals,
)

from . import edits, queries
from .merging import Move, merge, move
from .records import OWN_SOURCE, Edit, ListInfo, ListVersion
from .rows import Draft, draft, list_from, state_in_force, version_from
from .versions import EMPTY_ROOT, SLOTS, Slots

MAX_NAME = 80
"""Longest list name in characters."""

_DELETE_PART = 20_000
"""Signals deleted in one transaction, so that no other writer waits long."""


def _allow(_edit: Edit) -> None:
    """Every edit is approved: whoever may call the method may make it."""


def _forget(_connection: Connection, _info: ListInfo, _version: ListVersion) -> None:
    """Nobody else wants to know of versions."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the rest of the house adds to edits.

    ``approve`` is called before every edit and raises to refuse it (two sign-ins will hook in
    here); ``version`` is called inside the transaction that makes a version, with the list as it
    then stands, so that the ledger's entry commits with it.
    """

    approve: Callable[[Edit], None] = _allow
    version: Callable[[Connection, ListInfo, ListVersion], None] = _forget


class Editor:
    """Writes lists. Knows nothing of the index: callers refresh it after an edit."""

    def __init__(self, database: Database, hooks: Hooks, stale_after_hours: float) -> None:
        self.database = database
        self.hooks = hooks
        self.stale_after_hours = stale_after_hours

    def approved(self, edit: Edit) -> Edit:
        """The one gate that every change of a list passes. Raises ``InvalidInput`` without actor
        or reason, and whatever the approval hook raises."""
        if not edit.actor.strip() or len(edit.actor) > 128:
            raise InvalidInput("An edit of a list needs the name of who makes it.")
        if not edit.reason.strip():
            raise InvalidInput(
                "An edit of a list needs a reason.",
                kept="Nothing was changed.",
                next_step="Say in a few words why; it is kept in the list's history.",
            )
        self.hooks.approve(edit)
        return edit

    def find(self, connection: Connection, name: str) -> ListInfo:
        """The list of this name or id. Raises ``NotFound``."""
        return queries.one_list(connection, name, self.stale_after_hours)

    def close(
        self,
        connection: Connection,
        info: ListInfo,
        done: edits.VersionDraft,
        touched: Iterable[int],
        now: datetime,
        **options: Any,
    ) -> ListVersion:
        """Make the next version and tell the hook. Options as of ``edits.close_version``."""
        row = edits.close_version(connection, info.row, done, touched, now=now, **options)
        version = version_from(row, info.id)
        fresh = connection.execute(select(lists).where(lists.c.row == info.row)).one()
        self.hooks.version(connection, list_from(fresh, self.stale_after_hours), version)
        return version

    def create(
        self,
        name: str,
        purpose: Purpose,
        *,
        mode: ListMode,
        actor: str,
        reason: str,
        source: str = OWN_SOURCE,
        synced: bool = False,
        stale_after_hours: float | None = None,
    ) -> ListInfo:
        """Make an empty list. Raises ``Conflict`` where the name is taken."""
        if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
            raise InvalidInput(f"A list's name is 1 to {MAX_NAME} printable characters.")
        if not 0 < len(source) <= 128 or not source.isprintable():
            raise InvalidInput("A list's source is 1 to 128 printable characters.")
        self.approved(Edit(list_name=name, kind="create", actor=actor, reason=reason, size=0))
        now = utc_now()
        with self.database.begin() as connection:
            made = insert_new(
                connection,
                lists,
                {
                    "id": new_id("list"),
                    "name": name,
                    "purpose": purpose.value,
                    "mode": mode.value,
                    "source": source,
                    "synced": synced,
                    "stale_after_hours": stale_after_hours,
                    "created_at": now,
                    "version": 0,
                    "entries": 0,
                    "root": EMPTY_ROOT,
                },
            )
            if not made:
                raise Conflict(
                    f"There is a list named '{name}' already.",
                    kept="Nothing was changed.",
                    next_step="Choose another name, or add to that list.",
                )
            info = self.find(connection, name)
            connection.execute(
                insert(list_trees).values(
                    list_row=info.row, slots=Slots().packed(), dirty=bytes(SLOTS // 8)
                )
            )
            self.note(connection, info, "created", actor, reason, now, mode=mode)
            done = edits.VersionDraft("create", actor, reason)
            self.close(connection, info, done, (), now)
            return self.find(connection, name)

    def note(
        self,
        connection: Connection,
        info: ListInfo,
        kind: str,
        actor: str,
        reason: str,
        now: datetime,
        *,
        mode: ListMode | None = None,
        facts: dict[str, object] | None = None,
    ) -> None:
        """Add a line to a list's history."""
        connection.execute(
            insert(list_events).values(
                list_row=info.row,
                at=now,
                kind=kind,
                mode=mode.value if mode else None,
                actor=actor,
                reason=reason,
                facts=facts,
            )
        )

    def set_mode(self, name: str, mode: ListMode, *, actor: str, reason: str) -> ListInfo:
        """Choose what a list may do: the operator's recorded choice. It applies to the next
        look-up of every process, since matching reads the mode with the signal."""
        self.approved(Edit(list_name=name, kind=f"mode {mode.value}", actor=actor, reason=reason))
        now = utc_now()
        with self.database.begin() as connection:
            info = self.find(connection, name)
            edits.lock_list(connection, info.row)
            connection.execute(update(lists).where(lists.c.row == info.row).values(mode=mode.value))
            self.note(connection, info, "mode", actor, reason, now, mode=mode)
            self.close(connection, info, edits.VersionDraft("mode", actor, reason), (), now)
            return self.find(connection, info.id)

    def add(
        self, name: str, items: Sequence[Signal], *, actor: str, reason: str
    ) -> ListVersion | None:
        """Add signals, or bring those with a known upstream id up to date; None if nothing
        changed. Raises ``InvalidInput`` for an unusable signal, naming its place."""
        now = utc_now()
        edit = Edit(list_name=name, kind="add", actor=actor, reason=reason, size=len(items))
        self.approved(edit)
        drafts: dict[bytes, Draft] = {}
        for place, signal in enumerate(items, start=1):
            try:
                item = draft(signal, now)
            except InvalidInput as error:
                raise InvalidInput(f"Signal {place}: {error.what}") from error
            drafts[item.key] = item
        with self.database.begin() as connection:
            info = self.find(connection, name)
            edits.lock_list(connection, info.row)
            merged = merge(connection, info.row, list(drafts.values()), now)
            if not merged.inserted and not merged.changed:
                return None
            edits.announce(connection, info.row, merged.ranges, now)
            done = edits.VersionDraft(
                "add",
                actor,
                reason,
                added=merged.inserted,
                changed=merged.changed,
                removed=merged.removed,
                entries=merged.entries,
            )
            return self.close(connection, info, done, merged.slots, now)

    def set_state(
        self, name: str, which: Sequence[str], state: SignalState, *, actor: str, reason: str
    ) -> ListVersion | None:
        """Withdraw, dispute or restore signals (``ACTIVE``); None if nothing changed.

        The operator's word is kept beside the source's: the stricter of the two counts, and a
        later import does not undo it. Raises ``NotFound`` for a signal that is not there and
        ``Conflict`` for restoring one that its source withdrew or that has expired.
        """
        kind = _EDIT_OF[state]
        self.approved(Edit(list_name=name, kind=kind, actor=actor, reason=reason, size=len(which)))
        own = None if state is SignalState.ACTIVE else state
        now = utc_now()
        with self.database.begin() as connection:
            info = self.find(connection, name)
            edits.lock_list(connection, info.row)
            rows = queries.signal_rows(connection, info, which)
            moves = []
            for place, row in enumerate(rows, start=1):
                source = SignalState(row.source_state)
                target = state_in_force(source, own, row.expires_at, now)
                if own is None and not target.matches:
                    raise Conflict(
                        f"Number {place} of the signals named is {target.value} by its source; "
                        "the operator cannot restore it.",
                        kept="Nothing was changed.",
                        next_step="Import the source's newer record, or add it to your own list.",
                    )
                word = own.value if own else None
                if row.state != target.value or row.own_state != word:
                    moves.append(Move(row, target, word, row.source_state))
            return self._moved(connection, info, moves, kind, actor, reason, now)

    def mark_refreshed(self, name: str) -> None:
        """Note that a list's source was asked and had nothing new."""
        with self.database.begin() as connection:
            info = self.find(connection, name)
            connection.execute(
                update(lists).where(lists.c.row == info.row).values(refreshed_at=utc_now())
            )

    def expire_due(self, limit: int = 5_000) -> int:
        """Move signals past their expiry to ``expired``; how many. (Matching does not wait for
        this: it looks at the clock.)"""
        now = utc_now()
        due = and_(signals.c.expires_at <= now, signals.c.state.in_(edits.MATCHING))
        with self.database.read() as connection:
            rows = set(connection.execute(select(signals.c.list_row).where(due)).scalars())
        moved = 0
        for list_row in rows:
            with self.database.begin() as connection:
                row = edits.lock_list(connection, list_row)
                info = list_from(row, self.stale_after_hours)
                query = select(signals).where(due, signals.c.list_row == list_row, edits.counts())
                found = connection.execute(query.limit(limit)).all()
                moves = [
                    Move(row, SignalState.EXPIRED, row.own_state, row.source_state) for row in found
                ]
                reason = "past the time its source gave"
                self._moved(connection, info, moves, "expire", "tutela", reason, now)
                moved += len(found)
        return moved

    def _moved(
        self,
        connection: Connection,
        info: ListInfo,
        moves: Sequence[Move],
        kind: str,
        actor: str,
        reason: str,
        now: datetime,
    ) -> ListVersion | None:
        """Write new states, tell the indexes, make the version; None where nothing moves."""
        if not moves:
            return None
        merged = move(connection, moves)
        edits.announce(connection, info.row, merged.ranges, now)
        done = edits.VersionDraft(
            kind,
            actor,
            reason,
            changed=merged.changed,
            removed=merged.removed,
            entries=merged.entries,
        )
        return self.close(connection, info, done, merged.slots, now)

    def delete(self, name: str, *, actor: str, reason: str) -> None:
        """Delete a list's signals and hashes for good. Its record, history and roots stay.

        It stops matching with the first transaction; the rows go in parts after it. Build the
        snapshot again afterwards: until then the index's file still holds the hashes.
        """
        self.approved(Edit(list_name=name, kind="delete", actor=actor, reason=reason))
        now = utc_now()
        with self.database.begin() as connection:
            info = self.find(connection, name)
            edits.lock_list(connection, info.row)
            connection.execute(
                update(lists)
                .where(lists.c.row == info.row)
                .values(
                    deleted_at=now,
                    name=f"{info.name} (deleted, {info.id})",
                    mode=ListMode.OFF.value,
                    entries=0,
                )
            )
            connection.execute(
                update(list_trees)
                .where(list_trees.c.list_row == info.row)
                .values(slots=Slots().packed(), dirty=bytes(SLOTS // 8))
            )
            self.note(
                connection, info, "deleted", actor, reason, now, facts={"signals": info.entries}
            )
            done = edits.VersionDraft("delete", actor, reason, removed=info.entries)
            self.close(connection, info, done, (), now)
        self._delete_rows(info.row)

    def _delete_rows(self, list_row: int) -> None:
        """Delete a list's signals and hashes in parts, so that no other writer waits long."""
        while True:
            with self.database.begin() as connection:
                query = select(signals.c.id).where(signals.c.list_row == list_row)
                ids = list(connection.execute(query.limit(_DELETE_PART)).scalars())
                if not ids:  # what is left are hashes that signals had earlier
                    connection.execute(
                        delete(signal_hashes).where(signal_hashes.c.list_row == list_row)
                    )
                    return
                self.delete_signals(connection, ids)

    def delete_signals(self, connection: Connection, ids: Sequence[int]) -> None:
        """Delete signals that count no more, with their hashes.

        Indexes are not told: matching finds no signal behind such a hash, and the next snapshot
        leaves it out.
        """
        for part in queries.batches(ids):
            spans = connection.execute(
                select(signals.c.first_hash, signals.c.hash_count).where(signals.c.id.in_(part))
            ).all()
            refs = (ref for row in spans for ref in range(row[0], row[0] + row[1]))
            for some in queries.batches(refs):
                connection.execute(delete(signal_hashes).where(signal_hashes.c.id.in_(some)))
            connection.execute(delete(signals).where(signals.c.id.in_(part)))


_EDIT_OF = {
    SignalState.ACTIVE: "restore",
    SignalState.DISPUTED: "dispute",
    SignalState.WITHDRAWN: "withdraw",
}
