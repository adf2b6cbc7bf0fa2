"""``tutela verify``: check the ledger, offline, down to the byte; make and check proofs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutela.settings import load_settings

if TYPE_CHECKING:
    from tutela.settings import Settings
    from tutela.store import Database
    from tutela.transparency import Proof
    from tutela.transparency.report import Report

EXIT_DAMAGED = 1
"""Exit code where something does not hold."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    folder: Annotated[
        Path | None,
        typer.Option(help="A copy of a ledger's folder; without: this Tutela's, with its database"),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The public key that you trust, as in ledger/key.pub.")
    ] = None,
    prove: Annotated[
        str | None, typer.Option(help="Print the proof that this decision (its id) was logged.")
    ] = None,
    proof: Annotated[
        Path | None, typer.Option(help="Check a proof in this file; needs --key and nothing else.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Check that the ledger is whole and unaltered, and every decision as it was logged.

    Exit code 0 where everything holds; 1 where something does not, saying where; 2 where it could
    not be checked.
    """
    if proof is not None:
        _check_proof(proof, key)
        return
    if folder is not None and prove is None:
        _finish(_run(folder, None, key, quiet or as_json), as_json)
        return
    settings = load_settings()
    database = _database(settings)
    try:
        if prove is not None:
            print(json.dumps(_plain_proof(_prove(database, settings, prove)), indent=2))
            return
        report = _run(settings.data_dir / "ledger", database, key, quiet or as_json)
    finally:
        database.close()
    _finish(report, as_json)


def _database(settings: Settings) -> Database:
    """This Tutela's database, which must be there: verifying makes nothing."""
    from tutela.cli._data import require_data
    from tutela.store import Database

    require_data(settings)
    database = Database(settings)
    database.migrate()
    return database


def _run(folder: Path, database: Database | None, key: str | None, quiet: bool) -> Report:
    from tutela.cli._files import progress
    from tutela.transparency.verify import verify as run

    with progress(quiet) as bar:
        task = bar.add_task("Verifying", total=None)
        return run(
            folder,
            database,
            key=key,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _finish(report: Report, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.plain()))
    else:
        _say(report)
    if not report.ok:
        raise typer.Exit(EXIT_DAMAGED)


def _say(report: Report) -> None:
    for problem in report.problems:
        print(f"NOT GOOD {problem}")
    if report.count > len(report.problems):
        print(f"… and {report.count - len(report.problems)} more.")
    if not report.ok:
        print(f"The ledger does not verify: {report.count} found.", file=sys.stderr)
        return
    entries = "1 entry" if report.size == 1 else f"{report.size} entries"
    print(f"The ledger verifies: {entries} in {report.files} files, {report.origin}.")
    print(f"  root {report.root}")
    print(f"  key  {report.key}")
    if report.database:
        print(
            f"  records as they were logged: {report.opened}; erased: {report.erased}; "
            f"waiting for publication: {report.waiting}"
        )
    else:
        print("  No database was compared: this says nothing of single decisions.")


def _prove(database: Database, settings: Settings, decision: str) -> Proof:
    from sqlalchemy import select

    from tutela.errors import NotFound
    from tutela.store.tables.ledger import ledger_entries
    from tutela.transparency import Ledger

    with database.read() as conn:
        entry = conn.execute(
            select(ledger_entries.c.id)
            .where(ledger_entries.c.subject == decision)
            .order_by(ledger_entries.c.id)
            .limit(1)
        ).scalar()
    if entry is None:
        raise NotFound(f"The ledger has no entry about {decision}.")
    return Ledger(database, settings).prove(entry)


def _plain_proof(proof: Proof) -> dict[str, Any]:
    return {"entry_id": proof.entry_id, "opening": dict(proof.opening), "tlog_proof": proof.tlog}


def _check_proof(path: Path, key: str | None) -> None:
    from tutela.errors import InvalidInput, LedgerDamaged
    from tutela.transparency import Proof
    from tutela.transparency.verify import verify_proof

    if key is None:
        raise InvalidInput("A proof is checked against a key.", next_step="Give --key.")
    try:
        value = json.loads(path.read_bytes())
        proof = Proof(
            entry_id=str(value["entry_id"]),
            opening={str(k): str(v) for k, v in value["opening"].items()},
            tlog=str(value["tlog_proof"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInput(f"{path} does not hold a proof.") from None
    try:
        checkpoint = verify_proof(proof, key)
    except LedgerDamaged as error:
        print(f"NOT GOOD {error.what}")
        raise typer.Exit(EXIT_DAMAGED) from None
    print(f"The record is in {checkpoint.origin}, under its checkpoint of {checkpoint.size}:")
    print(proof.opening["record"])
