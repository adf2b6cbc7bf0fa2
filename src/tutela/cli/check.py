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

from tutela.cli._files import expand, progress
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
    files: Annotated[list[Path], typer.Argument(help="Files and folders to check.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Examine and decide; record and seal nothing.")
    ] = False,
    account: Annotated[
        str | None, typer.Option(help="The platform's opaque id of the account behind the files.")
    ] = None,
    surface: Annotated[str, typer.Option(help="Where on the platform they appeared.")] = "upload",
    jobs: Annotated[int, typer.Option(min=0, help="Files at once; 0 is two per core.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Compare files with the lists, decide by the policy, and record.

    Exit code 0: examined and clean; 1: at least one match; 2: something could not be examined, or
    there is no active list to compare with.
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

    paths = expand(files)
    settings = load_settings()
    worst = 0
    match = False
    async with Tutela(settings, background=False) as tutela:
        protection = tutela.lists.protection()
        if not protection.protecting:
            print(f"tutela: NOT PROTECTING: {protection.why}", file=sys.stderr)
            worst = EXIT_ERROR
        facts = {"account": account, "surface": surface}
        with progress(quiet) as bar:
            task = bar.add_task("Checking", total=len(paths))
            workers = jobs or 2 * max(1, tutela.decoder.workers)
            async for checked in _each(tutela, paths, facts, dry_run, workers):
                bar.advance(task)
                code = checked.exit_code
                match = match or code == EXIT_MATCH
                worst = max(worst, code)
                line = _json_line(checked) if as_json else _text_line(checked)
                if line:
                    print(line, file=sys.stdout if checked.decision else sys.stderr, flush=True)
    # A match outranks a fault: a caller that reads only the code must not miss it.
    return EXIT_MATCH if match else worst


async def _each(
    tutela: Tutela, paths: Sequence[Path], facts: dict[str, str | None], dry_run: bool, jobs: int
) -> AsyncIterator[Checked]:
    """Decisions in the order of the paths, at most ``jobs`` files under way at once."""
    waiting: list[asyncio.Task[Checked]] = []
    try:
        for path in paths:
            waiting.append(asyncio.create_task(_one(tutela, path, facts, dry_run)))
            if len(waiting) >= jobs:
                yield await waiting.pop(0)
        while waiting:
            yield await waiting.pop(0)
    finally:
        for task in waiting:
            task.cancel()


async def _one(tutela: Tutela, path: Path, facts: dict[str, str | None], dry_run: bool) -> Checked:
    from tutela.core import Account, Item, ItemKind
    from tutela.hashing.source import Source

    try:
        source = Source.from_path(path)
    except OSError as error:
        return Checked(path, None, f"could not be opened: {error.strerror}")
    try:
        named = facts["account"]
        item = Item(
            kind=ItemKind.UPLOAD,
            entrance="cli",
            file_name=path.name,
            account=Account(id=named) if named else None,
            surface=facts["surface"] or "upload",
        )
        if dry_run:
            return Checked(path, await tutela.road.look(item, source))
        return Checked(path, await tutela.road.upload(item, source))
    except TutelaError as error:
        return Checked(path, None, error.spoken())
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
        return f"{checked.path}: {checked.error}"
    if decision.outcome is Outcome.ALLOW and not decision.findings:
        return ""
    why = "; ".join(f.reason for f in decision.findings) or "; ".join(decision.reasons)
    case = f" [{decision.case_id}]" if decision.case_id else ""
    return f"{checked.path}: {decision.outcome.value}{case}: {why}"
