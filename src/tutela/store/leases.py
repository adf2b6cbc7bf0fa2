"""Leases: which process does a background duty just now.

A lease is taken for some seconds and renewed while the duty goes on; where its holder dies, the
next process takes it once the time is over. Every new holder gets a greater ``token``: a duty that
writes can refuse a former holder that has only been slow (fencing).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update

from tutela.store.engine import Database
from tutela.store.outbox import holder_name
from tutela.store.statements import insert_new
from tutela.store.tables.leases import leases


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A duty that is ours ``until`` then (by the database's clock)."""

    name: str
    token: int
    until: datetime


class Leases:
    """The leases of one deployment, as seen by one holder (a process by default)."""

    def __init__(self, database: Database, *, holder: str | None = None) -> None:
        self.database = database
        self.holder = holder or holder_name()

    def acquire(self, name: str, seconds: float) -> Lease | None:
        """Take, or take again, the duty ``name`` for ``seconds``; None while another has it."""
        with self.database.begin() as connection:
            now = self.database.now(connection)
            until = now + timedelta(seconds=seconds)
            if insert_new(
                connection,
                leases,
                {"name": name, "holder": self.holder, "token": 1, "since": now, "until": until},
            ):
                return Lease(name=name, token=1, until=until)
            row = connection.execute(
                select(leases).where(leases.c.name == name).with_for_update()
            ).one()
            if row.holder == self.holder and row.until > now:
                connection.execute(update(leases).where(leases.c.name == name).values(until=until))
                return Lease(name=name, token=row.token, until=until)
            if row.until > now:
                return None
            token = row.token + 1
            connection.execute(
                update(leases)
                .where(leases.c.name == name)
                .values(holder=self.holder, token=token, since=now, until=until)
            )
            return Lease(name=name, token=token, until=until)

    def holds(self, lease: Lease) -> bool:
        """Whether ``lease`` is still ours at this moment."""
        with self.database.read() as connection:
            now = self.database.now(connection)
            row = connection.execute(select(leases).where(leases.c.name == lease.name)).first()
        return row is not None and row.token == lease.token and row.until > now

    def release(self, lease: Lease) -> None:
        """Give the duty up now, so that another need not wait. Harmless when it is lost."""
        with self.database.begin() as connection:
            now = self.database.now(connection)
            connection.execute(
                update(leases)
                .where(
                    leases.c.name == lease.name,
                    leases.c.token == lease.token,
                    leases.c.holder == self.holder,
                    leases.c.until > now,
                )
                .values(until=now)
            )

    @contextmanager
    def held(self, name: str, seconds: float) -> Iterator[Lease | None]:
        """The duty for the length of a block, or None inside it where another process has it."""
        lease = self.acquire(name, seconds)
        try:
            yield lease
        finally:
            if lease is not None:
                self.release(lease)
