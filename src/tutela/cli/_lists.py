"""How ``tutela lists`` shows lists, signals, edits and imports."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tutela.core import as_plain

if TYPE_CHECKING:
    from tutela.lists import ImportReport, ListInfo, ListVersion, Protection, StoredSignal


def say_done(info: ListInfo, version: ListVersion | None, words: str, as_json: bool) -> None:
    """Say which version an edit made, if any; ``words`` add what was named."""
    if as_json:
        print(json.dumps({"list": info.name, "version": as_plain(version)}))
    elif version is None:
        print(f"Nothing changed in list '{info.name}'.")
    else:
        named = f" ({words})" if words else ""
        print(
            f"List '{info.name}' is at version {version.number}{named}: {version.added:,} added, "
            f"{version.changed:,} changed; {info.entries:,} signals in force."
        )


def say_report(report: ImportReport, as_json: bool, refusals: int) -> None:
    """Say what an import did, and name the first refused lines on standard error."""
    if as_json:
        print(json.dumps(as_plain(report)))
        return
    verb = "Would import" if report.dry_run else "Imported"
    print(
        f"{verb} {report.format} into '{report.list_name}': {report.read:,} read, "
        f"{report.added:,} added, {report.changed:,} changed, {report.unchanged:,} unchanged, "
        f"{report.duplicates:,} duplicate, {report.withdrawn:,} not in force, "
        f"{report.refused:,} refused ({report.seconds:.1f} s)."
    )
    if report.ignored_hashes:
        print(f"{report.ignored_hashes:,} hashes of types that cannot be matched were left out.")
    for refusal in report.refusals[:refusals]:
        print(f"  {report.unit} {refusal.number}: {refusal.reason}", file=sys.stderr)
    hidden = report.refused - min(refusals, len(report.refusals))
    if hidden > 0:
        print(f"  … and {hidden:,} more.", file=sys.stderr)
    if not report.complete:
        print("The file broke off: what came before was taken.", file=sys.stderr)
    if not report.refreshed and not report.dry_run:
        print("No line of the file was taken: the list is no fresher than before.", file=sys.stderr)
    if report.version is not None:
        print(f"The list is at version {report.version}.")


def say_protection(protection: Protection) -> None:
    """Say PROTECTING or NOT PROTECTING, and why, on standard error."""
    print(f"{protection.headline}: {protection.why}", file=sys.stderr)


def plain_list(info: ListInfo) -> dict[str, Any]:
    """A list as JSON-ready data."""
    shown = dict(as_plain(info))
    shown.pop("row")
    return shown


def plain_signal(stored: StoredSignal) -> dict[str, Any]:
    """A signal without its hashes: those leave by exports only."""
    signal = stored.signal
    return {
        "id": stored.id,
        "list": stored.list.name,
        "upstream_id": signal.upstream_id,
        "state": signal.state.value,
        "classification": signal.classification,
        "hashes": sorted({part.type.value for part in signal.hashes}),
        "tags": list(signal.tags),
        "first_seen": as_plain(signal.first_seen),
        "expires_at": as_plain(signal.expires_at),
        "note": signal.note,
    }


def signal_table(stored: tuple[StoredSignal, ...]) -> None:
    """Print signals in columns, without their hashes."""
    rows = [
        (
            each.id,
            each.list.name,
            each.signal.upstream_id,
            each.signal.state.value,
            each.signal.classification or "",
            " ".join(sorted({part.type.value for part in each.signal.hashes})),
        )
        for each in stored
    ]
    if rows:
        table(("Signal", "List", "Source's id", "State", "Class", "Hashes"), rows)


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns; what lists say is printed as it is, never read as markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(made)
