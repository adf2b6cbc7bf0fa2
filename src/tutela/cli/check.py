"""``tutela check``: files and folders down the road, from the command line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutela.cli._files import progress
from tutela.cli._walk import Target, expand, shown
from tutela.core import Decision, FindingKind, Outcome, as_plain
from tutela.errors import TutelaError
from tutela.settings import load_settings

if TYPE_CHECKING:
    from tutela.app import Tutela

EXIT_MATCH = 1
EXIT_ERROR = 2


@dataclass(frozen=True, slots=True)
class Checked:
    """One file's decision, or why there is none."""

    path: Path
    decision: Decision | None
    error: str | None = None

    @property
    def examined(self) -> bool:
        """Whether the content was seen, whatever came of it."""
        return self.decision is not None and self.exit_code != EXIT_ERROR

    @property
    def exit_code(self) -> int:
        """0 clean, 1 match, 2 where it could not be examined."""
        if self.decision is None:
            return EXIT_ERROR
        if self.decision.outcome is Outcome.ALLOW:
            return 0
        kinds = {finding.kind for finding in self.decision.findings}
        unseen = {FindingKind.UNREADABLE, FindingKind.FAULT}
        return EXIT_ERROR if kinds and kinds <= unseen else EXIT_MATCH


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check_files)


def check_files(
    files: Annotated[
        list[Path], typer.Argument(help="Files and folders to check.", readable=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Examine and decide; record and seal nothing.")
    ] = False,
    account: Annotated[
        str | None, typer.Option(help="The platform's opaque id of the account behind the files.")
    ] = None,
    surface: Annotated[str, typer.Option(help="Where on the platform they appeared.")] = "upload",
    jobs: Annotated[int, typer.Option(min=0, help="Files at once; 0 is two per core.")] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bar and no closing line.")
    ] = False,
) -> None:
    """Compare files with the lists, decide by the policy, and record.

    Exit code 0: everything was examined and is clean; 1: at least one match (1 outranks 2);
    2: something could not be examined, or there is no active list to compare with; 130: broken
    off by Ctrl-C.
    """
    code = asyncio.run(_check(files, as_json, dry_run, account, surface, jobs, quiet))
    if code:
        raise typer.Exit(code)


async def _check(
    files: Sequence[Path],
    as_json: bool,
    dry_run: bool,
    account: str | None,
    surface: str,
    jobs: int,
    quiet: bool,
) -> int:
    from tutela.app import Tutela

    targets = expand(files)
    settings = load_settings()
    worst = 0
    async with Tutela(settings, background=False) as tutela:
        protection = tutela.lists.protection()
        if not protection.protecting:
            print(f"tutela: NOT PROTECTING: {protection.why}", file=sys.stderr)
            worst = EXIT_ERROR
        facts = {"account": account, "surface": surface}
        tally = _Tally(total=len(targets))
        try:
            with progress(quiet) as bar:
                task = bar.add_task("Checking", total=len(targets))
                workers = jobs or 2 * max(1, tutela.decoder.workers)
                async for checked in _each(tutela, targets, facts, dry_run, workers):
                    bar.advance(task)
                    tally.take(checked)
                    line = _json_line(checked) if as_json else _text_line(checked)
                    if line:
                        told = sys.stdout if checked.decision or as_json else sys.stderr
                        print(line, file=told, flush=True)
        finally:
            if not quiet:
                print(tally.words(), file=sys.stderr)
    # A match outranks a fault: a caller that reads only the code must not miss it.
    return EXIT_MATCH if tally.matched else max(worst, tally.worst)


@dataclass(slots=True)
class _Tally:
    """What came of the targets so far."""

    total: int
    examined: int = 0
    matched: int = 0
    worst: int = 0

    def take(self, checked: Checked) -> None:
        """Count one."""
        code = checked.exit_code
        self.examined += checked.examined
        self.matched += code == EXIT_MATCH
        self.worst = max(self.worst, code)

    def words(self) -> str:
        """The closing line. What was not reached, or not opened, is unexamined."""
        unexamined = self.total - self.examined
        return f"{self.examined:,} examined, {self.matched:,} matched, {unexamined:,} unexamined."


async def _each(
    tutela: Tutela,
    targets: Sequence[Target],
    facts: dict[str, str | None],
    dry_run: bool,
    jobs: int,
) -> AsyncIterator[Checked]:
    """Decisions in the order of the targets, at most ``jobs`` files under way at once."""
    waiting: list[asyncio.Task[Checked]] = []
    try:
        for target in targets:
            waiting.append(asyncio.create_task(_one(tutela, target, facts, dry_run)))
            if len(waiting) >= jobs:
                yield await waiting.pop(0)
        while waiting:
            yield await waiting.pop(0)
    finally:
        for task in waiting:
            task.cancel()


async def _one(
    tutela: Tutela, target: Target, facts: dict[str, str | None], dry_run: bool
) -> Checked:
    from tutela.core import Account, Item, ItemKind
    from tutela.hashing.source import Source

    path = target.path
    if target.problem is not None:
        return Checked(path, None, target.problem)
    try:
        source = Source.from_path(path)
    except OSError as error:
        return Checked(path, None, f"could not be opened: {error.strerror}")
    try:
        if not source.size:
            return Checked(path, None, "nothing to examine: the file is empty")
        named = facts["account"]
        item = Item(
            kind=ItemKind.UPLOAD,
            entrance="cli",
            file_name=shown(Path(path.name)),
            account=Account(id=named) if named else None,
            surface=facts["surface"] or "upload",
        )
        if dry_run:
            return Checked(path, await tutela.road.look(item, source))
        return Checked(path, await tutela.road.upload(item, source))
    except TutelaError as error:
        return Checked(path, None, error.spoken())
    except OSError as error:
        return Checked(path, None, f"could not be read: {error.strerror}")
    finally:
        source.close()


def _json_line(checked: Checked) -> str:
    shown: dict[str, Any] = {"file": str(checked.path)}
    if checked.decision is None:
        shown["error"] = checked.error
    else:
        shown.update(as_plain(checked.decision))
    return json.dumps(shown)


def _text_line(checked: Checked) -> str:
    decision = checked.decision
    if decision is None:
        return f"{shown(checked.path)}: {checked.error}"
    if decision.outcome is Outcome.ALLOW and not decision.findings:
        return ""
    why = "; ".join(f.reason for f in decision.findings) or "; ".join(decision.reasons)
    case = f" [{decision.case_id}]" if decision.case_id else ""
    return f"{shown(checked.path)}: {decision.outcome.value}{case}: {why}"
