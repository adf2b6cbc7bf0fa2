"""What the file commands share."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tutela.cli._files import expand, plain_media, spread
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
    assert [str(p.relative_to(tmp_path)) for p in found] == [
        "0.txt",
        "a/1.txt",
        "b/1.txt",
        "b/2.txt",
        "missing.jpg",
    ]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    assert len(expand([tmp_path])) == 1


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
