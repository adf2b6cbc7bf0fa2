"""`tutela lists` as an operator types it: what it prints, what it keeps, and its exit codes."""

from __future__ import annotations

import json
import stat

import pytest
from typer.testing import CliRunner

from tutela.cli import app
from tutela.errors import InvalidInput, NotFound

MD5, SHA1, PDQ = "1" * 32, "2" * 40, "5" * 64


@pytest.fixture
def run(sqlite_settings):
    """Runs a command in this process; our errors come through as they are."""
    runner = CliRunner()

    def call(*arguments: str, code: int = 0, stdin: bytes | None = None):
        done = runner.invoke(app, ["lists", *arguments], input=stdin, catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done

    return call


@pytest.fixture
def known(run):
    """An empty blocking list."""
    return run("create", "known", "--purpose", "csam", "--mode", "block", "--by", "anna")


def test_a_list_is_made_filled_and_protects(run, known):
    assert run("status", code=1).stdout.startswith("NOT PROTECTING")
    assert "1 added" in run("add", "known", f"md5:{MD5}", "--id", "a", "-q").stdout
    assert run("status").stdout == "PROTECTING: 1 blocking list with 1 signal in force.\n"
    shown = json.loads(run("status", "--json").stdout)
    assert shown["protecting"] is True
    rows = [json.loads(line) for line in run("ls", "--json").stdout.splitlines()]
    assert {row["name"]: row["state"] for row in rows} == {
        "Self-test": "blocking",
        "known": "blocking",
    }


def test_withdrawing_disputing_and_restoring(run, known):
    run("add", "known", f"md5:{MD5}", "--id", "a", "-q")
    for word, state in (("dispute", "disputed"), ("withdraw", "withdrawn"), ("restore", "active")):
        run(word, "known", "a", "--reason", "asked to", "--by", "ben")
        shown = json.loads(run("show", "known", "--json").stdout)
        assert shown["signals"][0]["state"] == state
    words = [json.loads(line) for line in run("versions", "known", "--json").stdout.splitlines()]
    assert [each["kind"] for each in words] == ["restore", "withdraw", "dispute", "add", "create"]
    assert words[0]["actor"] == "ben"
    assert "The root holds." in run("versions", "known", "--check").output


def test_a_change_of_mode_needs_a_reason_and_is_kept(run, known):
    run("mode", "known", "hold", code=2)
    done = run("mode", "known", "hold", "-r", "too many disputes", "--by", "ben")
    assert "NOT PROTECTING" in done.output
    history = json.loads(run("show", "known", "--json").stdout)["history"]
    assert [(each["mode"], each["actor"]) for each in history] == [
        ("block", "anna"),
        ("hold", "ben"),
    ]


def test_an_import_names_refused_lines_and_never_their_values(run, known, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text(f"upstream_id,md5\na,{MD5}\nb,{MD5[:-1]}x\n")
    tried = run("import", "known", str(file), "--dry-run", "-q", code=1)
    assert tried.stdout.startswith("Would import csv into 'known': 2 read, 1 added")
    assert run("status", code=1)
    done = run("import", "known", str(file), "-q", code=1)
    assert "line 3: its md5 is not 32 hexadecimal digits" in done.output
    assert MD5[:-1] not in done.output
    again = json.loads(run("import", "known", str(file), "-q", "--json", code=1).stdout)
    assert (again["unchanged"], again["refused"], again["version"]) == (1, 1, None)


def test_an_import_from_standard_input_can_mirror(run, known):
    run("import", "known", "-", stdin=f"id,md5\na,{MD5}\nb,{'3' * 32}\n".encode())
    run("import", "known", "-", "--mirror", stdin=f"id,md5\nb,{'3' * 32}\n".encode())
    shown = json.loads(run("show", "known", "--json").stdout)
    assert {each["upstream_id"]: each["state"] for each in shown["signals"]} == {
        "a": "withdrawn",
        "b": "active",
    }


def test_an_export_is_private_whole_and_recorded(run, known, tmp_path):
    run("add", "known", f"pdq:{PDQ}", "--id", "a", "-q")
    file = tmp_path / "out.jsonl"
    done = run("export", "known", str(file), "-r", "for the hotline")
    assert "1 signal written" in done.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["hashes"][0]["value"] == PDQ
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ""] == ["out.jsonl"]
    history = json.loads(run("show", "known", "--json").stdout)["history"]
    assert (history[-1]["kind"], history[-1]["reason"]) == ("export", "for the hotline")
    assert PDQ in run("export", "known", "-", "-r", "x", "--format", "csv").stdout


def test_showing_and_finding_print_no_hashes(run, known):
    run("add", "known", f"sha1:{SHA1}", "--id", "a", "-q")
    for command in (("show", "known"), ("find", f"sha1:{SHA1}"), ("ls",), ("versions", "known")):
        assert SHA1 not in run(*command).output
    found = json.loads(run("find", f"sha1:{SHA1}", "--json").stdout)
    assert (found["upstream_id"], found["hashes"]) == ("a", ["sha1"])
    run("find", f"md5:{MD5}", code=1)


def test_a_listed_file_is_known_by_all_it_hashes_to(run, known, tmp_path):
    file = tmp_path / "note.txt"
    file.write_text("harmless")
    run("add", "known", str(file), "--note", "a test", "-q")
    (signal,) = json.loads(run("show", "known", "--json").stdout)["signals"]
    assert signal["hashes"] == ["md5", "sha1", "sha256"]
    with pytest.raises(InvalidInput, match=r"There is no file gone\.jpg"):
        run("add", "known", "gone.jpg", "-q")


def test_deleting_asks_first(run, known):
    run("delete", "known", "-r", "contract ended", code=1, stdin=b"n\n")
    run("show", "known")
    run("delete", "known", "-r", "contract ended", "--yes")
    with pytest.raises(NotFound):
        run("show", "known")


def test_words_of_a_list_are_never_read_as_markup(run, known):
    run("add", "known", f"md5:{MD5}", "--id", "[red]a[/red]", "-q")
    assert "[red]a[/red]" in run("show", "known").stdout
