"""What the lists room hands out: frozen values without any connection behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tutela.core import ListMode, ListRef, Purpose, Signal, utc_now

OWN_SOURCE = "own"
"""The source of a list that the operator made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListInfo:
    """A list as it stands. ``entries`` counts the signals that match (active and disputed).

    ``row`` is the database's own number of it; ``stale_after_hours`` is in force for this list
    (its own, or the setting's); ``refreshed_at`` is when it was last synced or imported into.
    """

    row: int
    id: str
    name: str
    purpose: Purpose
    mode: ListMode
    source: str
    synced: bool
    stale_after_hours: float
    created_at: datetime
    refreshed_at: datetime | None
    version: int
    entries: int
    root: bytes

    @property
    def own(self) -> bool:
        """True for a list that the operator made, whose signals are the operator's to pass on."""
        return self.source == OWN_SOURCE

    @property
    def stale_since(self) -> datetime | None:
        """Since when a synced list is stale; None while it is fresh or is not synced."""
        if not self.synced:
            return None
        due = (self.refreshed_at or self.created_at) + timedelta(hours=self.stale_after_hours)
        return due if utc_now() > due else None

    def reference(self) -> ListRef:
        """The list as a finding names it."""
        return ListRef(
            id=self.id,
            name=self.name,
            purpose=self.purpose,
            mode=self.mode,
            version=self.version,
            stale=self.stale_since is not None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEvent:
    """One line of a list's history: ``kind`` is created, mode, export or deleted."""

    at: datetime
    kind: str
    mode: ListMode | None
    actor: str
    reason: str
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListVersion:
    """One version of a list: what the edit did, and the Merkle root of all entries after it."""

    list_id: str
    number: int
    at: datetime
    kind: str
    actor: str
    reason: str
    added: int
    changed: int
    removed: int
    entries: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSignal:
    """A signal with where it is kept. ``id`` is Tutela's own (``sig_…``)."""

    id: str
    list: ListInfo
    signal: Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An edit about to be made, as the approval hook sees it.

    Every change of a list goes through one place (``Lists._approved``) with one of these, so that
    a rule such as two sign-ins needs one hook. ``size`` is the number of signals touched where
    that is known before (None for imports).
    """

    list_name: str
    kind: str
    actor: str
    reason: str
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One entry of a file that was not taken. ``number`` is its line, or its place in the file.

    ``reason`` never repeats a hash value.
    """

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did, or would do in a dry run.

    ``unit`` says what ``Refusal.number`` counts (``line`` or ``entry``). ``refusals`` holds the
    first ones, up to a limit; ``refused`` counts all. ``withdrawn`` counts those of ``added`` and
    ``changed`` that the file says do not match. ``ignored_hashes`` counts hashes of types that
    Tutela cannot use (PhotoDNA, for one). ``complete`` is False where the file broke off.
    ``refreshed`` says whether the list counts as fresh from now on: only where a line of the file
    was taken, or was in the list already.
    """

    list_id: str
    list_name: str
    format: str
    unit: str
    dry_run: bool
    read: int
    added: int
    changed: int
    unchanged: int
    duplicates: int
    withdrawn: int
    refused: int
    refusals: tuple[Refusal, ...]
    ignored_hashes: int
    complete: bool
    version: int | None
    refreshed: bool
    seconds: float
