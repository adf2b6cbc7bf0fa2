"""``tutela lists``: what is known, what each list may do, and what is in it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutela.cli._data import require_data
from tutela.cli._lists import (
    plain_list,
    plain_signal,
    say_done,
    say_protection,
    say_report,
    signal_table,
    table,
)
from tutela.core import HashType, ListMode, Purpose, as_plain
from tutela.errors import InvalidInput
from tutela.settings import load_settings

if TYPE_CHECKING:
    from tutela.app import Tutela
    from tutela.core import Signal
    from tutela.lists import Lists

EXIT_NOT_PROTECTING = 1
"""Exit code of ``status`` where known material would pass, and of an import with refusals."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ListName = Annotated[str, typer.Argument(metavar="LIST", help="Name or id of the list.")]
Signals = Annotated[
    list[str], typer.Argument(metavar="SIGNAL…", help="Tutela's id (sig_…) or the source's own.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
By = Annotated[
    str | None, typer.Option("--by", help="Who does it, for the record; without: this user.")
]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the list's history.")]


@app.command("ls")
def ls(as_json: JsonOption = False) -> None:
    """Show every list: purpose, what it may do, its state and since when, how much is in it."""
    with _lists() as lists:
        protection, infos = lists.protection(fresh=True), lists.all()
    states = {state.name: state for state in protection.lists}
    if as_json:
        for info in infos:
            shown = {**plain_list(info), "state": states[info.name].state}
            print(json.dumps({**shown, "since": as_plain(states[info.name].since)}))
        return
    rows = [
        (
            info.name,
            info.purpose.value,
            info.mode.value,
            states[info.name].state,
            f"{states[info.name].since:%Y-%m-%d %H:%M}" if states[info.name].since else "",
            f"{info.entries:,}",
            str(info.version),
            info.source,
        )
        for info in infos
    ]
    table(("List", "Purpose", "May", "State", "Since (UTC)", "Signals", "Version", "From"), rows)
    say_protection(protection)


@app.command("status")
def status(as_json: JsonOption = False) -> None:
    """Say whether known material would be blocked now, and if not, why not.

    Exit code 0 where it would, 1 where it would not.
    """
    with _lists() as lists:
        protection = lists.protection(fresh=True)
    if as_json:
        print(json.dumps(as_plain(protection)))
    else:
        print(f"{protection.headline}: {protection.why}")
    if not protection.protecting:
        raise typer.Exit(EXIT_NOT_PROTECTING)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="LIST", help="What to call it.")],
    purpose: Annotated[
        Purpose, typer.Option(help="What it was given for. It never changes; purposes never mix.")
    ],
    mode: Annotated[ListMode, typer.Option(help="What it may do; recorded as your choice.")],
    source: Annotated[
        str, typer.Option(help="Who gave it; 'own' is you, and only own lists go out whole.")
    ] = "own",
    stale_after_hours: Annotated[
        float | None,
        typer.Option(min=0.01, help="It goes stale when nothing was imported for so long."),
    ] = None,
    reason: Reason = "made on the command line",
    by: By = None,
    as_json: JsonOption = False,
) -> None:
    """Make an empty list."""
    with _lists(making=True) as lists:
        info = lists.create(
            name,
            purpose,
            mode=mode,
            source=source,
            synced=stale_after_hours is not None,
            stale_after_hours=stale_after_hours,
            actor=by or _who(),
            reason=reason,
        )
    if as_json:
        print(json.dumps(plain_list(info)))
    else:
        print(f"Made list '{info.name}' ({info.purpose.value}, may {info.mode.value}).")


@app.command("mode")
def set_mode(
    name: ListName,
    mode: Annotated[ListMode, typer.Argument(help="What it may do from now on.")],
    reason: Reason,
    by: By = None,
) -> None:
    """Choose what a list may do: block, hold, inform, or off. Who chose and why is kept."""
    with _lists() as lists:
        info = lists.set_mode(name, mode, actor=by or _who(), reason=reason)
        protection = lists.protection(fresh=True)
    print(f"List '{info.name}' may {info.mode.value} from now on.")
    say_protection(protection)


