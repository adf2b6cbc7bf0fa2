"""``tutela check``: what it never saw it does not call clean."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.house import picture
from typer.testing import CliRunner

from tutela.cli import app

RUN = CliRunner()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one blocking list holding one picture."""
    folder = tmp_path_factory.mktemp("check")
    (folder / "banned.jpg").write_bytes(picture(1))
    (folder / "good.jpg").write_bytes(picture(2))
    (folder / "empty.jpg").write_bytes(b"")
    env = {"TUTELA_DATA_DIR": str(folder / "data"), "TUTELA_HASHING__WORKERS": "1"}
    made = ["lists", "create", "ours", "--purpose", "own", "--mode", "block"]
    assert RUN.invoke(app, made, env=env).exit_code == 0
    added = RUN.invoke(app, ["lists", "add", "ours", str(folder / "banned.jpg")], env=env)
    assert added.exit_code == 0, added.output
    return folder


@pytest.fixture(autouse=True)
def _env(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELA_DATA_DIR", str(data / "data"))
    monkeypatch.setenv("TUTELA_HASHING__WORKERS", "1")


def test_the_bad_one_is_told_the_others_go_on_and_a_closing_line_counts(data: Path) -> None:
    named = ["good.jpg", "none.jpg", "empty.jpg"]
    done = RUN.invoke(app, ["check", *(str(data / name) for name in named)])
    assert done.exit_code == 2, done.output
    assert "none.jpg: could not be opened: No such file" in done.stderr
    assert "empty.jpg: nothing to examine: the file is empty" in done.stderr
    assert "1 examined, 0 matched, 2 unexamined." in done.stderr


def test_a_match_outranks_what_could_not_be_examined(data: Path) -> None:
    done = RUN.invoke(app, ["check", str(data / "empty.jpg"), str(data / "banned.jpg")])
    assert done.exit_code == 1, done.output
    assert "1 examined, 1 matched, 1 unexamined." in done.stderr


def test_an_unreadable_file_is_reported_and_does_not_end_the_call(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, access = os.open, os.access

    def refuse(path: object, *rest: object, **named: object) -> int:
        if str(path).endswith("unreadable.jpg"):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path, *rest, **named)  # type: ignore[arg-type]

    (data / "unreadable.jpg").write_bytes(b"x")
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(
        os, "access", lambda p, m, **n: not str(p).endswith("unreadable.jpg") and access(p, m, **n)
    )
    done = RUN.invoke(app, ["check", str(data / "good.jpg"), str(data / "unreadable.jpg")])
    assert done.exit_code == 2
    assert "unreadable.jpg: could not be opened: Permission denied" in done.stderr
    assert "1 examined, 0 matched, 1 unexamined." in done.stderr


def test_an_empty_folder_and_a_link_inside_a_folder_end_in_two(data: Path, tmp_path: Path) -> None:
    empty = RUN.invoke(app, ["check", str(tmp_path)])
    assert (empty.exit_code, "nothing to examine" in empty.stderr) == (2, True)
    (tmp_path / "good.jpg").write_bytes((data / "good.jpg").read_bytes())
    (tmp_path / "link").symlink_to(data)
    linked = RUN.invoke(app, ["check", "--quiet", str(tmp_path)])
    assert linked.exit_code == 2
    assert linked.stderr == (
        f"{tmp_path}/link: link to a folder, not followed; name it to have it examined\n"
    )


def test_ctrl_c_ends_in_130_with_the_closing_line(data: Path) -> None:
    files = [str(data / "good.jpg")] * 20_000
    running = subprocess.Popen(
        [sys.executable, "-m", "tutela", "check", "--json", "--dry-run", *files],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline().startswith("{")
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert " examined, 0 matched, " in said
    assert "Traceback" not in said
