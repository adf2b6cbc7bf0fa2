"""``tutela vault``: to whom evidence is sealed, and whether it is all there and whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutela.cli._data import require_data
from tutela.cli._files import progress
from tutela.core import as_plain
from tutela.settings import load_settings

if TYPE_CHECKING:
    from tutela.cases.check import CheckReport

EXIT_TROUBLE = 1
"""Exit code of a check that found evidence missing, changed or unopenable."""

app = typer.Typer(no_args_is_help=True)


@app.command("recipients")
def recipients() -> None:
    """Print the public keys that evidence is sealed to, one a line.

    At the first start of all a key is made; move the private one away from this machine.
    """
    from tutela.cases import recipients as vault_recipients

    settings = load_settings()
    require_data(settings)
    for recipient in vault_recipients.load(settings):
        print(recipient)
    path = vault_recipients.key_path(settings)
    if path.exists():
        typer.echo(
            f"The private key is in {path}. Make two copies, keep them apart from this machine, "
            "and delete this one.",
            err=True,
        )


@app.command("check")
def check(
    open_: Annotated[
        bool, typer.Option("--open", help="Open each object too, in another process.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(help="File of the private key; the one made at first start if not given."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Compare every sealed object with its record, its name, its custody chain and the ledger.

    Run 'tutela verify' too: it says whether the ledger itself is whole. Exit code 0 where all is
    whole, 1 where something is missing, changed, not as it was logged or does not open. Objects
    without a record are told and are no fault.
    """
    from tutela.cases.check import check_vault
    from tutela.cases.recipients import key_path
    from tutela.store import Database, Objects
    from tutela.transparency import Ledger

    settings = load_settings()
    require_data(settings)
    database = Database(settings)
    try:
        database.migrate()
        with progress(quiet) as bar:
            task = bar.add_task("Checking evidence", total=None)
            report = check_vault(
                database,
                Objects(settings),
                Ledger(database, settings),
                key=(key or key_path(settings)) if open_ or key else None,
                who=_who(),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    finally:
        database.close()
    print(_as_json(report) if as_json else _as_text(report, opened=open_ or key is not None))
    if not report.ok:
        raise typer.Exit(EXIT_TROUBLE)


def _as_json(report: CheckReport) -> str:
    return json.dumps({**as_plain(report), "ok": report.ok})


def _as_text(report: CheckReport, *, opened: bool) -> str:
    lines = [
        f"{trouble.kind.value}  {trouble.evidence_id or '-'}  {trouble.object_name or '-'}: "
        f"{trouble.what}"
        for trouble in report.troubles
    ]
    count = f"{report.checked} sealed objects ({report.sealed_bytes} bytes) checked"
    if opened:
        count += f", {report.opened} opened"
    if report.destroyed:
        count += f", {report.destroyed} destroyed as due"
    lines.append(f"{count}: {'all whole' if report.ok else 'NOT ALL WHOLE'}.")
    return "\n".join(lines)


def _who() -> str:
    """The person at the terminal, as the operating system knows them."""
    import getpass

    try:
        return f"operator:{getpass.getuser()}"
    except (OSError, KeyError):
        return "operator"