@app.command("add")
def add(
    name: ListName,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|HASH…", help="Files; or hashes as md5:…, sha1:…, sha256:…, pdq:…"
        ),
    ],
    classification: Annotated[str | None, typer.Option(help="The source's word for it.")] = None,
    note: Annotated[str | None, typer.Option(help="A note of your own.")] = None,
    upstream_id: Annotated[
        str | None, typer.Option("--id", help="The source's id, for a single file or hash.")
    ] = None,
    reason: Reason = "added on the command line",
    by: By = None,
    as_json: JsonOption = False,
    quiet: Quiet = False,
) -> None:
    """Add files, by what they hash to, or bare hashes. The files themselves are not kept."""
    if upstream_id and len(what) > 1:
        raise InvalidInput("An id can be given to a single file or hash only.")
    with _lists() as lists:
        signals = _signals_of(what, classification, note, upstream_id, lists, quiet)
        version = lists.add(name, signals, actor=by or _who(), reason=reason)
        info = lists.get(name)
    say_done(info, version, f"{len(signals)} named", as_json)


@app.command("withdraw")
def withdraw(
    name: ListName, which: Signals, reason: Reason, by: By = None, as_json: JsonOption = False
) -> None:
    """Stop signals from matching: at once here, within two seconds in every running process."""
    with _lists() as lists:
        version = lists.withdraw(name, which, actor=by or _who(), reason=reason)
        info = lists.get(name)
    say_done(info, version, "", as_json)


@app.command("dispute")
def dispute(
    name: ListName, which: Signals, reason: Reason, by: By = None, as_json: JsonOption = False
) -> None:
    """Let signals hold and no longer block, until they are restored."""
    with _lists() as lists:
        version = lists.dispute(name, which, actor=by or _who(), reason=reason)
        info = lists.get(name)
    say_done(info, version, "", as_json)


@app.command("restore")
def restore(
    name: ListName, which: Signals, reason: Reason, by: By = None, as_json: JsonOption = False
) -> None:
    """Take back your own withdrawal or dispute. What the source withdrew stays withdrawn."""
    with _lists() as lists:
        version = lists.restore(name, which, actor=by or _who(), reason=reason)
        info = lists.get(name)
    say_done(info, version, "", as_json)


@app.command("import")
def import_file(
    name: ListName,
    file: Annotated[Path, typer.Argument(help="The file; - reads standard input.")],
    format: Annotated[
        str | None, typer.Option(help="csv, jsonl, hma or vics; without: as it begins.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
    ] = False,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Withdraw what the file no longer has.")
    ] = False,
    redistribute: Annotated[
        bool | None,
        typer.Option(
            "--redistribute/--no-redistribute", help="The source lets it be passed on, or not."
        ),
    ] = None,
    category: Annotated[
        list[int] | None, typer.Option(help="VICS categories to take; without: 1 and 2.")
    ] = None,
    type: Annotated[
        HashType | None,
        typer.Option(help="What hashes are that do not say it: a file of one bare hash a line."),
    ] = None,
    refusals: Annotated[int, typer.Option(min=0, help="Refused lines to print.")] = 20,
    reason: Reason = "",
    by: By = None,
    as_json: JsonOption = False,
    quiet: Quiet = False,
) -> None:
    """Import a file of signals: all of it becomes one version, or none of it.

    Lines that cannot be taken are named with the reason; the others are imported. Exit code 0,
    or 1 where something was refused or the file broke off.
    """
    from tutela.lists import ReadOptions

    options = ReadOptions(redistribute=redistribute, type=type)
    if category:
        options = replace(options, categories=frozenset(category))
    with _lists() as lists, _counting(file, quiet) as (stream, progress):
        report = lists.import_file(
            name,
            stream,
            format=format,
            dry_run=dry_run,
            mirror=mirror,
            options=options,
            progress=progress,
            actor=by or _who(),
            reason=reason or f"import of {'standard input' if file == Path('-') else file.name}",
        )
    say_report(report, as_json, refusals)
    if report.refused or not report.complete:
        raise typer.Exit(EXIT_NOT_PROTECTING)


