"""``tutela hash``: digests, PDQ and views of files, without any list."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutela.cli._files import plain_media, progress, spread
from tutela.cli._walk import Target, expand, shown
from tutela.core import HashMode, Media
from tutela.errors import TutelaError
from tutela.settings import load_settings

if TYPE_CHECKING:
    from tutela.hashing.decoder import DecoderPool

EXIT_UNREADABLE = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("hash")(hash_files)


def hash_files(
    files: Annotated[list[Path], typer.Argument(help="Files and folders to hash.", readable=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    identical: Annotated[
        bool, typer.Option("--identical", help="Bits equal to the reference implementation's.")
    ] = False,
    views: Annotated[
        bool, typer.Option("--views/--no-views", help="Hash the views that undo evasions too.")
    ] = True,
    jobs: Annotated[int, typer.Option(min=0, help="Decoder processes; 0 is one per core.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Print MD5, SHA-1, SHA-256 and, for pictures, PDQ with its views.

    Files are decoded in separate processes with limits, as uploads are. Exit code 0, or 2 where a
    file could not be read or examined whole.
    """
    from tutela.hashing.decoder import DecoderPool
    from tutela.hashing.options import HashOptions

    settings = load_settings().hashing
    options = HashOptions.from_settings(settings).replaced(views=views)
    if identical:
        options = options.replaced(mode=HashMode.IDENTICAL)
    targets = expand(files)
    pool = DecoderPool(
        options,
        workers=min(jobs or settings.workers or 64, _cores(), max(len(targets), 1)),
        memory_bytes=settings.worker_memory_bytes,
    )
    asyncio.run(pool.start())
    faulty = False
    try:
        with progress(quiet) as bar:
            task = bar.add_task("Hashing", total=len(targets))
            for target, answer in spread(lambda t: _hash_one(pool, t), targets, _cores() * 2):
                path = target.path
                bar.advance(task)
                if isinstance(answer, Media):
                    faulty = faulty or bool(answer.all_faults())
                    print(_line(path, answer, as_json), flush=True)
                else:
                    faulty = True
                    if as_json:
                        print(json.dumps({"file": str(path), "error": answer}), flush=True)
                    else:
                        print(f"{shown(path)}: {answer}", file=sys.stderr)
    finally:
        asyncio.run(pool.stop())
    if faulty:
        raise typer.Exit(EXIT_UNREADABLE)


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def _hash_one(pool: DecoderPool, target: Target) -> Media | str:
    from tutela.hashing.source import Source

    if target.problem is not None:
        return target.problem
    try:
        source = Source.from_path(target.path)
    except OSError as error:
        return f"could not be opened: {error.strerror}"
    try:
        return pool.hash_blocking(source)
    except TutelaError as error:
        return error.spoken()
    except OSError as error:
        return f"could not be read: {error.strerror}"
    finally:
        source.close()


def _line(path: Path, media: Media, as_json: bool) -> str:
    if as_json:
        return json.dumps({"file": str(path), **plain_media(media)})
    parts = [
        f"{shown(path)}: {media.format}, {media.size} bytes",
        f"  md5 {media.digests.md5.hex()}",
        f"  sha1 {media.digests.sha1.hex()}",
        f"  sha256 {media.digests.sha256.hex()}",
    ]
    if media.pictures:
        first = media.pictures[0]
        parts.append(
            f"  pdq {first.pdq.hex()} quality {first.quality}, {len(first.views)} views, "
            f"{first.width}x{first.height}"
        )
    if media.frames:
        parts.append(f"  {len(media.frames)} frames hashed")
    parts += [f"  {fault.kind.value}: {fault.detail}" for fault in media.all_faults()]
    return "\n".join(parts)
