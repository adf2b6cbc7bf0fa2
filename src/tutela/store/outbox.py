"""The outbox: what is to leave the house is written with its cause, and delivered afterwards.

An event is a row written in the transaction that causes it, so it exists if and only if its cause
does. Any process may deliver: it claims some rows for a time, sends them outside of any
transaction, and writes down how that went. Only one process holds a claim at a time; where one
dies between sending and writing down, the event goes out again with the same id, by which a
receiver makes the effect happen once.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, or_, select, update

from tutela.core import as_plain, new_id, utc_now
from tutela.errors import NotFound, TutelaError
from tutela.store.engine import Database
from tutela.store.tables.outbox import outbox

WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 60, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)
"""How long after the first, second… failure an event is tried again: for about three days and a
half in all, as the Standard Webhooks specification advises. After the last one it is dead."""

CLAIM = timedelta(seconds=60)
"""How long a claim lasts; a sender must give up sooner."""

ERROR_LENGTH = 200
"""Characters kept of what a sender said went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that leaves the house. ``attempts`` counts the failures so far."""

    id: str
    kind: str
    payload: Mapping[str, Any]
    created_at: datetime
    attempts: int = 0


@dataclass(slots=True)
class Delivered:
    """How one round of delivery went, in events."""

    sent: int = 0
    failed: int = 0
    dead: int = 0


Sender = Callable[[Event], None]
"""Sends one event to wherever it goes; raises where that fails."""


class Outbox:
    """The events of one deployment. Every method but ``enqueue`` has its own transactions."""

    def __init__(self, database: Database, *, holder: str | None = None) -> None:
        self.database = database
        self.holder = holder or holder_name()

    def enqueue(
        self,
        connection: Connection,
        kind: str,
        payload: Mapping[str, Any],
        *,
        event_id: str | None = None,
        not_before: datetime | None = None,
    ) -> str:
        """Write an event in the caller's transaction; its id. ``payload`` holds no content."""
        chosen = event_id or new_id("evt")
        now = utc_now()
        connection.execute(
            outbox.insert(),
            {
                "event_id": chosen,
                "kind": kind,
                "payload": as_plain(dict(payload)),
                "created_at": now,
                "due_at": not_before or now,
                "state": "waiting",
                "attempts": 0,
            },
        )
        return chosen

    def claim(self, limit: int = 20) -> list[Event]:
        """Take up to ``limit`` due events that nobody else holds, oldest due first."""
        with self.database.begin() as connection:
            now = self.database.now(connection)
            free = or_(outbox.c.claimed_until.is_(None), outbox.c.claimed_until <= now)
            rows = connection.execute(
                select(outbox)
                .where(outbox.c.state == "waiting", outbox.c.due_at <= now, free)
                .order_by(outbox.c.due_at, outbox.c.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
            ).all()
            if rows:
                connection.execute(
                    update(outbox)
                    .where(outbox.c.id.in_([row.id for row in rows]))
                    .values(claimed_by=self.holder, claimed_until=now + CLAIM)
                )
        return [
            Event(
                id=row.event_id,
                kind=row.kind,
                payload=row.payload,
                created_at=row.created_at,
                attempts=row.attempts,
            )
            for row in rows
        ]

    def deliver(self, sender: Sender, limit: int = 20) -> Delivered:
        """Claim, send and write down one round. Whatever ``sender`` raises counts as a failure.

        Call it again while it sends something.
        """
        done = Delivered()
        for event in self.claim(limit):
            try:
                sender(event)
            except Exception as error:  # a sender's failure of any kind is tried again
                if self.failed(event, _words(error)):
                    done.dead += 1
                else:
                    done.failed += 1
            else:
                self.sent(event)
                done.sent += 1
        return done

    def sent(self, event: Event) -> bool:
        """Write down that ``event`` was received; False where our claim had run out by then."""
        return self._finish(event, state="delivered", delivered_at=utc_now(), last_error=None)

    def failed(self, event: Event, why: str) -> bool:
        """Write down a failure: again after a while, or dead (True) after the last attempt."""
        attempts = event.attempts + 1
        if attempts > len(WAITS):
            self._finish(event, state="dead", attempts=attempts, last_error=why[:ERROR_LENGTH])
            return True
        wait = WAITS[attempts - 1] * (0.5 + secrets.randbelow(1000) / 1000)
        self._finish(
            event, attempts=attempts, due_at=utc_now() + wait, last_error=why[:ERROR_LENGTH]
        )
        return False

    def dead(self, limit: int = 100) -> list[Event]:
        """Events that were given up, newest first."""
        with self.database.read() as connection:
            rows = connection.execute(
                select(outbox)
                .where(outbox.c.state == "dead")
                .order_by(outbox.c.id.desc())
                .limit(limit)
            ).all()
        return [
            Event(
                id=row.event_id,
                kind=row.kind,
                payload=row.payload,
                created_at=row.created_at,
                attempts=row.attempts,
            )
            for row in rows
        ]

    def replay(self, event_id: str) -> None:
        """Send a dead or delivered event once more, from now on. Raises ``NotFound``."""
        with self.database.begin() as connection:
            done = connection.execute(
                update(outbox)
                .where(outbox.c.event_id == event_id)
                .values(
                    state="waiting",
                    attempts=0,
                    due_at=self.database.now(connection),
                    claimed_by=None,
                    claimed_until=None,
                )
            )
        if done.rowcount != 1:
            raise NotFound("There is no event of that id.", kept="")

    def purge(self, before: datetime) -> int:
        """Forget every event that was written ``before`` a time, whatever its state; how many."""
        with self.database.begin() as connection:
            done = connection.execute(delete(outbox).where(outbox.c.created_at < before))
        return done.rowcount

    def _finish(self, event: Event, **values: Any) -> bool:
        with self.database.begin() as connection:
            done = connection.execute(
                update(outbox)
                .where(
                    outbox.c.event_id == event.id,
                    outbox.c.state == "waiting",
                    outbox.c.claimed_by == self.holder,
                )
                .values(claimed_by=None, claimed_until=None, **values)
            )
        return done.rowcount == 1


def holder_name() -> str:
    """A name for this process among all that share the database."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


def _words(error: Exception) -> str:
    """What may be kept of an exception: our own sentences, else only its kind."""
    return error.what if isinstance(error, TutelaError) else type(error).__name__
