"""Checks every byte of the public tree against its signed root, and finds the byte that is wrong.

Every hash in a tile stands there three times over: as stored, as computed from the file below, and
inside the hash of the tile above. Where one of the three disagrees, that one was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .folder_state import LARGEST, FolderState
from .merkle import EMPTY, HASH_BYTES, leaf_hash, perfect, root
from .notes import Checkpoint
from .report import Findings
from .tiles import (
    ENTRIES,
    ENTRY_BYTES,
    RECORD_BYTES,
    WIDTH,
    Tile,
    at_level,
    levels,
    tiles_of,
)

Hashes = list[bytes | None]
"""Hashes of a tile; None where there is nothing that could be one."""
Progress = Callable[[int, int], None]
"""Called with entries done and entries in all."""

_LENGTH = ENTRY_BYTES.to_bytes(2, "big")


@dataclass(slots=True)
class _Edge:
    """The unfinished tile of a level: as stored, and as computed from below."""

    tile: Tile
    stored: Hashes | None
    computed: Hashes


class TreeCheck:
    """Checks one folder against one verified checkpoint."""

    def __init__(self, folder: FolderState, checkpoint: Checkpoint, found: Findings) -> None:
        self._folder = folder
        self._checkpoint = checkpoint
        self._found = found
        self._size = checkpoint.size
        self._older = self._names()
        self._edges: dict[int, _Edge] = {}
        self._bundle: tuple[int, bytes] = (-1, b"")

    def commitment(self, entry: int) -> bytes | None:
        """The entry with that number as the folder has it; None where it has none."""
        number, position = divmod(entry, WIDTH)
        if self._bundle[0] != number:
            self._bundle = (number, self._folder.read(self._tile(ENTRIES, number).path) or b"")
        data = self._bundle[1][position * RECORD_BYTES : (position + 1) * RECORD_BYTES]
        return data[2:] if len(data) == RECORD_BYTES else None

    def check(self, progress: Progress | None = None) -> None:
        """Checks everything; what does not hold is noted in the findings."""
        below: dict[int, Hashes] = {}
        for number in range(-(-self._size // WIDTH)):
            self._check_tile(0, number, self._leaves(self._tile(ENTRIES, number)), below)
            if progress is not None:
                progress(min(self._size, (number + 1) * WIDTH), self._size)
        for level in levels(self._size)[2:]:
            if below.get(level):
                number = at_level(self._size, level) // WIDTH
                self._check_tile(level, number, below.pop(level), below)
        self._check_edges()

    # --- names

    def _tile(self, level: int, number: int) -> Tile:
        """The widest tile of that number in a tree of this size."""
        return Tile(level, number, min(WIDTH, at_level(self._size, level) - number * WIDTH))

    def _names(self) -> dict[tuple[int, int], list[Tile]]:
        """Notes missing files and files that do not belong; gives the partial tiles of earlier
        checkpoints, by level and number."""
        older: dict[tuple[int, int], list[Tile]] = {}
        wanted = {tile.path for tile in tiles_of(self._size)}
        for name in sorted(wanted - self._folder.sizes.keys()):
            self._found.add(name, "the file is missing")
        for name in sorted(self._folder.sizes.keys() - wanted - {"checkpoint", "key.pub"}):
            tile = Tile.parse(name)
            if tile is None:
                self._found.add(name, "the file does not belong into a ledger")
            elif tile.start + tile.width > at_level(self._size, tile.level):
                self._found.add(
                    name,
                    "the file lies beyond the signed checkpoint: a publication was interrupted "
                    "(starting Tutela finishes it), or the file was added",
                )
            else:
                older.setdefault((tile.level, tile.number), []).append(tile)
        return older

    # --- reading

    def _bytes(self, tile: Tile) -> bytes | None:
        """A tile's bytes; a wrong length is noted."""
        data = self._folder.read(tile.path)
        wanted = tile.width * tile.unit
        if data is None and 0 <= self._folder.sizes.get(tile.path, -1) <= LARGEST:
            self._found.add(tile.path, "the file cannot be read")
        if data is not None and len(data) != wanted:
            self._found.add(tile.path, f"the file has {len(data)} bytes instead of {wanted}")
        return data

    def _leaves(self, tile: Tile) -> Hashes:
        """The leaf hashes of a bundle's entries; None for what is no entry."""
        data = self._bytes(tile) or b""
        leaves: Hashes = []
        for start in range(0, tile.width * RECORD_BYTES, RECORD_BYTES):
            record = data[start : start + RECORD_BYTES]
            whole = len(record) == RECORD_BYTES and record[:2] == _LENGTH
            leaves.append(leaf_hash(record[2:]) if whole else None)
        return leaves

    def _stored(self, tile: Tile) -> Hashes | None:
        """A tile's hashes, or None where the file is missing."""
        data = self._bytes(tile)
        if data is None:
            return None
        hashes: Hashes = []
        for start in range(0, tile.width * HASH_BYTES, HASH_BYTES):
            value = data[start : start + HASH_BYTES]
            hashes.append(value if len(value) == HASH_BYTES else None)
        return hashes

    # --- judging

    def _check_tile(
        self, level: int, number: int, computed: Hashes, below: dict[int, Hashes]
    ) -> None:
        tile = self._tile(level, number)
        stored = self._stored(tile)
        if tile.width < WIDTH:
            self._edges[level] = _Edge(tile, stored, computed)
            return
        best = self._judge(tile, stored, computed, self._confirmed_by_parent(tile))
        self._check_older(tile, best)
        above = below.setdefault(level + 1, [])
        above.append(_perfect(best))
        if len(above) == WIDTH:
            below[level + 1] = []
            self._check_tile(level + 1, number // WIDTH, above, below)

    def _confirmed_by_parent(self, tile: Tile) -> Callable[[Hashes], bool]:
        parent = self._tile(tile.level + 1, tile.number // WIDTH)
        data = self._folder.read(parent.path) or b""
        low = (tile.number % WIDTH) * HASH_BYTES
        stands = data[low : low + HASH_BYTES]
        return lambda hashes: _perfect(hashes) == stands

    def _judge(
        self,
        tile: Tile,
        stored: Hashes | None,
        computed: Hashes,
        confirmed: Callable[[Hashes], bool],
    ) -> Hashes:
        """Compares a tile with what lies below it; notes which is wrong; gives the right one as
        far as it can be told."""
        if stored is None or stored == computed:
            return computed
        wrong = [i for i, pair in enumerate(zip(stored, computed, strict=True)) if len({*pair}) > 1]
        if confirmed(stored):
            self._note_below(tile, wrong)
            return stored
        self._note_stored(tile, wrong)
        if not confirmed(computed):
            self._note_below(tile, wrong)
        return computed

    def _note_stored(self, tile: Tile, wrong: Sequence[int]) -> None:
        entry = tile.start + wrong[0] if tile.level == 0 else None
        self._found.add(
            f"{tile.path}, hash {wrong[0]}",
            f"the hash is not that of what lies below it{_more(wrong)}",
            entry=entry,
        )

    def _note_below(self, tile: Tile, wrong: Sequence[int]) -> None:
        number = tile.start + wrong[0]
        if tile.level == 0:
            self._found.add(
                self._tile(ENTRIES, tile.number).path,
                f"the entry is not the one in the signed tree{_more(wrong)}",
                entry=number,
            )
        else:
            self._found.add(
                self._tile(tile.level - 1, number).path,
                f"the tile and what lies below it are not those of the signed tree{_more(wrong)}",
            )

    def _check_older(self, tile: Tile, best: Hashes) -> None:
        """Compares the partial tiles that earlier checkpoints left with the tile as it is."""
        for old in self._older.get((tile.level, tile.number), ()):
            self._compare_older(old, self._stored(old) or [], best)
        if tile.level == 0:
            for old in self._older.get((ENTRIES, tile.number), ()):
                self._compare_older(old, self._leaves(old), best)

    def _compare_older(self, old: Tile, hashes: Hashes, best: Hashes) -> None:
        wrong = [i for i in range(old.width) if i >= len(hashes) or hashes[i] != best[i]]
        if wrong:
            at = old.start + wrong[0]
            self._found.add(
                f"{old.path}, {'entry' if old.level == ENTRIES else 'hash'} {wrong[0]}",
                f"the earlier partial tile differs from the tile as it is{_more(wrong)}",
                entry=at if old.leaf_level == 0 else None,
            )

    # --- the right edge

    def _check_edges(self) -> None:
        """Finds, of the unfinished tiles as stored and as computed, those that lead to the signed
        root, and notes the others."""
        stored = {level: e.stored or e.computed for level, e in self._edges.items()}
        computed = {level: e.computed for level, e in self._edges.items()}
        choices = [stored, computed]
        for level in self._edges:
            choices.append({**stored, level: computed[level]})
            choices.append({**computed, level: stored[level]})
        right = next((c for c in choices if self._root(c) == self._checkpoint.root), None)
        if right is None:
            self._found.add("tile", "the tiles do not lead to the root that the checkpoint signs")
        for level, edge in self._edges.items():
            best = stored[level] if right is None else right[level]
            if edge.stored is not None and edge.stored != edge.computed:
                self._judge(edge.tile, edge.stored, edge.computed, _is(None if not right else best))
            self._check_older(edge.tile, best)

    def _root(self, edges: dict[int, Hashes]) -> bytes | None:
        def read(level: int, index: int) -> bytes:
            tile_level, above = divmod(level, 8)
            low = (index << above) % WIDTH
            hashes = edges[tile_level][low : low + (1 << above)]
            value = _perfect(hashes)
            if value is None:
                raise LookupError
            return value

        try:
            return root(read, self._size) if self._size else EMPTY
        except LookupError:
            return None


def _is(best: Hashes | None) -> Callable[[Hashes], bool]:
    return lambda hashes: hashes == best


def _perfect(hashes: Hashes) -> bytes | None:
    whole = [value for value in hashes if value is not None]
    return perfect(whole) if len(whole) == len(hashes) else None


def _more(wrong: Sequence[int]) -> str:
    return f" (and {len(wrong) - 1} more there)" if len(wrong) > 1 else ""
