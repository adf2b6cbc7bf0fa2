"""The self-test: a harmless picture and file of our own travel the whole road, like any upload.

Three steps: the trigger picture, with bytes that no digest knows, must be blocked by its likeness;
the trigger file by its digest; and a control picture of the same kind must pass. A gate that blocks
nothing fails, and so does one that blocks everything.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from tutela.core import (
    Decision,
    FindingKind,
    HashType,
    Item,
    ItemKind,
    Outcome,
    Purpose,
    Signal,
    SignalHash,
    utc_now,
)
from tutela.errors import TutelaError
from tutela.hashing.digests import Digester
from tutela.hashing.pdq import spectrum_from_luma
from tutela.hashing.source import Source
from tutela.store import Database, Writer
from tutela.store.tables.uploads import selftests

from .triggers import TRIGGER_FILE, control_picture, trigger_luma, trigger_picture

Travel = Callable[[Item, Source], Awaitable[Decision]]
"""The road, as an upload takes it: ``Road.upload``."""

ENTRANCE = "selftest"
TRIGGERS = 2
"""Signals of the self-test's list."""
KEPT = 100
"""Runs kept; older ones are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelftestStep:
    """One item's journey. ``problem`` is empty where it came out as it must."""

    name: str
    ok: bool
    problem: str
    decision_id: str | None
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SelftestResult:
    """One run. ``ok`` only where every step was."""

    at: datetime
    ok: bool
    steps: tuple[SelftestStep, ...]


def selftest_signals() -> list[Signal]:
    """The signals of the triggers, as the list ``selftest`` holds them."""
    digester = Digester()
    digester.update(TRIGGER_FILE)
    digests = digester.result()
    pdq = spectrum_from_luma(trigger_luma()).pdq()
    return [
        Signal(
            upstream_id="selftest-picture-1",
            hashes=(SignalHash(type=HashType.PDQ, value=pdq.bits, quality=pdq.quality),),
            note="The self-test's harmless picture.",
        ),
        Signal(
            upstream_id="selftest-file-1",
            hashes=(
                SignalHash(type=HashType.MD5, value=digests.md5),
                SignalHash(type=HashType.SHA1, value=digests.sha1),
                SignalHash(type=HashType.SHA256, value=digests.sha256),
            ),
            note="The self-test's harmless file.",
        ),
    ]


class Selftest:
    """Runs the self-test and remembers how it went."""

    def __init__(self, travel: Travel, database: Database, writer: Writer) -> None:
        self._travel = travel
        self._database = database
        self._writer = writer

    async def run(self) -> SelftestResult:
        """Send the triggers down the road. Never raises for what fails: that is the result."""
        note = secrets.token_hex(8).encode()
        steps = (
            await self._step("picture", trigger_picture(note), _blocked_by(FindingKind.NEAR)),
            await self._step("file", TRIGGER_FILE, _blocked_by(FindingKind.EXACT)),
            await self._step("control", control_picture(note), _passed),
        )
        result = SelftestResult(at=utc_now(), ok=all(step.ok for step in steps), steps=steps)
        await self._remember(result)
        return result

    def last(self) -> SelftestResult | None:
        """The last run of any process, or None before the first."""
        with self._database.read() as connection:
            row = (
                connection.execute(select(selftests).order_by(selftests.c.id.desc()).limit(1))
                .mappings()
                .first()
            )
        if row is None:
            return None
        steps = tuple(SelftestStep(**step) for step in row["steps"])
        return SelftestResult(at=row["at"], ok=row["ok"], steps=steps)

    async def _step(self, name: str, data: bytes, judge: Callable[[Decision], str]) -> SelftestStep:
        item = Item(kind=ItemKind.UPLOAD, entrance=ENTRANCE, surface=ENTRANCE)
        try:
            with Source.from_bytes(data) as source:
                decision = await self._travel(item, source)
        except TutelaError as error:
            return SelftestStep(
                name=name, ok=False, problem=error.what, decision_id=None, milliseconds=0.0
            )
        problem = judge(decision)
        return SelftestStep(
            name=name,
            ok=not problem,
            problem=problem,
            decision_id=decision.id,
            milliseconds=decision.milliseconds.get("total", 0.0),
        )

    async def _remember(self, result: SelftestResult) -> None:
        row = {"at": result.at, "ok": result.ok, "steps": [_plain(s) for s in result.steps]}

        def write(connection: Any) -> None:
            connection.execute(insert(selftests), row)
            newest = select(selftests.c.id).order_by(selftests.c.id.desc()).offset(KEPT).limit(1)
            limit = connection.execute(newest).scalar()
            if limit is not None:
                connection.execute(delete(selftests).where(selftests.c.id <= limit))

        await self._writer.submit(write)


def _plain(step: SelftestStep) -> dict[str, Any]:
    return {
        "name": step.name,
        "ok": step.ok,
        "problem": step.problem,
        "decision_id": step.decision_id,
        "milliseconds": step.milliseconds,
    }


def _blocked_by(kind: FindingKind) -> Callable[[Decision], str]:
    def judge(decision: Decision) -> str:
        seen = any(
            finding.kind is kind
            and finding.list is not None
            and finding.list.purpose is Purpose.SELFTEST
            for finding in decision.findings
        )
        if not seen:
            return f"The trigger was not recognised ({kind.value})."
        if decision.outcome is not Outcome.BLOCK:
            return f"The trigger was recognised, but the outcome was {decision.outcome.value}."
        return ""

    return judge


def _passed(decision: Decision) -> str:
    if decision.outcome is Outcome.ALLOW:
        return ""
    return f"A harmless picture on no list was not let through: {decision.outcome.value}."
