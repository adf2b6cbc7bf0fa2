"""Check the whole vault: every object against its record, every record against its chain."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import RowMapping, func, select

from tutela.cases import custody
from tutela.cases.opening import Opener
from tutela.cases.vault import PREFIX
from tutela.core import utc_now
from tutela.errors import NotFound
from tutela.store import Database, Objects
from tutela.store.tables.evidence import evidence

PAGE = 500
"""Evidence rows read at a time."""

IN_FLIGHT = timedelta(hours=1)
"""Younger objects without a record may belong to an upload that is being answered just now."""


class TroubleKind(StrEnum):
    """What can be wrong with a piece of evidence."""

    MISSING = "missing"
    """There is a record and no object."""
    ROTTEN = "rotten"
    """The object is not, byte for byte, what was sealed."""
    ALTERED = "altered"
    """The record or its custody chain was changed, or is not as the ledger says."""
    REMOVED = "removed"
    """The ledger or a decision knows the evidence, and there is no record of it."""
    CLOSED = "closed"
    """It does not open with the key given."""
    OTHER = "other"
    """It opens, and holds other bytes than the record says."""
    ORPHAN = "orphan"
    """There is an object and no record: a crash between sealing and recording, or a restored
    database. Nobody was answered on it."""
    LEFTOVER = "leftover"
    """The record says destroyed, the object is there still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing wrong, in words, and where."""

    kind: TroubleKind
    object_name: str
    evidence_id: str | None
    what: str


@dataclass(slots=True)
class CheckReport:
    """What a check saw. Orphans are told and do not make it fail."""

    checked: int = 0
    opened: int = 0
    destroyed: int = 0
    sealed_bytes: int = 0
    troubles: list[Trouble] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True where every record has its object, whole, and its chain."""
        return all(trouble.kind is TroubleKind.ORPHAN for trouble in self.troubles)


def check_vault(
    database: Database,
    objects: Objects,
    ledger: custody.Witness,
    *,
    key: Path | None = None,
    who: str = "operator",
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Read every sealed object and compare it with its record and its name, and every record and
    its custody chain with the ledger. Whether the ledger itself is whole, ``tutela verify`` says.

    With ``key``, the file of the private key, another process also opens each and compares what
    is inside; that is written into the custody log first, with ``who``. ``progress`` hears how
    many of how many were checked. Raises ``NotFound`` for a missing key file and
    ``StoreUnavailable`` where the store is away; rot is reported, not raised.
    """
    report = CheckReport()
    _check_ledger(ledger, report)
    with database.read() as connection:
        total = connection.execute(select(func.count()).select_from(evidence)).scalar_one()
    with contextlib.ExitStack() as stack:
        opener = None if key is None else stack.enter_context(Opener(key))
        for done, row in enumerate(_rows(database), start=1):
            _check_one(database, objects, row, report, opener, ledger, who)
            if progress is not None:
                progress(done, total)
    _find_orphans(database, objects, report)
    return report


def _check_ledger(ledger: custody.Witness, report: CheckReport) -> None:
    for fault in ledger.all_custody_faults():
        kind = TroubleKind.REMOVED if fault.gone else TroubleKind.ALTERED
        report.troubles.append(
            Trouble(kind=kind, object_name="", evidence_id=fault.evidence_id, what=fault.what)
        )


def _rows(database: Database) -> Iterator[RowMapping]:
    last = ""
    while True:
        with database.read() as connection:
            page = (
                connection.execute(
                    select(evidence).where(evidence.c.id > last).order_by(evidence.c.id).limit(PAGE)
                )
                .mappings()
                .all()
            )
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]["id"]


def _check_one(
    database: Database,
    objects: Objects,
    row: RowMapping,
    report: CheckReport,
    opener: Opener | None,
    ledger: custody.Witness,
    who: str,
) -> None:
    def trouble(kind: TroubleKind, what: str) -> None:
        report.troubles.append(
            Trouble(kind=kind, object_name=row["object_name"], evidence_id=row["id"], what=what)
        )

    if row["state"] == "destroyed":
        report.destroyed += 1
        if objects.exists(row["object_name"]):
            trouble(TroubleKind.LEFTOVER, "the record says destroyed, the object is there")
        return
    report.checked += 1
    try:
        digest, size = _hash(objects, row["object_name"])
    except NotFound:
        if not _ended_meanwhile(database, row["id"]):
            trouble(TroubleKind.MISSING, "the object is gone")
        return
    report.sealed_bytes += size
    if digest != row["sealed_sha256"] or size != row["sealed_size"]:
        trouble(TroubleKind.ROTTEN, f"{size} bytes that are not the {row['sealed_size']} sealed")
        return
    if opener is not None:
        _open_one(database, objects, row, opener, ledger, who, report, trouble)


def _open_one(
    database: Database,
    objects: Objects,
    row: RowMapping,
    opener: Opener,
    ledger: custody.Witness,
    who: str,
    report: CheckReport,
    trouble: Callable[[TroubleKind, str], None],
) -> None:
    with database.begin() as connection:
        custody.append(
            connection,
            row["id"],
            custody.Action.OPENED,
            ledger=ledger,
            who=who,
            why="To check that it opens and holds what was sealed; shown to nobody.",
            origin="vault check",
        )
    inside = opener.verify(row["sealed_size"], objects.get_stream(row["object_name"]))
    if inside.size is None:
        trouble(TroubleKind.CLOSED, "it does not open with this key")
    elif (inside.size, inside.sha256, inside.md5) != (row["size"], row["sha256"], row["md5"]):
        trouble(TroubleKind.OTHER, "what is inside is not what the record says")
    else:
        report.opened += 1


def _hash(objects: Objects, name: str) -> tuple[bytes, int]:
    digest = hashlib.sha256()
    size = 0
    for chunk in objects.get_stream(name):
        digest.update(chunk)
        size += len(chunk)
    return digest.digest(), size


def _ended_meanwhile(database: Database, evidence_id: str) -> bool:
    """Whether the retention sweep destroyed it while the check was under way."""
    with database.read() as connection:
        state = connection.execute(
            select(evidence.c.state).where(evidence.c.id == evidence_id)
        ).scalar()
    return state != "kept"


def orphans(database: Database, objects: Objects, *, older_than: timedelta) -> Iterator[str]:
    """Names of sealed objects that no record knows and that are older than ``older_than``."""
    limit = utc_now() - older_than
    page: list[str] = []
    for info in objects.list(PREFIX):
        if info.modified > limit:
            continue
        page.append(info.name)
        if len(page) == PAGE:
            yield from _unknown(database, page)
            page = []
    yield from _unknown(database, page)


def _unknown(database: Database, names: list[str]) -> list[str]:
    if not names:
        return []
    with database.read() as connection:
        known = set(
            connection.execute(
                select(evidence.c.object_name).where(evidence.c.object_name.in_(names))
            ).scalars()
        )
    return [name for name in names if name not in known]


def _find_orphans(database: Database, objects: Objects, report: CheckReport) -> None:
    for name in orphans(database, objects, older_than=IN_FLIGHT):
        report.troubles.append(
            Trouble(
                kind=TroubleKind.ORPHAN,
                object_name=name,
                evidence_id=None,
                what="an object that no record knows",
            )
        )
