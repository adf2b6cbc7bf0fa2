"""A damaged index snapshot is never believed: it is refused, rebuilt by itself from the database,
and until then no listed picture is let through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.house import wait_until
from tests.journeys.served.houses import House, photo

SOON = {"TUTELA_UPLOADS__DEFERRED_RETRY_SECONDS": "1"}


def flipped(path: Path) -> None:
    """A bit changed in every page after the first."""
    raw = bytearray(path.read_bytes())
    for at in range(4096, len(raw), 4096):
        raw[at] ^= 1
    raw[-1] ^= 1
    put(path, bytes(raw))


def cut(path: Path) -> None:
    """Cut to half."""
    raw = path.read_bytes()
    put(path, raw[: len(raw) // 2])


def emptied(path: Path) -> None:
    """Nothing in it."""
    put(path, b"")


def put(path: Path, raw: bytes) -> None:
    """In its place at once, as a restored backup or a broken copy would be."""
    part = path.with_suffix(".damaged")
    part.write_bytes(raw)
    part.replace(path)


@pytest.mark.parametrize("damage", [flipped, cut, emptied])
def test_damaged_before_the_start_it_is_rebuilt(
    house: House, listed: bytes, damage: Callable[[Path], None]
) -> None:
    snapshot = house.data_dir / "index" / "signals.index"
    sound = snapshot.read_bytes()
    damage(snapshot)
    assert snapshot.read_bytes() != sound
    with house.serve(SOON, dies="none") as serving, serving.client(house.admin) as client:
        first = client.post("/v1/uploads", content=listed).json()
        assert first["outcome"] == "block" or (first["outcome"], first["deferred"]) == (
            "hold",
            True,
        )
        wait_until(lambda: client.get("/readyz").json()["protecting"])
        assert client.post("/v1/uploads", content=listed).json()["outcome"] == "block"
        assert client.post("/v1/uploads", content=photo(61)).json()["outcome"] == "allow"
        wait_until(lambda: house.count("deferred_uploads") == 0)
    house.whole()


def test_damaged_under_a_running_server_the_sound_one_stays_in_force_until_another_is_built(
    house: House, listed: bytes
) -> None:
    snapshot = house.data_dir / "index" / "signals.index"
    with house.serve(dies="none") as serving, serving.client(house.admin) as client:
        flipped(snapshot)
        damaged = snapshot.read_bytes()

        def rebuilt() -> bool:
            assert client.post("/v1/uploads", content=listed).json()["outcome"] == "block"
            return snapshot.read_bytes() != damaged

        wait_until(rebuilt)
        assert client.get("/readyz").json()["protecting"]
        told = serving.log.count("index.damaged")
        assert 1 <= told <= 10
        assert client.post("/v1/uploads", content=photo(62)).json()["outcome"] == "allow"
    house.whole()


def test_with_no_place_for_a_snapshot_it_does_not_serve_rather_than_serve_without_lists(
    house: House,
) -> None:
    folder = house.data_dir / "index"
    folder.rename(folder.with_name("index-away"))
    folder.write_text("not a folder")
    refused = house.start(dies="none")
    assert refused.ended(30)
    assert not refused.port_file.exists()
    assert "Not a directory" in refused.log
