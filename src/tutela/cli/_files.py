"""What the file commands share: spreading work, a progress bar, plain views of media."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

from tutela.core import FrameHash, Media, PictureHash

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
R = TypeVar("R")


def spread(work: Callable[[T], R], things: Iterable[T], workers: int) -> Iterator[tuple[T, R]]:
    """``work`` done on each thing by ``workers`` threads, answers in the order of the things.

    Only a bounded number is under way at once, so that a million files cost no memory.
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[tuple[T, Future[R]]] = []
        try:
            for thing in things:
                waiting.append((thing, pool.submit(work, thing)))
                if len(waiting) >= 4 * workers:
                    first, future = waiting.pop(0)
                    yield first, future.result()
            for first, future in waiting:
                wait([future], return_when=FIRST_COMPLETED)
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def progress(quiet: bool) -> Progress:
    """A progress bar on standard error; silent where that is no terminal or ``quiet`` is asked."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )


def plain_picture(picture: PictureHash) -> dict[str, Any]:
    """A picture's hashes with hexadecimal digits, most significant bit first."""
    shown: dict[str, Any] = {
        "pdq": picture.pdq.hex(),
        "quality": picture.quality,
        "mode": picture.mode.value,
        "width": picture.width,
        "height": picture.height,
        "views": [
            {"view": v.view, "pdq": v.pdq.hex(), "quality": v.quality, "radius": v.radius}
            for v in picture.views
        ],
    }
    if picture.frame is not None:
        shown["frame"] = picture.frame
    if picture.ground is not None:
        shown["ground"] = picture.ground
    return shown


def plain_frame(frame: FrameHash) -> dict[str, Any]:
    """One frame of a video."""
    return {
        "frame": frame.number,
        "time": round(frame.time, 3),
        "pdq": frame.pdq.hex(),
        "quality": frame.quality,
    }


def plain_media(media: Media) -> dict[str, Any]:
    """What a file hashed to, as JSON-ready data. The first picture's hashes stand at the top."""
    shown: dict[str, Any] = {
        "kind": media.kind.value,
        "format": media.format,
        "size": media.size,
        "md5": media.digests.md5.hex(),
        "sha1": media.digests.sha1.hex(),
        "sha256": media.digests.sha256.hex(),
    }
    if media.where:
        shown["where"] = media.where
    if media.pictures:
        shown.update(plain_picture(media.pictures[0]))
        if len(media.pictures) > 1:
            shown["pictures"] = [plain_picture(picture) for picture in media.pictures]
    if media.frames:
        shown["frames"] = [plain_frame(frame) for frame in media.frames]
    if media.members:
        shown["members"] = [plain_media(member) for member in media.members]
    if media.faults:
        shown["faults"] = [
            {"kind": f.kind.value, "detail": f.detail, "where": f.where} for f in media.faults
        ]
    return shown
