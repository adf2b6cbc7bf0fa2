"""The lists service: everything the rest of the house asks of lists goes through ``Lists``."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from sqlalchemy import ColumnElement, func, select

from tutela.core import (
    Finding,
    HashType,
    ListMode,
    Media,
    Purpose,
    Signal,
    SignalState,
    utc_now,
)
from tutela.errors import Conflict, InvalidInput, NotFound, Unavailable
from tutela.settings import Settings
from tutela.store import Database
from tutela.store.tables.lists import list_events, signal_hashes, signals
from tutela.store.tables.uploads import selftests

from . import edits, queries
from .editing import Editor, Hooks
from .exporting import Export, open_export
from .formats import ReadOptions
from .importing import Importer, Progress
from .index import Hit, Index
from .matching import (
    HashQuery,
    Probes,
    findings_of,
    probes_of_hashes,
    probes_of_media,
)
from .records import (
    OWN_SOURCE,
    ImportReport,
    ListEvent,
    ListInfo,
    ListVersion,
    StoredSignal,
)
from .rows import signal_row_id
from .signals import signal_of_media
from .status import Protection, protection_of
from .sync import IndexSync
from .versions import SLOTS, Slots

SELFTEST_LIST = "Self-test"
"""Name of the list that holds the harmless trigger; made at first start."""

_STATUS_SECONDS = 1.0
"""How long an answer of ``protection`` is reused."""

_EXPIRY_SECONDS = 30.0
"""How often signals past their expiry are moved. (Matching looks at the clock by itself.)"""


class Lists:
    """Signals in, findings out. Thread-safe; one for each process.

    Every change names its actor and its reason, passes ``hooks.approve`` and makes one version;
    this process matches by it when the call returns, every other one within
    ``lists.refresh_seconds``. Calls raise the errors they name, and ``StoreUnavailable`` or
    ``StorageFull`` where the database fails.
    """

    def __init__(
        self,
        database: Database,
        index: Index,
        settings: Settings,
        *,
        hooks: Hooks | None = None,
    ) -> None:
        self.database = database
        self.index = index
        self.settings = settings.lists
        self._editor = Editor(database, hooks or Hooks(), self.settings.stale_after_hours)
        self._importer = Importer(self._editor)
        self._sync = IndexSync(database, index, self.settings)
        self._status: tuple[float, Protection] | None = None
        self._expired_at = 0.0
        self._maintaining = threading.Lock()

    # --- start and upkeep ---------------------------------------------------------------------

    def open(self) -> None:
        """Make ready: the self-test list exists, the snapshot is mapped (or built) and current."""
        self.ensure_selftest()
        self.refresh()

    def ensure_selftest(self, trigger: Sequence[Signal] = ()) -> ListInfo:
        """The self-test list, made where it is missing, holding at least these signals."""
        try:
            info = self.get(SELFTEST_LIST)
        except NotFound:
            try:
                info = self.create(
                    SELFTEST_LIST,
                    Purpose.SELFTEST,
                    mode=ListMode.BLOCK,
                    actor="tutela",
                    reason="made at first start",
                )
            except Conflict:  # another process was first
                info = self.get(SELFTEST_LIST)
        if trigger:
            reason = "the harmless trigger of the self-test"
            self.add(SELFTEST_LIST, trigger, actor="tutela", reason=reason)
        return info

    def refresh(self) -> int:
        """Take in what this and other processes changed; the number of hashes applied."""
        applied = self._sync.refresh()
        if applied:
            self._status = None
        return applied

    def maintain(self, *, pace: float = 1.0) -> None:
        """The slow part of upkeep: expire what is due, rebuild the snapshot where that is due,
        prune. For a thread of its own; does nothing while another call is at it."""
        if not self._maintaining.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._expired_at > _EXPIRY_SECONDS:
                self._expired_at = time.monotonic()
                if self._editor.expire_due():
                    self._changed()
            if self.rebuild_due:
                self.rebuild_snapshot(pace=pace)
                self._sync.prune()
        finally:
            self._maintaining.release()

    @property
    def rebuild_due(self) -> bool:
        """Whether ``maintain`` would build a new snapshot."""
        return self._sync.rebuild_due

    def rebuild_snapshot(self, *, pace: float = 1.0) -> None:
        """Build a snapshot of everything and put it in force, here and in every process."""
        self._sync.rebuild(pace=pace)
        self._status = None

    def _changed(self) -> None:
        """After an edit of this process: match by it now."""
        self._status = None
        while self.index.healthy and self._sync.refresh():
            pass

    # --- lists --------------------------------------------------------------------------------

    def all(self) -> tuple[ListInfo, ...]:
        """Every list, by name."""
        with self.database.read() as connection:
            return queries.all_lists(connection, self.settings.stale_after_hours)

    def get(self, name: str) -> ListInfo:
        """The list of this name or id. Raises ``NotFound``."""
        with self.database.read() as connection:
            return self._editor.find(connection, name)

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
        """Make an empty list. ``source`` names who gives it (``own``: the operator); ``synced``
        says that something keeps it fresh, so that silence makes it stale. Raises ``Conflict``
        where the name is taken, ``InvalidInput``."""
        if purpose is Purpose.SELFTEST and name != SELFTEST_LIST:
            raise InvalidInput(
                "The purpose 'selftest' is for the harmless trigger only, whose list Tutela makes.",
                kept="No list was made.",
                next_step="Choose csam, ncii, terror or own.",
            )
        info = self._editor.create(
            name,
            purpose,
            mode=mode,
            actor=actor,
            reason=reason,
            source=source,
            synced=synced,
            stale_after_hours=stale_after_hours,
        )
        self._status = None
        return info

    def set_mode(self, name: str, mode: ListMode, *, actor: str, reason: str) -> ListInfo:
        """Record what the operator lets a list do; the next look-up everywhere goes by it.

        Raises ``NotFound``, and ``InvalidInput`` for anything but ``block`` of the self-test's.
        """
        if mode is not ListMode.BLOCK and self.get(name).purpose is Purpose.SELFTEST:
            raise InvalidInput(
                "The list of the self-test can only block: otherwise every self-test fails, and "
                "nothing proves any more that known material is blocked.",
                kept="Nothing was changed.",
            )
        info = self._editor.set_mode(name, mode, actor=actor, reason=reason)
        self._status = None
        return info

    def delete(self, name: str, *, actor: str, reason: str) -> None:
        """Delete a list's signals and hashes for good; its record and history stay."""
        self._editor.delete(name, actor=actor, reason=reason)
        self._status = None
        if self.index.healthy:
            self.rebuild_snapshot()

    def history(self, name: str) -> tuple[ListEvent, ...]:
        """Who let a list do what, exported or made it, when and why; oldest first."""
        with self.database.read() as connection:
            return queries.events(connection, self._editor.find(connection, name))

    def versions(self, name: str, limit: int = 100) -> tuple[ListVersion, ...]:
        """A list's newest versions, newest first."""
        with self.database.read() as connection:
            return queries.versions(connection, self._editor.find(connection, name), limit)

    def recomputed_root(self, name: str) -> bytes:
        """The root of a list's present content, computed from the rows: to be held against the
        newest version's."""
        with self.database.read() as connection:
            info = self._editor.find(connection, name)
            found = edits.compute_slots(connection, info.row, range(SLOTS))
        slots = Slots()
        for slot, root in found.items():
            slots.set(slot, root)
        return slots.root()

    def mark_refreshed(self, name: str) -> None:
        """Note that a list's source was asked and had nothing new."""
        self._editor.mark_refreshed(name)
        self._status = None

    # --- signals ------------------------------------------------------------------------------

    def add(
        self, name: str, items: Sequence[Signal], *, actor: str, reason: str
    ) -> ListVersion | None:
        """Add signals, or bring those with a known upstream id up to date. None where nothing
        changed. Raises ``InvalidInput``, ``NotFound``."""
        version = self._editor.add(name, items, actor=actor, reason=reason)
        self._changed()
        return version

    def add_media(
        self,
        name: str,
        media: Media,
        *,
        actor: str,
        reason: str,
        classification: str | None = None,
        note: str | None = None,
    ) -> ListVersion | None:
        """Add a file by what it hashed to: digests, pictures and video frames. Hashes of too low
        a quality to match are left out."""
        signal = signal_of_media(
            media,
            classification=classification,
            note=note,
            min_quality=self.settings.min_quality,
        )
        return self.add(name, [signal], actor=actor, reason=reason)

    def withdraw(
        self, name: str, which: Sequence[str], *, actor: str, reason: str
    ) -> ListVersion | None:
        """Stop signals from matching. They are named by Tutela's id or the source's."""
        return self._set_state(name, which, SignalState.WITHDRAWN, actor, reason)

    def dispute(
        self, name: str, which: Sequence[str], *, actor: str, reason: str
    ) -> ListVersion | None:
        """Let signals match no further than to hold."""
        return self._set_state(name, which, SignalState.DISPUTED, actor, reason)

    def restore(
        self, name: str, which: Sequence[str], *, actor: str, reason: str
    ) -> ListVersion | None:
        """Take back the operator's own withdrawal or dispute. Raises ``Conflict`` where the
        source itself withdrew the signal."""
        return self._set_state(name, which, SignalState.ACTIVE, actor, reason)

    def _set_state(
        self, name: str, which: Sequence[str], state: SignalState, actor: str, reason: str
    ) -> ListVersion | None:
        version = self._editor.set_state(name, which, state, actor=actor, reason=reason)
        self._changed()
        return version

    def signal(self, name: str) -> StoredSignal:
        """The signal of this id (``sig_…``). Raises ``NotFound``."""
        found = self._stored(signals.c.id == signal_row_id(name), 1)
        if not found:
            raise NotFound("There is no such signal.")
        return found[0]

    def by_refs(self, refs: Iterable[int]) -> tuple[StoredSignal, ...]:
        """The signals behind the refs of findings, whatever state they are in now."""
        query = select(signal_hashes.c.signal_id).where(signal_hashes.c.id.in_(list(refs)))
        return self._stored(signals.c.id.in_(query.scalar_subquery()), None)

    def values(self, refs: Sequence[int]) -> dict[int, bytes]:
        """The listed hash behind each ref that still exists."""
        query = select(signal_hashes.c.id, signal_hashes.c.value)
        found: dict[int, bytes] = {}
        with self.database.read() as connection:
            for part in queries.batches(refs):
                rows = connection.execute(query.where(signal_hashes.c.id.in_(part)))
                found.update((row.id, row.value) for row in rows)
        return found

    def find(self, kind: HashType, value: bytes) -> tuple[StoredSignal, ...]:
        """The matching signals that hold exactly this hash, of every list."""
        if kind.digest_bytes:
            refs = self.index.exact(kind, value)
        else:
            refs = [hit.ref for hit in self.index.near([(value, 0)])[0]]
        return self.by_refs(refs) if refs else ()

    def browse(self, name: str, *, limit: int = 100) -> tuple[StoredSignal, ...]:
        """Some signals of a list, for people to look at."""
        info = self.get(name)
        return self._stored(signals.c.list_row == info.row, limit)

    def _stored(
        self, condition: ColumnElement[bool], limit: int | None
    ) -> tuple[StoredSignal, ...]:
        with self.database.read() as connection:
            every = queries.all_lists(connection, self.settings.stale_after_hours)
            infos = {info.row: info for info in every}
            return tuple(queries.stored(connection, infos, condition, limit))

    # --- files --------------------------------------------------------------------------------

    def import_file(
        self,
        name: str,
        stream: BinaryIO,
        *,
        actor: str,
        reason: str,
        format: str | None = None,
        dry_run: bool = False,
        mirror: bool = False,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Import a file, or in a dry run say what importing would do (see ``Importer.run``)."""
        report = self._importer.run(
            name,
            stream,
            format=format,
            actor=actor,
            reason=reason,
            dry_run=dry_run,
            mirror=mirror,
            options=options,
            progress=progress,
        )
        if not dry_run:
            many = report.added + report.changed >= self.settings.rebuild_after_changes
            if many and self.index.healthy:
                self.rebuild_snapshot()
            self._changed()
        return report

    def export(self, name: str, format: str, *, actor: str, reason: str) -> Export:
        """Begin an export: iterate over the answer for its bytes (see ``exporting``)."""
        return open_export(self._editor, name, format, actor=actor, reason=reason)

    # --- matching -----------------------------------------------------------------------------

    def match(self, media: Media) -> tuple[Finding, ...]:
        """Everything the lists know of a file and its members, strongest first.

        One question to the index for the whole upload; the database is asked only where something
        was hit. Raises ``IndexUnavailable`` and ``StoreUnavailable``; never answers "nothing"
        where it could not look.
        """
        return self._matched([probes_of_media(media, self.settings)])[0]

    def match_hashes(self, hashes: Sequence[HashQuery]) -> list[tuple[Finding, ...]]:
        """The same for hashes that a platform computed; one answer for each, in their order."""
        return self._matched([probes_of_hashes(query, self.settings) for query in hashes])

    def none_match(self, hashes: Sequence[HashQuery]) -> bool:
        """Whether the lists know none of these. Quick for a few: only the index is asked, which
        lies in memory. Raises as ``match``."""
        near, exact = self._hits([probes_of_hashes(query, self.settings) for query in hashes])
        return not any(near) and not any(exact)

    def _hits(self, asked: Sequence[Probes]) -> tuple[list[list[Hit]], list[list[int]]]:
        near = self.index.near(
            [(probe.bits, probe.radius) for probes in asked for probe in probes.near]
        )
        exact = [
            self.index.exact(probe.type, probe.value) for probes in asked for probe in probes.exact
        ]
        return near, exact

    def _matched(self, asked: Sequence[Probes]) -> list[tuple[Finding, ...]]:
        near, exact = self._hits(asked)
        if not any(near) and not any(exact):
            return [() for _ in asked]
        refs = {hit.ref for hits in near for hit in hits}
        refs.update(ref for found in exact for ref in found)
        with self.database.read() as connection:
            known = queries.known(
                connection, sorted(refs), utc_now(), self.settings.stale_after_hours
            )

            def frames_of(entry: queries.Known) -> set[bytes]:
                return queries.frame_values(connection, entry, self.settings.min_quality)

            answers = []
            at_near = at_exact = 0
            for probes in asked:
                next_near = at_near + len(probes.near)
                next_exact = at_exact + len(probes.exact)
                answers.append(
                    findings_of(
                        probes,
                        near[at_near:next_near],
                        exact[at_exact:next_exact],
                        known,
                        self.settings,
                        frames_of,
                    )
                )
                at_near, at_exact = next_near, next_exact
            return answers

    # --- status -------------------------------------------------------------------------------

    def protection(self, *, fresh: bool = False) -> Protection:
        """Whether known material would be blocked now. An answer is reused for a second, unless
        ``fresh``; a database that does not answer is a reason to say NOT PROTECTING."""
        status = self._status
        if status is not None and not fresh and time.monotonic() - status[0] < _STATUS_SECONDS:
            return status[1]
        try:
            protection = self._protection()
        except Unavailable as error:
            protection = Protection(protecting=False, why=error.what, lists=())
        self._status = (time.monotonic(), protection)
        return protection

    def _protection(self) -> Protection:
        newest = (
            select(list_events.c.list_row, func.max(list_events.c.at).label("at"))
            .where(list_events.c.mode.is_not(None))
            .group_by(list_events.c.list_row)
        )
        with self.database.read() as connection:
            infos = queries.all_lists(connection, self.settings.stale_after_hours)
            since = {row.list_row: row.at for row in connection.execute(newest)}
            proved = connection.execute(
                select(selftests.c.ok).order_by(selftests.c.id.desc()).limit(1)
            ).scalar()
        return protection_of(
            infos,
            index_healthy=self.index.healthy,
            seconds_since_refresh=self._sync.seconds_since_refresh,
            mode_since=since,
            selftest_failed=proved is False,
        )
