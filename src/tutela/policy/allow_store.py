"""The allow list in the database: entries are added and ended, never changed or deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from tutela.core import HashType, ListMode, SignalState, new_id, utc_now
from tutela.errors import InvalidInput, NotFound
from tutela.store import Database
from tutela.store.tables.lists import lists, signal_hashes, signals
from tutela.store.tables.policy import allow_entries

from .allow_lists import MAX_REASON, AllowEntry, AllowList

DEFAULT_DAYS = 180.0
"""Life of an entry where nobody says otherwise."""

Append = Callable[..., Any]
"""``transparency.Ledger.append``: every change of the allow list is an entry of the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEntry:
    """An entry with its end: ``state`` is ``active``, ``expired`` or ``ended`` (with by whom and
    why, and since when)."""

    entry: AllowEntry
    state: str
    since: datetime
    by: str | None = None
    why: str | None = None


class AllowLists:
    """The door to the allow list. ``log`` is the ledger's ``append``, if there is a ledger."""

    def __init__(self, database: Database, *, log: Append | None = None) -> None:
        self.database = database
        self._log = log

    def add(
        self,
        type: HashType,
        value: bytes,
        *,
        owner: str,
        reason: str,
        distance: int = 0,
        days: float = DEFAULT_DAYS,
        now: datetime | None = None,
    ) -> AllowEntry:
        """Lets a harmless file or picture through from now on, for ``days``.

        Raises ``InvalidInput`` for anything but a SHA-256 or a PDQ hash with at most 10 bits, and
        without owner or reason; ``StoreUnavailable``.
        """
        named = [(type, value, distance)]
        return self.add_all(named, owner=owner, reason=reason, days=days, now=now)[0]

    def add_all(
        self,
        named: Iterable[tuple[HashType, bytes, int]],
        *,
        owner: str,
        reason: str,
        days: float = DEFAULT_DAYS,
        now: datetime | None = None,
    ) -> list[AllowEntry]:
        """As ``add``, for several of type, value and distance: all of them or none."""
        at = now or utc_now()
        try:
            expires = at + timedelta(days=days)
        except (OverflowError, ValueError):
            raise InvalidInput("The number of days makes no date.") from None
        entries = [
            AllowEntry(
                id=new_id("alw"),
                type=type,
                value=value,
                distance=distance,
                owner=owner.strip(),
                reason=reason.strip(),
                created_at=at,
                expires_at=expires,
            )
            for type, value, distance in named
        ]
        with self.database.begin() as conn:
            for entry in entries:
                self._insert(conn, entry)
        return entries

    def _insert(self, conn: Connection, entry: AllowEntry) -> None:
        conn.execute(
            insert(allow_entries),
            {
                "id": entry.id,
                "type": entry.type.value,
                "value": entry.value,
                "distance": entry.distance,
                "owner": entry.owner,
                "reason": entry.reason,
                "created_at": entry.created_at,
                "expires_at": entry.expires_at,
            },
        )
        self._note(conn, entry.id, {"action": "added", "expires_at": entry.expires_at})

    def blocked_exactly(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of these digests that a signal in force of a blocking list holds: no allow list
        passes them. Reads every listed hash."""
        query = (
            select(signal_hashes.c.value)
            .join(signals, signals.c.id == signal_hashes.c.signal_id)
            .join(lists, lists.c.row == signal_hashes.c.list_row)
            .where(
                signal_hashes.c.value.in_(list(digests)),
                signal_hashes.c.type.in_(["md5", "sha1", "sha256"]),
                signals.c.state == SignalState.ACTIVE.value,
                lists.c.mode == ListMode.BLOCK.value,
                lists.c.deleted_at.is_(None),
            )
        )
        with self.database.read() as conn:
            return {bytes(value) for value in conn.execute(query).scalars()}

    def end(self, entry_id: str, *, by: str, why: str, now: datetime | None = None) -> None:
        """Takes an entry back. Raises ``NotFound`` where there is none in force of that id."""
        for name, said in (("who", by), ("why", why)):
            if not said.strip() or len(said) > MAX_REASON:
                raise InvalidInput(f"Ending an entry needs {name}, in 1 to 500 characters.")
        with self.database.begin() as conn:
            done = conn.execute(
                update(allow_entries)
                .where(allow_entries.c.id == entry_id, allow_entries.c.ended_at.is_(None))
                .values(ended_at=now or utc_now(), ended_by=by.strip(), ended_why=why.strip())
            )
            if done.rowcount != 1:
                raise NotFound("There is no such entry on the allow list, or it has ended.")
            self._note(conn, entry_id, {"action": "ended"})

    def load(self, now: datetime | None = None) -> AllowList:
        """The entries in force, ready to be asked by ``Policy``."""
        with self.database.read() as conn:
            rows = conn.execute(
                select(allow_entries)
                .where(
                    allow_entries.c.ended_at.is_(None),
                    allow_entries.c.expires_at > (now or utc_now()),
                )
                .order_by(allow_entries.c.id)
            ).all()
        return AllowList(_entry(row) for row in rows)

    def all(self, now: datetime | None = None) -> list[KeptEntry]:
        """Every entry that ever was, newest first, with its state and since when."""
        at = now or utc_now()
        with self.database.read() as conn:
            rows = conn.execute(select(allow_entries).order_by(allow_entries.c.id.desc())).all()
        return [_kept(row, at) for row in rows]

    def _note(self, conn: Connection, entry_id: str, facts: Mapping[str, Any]) -> None:
        if self._log is not None:
            self._log(conn, "allow-list", {"entry_id": entry_id, **facts}, subject=entry_id)


def _entry(row: Row[Any]) -> AllowEntry:
    return AllowEntry(
        id=row.id,
        type=HashType(row.type),
        value=bytes(row.value),
        distance=row.distance,
        owner=row.owner,
        reason=row.reason,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _kept(row: Row[Any], at: datetime) -> KeptEntry:
    entry = _entry(row)
    if row.ended_at is not None:
        return KeptEntry(
            entry=entry, state="ended", since=row.ended_at, by=row.ended_by, why=row.ended_why
        )
    if row.expires_at <= at:
        return KeptEntry(entry=entry, state="expired", since=row.expires_at)
    return KeptEntry(entry=entry, state="active", since=row.created_at)
