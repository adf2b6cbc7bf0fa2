"""API keys: made once, shown once, kept as a SHA-256, scoped, expiring, revocable.

A key is 256 random bits, so its plain SHA-256 is the right thing to keep: there is nothing to
guess (NIST SP 800-63B §5.1.2.2 asks slow hashing of secrets that people choose).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.engine import RowMapping

from tutela.core import new_id, utc_now
from tutela.errors import InvalidInput, NotAuthenticated, NotFound, NotPermitted, TutelaError
from tutela.store.tables.keys import api_keys

if TYPE_CHECKING:
    from tutela.store import Database

PREFIX = "tutela_"
"""What every key starts with, so that secret scanners recognise it."""
LENGTH = len(PREFIX) + 43
CACHE_SECONDS = 2.0
"""How long a key's record is believed before it is read again: the lag of a revocation."""
_CACHE_SIZE = 4096
NOTE_SECONDS = 60.0
"""How often at most the log names the same expired or revoked key."""

log = structlog.get_logger("tutela.web")


class Scope(StrEnum):
    """What a key may do. ``admin`` includes every other scope."""

    UPLOADS_WRITE = "uploads:write"
    """Send uploads."""
    HASHES_CHECK = "hashes:check"
    """Check hashes computed elsewhere."""
    LISTS_READ = "lists:read"
    """See lists, their states and versions."""
    LISTS_WRITE = "lists:write"
    """Create and edit lists."""
    DECISIONS_READ = "decisions:read"
    """Read any decision's outcome, not only one's own."""
    DECISIONS_DETAIL = "decisions:detail"
    """See rules, lists, distances and findings behind a decision."""
    METRICS_READ = "metrics:read"
    """Read the metrics."""
    SELFTEST_RUN = "selftest:run"
    """Run the self-test."""
    ADMIN = "admin"
    """Everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key's record, without the key. ``rate_per_minute`` None means the server's default."""

    id: str
    name: str
    scopes: frozenset[Scope]
    rate_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def allows(self, scope: Scope) -> bool:
        """Whether the key has the scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise ``NotPermitted`` unless the key has the scope."""
        if not self.allows(scope):
            raise NotPermitted(
                f"This key lacks the scope {scope.value}.",
                next_step="Ask the operator for a key with that scope.",
            )

    def usable(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def state(self) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.usable(utc_now()) else "expired"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _record(row: RowMapping) -> ApiKey:
    known = {scope.value for scope in Scope}
    return ApiKey(
        id=row["id"],
        name=row["name"],
        scopes=frozenset(Scope(text) for text in row["scopes"] if text in known),
        rate_per_minute=row["rate_per_minute"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )


class ApiKeys:
    """The keys of this deployment. Blocking; ``authenticate`` is the one async, cached road."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._cache: OrderedDict[bytes, tuple[float, ApiKey | None]] = OrderedDict()
        self._used: dict[str, datetime] = {}
        self._noted: dict[str, float] = {}

    def create(
        self,
        name: str,
        scopes: Iterable[Scope],
        *,
        expires_at: datetime | None = None,
        rate_per_minute: int | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key: its record, and the key itself, which is never to be had again."""
        chosen = frozenset(scopes)
        if not name.strip() or len(name) > 100 or not name.isprintable():
            raise InvalidInput("A key's name must be 1 to 100 printable characters.")
        if not chosen:
            raise InvalidInput("A key needs at least one scope.")
        if expires_at is not None and expires_at <= utc_now():
            raise InvalidInput("The key would be expired from the start.")
        if rate_per_minute is not None and rate_per_minute <= 0:
            raise InvalidInput("The rate must be at least one request a minute.")
        token = PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(
            id=new_id("key"),
            name=name,
            scopes=chosen,
            rate_per_minute=rate_per_minute,
            created_at=utc_now(),
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )
        with self._database.begin() as connection:
            connection.execute(
                insert(api_keys).values(
                    id=key.id,
                    name=key.name,
                    digest=_digest(token),
                    scopes=sorted(scope.value for scope in chosen),
                    rate_per_minute=rate_per_minute,
                    created_at=key.created_at,
                    expires_at=expires_at,
                )
            )
        return key, token

    def all(self) -> list[ApiKey]:
        """Every key ever made, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(api_keys).order_by(api_keys.c.id)).mappings()
            return [_record(row) for row in rows]

    def revoke(self, key_id: str) -> ApiKey:
        """End a key; every process refuses it within ``CACHE_SECONDS``. Raises ``NotFound``."""
        with self._database.begin() as connection:
            connection.execute(
                update(api_keys)
                .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=utc_now())
            )
            row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).mappings()
            found = row.first()
        if found is None:
            raise NotFound("There is no key with this id.", next_step="See: tutela keys ls")
        self._cache.clear()
        return _record(found)

    def find(self, token: str) -> ApiKey | None:
        """The record of a key, whatever its state, or None. Reads the database."""
        with self._database.read() as connection:
            row = (
                connection.execute(select(api_keys).where(api_keys.c.digest == _digest(token)))
                .mappings()
                .first()
            )
        return None if row is None else _record(row)

    async def authenticate(self, authorization: str | None) -> ApiKey:
        """The key in an ``Authorization: Bearer`` header. Raises ``NotAuthenticated``.

        Unknown, expired and revoked keys get the same answer.
        """
        token = _bearer(authorization)
        digest = _digest(token)
        now = self._clock()
        cached = self._cache.get(digest)
        if cached is not None and now - cached[0] < CACHE_SECONDS:
            key = cached[1]
        else:
            key = await asyncio.get_running_loop().run_in_executor(None, self.find, token)
            self._cache[digest] = (now, key)
            self._cache.move_to_end(digest)
            while len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        moment = utc_now()
        if key is None or not key.usable(moment):
            self._note_unusable(key, now)
            raise _refused()
        self._used[key.id] = moment
        return key

    def _note_unusable(self, key: ApiKey | None, now: float) -> None:
        """Tell the operator, who may have forgotten, which known key is refused and why; once a
        minute for each key. The caller does not hear it."""
        if key is None or now - self._noted.get(key.id, -NOTE_SECONDS) < NOTE_SECONDS:
            return
        self._noted[key.id] = now
        log.warning(
            "an API key was refused",
            key_id=key.id,
            state=key.state,
            next_step="See: tutela keys ls. Make another with: tutela keys create",
        )

    def note_use(self) -> None:
        """Write down when keys were last used; a background duty calls it now and then."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            with self._database.begin() as connection:
                for key_id, moment in used.items():
                    connection.execute(
                        update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=moment)
                    )
        except TutelaError:
            self._used = used | self._used  # for the next time
            raise


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise _refused("No API key came with the request.")
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or len(token) != LENGTH or not token.startswith(PREFIX):
        raise _refused()
    return token


def _refused(what: str = "The API key is not valid.") -> NotAuthenticated:
    return NotAuthenticated(
        what,
        next_step="Send Authorization: Bearer with a key from: tutela keys create "
        "(the operator sees which keys are valid with: tutela keys ls)",
    )