@app.command("export")
def export(
    name: ListName,
    file: Annotated[Path, typer.Argument(help="Where to write; - is standard output.")],
    reason: Reason,
    format: Annotated[str, typer.Option(help="csv, jsonl, hma or vics.")] = "jsonl",
    by: By = None,
) -> None:
    """Write a list to a file. Signals that their source does not let be passed on stay here."""
    with _lists() as lists:
        made = lists.export(name, format, actor=by or _who(), reason=reason)
        if file == Path("-"):
            for part in made:
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
        else:
            _write_private(file, made)
    words = "1 signal written" if made.written == 1 else f"{made.written:,} signals written"
    if made.withheld:
        words += f", {made.withheld:,} withheld: their source does not let them be passed on"
    print(f"{words}.", file=sys.stderr)


@app.command("versions")
def versions(
    name: ListName,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    check: Annotated[
        bool, typer.Option("--check", help="Compute the root again from what is stored.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a list's versions, newest first, each with its Merkle root.

    With --check: exit code 1 where the stored signals do not give the newest version's root.
    """
    with _lists() as lists:
        found = lists.versions(name, limit)
        sound = not check or lists.recomputed_root(name) == found[0].root
    if as_json:
        for version in found:
            print(json.dumps(as_plain(version)))
    else:
        columns = ("Version", "At (UTC)", "What", "Added", "Changed", "Removed", "Signals")
        rows = [
            (
                str(version.number),
                f"{version.at:%Y-%m-%d %H:%M:%S}",
                version.kind,
                *(f"{n:,}" for n in (version.added, version.changed, version.removed)),
                f"{version.entries:,}",
                version.actor,
                version.reason,
                version.root.hex()[:16],
            )
            for version in found
        ]
        table((*columns, "By", "Why", "Root"), rows)
    if check:
        print("The root holds." if sound else "The root does NOT hold.", file=sys.stderr)
    if not sound:
        raise typer.Exit(EXIT_NOT_PROTECTING)


@app.command("show")
def show(
    name: ListName,
    limit: Annotated[int, typer.Option(min=0, help="How many of its signals to show.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show one list: its facts, its history, and some of its signals without their hashes."""
    with _lists() as lists:
        info, events = lists.get(name), lists.history(name)
        stored = lists.browse(name, limit=limit)
    if as_json:
        shown = {**plain_list(info), "history": as_plain(events)}
        print(json.dumps({**shown, "signals": [plain_signal(each) for each in stored]}))
        return
    print(f"{info.name}: {info.purpose.value}, may {info.mode.value}, from {info.source}")
    print(f"{info.entries:,} signals, version {info.version}, root {info.root.hex()}")
    for event in events:
        word = f"{event.kind} {event.mode.value}" if event.mode else event.kind
        print(f"  {event.at:%Y-%m-%d %H:%M:%S} {word} by {event.actor}: {event.reason}")
    signal_table(stored)


@app.command("find")
def find(
    hash: Annotated[str, typer.Argument(help="md5:…, sha1:…, sha256:… or pdq:…")],
    as_json: JsonOption = False,
) -> None:
    """Show the signals of any list that hold exactly this hash. Exit code 1 where none does."""
    from tutela.lists import parse_hash

    part = parse_hash(hash)
    with _lists() as lists:
        stored = lists.find(part.type, part.value)
    if as_json:
        for each in stored:
            print(json.dumps(plain_signal(each)))
    else:
        signal_table(stored)
    if not stored:
        raise typer.Exit(EXIT_NOT_PROTECTING)


@app.command("delete")
def delete(
    name: ListName,
    reason: Reason,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: By = None,
) -> None:
    """Delete a list's signals for good. Its record, its versions and their roots stay."""
    with _lists() as lists:
        info = lists.get(name)
        if not yes:
            typer.confirm(f"Delete list '{info.name}' with {info.entries:,} signals?", abort=True)
        lists.delete(name, actor=by or _who(), reason=reason)
    print(f"Deleted list '{info.name}'.")


@contextmanager
def _tutela(*, making: bool) -> Iterator[Tutela]:
    """Tutela with its lists ready and nothing else started. Its data folder must be there already,
    unless it is ``making`` one."""
    from tutela.app import Tutela

    settings = load_settings()
    if not making:
        require_data(settings)
    tutela = Tutela(settings, background=False)
    try:
        tutela.open_lists()
        yield tutela
        tutela.sequencer.run_once()
    finally:
        tutela.close()


@contextmanager
def _lists(*, making: bool = False) -> Iterator[Lists]:
    with _tutela(making=making) as tutela:
        yield tutela.lists


def _who() -> str:
    """The person at the terminal, as the operating system knows them."""
    import getpass

    try:
        return f"operator:{getpass.getuser()}"
    except (OSError, KeyError):
        return "operator"


def _signals_of(
    what: list[str],
    classification: str | None,
    note: str | None,
    upstream_id: str | None,
    lists: Lists,
    quiet: bool,
) -> list[Signal]:
    """Signals of files and hashes, in their order. Raises ``InvalidInput`` for a file that could
    not be examined whole."""
    from tutela.cli._files import progress
    from tutela.core import Signal
    from tutela.hashing.decoder import DecoderPool
    from tutela.hashing.source import Source
    from tutela.lists import parse_hash, signal_of_media
    from tutela.lists.signals import derived_id

    pool: DecoderPool | None = None
    signals = []
    try:
        with progress(quiet) as bar:
            task = bar.add_task("Hashing", total=len(what))
            for each in what:
                path = Path(each)
                if path.is_file():
                    if pool is None:
                        settings = load_settings()
                        private = (settings.data_dir,)
                        pool = DecoderPool.from_settings(settings.hashing, private=private)
                        asyncio.run(pool.start())
                    with Source.from_path(path) as source:
                        media = pool.hash_blocking(source)
                    faults = media.all_faults()
                    if faults:
                        raise InvalidInput(
                            f"{path.name} could not be examined whole: {faults[0].detail}",
                            kept="Nothing was added.",
                            next_step="Add its hashes instead, if you have them.",
                        )
                    signals.append(
                        signal_of_media(
                            media,
                            upstream_id=upstream_id,
                            classification=classification,
                            note=note,
                            min_quality=lists.settings.min_quality,
                        )
                    )
                else:
                    if ":" not in each and ("/" in each or "." in each):
                        raise InvalidInput(
                            f"There is no file {path.name}.", kept="Nothing was added."
                        )
                    part = parse_hash(each)
                    signals.append(
                        Signal(
                            upstream_id=upstream_id or derived_id([part]),
                            hashes=(part,),
                            classification=classification,
                            note=note,
                        )
                    )
                bar.advance(task)
    finally:
        if pool is not None:
            asyncio.run(pool.stop())
    return signals


@contextmanager
def _counting(file: Path, quiet: bool) -> Iterator[tuple[Any, Any]]:
    """The file to read, and a progress bar that follows how far it was read."""
    from tutela.cli._files import progress

    if file == Path("-"):
        yield sys.stdin.buffer, None
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InvalidInput(
            f"{file.name} cannot be read: {error.strerror}.", kept="Nothing was imported."
        ) from error
    with stream, progress(quiet) as bar:
        task = bar.add_task("Importing (bytes)", total=max(file.stat().st_size, 1))
        yield stream, lambda _read: bar.update(task, completed=stream.tell())


def _write_private(file: Path, parts: Any) -> None:
    """Write a file that only this user can read, whole or not at all."""
    import os

    beside = file.with_name(f".{file.name}.part")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as stream:
            for part in parts:
                stream.write(part)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    except OSError as error:
        raise InvalidInput(f"{file.name} cannot be written: {error.strerror}.") from error
    finally:
        beside.unlink(missing_ok=True)
