"""The public tree as static files: C2SP ``tlog-tiles``.

``tile/<level>/<n>`` holds 256 hashes of perfect subtrees of ``256**level`` leaves, in order;
``tile/entries/<n>`` the entries themselves, each after its length in two bytes. The rightmost tile
of a level is partial and named ``<n>.p/<width>``. Partial tiles stay until the full tile is there,
because earlier checkpoints need them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tutela.errors import LedgerDamaged

from .merkle import HASH_BYTES, Read, perfect, root

WIDTH = 256
"""Hashes in a full tile."""
ENTRY_BYTES = 32
"""An entry is a commitment: SHA-256."""
RECORD_BYTES = 2 + ENTRY_BYTES
"""An entry in a bundle with its length before it."""
ENTRIES = -1
"""The level number under which entry bundles are meant here."""

_PATH = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One file of the tree: its level (``ENTRIES`` for a bundle), number and width."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Its path below the ledger's folder."""
        digits = str(self.number)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{name}{partial}"

    @classmethod
    def parse(cls, path: str) -> Tile | None:
        """The tile that a path names, in its one spelling; None for any other path."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        level = ENTRIES if found[1] == "entries" else int(found[1])
        number = int(found[2].replace("x", "").replace("/", ""))
        tile = cls(level, number, int(found[3]) if found[3] else WIDTH)
        return tile if tile.path == path and level < 64 else None

    @property
    def leaf_level(self) -> int:
        """The level whose hashes its width counts."""
        return max(self.level, 0)

    @property
    def unit(self) -> int:
        """Bytes of one element."""
        return RECORD_BYTES if self.level == ENTRIES else HASH_BYTES

    @property
    def start(self) -> int:
        """The number of its first element among all of its level."""
        return self.number * WIDTH


def at_level(size: int, level: int) -> int:
    """How many complete subtrees of ``256**level`` leaves a tree of ``size`` has."""
    return size >> (8 * max(level, 0))


def levels(size: int) -> list[int]:
    """The levels that a tree of ``size`` leaves has tiles on, entries first."""
    if size == 0:
        return []
    found = [ENTRIES, 0]
    while at_level(size, found[-1] + 1):
        found.append(found[-1] + 1)
    return found


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile that a tree of ``size`` leaves must have, level by level."""
    for level in levels(size):
        full, width = divmod(at_level(size, level), WIDTH)
        for number in range(full):
            yield Tile(level, number)
        if width:
            yield Tile(level, full, width)


def edge_tile(size: int, level: int) -> Tile | None:
    """The partial tile at the right edge of a level, None where there is none."""
    number, width = divmod(at_level(size, level), WIDTH)
    return Tile(level, number, width) if width else None


def frame(entry: bytes) -> bytes:
    """An entry as it stands in a bundle."""
    return len(entry).to_bytes(2, "big") + entry


class TileFolder:
    """Reads a published tree. Raises ``LedgerDamaged`` naming the file that is missing or short."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def bytes_of(self, tile: Tile) -> bytes:
        """A tile's bytes; a partial one may be read from the full one that replaced it."""
        wanted = tile.width * tile.unit
        for path in (tile.path, Tile(tile.level, tile.number).path):
            try:
                data = (self.folder / path).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise LedgerDamaged(
                    f"The ledger's file {path} cannot be read ({error.strerror}).", where=path
                ) from error
            if len(data) < wanted:
                raise LedgerDamaged(f"The ledger's file {path} is too short.", where=path)
            return data[:wanted]
        raise LedgerDamaged(f"The ledger's file {tile.path} is missing.", where=tile.path)

    def reader(self, size: int) -> Read:
        """Reads the tree of ``size`` leaves through its tiles, each read once."""
        cache: dict[tuple[int, int], bytes] = {}

        def read(level: int, index: int) -> bytes:
            tile_level, above = divmod(level, 8)
            first = index << above
            number = first // WIDTH
            if (tile_level, number) not in cache:
                width = min(WIDTH, at_level(size, tile_level) - number * WIDTH)
                cache[tile_level, number] = self.bytes_of(Tile(tile_level, number, width))
            data = cache[tile_level, number]
            low = (first % WIDTH) * HASH_BYTES
            span = data[low : low + (HASH_BYTES << above)]
            return perfect([span[i : i + HASH_BYTES] for i in range(0, len(span), HASH_BYTES)])

        return read

    def root(self, size: int) -> bytes:
        """The root of the first ``size`` leaves, from the tiles at the right edge."""
        return root(self.reader(size), size)
