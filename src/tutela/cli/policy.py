"""``tutela policy``: check, test, show and replay the rules; keep the allow list."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutela.settings import load_settings

if TYPE_CHECKING:
    from tutela.core import Media
    from tutela.policy import AllowEntry, AllowLists, KeptEntry
    from tutela.policy.replay import Replayed
    from tutela.settings import Settings
    from tutela.store import Database

EXIT_FAILED = 1
"""Exit code where a test failed."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
allow = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(allow, name="allow", help="Harmless pictures that a signal over-matches.")

FileArgument = Annotated[
    str | None,
    typer.Argument(help="Policy file, or 'default' or 'strict'; without: the one in force."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("check")
def check(file: FileArgument = None) -> None:
    """Say whether a policy can be used; a mistake is shown with its line and column.

    Warns where known material on a blocking list would not be blocked by it.

    Exit code 0, or 2 where it cannot be used.
    """
    from tutela.policy import load_rules
    from tutela.policy.proof import warnings
    from tutela.policy.testing import cases

    rules = load_rules(_named(file))
    tests = cases(rules)
    dry = sum(rule.dry_run for rule in rules.rules)
    print(
        f"{rules.origin}: good. {rules.version}, {_count(len(rules.rules), 'rule')} "
        f"({dry} in dry run), {_count(len(tests), 'test')}."
    )
    for warning in warnings(rules):
        print(f"WARNING: {warning}", file=sys.stderr)


@app.command("test")
def run_tests(file: FileArgument = None, as_json: JsonOption = False) -> None:
    """Run the tests that stand beside the rules, in [[test]] tables.

    Exit code 0, 1 where a test failed, 2 where the policy cannot be used.
    """
    from tutela.policy import load_rules
    from tutela.policy.testing import run

    results = run(load_rules(_named(file)))
    failed = [result for result in results if not result.passed]
    if as_json:
        for result in results:
            case = result.case
            line = {"test": case.name, "line": case.line, "passed": result.passed}
            print(json.dumps({**line, "wrong": list(result.wrong)}))
    else:
        for result in failed:
            print(f"FAILED line {result.case.line}, {result.case.name}: {'; '.join(result.wrong)}")
        print(f"{_count(len(results), 'test')}, {len(failed)} failed.")
    if failed:
        raise typer.Exit(EXIT_FAILED)


@app.command("show")
def show(
    file: FileArgument = None,
    version: Annotated[
        str | None, typer.Option(help="Print the text of a version that was once in force.")
    ] = None,
    source: Annotated[bool, typer.Option("--source", help="Print the file as it is.")] = False,
) -> None:
    """Print the rules, or the text of an earlier version (decisions name theirs)."""
    from tutela.policy import load_rules

    if version is not None:
        with _database() as (database, _):
            print(_source_of(database, version), end="")
        return
    rules = load_rules(_named(file))
    if source:
        print(rules.source, end="")
        return
    print(f"{rules.version} ({rules.origin})")
    for rule in rules.rules:
        marks = [f"each {rule.each}", "dry run"] if rule.dry_run else [f"each {rule.each}"]
        for key in ("per_hour", "per_signal_per_hour"):
            limit = getattr(rule.brake, key)
            if limit is not None:
                marks.append(f"brake {key} {limit}")
        print(f"\n{rule.name}: {rule.outcome.value} ({', '.join(marks)})")
        print("  when " + " ".join(rule.when.split()))
        if rule.reason:
            print(f"  {rule.reason}")


@app.command("replay")
def replay(
    file: FileArgument = None,
    since: Annotated[
        str, typer.Option(help="From when: 7d, 12h, or a time such as 2026-01-31T09:30:00Z.")
    ] = "7d",
    as_json: JsonOption = False,
) -> None:
    """Decide anew, by other rules, on what was found since then, and say what would have changed.

    Nothing is changed by it. Brakes and the allow list are left out.
    """
    from tutela.cli._files import progress
    from tutela.policy import load_rules
    from tutela.policy.replay import replay as run

    rules = load_rules(_named(file))
    moment = _moment(since)
    with _database() as (database, _), progress(as_json) as bar:
        task = bar.add_task("Replaying", total=None)
        result = run(
            database, rules, moment, progress=lambda done: bar.update(task, completed=done)
        )
    _print_replay(result, as_json)


@allow.command("add")
def allow_add(
    owner: Annotated[str, typer.Option(help="Who answers for it.")],
    reason: Annotated[str, typer.Option(help="Why it is harmless.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Harmless files, let through by their SHA-256.")
    ] = None,
    like: Annotated[
        int | None,
        typer.Option(help="Let pictures like these through too: PDQ within so many bits (0-10)."),
    ] = None,
    sha256: Annotated[list[str] | None, typer.Option(help="A SHA-256; may be repeated.")] = None,
    pdq: Annotated[
        list[str] | None, typer.Option(help="A PDQ hash, with --like; may be repeated.")
    ] = None,
    days: Annotated[float, typer.Option(help="Days until it ends by itself; at most 366.")] = 180.0,
) -> None:
    """Let harmless files or pictures through from now on.

    Never past an exact digest of a blocking list, and never anything that could not be examined.
    All of it is kept or nothing. Running processes take it up within about a second.
    """
    from tutela.core import HashType
    from tutela.core.hashes import parse_digest, parse_pdq
    from tutela.errors import InvalidInput

    wanted = [(HashType.SHA256, parse_digest(HashType.SHA256, text)) for text in sha256 or ()]
    if pdq and like is None:
        raise InvalidInput("--pdq needs --like.", next_step="--like 0 is the very same hash.")
    wanted += [(HashType.PDQ, parse_pdq(text)) for text in pdq or ()]
    others: list[bytes] = []
    for media in _hashed(files or []):
        others += [media.digests.md5, media.digests.sha1]
        wanted.append((HashType.SHA256, media.digests.sha256))
        if like is not None:
            wanted += [(HashType.PDQ, picture.pdq) for picture in media.pictures]
    if not wanted:
        raise InvalidInput("Nothing was named.", next_step="Name files, --sha256 or --pdq.")
    named = [
        (kind, value, (like or 0) if kind is HashType.PDQ else 0)
        for kind, value in dict.fromkeys(wanted)
    ]
    with _allow_lists() as lists:
        for entry in lists.add_all(named, owner=owner, reason=reason, days=days):
            print(_entry_line(entry, "active"))
        digests = [value for kind, value in wanted if kind is HashType.SHA256]
        blocked = lists.blocked_exactly([*digests, *others])
    if blocked:
        print(
            f"This will not help where {_count(len(blocked), 'exact digest')} of it "
            "is on a blocking list: no allow list passes that. Have the signal withdrawn instead: "
            "tutela lists find, tutela lists withdraw.",
            file=sys.stderr,
        )


@allow.command("ls")
def allow_ls(
    every: Annotated[bool, typer.Option("--all", help="Ended ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the allow list with owners, reasons and ends."""
    with _allow_lists() as lists:
        kept = [one for one in lists.all() if every or one.state == "active"]
    for one in kept:
        if as_json:
            print(json.dumps(_plain(one)))
        else:
            print(_entry_line(one.entry, one.state))
    if not kept and not as_json:
        print("The allow list is empty.", file=sys.stderr)


@allow.command("end")
def allow_end(
    entry: Annotated[str, typer.Argument(help="The entry's id.")],
    by: Annotated[str, typer.Option(help="Who takes it back.")],
    why: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Take an entry back: its picture is ruled like any other from now on."""
    with _allow_lists() as lists:
        lists.end(entry, by=by, why=why)
    print(f"{entry} has ended.")


def _named(file: str | None) -> str:
    return file if file is not None else load_settings().policy.file


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@contextmanager
def _database() -> Iterator[tuple[Database, Settings]]:
    from tutela.cli._data import require_data
    from tutela.store import Database

    settings = load_settings()
    require_data(settings)
    database = Database(settings)
    try:
        database.migrate()
        yield database, settings
    finally:
        database.close()


@contextmanager
def _allow_lists() -> Iterator[AllowLists]:
    from tutela.policy import AllowLists
    from tutela.transparency import Ledger

    with _database() as (database, settings):
        yield AllowLists(database, log=Ledger(database, settings).append)


def _source_of(database: Database, version: str) -> str:
    from sqlalchemy import select

    from tutela.errors import NotFound
    from tutela.store.tables.policy import policy_versions

    with database.read() as conn:
        found = conn.execute(
            select(policy_versions.c.source).where(policy_versions.c.version == version)
        ).scalar()
    if found is None:
        raise NotFound(f"No policy {version} was ever in force here.")
    return str(found)


def _moment(text: str) -> Any:
    from datetime import datetime, timedelta

    from tutela.core import utc_now
    from tutela.errors import InvalidInput

    unit = {"d": "days", "h": "hours", "m": "minutes"}.get(text[-1:])
    try:
        if unit is not None:
            return utc_now() - timedelta(**{unit: float(text[:-1])})
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"'{text}' is no time.", next_step="Write 7d, 12h or 2026-01-31T09:30:00Z."
        ) from None


def _print_replay(result: Replayed, as_json: bool) -> None:
    from tutela.core import as_plain

    if as_json:
        plain = {
            "version": result.version,
            "since": as_plain(result.since),
            "decisions": result.decisions,
            "unreadable": result.unreadable,
            "changed": [
                {"was": was, "would_be": now, "count": count}
                for (was, now), count in result.changed.most_common()
            ],
            "by_rule": dict(result.by_rule.most_common()),
            "changes": as_plain(result.changes),
        }
        print(json.dumps(plain))
        return
    print(f"{result.version}: {_count(result.decisions, 'decision')} since {result.since:%F %T%z}.")
    for (was, now), count in result.changed.most_common():
        print(f"  {was} would be {now}: {count}")
    for change in result.changes[:20]:
        print(
            f"    {change.decision_id} {change.was.value} by {change.was_rule} -> "
            f"{change.would_be.value} by {change.would_rule}"
        )
    if result.count > 20:
        print("    … (--json shows more)")
    if result.unreadable:
        print(f"  {_count(result.unreadable, 'decision')} could not be read back.")
    if not result.count:
        print("  Nothing would have changed.")


def _hashed(paths: list[Path]) -> list[Media]:
    """The files' hashes, made in decoder processes as uploads' are."""
    from tutela.errors import InvalidInput
    from tutela.hashing.decoder import DecoderPool
    from tutela.hashing.options import HashOptions
    from tutela.hashing.source import Source

    if not paths:
        return []
    whole = load_settings()
    settings = whole.hashing
    pool = DecoderPool(
        HashOptions.from_settings(settings).replaced(views=False),
        workers=1,
        memory_bytes=settings.worker_memory_bytes,
        private=(whole.data_dir,),
    )
    asyncio.run(pool.start())
    hashed: list[Media] = []
    try:
        for path in paths:
            try:
                source = Source.from_path(path)
            except OSError as error:
                raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
            with source:
                hashed.append(pool.hash_blocking(source))
    finally:
        asyncio.run(pool.stop())
    return hashed


def _entry_line(entry: AllowEntry, state: str) -> str:
    reach = f" within {entry.distance}" if entry.distance else ""
    return (
        f"{entry.id} {state} {entry.type.value}{reach} {entry.value.hex()} until "
        f"{entry.expires_at:%F} by {entry.owner}: {entry.reason}"
    )


def _plain(one: KeptEntry) -> dict[str, Any]:
    from tutela.core import as_plain

    plain: dict[str, Any] = as_plain(one)
    return {**plain.pop("entry"), **plain}
