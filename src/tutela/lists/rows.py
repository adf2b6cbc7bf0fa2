"""Between signals as values and signals as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from tutela.core import (
    FrameHash,
    HashType,
    ListMode,
    Opinion,
    Purpose,
    Signal,
    SignalHash,
    SignalState,
)
from tutela.errors import InvalidInput, NotFound

from .bulk import Bound
from .records import ListEvent, ListInfo, ListVersion
from .versions import entry_key, entry_leaf

_STRICTNESS = {
    SignalState.ACTIVE: 0,
    SignalState.DISPUTED: 1,
    SignalState.EXPIRED: 2,
    SignalState.WITHDRAWN: 3,
}

_ACTIVE, _DISPUTED = SignalState.ACTIVE, SignalState.DISPUTED

MAX_UPSTREAM_ID = 512
"""Longest upstream id in characters."""


def state_in_force(
    source: SignalState, own: SignalState | None, expires_at: datetime | None, now: datetime
) -> SignalState:
    """The state that counts: the stricter of the source's, the operator's and expiry."""
    states = [source]
    if own is not None:
        states.append(own)
    if expires_at is not None and expires_at <= now:
        states.append(SignalState.EXPIRED)
    return max(states, key=_STRICTNESS.__getitem__)


def signal_id(row_id: int) -> str:
    """Tutela's own id of a signal, as shown."""
    return f"sig_{row_id:08d}"


def signal_row_id(text: str) -> int:
    """The row behind ``sig_…``. Raises ``NotFound`` for anything else."""
    digits = text.removeprefix("sig_")
    if digits == text or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise NotFound("There is no such signal.", next_step="Signal ids look like sig_00000042.")
    return int(digits)


@dataclass(slots=True)
class Draft:
    """A signal made ready for its rows. ``hashes`` counts rows, so a video's frames each.

    Not changed once made, and not frozen for speed only.
    """

    signal: Signal
    key: bytes
    leaf: bytes
    state: SignalState
    hashes: int

    @property
    def matches(self) -> bool:
        """Whether it is in the index and in the tree."""
        return self.state is _ACTIVE or self.state is _DISPUTED


def draft(signal: Signal, now: datetime, own: SignalState | None = None) -> Draft:
    """Compute what the rows of a signal need. Raises ``InvalidInput`` for an unusable one."""
    upstream_id = signal.upstream_id
    if not 0 < len(upstream_id) <= MAX_UPSTREAM_ID or not upstream_id.isprintable():
        raise InvalidInput(f"An upstream id is 1 to {MAX_UPSTREAM_ID} printable characters.")
    if signal.expires_at is None and own is None:
        state = signal.state
    else:
        state = state_in_force(signal.state, own, signal.expires_at, now)
    count = len(signal.hashes)
    for part in signal.hashes:
        if part.frames:
            count += len(part.frames) - 1
        elif not part.value:
            raise InvalidInput("A hash has no value, or a video no frames.")
    if not count:
        raise InvalidInput("A signal needs at least one hash.")
    return Draft(signal, entry_key(upstream_id), entry_leaf(signal, state), state, count)


def details_of(signal: Signal) -> dict[str, Any] | None:
    """What has no column of its own; None when there is nothing."""
    if not (signal.tags or signal.opinions or signal.note or signal.facts):
        return None
    details: dict[str, Any] = {}
    if signal.tags:
        details["tags"] = list(signal.tags)
    if signal.opinions:
        details["opinions"] = [
            {
                "owner": opinion.owner,
                "stance": opinion.stance,
                "at": opinion.at.isoformat() if opinion.at else None,
                "tags": list(opinion.tags),
            }
            for opinion in signal.opinions
        ]
    if signal.note:
        details["note"] = signal.note
    if signal.facts:
        details["facts"] = dict(signal.facts)
    return details


SIGNAL_COLUMNS = (
    "upstream_id",
    "state",
    "source_state",
    "own_state",
    "classification",
    "redistribute",
    "first_seen",
    "last_seen",
    "expires_at",
    "details",
    "leaf",
    "hash_count",
)
"""The columns of ``signals`` in the order of ``signal_row``."""


