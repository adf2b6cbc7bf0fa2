"""``tutela selftest``: send the harmless triggers down the whole road."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tutela.lists import Protection
    from tutela.uploads.selftest import SelftestResult


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("selftest")(selftest)


def selftest(
    write: Annotated[
        Path | None,
        typer.Option(
            help="Only write the trigger picture and file into this folder, to upload them "
            "through your own platform."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prove that known material is blocked: exit 0 where every step came out as it must, else 1.

    It says NOT PROTECTING too where no list of yours may block: the self-test has a list of its
    own, and proves the road, not that you gave it anything to look for.
    """
    if write is not None:
        _write(write)
        return
    result, protection = asyncio.run(_run())
    if as_json:
        from tutela.core import as_plain

        print(json.dumps(as_plain(result)))
    else:
        for step in result.steps:
            words = "as it must" if step.ok else f"FAILED: {step.problem}"
            print(f"{step.name:8} {words} ({step.milliseconds:.1f} ms)")
        print("The self-test passed." if result.ok else "The self-test FAILED.")
    if not protection.protecting:
        print(f"NOT PROTECTING: {protection.why}", file=sys.stderr)
    raise SystemExit(0 if result.ok else 1)


async def _run() -> tuple[SelftestResult, Protection]:
    from tutela.app import Tutela
    from tutela.settings import load_settings

    settings = load_settings()
    quiet = settings.selftest.model_copy(update={"every_minutes": 0.0})
    tutela = Tutela(settings.model_copy(update={"selftest": quiet}))
    async with tutela:
        result = await tutela.selftest.run()
        return result, tutela.lists.protection(fresh=True)


def _write(folder: Path) -> None:
    from tutela.uploads.triggers import TRIGGER_FILE, trigger_picture

    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (
        ("tutela-selftest.png", trigger_picture()),
        ("tutela-selftest.txt", TRIGGER_FILE),
    ):
        (folder / name).write_bytes(data)
        print(folder / name)
