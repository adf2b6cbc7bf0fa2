"""Taking a list file in: entry by entry, in small transactions, all of it or none of it.

A file of millions must not hold the database's write lock, so it is written in parts. What is new
is pending until the last part: a crash leaves the list matching as before, and the next import
sweeps the remains. What changes about signals that the list has already (a withdrawal above all)
takes effect with its part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import BinaryIO

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from tutela.core import SignalState, utc_now
from tutela.errors import Conflict, InvalidImport, InvalidInput, TutelaError
from tutela.store.tables.lists import list_imports, list_trees, lists, signals

from . import edits
from .editing import Editor
from .formats import Entry, ReadOptions, open_reading
from .merging import Merged, Move, Range, joined_signals, merge, move
from .records import Edit, ImportReport, ListInfo, Refusal
from .rows import Draft, draft
from .seen import SeenKeys

PART = 10_000
"""Entries in one transaction: about a quarter of a second of SQLite's write lock."""

MAX_PART_HASHES = 40_000
"""Hashes after which a part ends early (listed videos have thousands each)."""

MAX_REFUSALS = 1_000
"""Refused entries that a report names; it counts them all."""

_ABANDONED_AFTER = timedelta(minutes=2)
"""An import that committed nothing for so long is taken for dead, and commits no more."""

Progress = Callable[[int], None]
"""Called with the number of entries read so far."""


@dataclass(slots=True)
class _Tally:
    """What was done so far."""

    read: int = 0
    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    duplicates: int = 0
    removed: int = 0
    withdrawn: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    later: list[Range] = field(default_factory=list)
    later_slots: set[int] = field(default_factory=set)

    def refuse(self, number: int, reason: str) -> None:
        """Count a refused entry, and name it while there is room."""
        self.refused += 1
        if len(self.refusals) < MAX_REFUSALS:
            self.refusals.append(Refusal(number=number, reason=reason))

    @property
    def fresh(self) -> bool:
        """Whether the file says anything about the list as it is now: a line of it was taken, or
        one that the list has already was in it. A file that was refused whole says nothing."""
        return bool(self.inserted or self.changed or self.unchanged)

    def take(self, merged: Merged) -> None:
        """Count what a part did."""
        self.inserted += merged.inserted
        self.changed += merged.changed
        self.unchanged += merged.unchanged
        self.duplicates += merged.duplicates
        self.removed += merged.removed
        self.later_slots |= merged.later_slots
        for op, first, last in merged.later:
            if self.later and self.later[-1][0] == op and self.later[-1][2] + 1 == first:
                self.later[-1] = (op, self.later[-1][1], last)
            else:
                self.later.append((op, first, last))