def signal_row(
    item: Draft, own: str | None, first_seen: datetime | None, bound: Bound | None = None
) -> tuple[Any, ...]:
    """The columns of a signal that its source decides, and the state in force; times and details
    as the driver takes them where ``bound`` is given."""
    signal = item.signal
    seen, last, expires = signal.first_seen or first_seen, signal.last_seen, signal.expires_at
    details = details_of(signal)
    times: tuple[Any, ...] = (seen, last, expires)
    kept: Any = details
    if bound is not None:
        times = (bound.time(seen), bound.time(last), bound.time(expires))
        kept = bound.json(details)
    return (
        signal.upstream_id,
        item.state._value_,
        signal.state._value_,
        own,
        signal.classification,
        signal.redistribute,
        *times,
        kept,
        item.leaf,
        item.hashes,
    )


HASH_COLUMNS = ("id", "signal_id", "list_row", "type", "value", "quality", "frame", "time")
"""The columns of ``signal_hashes`` in the order of ``hash_rows``."""


def hash_rows(signal: Signal, row_id: int, list_row: int, first: int) -> list[tuple[Any, ...]]:
    """The rows of a signal's hashes, numbered from ``first``."""
    rows: list[tuple[Any, ...]] = []
    number = first
    for part in signal.hashes:
        word = part.type._value_
        if part.type is HashType.VPDQ:
            for frame in part.frames:
                place = (frame.pdq, frame.quality, frame.number, frame.time)
                rows.append((number, row_id, list_row, word, *place))
                number += 1
        else:
            rows.append((number, row_id, list_row, word, part.value, part.quality, None, None))
            number += 1
    return rows


def hashes_from(rows: Sequence[Row[Any]]) -> tuple[SignalHash, ...]:
    """The hashes behind rows of ``signal_hashes``, in the order of their ids."""
    frames = tuple(
        FrameHash(number=row.frame or 0, time=row.time or 0.0, pdq=row.value, quality=row.quality)
        for row in rows
        if row.type == HashType.VPDQ
    )
    plain = tuple(
        SignalHash(type=HashType(row.type), value=row.value, quality=row.quality)
        for row in rows
        if row.type != HashType.VPDQ
    )
    return plain + ((SignalHash(type=HashType.VPDQ, frames=frames),) if frames else ())


def signal_from(row: Row[Any], hashes: tuple[SignalHash, ...]) -> Signal:
    """The signal behind a row of ``signals``, in the state in force."""
    details: Mapping[str, Any] = row.details or {}
    return Signal(
        upstream_id=row.upstream_id,
        hashes=hashes,
        state=SignalState(row.state),
        classification=row.classification,
        tags=tuple(details.get("tags", ())),
        opinions=tuple(
            Opinion(
                owner=part["owner"],
                stance=part["stance"],
                at=datetime.fromisoformat(part["at"]) if part["at"] else None,
                tags=tuple(part["tags"]),
            )
            for part in details.get("opinions", ())
        ),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        expires_at=row.expires_at,
        redistribute=row.redistribute,
        note=details.get("note"),
        facts=dict(details.get("facts", {})),
    )


def list_from(row: Row[Any], stale_after_hours: float) -> ListInfo:
    """The list behind a row of ``lists``; ``stale_after_hours`` is the setting's."""
    own = row.stale_after_hours
    return ListInfo(
        row=row.row,
        id=row.id,
        name=row.name,
        purpose=Purpose(row.purpose),
        mode=ListMode(row.mode),
        source=row.source,
        synced=row.synced,
        stale_after_hours=stale_after_hours if own is None else own,
        created_at=row.created_at,
        refreshed_at=row.refreshed_at,
        version=row.version,
        entries=row.entries,
        root=row.root,
    )


def event_from(row: Row[Any]) -> ListEvent:
    """The event behind a row of ``list_events``."""
    return ListEvent(
        at=row.at,
        kind=row.kind,
        mode=ListMode(row.mode) if row.mode else None,
        actor=row.actor,
        reason=row.reason,
        facts=row.facts or {},
    )


def version_from(row: Row[Any], list_id: str) -> ListVersion:
    """The version behind a row of ``list_versions``."""
    return ListVersion(
        list_id=list_id,
        number=row.number,
        at=row.at,
        kind=row.kind,
        actor=row.actor,
        reason=row.reason,
        added=row.added,
        changed=row.changed,
        removed=row.removed,
        entries=row.entries,
        root=row.root,
    )
