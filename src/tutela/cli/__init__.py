"""The command line: one file per command, put together here.

Each module exposes ``app`` (a group of sub-commands) or ``register(app)`` (a command of its own).
Heavy parts are imported inside the commands, so that ``tutela --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback

import typer

from tutela import __version__
from tutela.cli import check, demo, hash, keys, lists, policy, selftest, serve, vault, verify
from tutela.errors import TutelaError

EXIT_ERROR = 2
"""Exit code of a command that could not do what was asked."""

app = typer.Typer(
    name="tutela",
    help="Child safety for platforms: block known abuse material, keep evidence, prove it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tutela {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Child safety for platforms: block known abuse material, keep evidence, prove it."""


for _module in (serve, check, hash, selftest, verify, demo):
    _module.register(app)
app.add_typer(lists.app, name="lists", help="What is known: lists and their signals.")
app.add_typer(keys.app, name="keys", help="Keys of the platforms that use the HTTP API.")
app.add_typer(policy.app, name="policy", help="The rules that turn findings into decisions.")
app.add_typer(vault.app, name="vault", help="Sealed evidence: recipients and checks.")


def main() -> None:
    """Run a command; every error ends in one readable line and exit code 2.

    Never in 1, which means a match: a caller that reads only the code must not take one for the
    other. ``TUTELA_DEBUG=1`` shows where an unexpected error came from.
    """
    try:
        app()
    except TutelaError as error:
        print(f"tutela: {error.spoken()}", file=sys.stderr)
        raise SystemExit(EXIT_ERROR) from None
    except BrokenPipeError:
        raise SystemExit(EXIT_ERROR) from None
    except Exception as error:
        _say_fault(error)
        raise SystemExit(EXIT_ERROR) from None


def _say_fault(error: Exception) -> None:
    """One line for an error that nobody foresaw; its text could hold anything and is not shown."""
    if os.environ.get("TUTELA_DEBUG"):
        traceback.print_exception(error)
    print(
        f"tutela: {type(error).__name__}: this is a fault of Tutela, and what was asked was not "
        "done whole. Run it again with TUTELA_DEBUG=1 to see where it came from, and report that.",
        file=sys.stderr,
    )