class Importer:
    """Imports files into lists. One import a list at a time."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._database = editor.database

    def run(
        self,
        name: str,
        stream: BinaryIO,
        *,
        format: str | None,
        actor: str,
        reason: str,
        dry_run: bool = False,
        mirror: bool = False,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Import one file, or say what importing it would do.

        ``mirror`` withdraws what the file no longer has, for sources that send their whole list;
        it is refused where anything in the file was, since a damaged file would empty the list.
        Raises ``InvalidImport`` for a file that cannot be read as a whole, ``NotFound``,
        ``Conflict`` while another import of the list runs.
        """
        started = time.monotonic()
        if not dry_run:
            self._editor.approved(Edit(list_name=name, kind="import", actor=actor, reason=reason))
        with self._database.read() as connection:
            info = self._editor.find(connection, name)
        reading, word = open_reading(format, stream, info, options or ReadOptions())
        tally = _Tally()
        version: int | None = None
        entries = iter(reading)
        if dry_run:
            self._try(info, entries, tally, progress)
        else:
            import_id = self._start(info, word, actor)
            try:
                self._write(info, entries, tally, progress, import_id, mirror=mirror)
                gone = 0
                if mirror:
                    gone = self._withdraw_rest(info, import_id, tally, reading.complete)
                version = self._finish(info, import_id, tally, gone, actor, reason)
            except BaseException:
                self._abandon(info, import_id)
                raise
        return ImportReport(
            list_id=info.id,
            list_name=info.name,
            format=word,
            unit=reading.unit,
            dry_run=dry_run,
            read=tally.read,
            added=tally.inserted,
            changed=tally.changed,
            unchanged=tally.unchanged,
            duplicates=tally.duplicates,
            withdrawn=tally.withdrawn,
            refused=tally.refused,
            refusals=tuple(tally.refusals),
            ignored_hashes=reading.ignored,
            complete=reading.complete,
            version=version,
            refreshed=tally.fresh and not dry_run,
            seconds=time.monotonic() - started,
        )

    def _try(
        self, info: ListInfo, entries: Iterator[Entry], tally: _Tally, progress: Progress | None
    ) -> None:
        """Count what an import would do, writing nothing."""
        seen = SeenKeys()
        try:
            for items in self._parts(entries, tally, progress):
                before = seen.add([item.key for item in items])
                tally.duplicates += len(before)
                first = [item for item in items if item.key not in before]
                with self._database.read() as connection:
                    tally.take(merge(connection, info.row, first, utc_now(), dry_run=True))
        finally:
            seen.close()

    def _parts(
        self, entries: Iterator[Entry], tally: _Tally, progress: Progress | None
    ) -> Iterator[list[Draft]]:
        """Entries made ready, in parts of distinct keys; refused ones are counted."""
        now = utc_now()
        while True:
            items: dict[bytes, Draft] = {}
            hashes = 0
            read = tally.read
            for number, entry in islice(entries, PART):
                tally.read += 1
                if isinstance(entry, str):
                    tally.refuse(number, entry)
                    continue
                try:
                    item = draft(entry, now)
                    if (earlier := items.get(item.key)) is not None:
                        tally.duplicates += 1
                        item = draft(joined_signals(earlier.signal, entry), now)
                except InvalidInput as error:
                    tally.refuse(number, f"{error.what[0].lower()}{error.what[1:].rstrip('.')}")
                    continue
                items[item.key] = item
                hashes += item.hashes
                if hashes > MAX_PART_HASHES:
                    break
            if tally.read == read:
                return
            tally.withdrawn += sum(not item.matches for item in items.values())
            if items:
                yield list(items.values())
            if progress is not None:
                progress(tally.read)

    def _start(self, info: ListInfo, word: str, actor: str) -> int:
        """Note that an import begins, after sweeping what a dead one left."""
        with self._database.read() as connection:
            unfinished = connection.execute(
                select(list_imports).where(
                    list_imports.c.list_row == info.row, list_imports.c.finished_at.is_(None)
                )
            ).all()
        for row in unfinished:
            if row.abandoned_at is None and not self._give_up(row.id, silent=_ABANDONED_AFTER):
                raise Conflict(
                    f"Another import into list '{info.name}' is under way.",
                    kept="Nothing was imported.",
                    next_step="Wait until it has finished; if it died, try again in 2 minutes.",
                )
            self._sweep(info, row.id)
        now = utc_now()
        with self._database.begin() as connection:
            edits.lock_list(connection, info.row)
            running = connection.execute(
                select(list_imports.c.id).where(
                    list_imports.c.list_row == info.row, list_imports.c.finished_at.is_(None)
                )
            ).first()
            if running is not None:
                raise Conflict(
                    f"Another import into list '{info.name}' has just begun.",
                    kept="Nothing was imported.",
                    next_step="Wait until it has finished.",
                )
            done = connection.execute(
                insert(list_imports)
                .values(list_row=info.row, started_at=now, alive_at=now, actor=actor, format=word)
                .returning(list_imports.c.id)
            )
            return int(done.scalar_one())

    def _write(
        self,
        info: ListInfo,
        entries: Iterator[Entry],
        tally: _Tally,
        progress: Progress | None,
        import_id: int,
        *,
        mirror: bool,
    ) -> None:
        """Write the file part by part, a transaction each."""
        for items in self._parts(entries, tally, progress):
            now = utc_now()
            with self._database.begin() as connection:
                self._editor.find(connection, info.id)
                edits.lock_list(connection, info.row)
                _still_ours(connection, import_id, alive_at=now)
                merged = merge(connection, info.row, items, now, import_id=import_id)
                self._settle(connection, info, merged, now)
                if mirror and merged.seen:
                    rows = [
                        {"id": row_id, "import_id": import_id, "pending": False}
                        for row_id in merged.seen
                    ]
                    edits.update_rows(connection, rows, ("import_id", "pending"))
            tally.take(merged)

    def _settle(
        self, connection: Connection, info: ListInfo, merged: Merged, now: datetime
    ) -> None:
        """Make changes to signals that the list had already count with this transaction."""
        edits.announce(connection, info.row, merged.ranges, now)
        if merged.slots:
            edits.mark_dirty(connection, info.row, merged.slots)
        if merged.entries:
            connection.execute(
                update(lists)
                .where(lists.c.row == info.row)
                .values(entries=lists.c.entries + merged.entries)
            )

    def _withdraw_rest(self, info: ListInfo, import_id: int, tally: _Tally, complete: bool) -> int:
        """Withdraw, as the source's word, every signal that the file did not have."""
        if tally.refused or not complete or not tally.read:
            raise InvalidImport(
                "The file cannot be mirrored: entries of it were refused, or it broke off.",
                kept="The signals that the file no longer has were left as they were.",
                next_step="Correct the file, or import it without mirroring.",
            )
        gone = 0
        while True:
            now = utc_now()
            with self._database.begin() as connection:
                edits.lock_list(connection, info.row)
                _still_ours(connection, import_id, alive_at=now)
                rows = connection.execute(
                    select(signals)
                    .where(
                        signals.c.list_row == info.row,
                        signals.c.source_state != SignalState.WITHDRAWN.value,
                        or_(signals.c.import_id.is_(None), signals.c.import_id != import_id),
                    )
                    .limit(PART)
                ).all()
                if not rows:
                    return gone
                moves = [
                    Move(row, SignalState.WITHDRAWN, row.own_state, SignalState.WITHDRAWN.value)
                    for row in rows
                ]
                merged = move(connection, moves)
                self._settle(connection, info, merged, now)
                gone += len(rows)

    def _finish(
        self,
        info: ListInfo,
        import_id: int,
        tally: _Tally,
        gone: int,
        actor: str,
        reason: str,
    ) -> int | None:
        """Make what is new count, as one version. The roots are computed before the write lock
        is taken, and again for what another edit changed meanwhile."""
        with self._database.read() as connection:
            computed = self._computed(connection, info, import_id, tally.later_slots)
            fresh = self._pending(connection, info, import_id)
        now = utc_now()
        with self._database.begin() as connection:
            row = edits.lock_list(connection, info.row)
            if row.deleted_at is not None:
                self._editor.find(connection, info.id)
            if row.version != computed.version:
                fresh = self._pending(connection, info, import_id)
            _still_ours(
                connection,
                import_id,
                finished_at=now,
                alive_at=now,
                facts={"read": tally.read, "refused": tally.refused},
            )
            if not (tally.inserted or tally.changed or gone):
                if tally.fresh:
                    connection.execute(
                        update(lists).where(lists.c.row == info.row).values(refreshed_at=now)
                    )
                return None
            edits.announce(connection, info.row, tally.later, now)
            done = edits.VersionDraft(
                "import",
                actor,
                reason,
                added=tally.inserted,
                changed=tally.changed,
                removed=tally.removed + gone,
                entries=fresh,
            )
            version = self._editor.close(
                connection,
                info,
                done,
                tally.later_slots,
                now,
                computed=computed,
                refreshed=True,
            )
            return version.number

    def _computed(
        self, connection: Connection, info: ListInfo, import_id: int, touched: set[int]
    ) -> edits.ComputedSlots:
        number = connection.execute(
            select(lists.c.version).where(lists.c.row == info.row)
        ).scalar_one()
        dirty = connection.execute(
            select(list_trees.c.dirty).where(list_trees.c.list_row == info.row)
        ).scalar_one()
        wanted = frozenset(touched | edits.dirty_slots(dirty))
        return edits.ComputedSlots(
            version=number,
            roots=edits.compute_slots(connection, info.row, wanted, finishing=import_id),
            wanted=wanted,
            dirty=dirty,
        )

    def _pending(self, connection: Connection, info: ListInfo, import_id: int) -> int:
        """How many matching signals wait for this import to finish."""
        query = select(func.count()).where(*_left_by(info, import_id))
        return int(
            connection.execute(query.where(signals.c.state.in_(edits.MATCHING))).scalar_one()
        )

    def _abandon(self, info: ListInfo, import_id: int) -> None:
        """Undo what an import left that broke off here. What cannot be undone now is swept by the
        next import."""
        with suppress(TutelaError):
            if self._give_up(import_id):
                self._sweep(info, import_id)

    def _give_up(self, import_id: int, *, silent: timedelta = timedelta(0)) -> bool:
        """Note that an import is given up, before anything of it is swept, so that it writes no
        more. False where it finished, was given up already, or committed something within the
        time ``silent``."""
        now = utc_now()
        with self._database.begin() as connection:
            given_up = connection.execute(
                update(list_imports)
                .where(*_alive(import_id), list_imports.c.alive_at <= now - silent)
                .values(abandoned_at=now)
            )
        return given_up.rowcount > 0

    def _sweep(self, info: ListInfo, import_id: int) -> None:
        """Delete what an unfinished import added; it never counted."""
        while True:
            with self._database.begin() as connection:
                rows = connection.execute(
                    select(signals.c.id).where(*_left_by(info, import_id)).limit(PART)
                ).scalars()
                ids = list(rows)
                if not ids:
                    break
                self._editor.delete_signals(connection, ids)
        with self._database.begin() as connection:
            now = utc_now()
            connection.execute(
                update(list_imports)
                .where(list_imports.c.id == import_id, list_imports.c.finished_at.is_(None))
                .values(finished_at=now)
            )


def _still_ours(connection: Connection, import_id: int, **values: object) -> None:
    """Note in the import's own row that it lives, or that it is finished.

    Raises ``Conflict`` where another process took it for dead and swept it meanwhile: what it
    wrote before is gone, and what it would write now would count without the rest.
    """
    noted = connection.execute(update(list_imports).where(*_alive(import_id)).values(**values))
    if noted.rowcount == 0:
        raise Conflict(
            "This import was silent for so long that another one took it for dead.",
            kept="What it had added was removed; changes to earlier signals stand.",
            next_step="Import the file again.",
        )


def _alive(import_id: int) -> tuple[ColumnElement[bool], ...]:
    """An import that neither finished nor was given up."""
    return (
        list_imports.c.id == import_id,
        list_imports.c.finished_at.is_(None),
        list_imports.c.abandoned_at.is_(None),
    )


def _left_by(info: ListInfo, import_id: int) -> tuple[ColumnElement[bool], ...]:
    """The signals that an import added and that wait for its end."""
    return (
        signals.c.list_row == info.row,
        signals.c.import_id == import_id,
        signals.c.pending,
    )
