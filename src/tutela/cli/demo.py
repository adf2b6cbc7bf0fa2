"""``tutela demo``: watch a made-up photo forum go through the gate."""

from __future__ import annotations

import contextlib
import signal
import time
import webbrowser
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from tutela.demo.page import Proof
    from tutela.demo.player import Player
    from tutela.demo.story import Told

COLOURS = {"allow": "green", "hold": "yellow", "block": "red"}
OWN_RULE = (
    "What is found only through a view (mirrored, turned, framed) Tutela holds for a person by "
    "default. This forum added one rule of its own: what is very close to its own list is blocked."
)
KEY_WORDS = "this key is the demo's and may do everything, a platform's own needs uploads:write"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Play, prove, and exit 0 only if all came as told.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Folder of the demo's own; it is emptied.")] = Path(
        ".demo"
    ),
    port: Annotated[int, typer.Option(help="Port of the server; another if it is taken.")] = 8780,
    open_page: Annotated[
        bool,
        typer.Option("--open/--no-open", help="Open the page in a browser, where there is one."),
    ] = True,
) -> None:
    """Start Tutela, play a photo forum against it, and show what it did.

    Every picture is a landscape generated on the spot. The demo keeps to a folder of its own and
    to loopback.
    """
    from tutela.demo.player import Player

    console = Console(highlight=False)
    player = Player(folder, port, lambda line: console.print(f"[bold]{line}[/bold]"))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        fine = _play(player, console, once, open_page)
    except KeyboardInterrupt:
        fine = True
    finally:
        player.stop()
    if not fine:
        raise typer.Exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _play(player: Player, console: Console, once: bool, open_page: bool) -> bool:
    from tutela.demo.page import PageServer, application, render
    from tutela.demo.story import facts

    began = time.monotonic()
    player.prepare()
    console.print("Starting Tutela (the first start compiles its kernels: up to a minute)…")
    server = player.start()
    console.print(f"Tutela serves {server.url} after {time.monotonic() - began:.1f} s.")
    empty = player.protecting()
    console.print("With no list it says: [bold red]NOT PROTECTING[/bold red].")
    known = player.make_list()
    full = player.protecting()
    console.print("A blocking list with one landscape and one file: [green]protecting[/green].")
    console.print(OWN_RULE, soft_wrap=True)
    chapters = player.chapters(lambda told: _tell(console, told))
    told = [one for _, chapter in chapters for one in chapter]
    sealed = player.sealed()
    total = sum(int(one["bytes"]) for one in sealed)
    console.print(
        f"\n{len(sealed)} originals lie sealed, {total} bytes in all; each is encrypted with age "
        f"and begins: {sealed[0]['begins']}",
        soft_wrap=True,
    )
    console.print("\n[bold]Proof[/bold]")
    proofs = player.proofs()
    for proof in proofs:
        _tell_proof(console, proof)
    summary = facts(told)
    fine = summary["as_told"] and all(p.ok for p in proofs) and full and not empty and sealed
    console.print(
        f"\n{summary['uploads']} uploads: {summary['allow']} allowed, {summary['hold']} held, "
        f"{summary['block']} blocked; median {summary['median_ms']:.1f} ms in the gate; "
        f"{time.monotonic() - began:.0f} s in all. "
        + ("[green]Everything came out as told.[/green]" if fine else "[red]NOT as told.[/red]"),
        soft_wrap=True,
    )
    if once:
        return bool(fine)
    pictures = {"known.jpg": known}
    story = _story(player, chapters, proofs, summary, pictures)
    page = PageServer(application(render(story), pictures), player.port + 1 if player.port else 0)
    page.start()
    console.print(f"\nWhat it did, with pictures: [bold]{page.url}[/bold]")
    console.print(f"The server's status page:   [bold]{server.url}/[/bold]")
    console.print(f"\nTry it; {KEY_WORDS}:\n")
    console.print(_example(player), markup=False, soft_wrap=True)
    console.print("\nCtrl-C ends it.")
    if open_page:
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(page.url)
    try:
        server.process.wait()
    finally:
        page.stop()
    return False


def _tell(console: Console, told: Told) -> None:
    colour = COLOURS[told.answer.outcome]
    mark = " " if told.ok else "✗"
    console.print(
        f"{mark} [{colour}]{told.answer.outcome:<5}[/{colour}] "
        f"{float(told.answer.milliseconds.get('total', told.wire_ms)):6.1f} ms  "
        f"{told.step.title}"
        + (f" [dim]— {told.reason}[/dim]" if told.answer.outcome != "allow" else ""),
        soft_wrap=True,
    )


def _tell_proof(console: Console, proof: Proof) -> None:
    mark = "[green]✓[/green]" if proof.ok else "[red]✗[/red]"
    console.print(f"{mark} {proof.title} [dim]{proof.said}[/dim]", soft_wrap=True)


def _example(player: Player) -> str:
    assert player.server is not None
    return (
        f"curl -s -H 'Authorization: Bearer {player.server.key}' \\\n"
        f"     --data-binary @photo.jpg {player.server.url}/v1/uploads"
    )


def _story(
    player: Player,
    chapters: list[tuple[str, list[Told]]],
    proofs: list[Proof],
    summary: dict[str, Any],
    pictures: dict[str, bytes],
) -> dict[str, Any]:
    """What the page's template names; thumbnails go into ``pictures``."""
    from tutela.demo.player import LIST

    assert player.server is not None
    shown = []
    opaque = "not_accepted"
    number = 0
    for title, chapter in chapters:
        cards = []
        for told in chapter:
            number += 1
            if told.thumbnail is not None:
                pictures[f"thumb/{number}.jpg"] = told.thumbnail
            record = player.record_of(told)
            if told.answer.outcome == "block":
                opaque = str(told.answer.reason)
            cards.append(
                {
                    "number": number,
                    "step": told.step,
                    "answer": told.answer,
                    "ok": told.ok,
                    "reason": told.reason,
                    "thumbnail": told.thumbnail is not None,
                    "gate_ms": float(told.answer.milliseconds.get("total", told.wire_ms)),
                    "ledger": record.get("ledger_entry"),
                }
            )
        shown.append({"title": title, "told": cards})
    return {
        "facts": summary,
        "chapters": shown,
        "proofs": proofs,
        "sealed": player.sealed(),
        "list_name": LIST,
        "opaque": opaque,
        "server": f"{player.server.url}/",
        "example": _example(player),
        "key_words": KEY_WORDS,
        "own_rule": OWN_RULE,
    }
