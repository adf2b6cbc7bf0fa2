"""What the file commands share."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tutela.cli._files import plain_media, spread
from tutela.cli._walk import EMPTY_FOLDER, LINK, Target, expand, shown
from tutela.core import (
    Digests,
    Fault,
    FaultKind,
    FrameHash,
    HashMode,
    Media,
    MediaKind,
    PictureHash,
    ViewHash,
)

DIGESTS = Digests(md5=bytes(16), sha1=bytes(20), sha256=bytes(32))


def test_folders_are_walked_in_name_order_and_missing_files_kept(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a/1.txt", "b/1.txt", "0.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    missing = tmp_path / "missing.jpg"
    found = expand([tmp_path, missing])
    assert [str(t.path.relative_to(tmp_path)) for t in found] == [
        "0.txt",
        "a/1.txt",
        "b/1.txt",
        "b/2.txt",
        "missing.jpg",
    ]


def test_a_link_to_a_folder_is_not_followed_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    real = tmp_path / "real"
    assert expand([tmp_path]) == [Target(real / "file"), Target(real / "loop", LINK)]


def test_a_folder_that_cannot_be_opened_is_a_problem_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "locked"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    really = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = expand([tmp_path])
    assert found[0] == Target(tmp_path / "a" / "file")
    assert found[1] == Target(tmp_path / "locked", "could not be opened: Permission denied")
    assert expand([tmp_path / "locked"]) == found[1:]


def test_an_empty_folder_is_nothing_examined(tmp_path: Path) -> None:
    assert expand([tmp_path]) == [Target(tmp_path, EMPTY_FOLDER)]
    (tmp_path / "full").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    assert expand([tmp_path]) == [Target(tmp_path / "full" / "file")]


def test_a_path_is_printed_without_control_characters_or_bytes_of_no_alphabet() -> None:
    assert shown(Path(os.fsdecode(b"\xff\x1b[2J\xc3\xa4.jpg"))) == "\\udcff\\x1b[2J\u00e4.jpg"


def test_answers_come_in_order_with_a_bounded_number_under_way() -> None:
    lock = threading.Lock()
    under_way = most = 0

    def work(number: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.002 * (number % 3))
        with lock:
            under_way -= 1
        return number * number

    taken = []

    def numbers() -> object:
        for number in range(60):
            taken.append(number)
            yield number

    for number, (thing, answer) in enumerate(spread(work, numbers(), 3)):  # type: ignore[arg-type]
        assert (thing, answer) == (number, number * number)
        assert len(taken) <= number + 4 * 3 + 1
    assert most <= 3


def test_plain_media_keeps_the_contract_of_the_json_output() -> None:
    picture = PictureHash(
        pdq=bytes.fromhex("80" + "00" * 31),
        quality=90,
        mode=HashMode.LUMA,
        width=4,
        height=3,
        views=(ViewHash(view="mirror", pdq=bytes(32), quality=90, radius=28),),
    )
    media = Media(
        kind=MediaKind.PICTURE, format="png", size=10, digests=DIGESTS, pictures=(picture,)
    )
    shown = plain_media(media)
    assert {"md5", "sha1", "sha256", "pdq", "quality", "views"} <= shown.keys()
    assert shown["pdq"].startswith("80"), "the most significant bit comes first"
    assert shown["views"] == [{"view": "mirror", "pdq": "00" * 32, "quality": 90, "radius": 28}]


def test_plain_media_shows_frames_members_and_faults() -> None:
    inner = Media(
        where="a.zip/1.mp4",
        kind=MediaKind.VIDEO,
        format="mp4",
        size=3,
        digests=DIGESTS,
        frames=(FrameHash(number=30, time=1.0, pdq=bytes(32), quality=88),),
        faults=(Fault(kind=FaultKind.TRUNCATED, detail="The video breaks off.", where="a"),),
    )
    outer = Media(kind=MediaKind.CONTAINER, format="zip", size=9, digests=DIGESTS, members=(inner,))
    member = plain_media(outer)["members"][0]
    assert member["where"] == "a.zip/1.mp4"
    assert member["frames"][0] == {"frame": 30, "time": 1.0, "pdq": "00" * 32, "quality": 88}
    assert member["faults"][0]["kind"] == "truncated"
