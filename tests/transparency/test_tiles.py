"""Names and numbers of tiles as C2SP ``tlog-tiles`` has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutela.errors import LedgerDamaged
from tutela.transparency.tiles import ENTRIES, Tile, TileFolder, tiles_of


def test_the_examples_of_the_specification() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(ENTRIES, 7, 5).path == "tile/entries/007.p/5"
    tiles = [tile for tile in tiles_of(70_000) if tile.level != ENTRIES]
    assert sum(tile.level == 0 and tile.width == 256 for tile in tiles) == 273
    partial = [(tile.level, tile.width) for tile in tiles if tile.width < 256]
    assert partial == [(0, 112), (1, 17), (2, 1)]
    assert sum(tile.level == 1 and tile.width == 256 for tile in tiles) == 1
    assert [(t.level, t.width) for t in tiles_of(256) if t.level >= 0] == [(0, 256), (1, 1)]
    assert list(tiles_of(0)) == []


@given(st.integers(ENTRIES, 7), st.integers(0, 10**12), st.integers(1, 256))
def test_paths_read_back(level: int, number: int, width: int) -> None:
    tile = Tile(level, number, width)
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/05",
        "tile/00/000",
        "tile/64/000",
        "tile/0/000/../001",
        "/tile/0/000",
        "tile/0/000\n",
        "checkpoint",
    ],
)
def test_other_spellings_are_no_tiles(path: str) -> None:
    assert Tile.parse(path) is None


def test_a_missing_or_short_tile_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerDamaged) as told:
        TileFolder(tmp_path).bytes_of(Tile(0, 0, 2))
    assert told.value.where == "tile/0/000.p/2"
    (tmp_path / "tile/0").mkdir(parents=True)
    (tmp_path / "tile/0/000").write_bytes(b"short")
    with pytest.raises(LedgerDamaged, match="too short"):
        TileFolder(tmp_path).bytes_of(Tile(0, 0, 2))
