"""Which files a command is to look at: folders walked, and nothing passed over in silence.

A folder that cannot be opened, a link to a folder, an empty folder: each becomes a target of its
own with a problem, since a check that never saw a file must not call it clean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

EMPTY_FOLDER = "nothing to examine: the folder has no files"
LINK = "link to a folder, not followed; name it to have it examined"


@dataclass(frozen=True, slots=True)
class Target:
    """A file to look at, or a place that could not be looked into and why."""

    path: Path
    problem: str | None = None


def expand(paths: Iterable[Path]) -> list[Target]:
    """The files named, folders walked in name order, each folder's own files first.

    Links to files are followed, links to folders are not, unless they are what was named. A path
    that does not exist is kept: whoever opens it reports it.
    """
    targets: list[Target] = []
    for path in paths:
        targets += _walk(path) if _is_folder(path) else [Target(path)]
    return targets


def shown(path: Path) -> str:
    """A path that is safe to print: control characters and undecodable bytes as escapes."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in str(path)
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _walk(top: Path) -> list[Target]:
    found = list(_inside(top))
    return found or [Target(top, EMPTY_FOLDER)]


def _inside(top: Path) -> Iterator[Target]:
    """Everything under a folder. Depth costs no call stack."""
    failed: list[OSError] = []
    for folder, folders, names in os.walk(top, onerror=failed.append):
        folders.sort()
        yield from _unopened(failed, top)
        for name in sorted(names):
            yield Target(Path(folder, name))
        for name in folders:
            link = Path(folder, name)
            if link.is_symlink():
                yield Target(link, LINK)
    yield from _unopened(failed, top)


def _unopened(failed: list[OSError], top: Path) -> Iterator[Target]:
    for error in failed:
        yield Target(Path(error.filename or top), f"could not be opened: {error.strerror}")
    failed.clear()
