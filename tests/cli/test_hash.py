"""``tutela hash``, run as people run it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tutela.demo.scenes import jpeg, scene


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tutela", "hash", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TUTELA_HASHING__WORKERS": "1"},
    )


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    (folder / "1.jpg").write_bytes(jpeg(scene(1, 640, 480)))
    (folder / "2.txt").write_text("Only words.")
    (folder / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


def test_one_json_object_a_line_with_digests_pdq_and_views(album: Path) -> None:
    done = run("--json", album)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["file"]).name for line in lines] == ["1.jpg", "2.txt", "3.png"]
    photo = lines[0]
    content = (album / "1.jpg").read_bytes()
    assert photo["md5"] == hashlib.md5(content).hexdigest()
    assert photo["sha1"] == hashlib.sha1(content).hexdigest()
    assert photo["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(photo["pdq"]) == 64
    assert photo["quality"] > 50
    assert {"mirror", "rotate-90"} <= {view["view"] for view in photo["views"]}
    assert "pdq" not in lines[1]
    assert lines[2]["faults"]
    assert done.returncode == 2, "a file that could not be examined is no success"


def test_identical_mode_gives_the_bits_of_a_second_run_and_no_views_on_wish(album: Path) -> None:
    done = run("--json", "--identical", "--no-views", album / "1.jpg")
    photo = json.loads(done.stdout)
    assert done.returncode == 0
    assert photo["mode"] == "identical"
    assert photo["views"] == []


def test_a_missing_file_is_named_and_ends_in_exit_code_2(album: Path) -> None:
    done = run(album / "absent.jpg")
    assert done.returncode == 2
    assert "absent.jpg: could not be opened: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_people_read_sentences(album: Path) -> None:
    done = run(album / "1.jpg")
    assert "quality" in done.stdout
    assert "640x480" in done.stdout
