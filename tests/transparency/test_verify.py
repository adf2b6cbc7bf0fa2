"""Every byte of a ledger's folder is watched, and what is wrong is named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tutela.errors import LedgerDamaged, NotFound
from tutela.transparency.notes import SignerKey
from tutela.transparency.tiles import Tile
from tutela.transparency.verify import verify

TEXTS = {"checkpoint", "key.pub"}
"""Files in which letter case and spelling could hide a change."""


def all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def problems(folder: Path) -> list[str]:
    return [str(problem) for problem in verify(folder).problems]


@pytest.fixture
def published(log: Any) -> Path:
    """A ledger of 261 entries: full tiles, partial ones, and ones of earlier checkpoints."""
    log.grow(3, 253, 2, 3)
    names = {path.relative_to(log.folder).as_posix() for path in all_files(log.folder)}
    assert {"tile/0/000", "tile/entries/000", "tile/1/000.p/1", "tile/0/001.p/2"} <= names
    assert "tile/0/000.p/3" not in names, "a full tile has replaced its partial ones"
    assert verify(log.folder).ok
    return Path(log.folder)


@pytest.fixture
def small(log: Any) -> Path:
    log.grow(2, 3)
    return Path(log.folder)


def test_flipping_any_byte_of_any_file_is_detected_and_the_file_named(small: Path) -> None:
    for path in all_files(small):
        name = path.relative_to(small).as_posix()
        data = path.read_bytes()
        for position in range(len(data)):
            for bit in (0x01, 0x20) if name in TEXTS else (1 << position % 8,):
                changed = bytearray(data)
                changed[position] ^= bit
                path.write_bytes(changed)
                told = problems(small)
                assert told, f"{name}: byte {position} changed unseen"
                assert any(line.startswith(name) for line in told), (name, position, told)
        path.write_bytes(data)
    assert verify(small).ok


def test_removing_or_adding_any_byte_is_detected_and_the_file_named(small: Path) -> None:
    for path in all_files(small):
        name = path.relative_to(small).as_posix()
        data = path.read_bytes()
        for position in range(len(data) + 1):
            removed = data[:position] + data[position + 1 :]
            added = data[:position] + b"\n" + data[position:]
            for changed in (removed, added) if name in TEXTS else ((removed, added)[position % 2],):
                if changed == data:
                    continue
                path.write_bytes(changed)
                told = problems(small)
                assert any(line.startswith(name) for line in told), (name, position, told)
        path.write_bytes(data)
    assert verify(small).ok


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_byte_in_a_larger_tree_is_located_to_the_hash_and_entry(
    published: Path, seed: int
) -> None:
    path = published / "tile/entries/000"
    data = bytearray(path.read_bytes())
    entry = (7, 100, 200, 255)[seed]
    data[entry * 34 + 2 + seed] ^= 4
    path.write_bytes(data)
    (problem,) = verify(published).problems
    assert (problem.where, problem.entry) == ("tile/entries/000", entry)

    data[entry * 34 + 2 + seed] ^= 4
    path.write_bytes(data)
    path = published / "tile/0/000"
    data = bytearray(path.read_bytes())
    data[entry * 32 + seed] ^= 4
    path.write_bytes(data)
    (problem,) = verify(published).problems
    assert (problem.where, problem.entry) == (f"tile/0/000, hash {entry}", entry)


def test_every_tile_of_a_larger_tree_is_watched(published: Path) -> None:
    for path in all_files(published):
        name = path.relative_to(published).as_posix()
        data = path.read_bytes()
        for position in {0, 1, len(data) // 2, len(data) - 1}:
            changed = bytearray(data)
            changed[position] ^= 2
            path.write_bytes(changed)
            told = problems(published)
            assert len(told) <= 2, told
            assert any(line.startswith(name) for line in told), (name, position, told)
        path.write_bytes(data)


def test_a_missing_file_is_named(published: Path) -> None:
    for path in all_files(published):
        name = path.relative_to(published).as_posix()
        tile = Tile.parse(name)
        if tile is not None and tile.width in {2}:
            continue  # an earlier checkpoint's partial tile may go
        kept = path.read_bytes()
        path.unlink()
        assert f"{name}: the file is missing" in problems(published)
        path.write_bytes(kept)


def test_an_added_file_is_named(published: Path) -> None:
    for name in ("note.txt", "tile/0/002", "tile/0/001.p/6", "tile/0/0", "tile/2/000.p/1"):
        path = published / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * 32)
        assert any(line.startswith(name) for line in problems(published)), name
        path.unlink()
    (published / "link").symlink_to("checkpoint")
    assert problems(published) == ["link: this is not a plain file"]


def test_a_huge_file_is_named_and_not_read(published: Path) -> None:
    with (published / "tile/0/000").open("r+b") as file:
        file.truncate(1 << 40)
    assert any(
        line.startswith("tile/0/000: the file has 1099511627776") for line in problems(published)
    )


def test_entries_and_tiles_rewritten_together_do_not_lead_to_the_root(published: Path) -> None:
    from tutela.transparency.merkle import leaf_hash

    bundle, tile = published / "tile/entries/001.p/5", published / "tile/0/001.p/5"
    entry = os.urandom(32)
    data = bytearray(bundle.read_bytes())
    data[2 : 2 + 32] = entry
    bundle.write_bytes(data)
    data = bytearray(tile.read_bytes())
    data[:32] = leaf_hash(entry)
    tile.write_bytes(data)
    assert any("do not lead to the root" in line for line in problems(published))


def test_a_ledger_signed_anew_by_somebody_else_is_not_ours(log: Any) -> None:
    log.grow(4)
    ours = str(log.sequencer.key())
    forger = SignerKey.generate(log.database.settings.ledger.origin)
    checkpoint = (log.folder / "checkpoint").read_text()
    body = checkpoint.split("\n\n")[0] + "\n"
    (log.folder / "checkpoint").write_text(forger.sign(body))
    (log.folder / "key.pub").write_text(f"{forger.verifier}\n")
    assert log.verify(database=False).ok, "of one piece, and nobody said whose it should be"
    assert {p.where for p in log.verify(database=False, key=ours).problems} == {
        "key.pub",
        "checkpoint",
    }
    assert {p.where for p in log.verify().problems} >= {"key.pub", "checkpoint"}


def test_a_folder_set_back_to_an_earlier_state_is_detected_with_the_database(
    log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutela.transparency.verify.CATCH_UP_SECONDS", 0.01)
    log.grow(4)
    shutil.copytree(log.folder, tmp_path / "earlier")
    log.grow(1)
    shutil.rmtree(log.folder)
    shutil.copytree(tmp_path / "earlier", log.folder)
    report = log.verify()
    assert [p.where for p in report.problems] == ["checkpoint"]
    assert "set back" in report.problems[0].what


def test_an_empty_ledger_verifies(log: Any) -> None:
    log.sequencer.run_once()
    report = log.verify()
    assert report.ok
    assert (report.size, report.files) == (0, 2)


def test_there_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        verify(tmp_path / "nothing")


def test_a_key_that_is_none_is_refused(small: Path) -> None:
    with pytest.raises(LedgerDamaged):
        verify(small, key="example.org+00000000+AAAA")


def test_progress_ends_at_the_whole(published: Path) -> None:
    seen: list[tuple[int, int]] = []
    verify(published, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(256, 261), (261, 261)]


def test_a_copy_verifies_without_lock_or_database(published: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "anything"
    shutil.copytree(published, copy)
    report = verify(copy)
    assert report.ok
    assert not report.database
    assert (report.size, report.files) == (261, len(all_files(copy)))


def test_a_folder_about_to_follow_another_machine_is_waited_for(
    log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.grow(4)
    shutil.copytree(log.folder, tmp_path / "behind")
    log.grow(1)
    shutil.move(log.folder, tmp_path / "ahead")
    shutil.copytree(tmp_path / "behind", log.folder)

    def follow(_seconds: float) -> None:
        shutil.rmtree(log.folder)
        shutil.copytree(tmp_path / "ahead", log.folder)

    monkeypatch.setattr("tutela.transparency.verify.time.sleep", follow)
    assert log.verify().ok


def test_a_file_that_cannot_be_read_is_named(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.as_posix().endswith(("/0/000", "000.p/1")):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    told = problems(published)
    assert "tile/0/000: the file cannot be read" in told
    assert "tile/1/000.p/1: the file cannot be read (Permission denied)" in told


def test_a_folder_that_cannot_be_read_is_named(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def failing(path: Any) -> Any:
        if str(path).endswith("tile/0"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert "tile/0: the folder cannot be read (Permission denied)" in problems(published)


def test_two_changes_at_once_name_both_files(published: Path) -> None:
    for name in ("tile/0/000", "tile/1/000.p/1"):
        path = published / name
        data = bytearray(path.read_bytes())
        data[3] ^= 1
        path.write_bytes(data)
    told = problems(published)
    assert any(line.startswith("tile/0/000, hash 0") for line in told), told
    assert any(line.startswith("tile/1/000.p/1, hash 0") for line in told), told


def test_many_problems_are_counted_and_the_first_told(published: Path) -> None:
    for number in range(150):
        (published / f"extra{number}").write_bytes(b"")
    report = verify(published)
    assert (report.count, len(report.problems)) == (150, 100)
    assert report.plain()["ok"] is False
