"""The composition root: from settings to a running Tutela. Parts are put together here only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from tutela.cases import Retention, Vault
from tutela.duties import Duties, Duty
from tutela.errors import TutelaError
from tutela.hashing.decoder import DecoderPool
from tutela.hashing.options import HashOptions
from tutela.lists import SELFTEST_LIST, Hooks, ListInfo, Lists, ListVersion
from tutela.lists.index import Index
from tutela.policy import Policy
from tutela.policy.desk import PolicyDesk
from tutela.road import Road
from tutela.settings import Settings, load_settings
from tutela.store import Database, Leases, Objects, Outbox, Writer
from tutela.store.folder import make_data_folder
from tutela.transparency import Ledger
from tutela.transparency.sequencer import Sequencer
from tutela.uploads.act import Act
from tutela.uploads.decide import Decide
from tutela.uploads.deferred import Deferred
from tutela.uploads.gate import UploadGate
from tutela.uploads.selftest import TRIGGERS, Selftest, selftest_signals
from tutela.uploads.spool import Spool

THREADS = 16
"""Threads for blocking work (sealing, database reads), beside the one that writes."""
SWEEP_SECONDS = 600.0
RETENTION_SECONDS = 3600.0
LEASE_SECONDS = 300.0


class Tutela:
    """A running Tutela: ``async with Tutela(settings) as tutela: await tutela.road.upload(…)``.

    Everything is a public member, so that the server, the command line and tests reach the same
    parts. Making one migrates the database and makes the keys at the very first start; ``start``
    starts decoder workers and, with ``background`` (not so on the command line), the duties that
    a server does by itself. Raises ``InvalidSetting``, ``InvalidPolicy``,
    ``StoreUnavailable``.
    """

    def __init__(self, settings: Settings | None = None, *, background: bool = True) -> None:
        self.settings = settings = settings or load_settings()
        self._background = background
        make_data_folder(settings.data_dir)
        self.database = Database(settings)
        self.database.migrate()
        self.writer = Writer(self.database)
        self.leases = Leases(self.database)
        self.outbox = Outbox(self.database)
        self.objects = Objects(settings)
        self.vault = Vault(settings, self.objects)
        self.ledger = Ledger(self.database, settings)
        self.sequencer = Sequencer(self.database, settings)
        self.index = Index(settings.data_dir / "index")
        hooks = Hooks(version=self._log_version)
        self.lists = Lists(self.database, self.index, settings, hooks=hooks)
        self.policy_desk = PolicyDesk(
            self.database, settings, enqueue=self.outbox.enqueue, log=self.ledger.append
        )
        self.spool = Spool(settings)
        options = HashOptions.from_settings(settings.hashing)
        self.decoder = DecoderPool.from_settings(settings.hashing, private=(settings.data_dir,))
        self.gate = UploadGate(self.decoder, self.lists, options, settings.lists)
        self.act = Act(
            database=self.database,
            writer=self.writer,
            vault=self.vault,
            parking=self.spool,
            ledger=self.ledger,
            outbox=self.outbox,
            settings=settings,
        )
        decide = Decide(self.policy, lambda: self.protecting)
        self.road = Road(self.gate, decide, self.act)
        self.deferred = Deferred(self.road, self.database, self.spool, settings.uploads)
        self.selftest = Selftest(self.road.upload, self.database, self.writer)
        self.retention = Retention(
            self.database,
            self.objects,
            settings,
            ledger=self.ledger,
            erase=self._forget_decisions,
        )
        self.duties = Duties(self._duties() if background else ())
        self.protecting = False

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.policy_desk.policy

    async def start(self) -> Self:
        """Start decoder workers, bring the index up to date, and take up the background duties.

        The event loop gets threads enough for this (its default executor). Raises
        ``DecoderUnavailable``, ``StoreUnavailable``; everything is closed again then.
        """
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="tutela")
        asyncio.get_running_loop().set_default_executor(threads)
        try:
            await _both(self.decoder.start(), asyncio.to_thread(self.open_lists))
            await asyncio.to_thread(self.spool.sweep)
        except BaseException:
            with contextlib.suppress(Exception):
                await asyncio.shield(self.stop())
            raise
        self.duties.start()
        return self

    async def stop(self) -> None:
        """End duties and workers, commit what waits, close the stores."""
        await self.duties.stop()
        await self.decoder.stop()
        await asyncio.to_thread(self.writer.close)
        with contextlib.suppress(TutelaError):
            await asyncio.to_thread(self.sequencer.run_once)
        self.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def open_lists(self) -> None:
        """Make the lists ready in this process: self-test list, snapshot, newest changes. For the
        command line, which starts nothing else."""
        self.lists.open()
        if self._background or self.lists.get(SELFTEST_LIST).entries < TRIGGERS:
            self.lists.ensure_selftest(selftest_signals())
        self.policy_desk.open()
        self.protecting = self.lists.protection(fresh=True).protecting

    def close(self) -> None:
        """Close what making one opened. ``stop`` does it, too."""
        self.writer.close()
        self.index.close()
        self.database.close()

    def _duties(self) -> tuple[Duty, ...]:
        settings = self.settings
        duties = [
            Duty(name="lists", every=settings.lists.refresh_seconds, work=_blocking(self._refresh)),
            Duty(name="snapshot", every=5.0, first=5.0, work=_blocking(self.lists.maintain)),
            Duty(
                name="ledger",
                every=settings.ledger.publish_seconds,
                work=_blocking(self.sequencer.run_once),
            ),
            Duty(
                name="deferred",
                every=min(settings.uploads.deferred_retry_seconds, 10.0),
                work=self.deferred.run_once,
            ),
            Duty(name="spool", every=SWEEP_SECONDS, work=_blocking(self.spool.sweep)),
            Duty(
                name="retention",
                every=RETENTION_SECONDS,
                first=60.0,
                work=_blocking(self._end_retention),
            ),
        ]
        if settings.selftest.every_minutes:
            every = settings.selftest.every_minutes * 60
            duties.append(Duty(name="selftest", every=every, first=1.0, work=self.selftest.run))
        return tuple(duties)

    def _refresh(self) -> None:
        """Take in what changed in lists and policy, and say anew whether we protect."""
        try:
            self.lists.refresh()
            self.policy_desk.refresh()
        finally:
            self.protecting = self.lists.protection(fresh=True).protecting

    def _end_retention(self) -> None:
        with self.leases.held("retention", LEASE_SECONDS) as lease:
            if lease is not None:
                self.retention.sweep()

    def _forget_decisions(self, connection: Connection, decisions: Sequence[str]) -> None:
        self.ledger.erase(connection, decisions, "retention")

    def _log_version(self, connection: Connection, info: ListInfo, version: ListVersion) -> None:
        """Every version of a list goes into the ledger in the transaction that makes it."""
        self.ledger.append(
            connection,
            "list-version",
            {
                "list_id": info.id,
                "purpose": info.purpose.value,
                "mode": info.mode.value,
                "number": version.number,
                "kind": version.kind,
                "entries": version.entries,
                "root": version.root.hex(),
            },
            subject=info.id,
        )


async def _both(one: Awaitable[object], other: Awaitable[object]) -> None:
    """Do both to their ends, then raise what the first of them that failed raised."""
    for ended in await asyncio.gather(one, other, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


def _blocking(work: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    """A duty whose work blocks, done in a thread."""

    async def done() -> object:
        return await asyncio.to_thread(work)

    return done
