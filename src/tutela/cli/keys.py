"""``tutela keys``: make, list and revoke API keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tutela.web.auth.keys import ApiKey, ApiKeys

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ScopeOption = Annotated[
    list[str],
    typer.Option(
        "--scope",
        help="What it may do; may be repeated: uploads:write, hashes:check, lists:read, "
        "lists:write, decisions:read, decisions:detail, metrics:read, selftest:run, admin.",
    ),
]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, such as 'photo service'.")],
    scope: ScopeOption,
    days: Annotated[
        float | None, typer.Option(help="Days until it expires; without: never.")
    ] = None,
    rate_per_minute: Annotated[
        int | None, typer.Option(help="Requests a minute; without: server.rate_per_minute.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a key and show it, this once."""
    from tutela.core import utc_now
    from tutela.errors import InvalidInput
    from tutela.web.auth.keys import Scope

    try:
        scopes = [Scope(text) for text in scope]
    except ValueError:
        raise InvalidInput(
            "There is no such scope.", next_step=f"Scopes: {', '.join(Scope)}."
        ) from None
    expires = utc_now() + timedelta(days=days) if days is not None else None
    with _keys(making=True) as keys:
        key, token = keys.create(name, scopes, expires_at=expires, rate_per_minute=rate_per_minute)
    if as_json:
        print(json.dumps({"id": key.id, "key": token}))
        return
    print(token)
    typer.echo(f"{key.id} for '{key.name}'. It is not shown again.", err=True)


@app.command("ls")
def ls(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List all keys with their states, without the keys."""
    with _keys() as keys:
        every = keys.all()
    if as_json:
        print(json.dumps([_plain(key) for key in every]))
        return
    if not every:
        print("No keys yet. Make one: tutela keys create NAME --scope uploads:write")
    for key in every:
        expires = key.expires_at.isoformat(timespec="minutes") if key.expires_at else "never"
        used = key.last_used_at.isoformat(timespec="minutes") if key.last_used_at else "never"
        scopes = ",".join(sorted(key.scopes))
        print(f"{key.id}  {key.state:8}  {key.name}  {scopes}  expires {expires}  used {used}")


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id, from: tutela keys ls")],
) -> None:
    """End a key; every process refuses it within two seconds."""
    with _keys() as keys:
        key = keys.revoke(key_id)
    print(f"{key.id} '{key.name}' is revoked.")


@contextmanager
def _keys(*, making: bool = False) -> Iterator[ApiKeys]:
    from tutela.cli._data import require_data
    from tutela.settings import load_settings
    from tutela.store import Database
    from tutela.web.auth.keys import ApiKeys

    settings = load_settings()
    if not making:
        require_data(settings)
    database = Database(settings)
    try:
        database.migrate()
        yield ApiKeys(database)
    finally:
        database.close()


def _plain(key: ApiKey) -> dict[str, object]:
    from tutela.core import as_plain

    return {
        "id": key.id,
        "name": key.name,
        "state": key.state,
        "scopes": sorted(key.scopes),
        "rate_per_minute": key.rate_per_minute,
        "created_at": as_plain(key.created_at),
        "expires_at": as_plain(key.expires_at),
        "last_used_at": as_plain(key.last_used_at),
    }
