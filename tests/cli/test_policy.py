"""``tutela policy``: what a person types and sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tutela.cli.policy import app
from tutela.core import FindingKind, HashType, ListMode, Outcome, Purpose, Signal, SignalHash
from tutela.errors import InvalidInput, InvalidPolicy, NotFound
from tutela.lists import Index, Lists
from tutela.policy import AllowLists, PolicyDesk
from tutela.settings import Settings
from tutela.store import Database
from tutela.transparency import Ledger

PASSING = """
name = "mine"
[[rule]]
name = "a"
when = 'finding.kind == "exact"'
outcome = "block"
reason = "Because."
brake = { per_hour = 5 }
[[rule]]
name = "b"
when = 'true'
outcome = "hold"
dry_run = true
[[test]]
name = "blocks"
finding = [{ kind = "exact" }]
expect = { outcome = "block", rule = "a" }
"""


@pytest.fixture
def call(sqlite_database: Database) -> Any:
    """Runs ``tutela policy …`` in this test's data folder."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_check_says_that_a_policy_is_good(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(PASSING)
    assert "2 rules (1 in dry run), 1 test." in call("check", str(file)).output
    assert "default: good." in call("check").output


def test_check_points_at_the_line(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(PASSING.replace("finding.kind", "finding.knd"))
    with pytest.raises(InvalidPolicy) as told:
        call("check", str(file))
    assert "line 5, column 17" in told.value.spoken()
    assert "Did you mean 'kind'?" in told.value.spoken()
    file.write_text(PASSING.replace('outcome = "block", rule', 'outcome = "blok", rule'))
    with pytest.raises(InvalidPolicy, match="line 17"):
        call("check", str(file))


def test_test_runs_the_cases_beside_the_rules(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(PASSING)
    passed = call("test", str(file))
    assert (passed.exit_code, passed.output) == (0, "1 test, 0 failed.\n")
    file.write_text(PASSING.replace('"block", rule = "a"', '"hold", rule = "b"'))
    failed = call("test", str(file))
    assert failed.exit_code == 1
    assert "FAILED line 14, blocks: outcome is 'block', expected 'hold'; rule is" in failed.output
    (line,) = call("test", str(file), "--json").output.splitlines()
    assert json.loads(line)["passed"] is False


def test_show_prints_rules_and_earlier_versions(
    call: Any, tmp_path: Path, sqlite_database: Database
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(PASSING)
    shown = call("show", str(file)).output
    assert "a: block (each finding, brake per_hour 5)" in shown
    assert "b: hold (each finding, dry run)" in shown
    assert call("show", str(file), "--source").output == PASSING
    desk = PolicyDesk(sqlite_database, sqlite_database.settings)
    version = desk.open().version
    assert 'name = "default"' in call("show", "--version", version).output
    with pytest.raises(NotFound):
        call("show", "--version", "mine@0")


def test_replay_says_what_would_have_changed(
    call: Any, tmp_path: Path, sqlite_database: Database, recorded: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("name = 'mild'\n[[rule]]\nname = 'a'\nwhen = 'true'\noutcome = 'allow'\n")
    shown = call("replay", str(file), "--since", "1h").output
    assert "1 decision since" in shown
    assert "block would be allow: 1" in shown
    assert f"{recorded} block by exact -> allow by a" in shown
    plain = json.loads(call("replay", str(file), "--json").output)
    assert plain["changed"] == [{"was": "block", "would_be": "allow", "count": 1}]
    assert "Nothing would have changed." in call("replay", "default").output
    assert "0 decisions" in call("replay", "--since", "2999-01-01T00:00:00+00:00").output
    for wrong in ("yesterday", "7x", "2026-01-01T00:00:00"):
        with pytest.raises(InvalidInput):
            call("replay", "--since", wrong)


@pytest.fixture
def recorded(sqlite_database: Database) -> str:
    """A decision to block on a digest; its id."""
    from sqlalchemy import insert

    from tutela.core import (
        Finding,
        ListMode,
        ListRef,
        Purpose,
        SignalRef,
        SignalState,
        as_plain,
        new_id,
        utc_now,
    )
    from tutela.store.tables.decisions import decisions, items

    item_id, decision_id = new_id("item"), new_id("dec")
    found = Finding(
        kind=FindingKind.EXACT,
        detector="digest",
        version="1",
        reason="r",
        list=ListRef(id="l", name="n", purpose=Purpose.CSAM, mode=ListMode.BLOCK, version=1),
        signal=SignalRef(id="s", upstream_id="u", state=SignalState.ACTIVE, ref=1),
    )
    item = {"id": item_id, "kind": "upload", "received_at": utc_now(), "entrance": "api"}
    row = {
        "id": decision_id,
        "item_id": item_id,
        "at": utc_now(),
        "outcome": Outcome.BLOCK.value,
        "rule": "exact",
        "policy_version": "default@0",
        "deferred": False,
        "protecting": True,
        "findings": as_plain([found]),
        "context": {},
    }
    ledger = Ledger(sqlite_database, sqlite_database.settings)
    with sqlite_database.begin() as conn:
        conn.execute(insert(items), item | {"surface": "post", "recipients_age_band": "unknown"})
        row["ledger_entry"] = ledger.append_decisions(conn, [row])[0].id
        conn.execute(insert(decisions), row)
    return decision_id


def test_the_allow_list_is_kept_by_hand(call: Any, sqlite_database: Database) -> None:
    by, why = ("--owner", "Ada"), ("--reason", "A meme.")
    sha, pdq = "ab" * 32, "cd" * 32
    added = call("allow", "add", *by, *why, "--sha256", sha, "--pdq", pdq, "--like", "8")
    first, second = added.output.splitlines()
    assert f"active sha256 {sha} until" in first
    assert f"active pdq within 8 {pdq} until" in second
    assert {e.type for e in AllowLists(sqlite_database).load().entries} == {
        HashType.SHA256,
        HashType.PDQ,
    }
    assert call("allow", "end", first.split()[0], "--by", "Bo", "--why", "No.").exit_code == 0
    assert sha not in call("allow", "ls").output
    ended = [
        json.loads(line) for line in call("allow", "ls", "--all", "--json").output.splitlines()
    ]
    assert {e["state"] for e in ended} == {"active", "ended"}
    with pytest.raises(InvalidInput, match="Nothing was named"):
        call("allow", "add", *by, *why)
    with pytest.raises(InvalidInput, match="needs --like"):
        call("allow", "add", *by, *why, "--pdq", pdq)
    with pytest.raises(InvalidInput, match="distance"):
        call("allow", "add", *by, *why, "--pdq", pdq, "--like", "11")


def test_files_are_allowed_by_digest_and_likeness(
    call: Any, tmp_path: Path, sqlite_database: Database
) -> None:
    import hashlib

    import numpy as np
    from PIL import Image

    file = tmp_path / "harmless.png"
    rows = np.add.outer(np.arange(200), np.arange(300)) % 256
    Image.fromarray(rows.astype("uint8")).save(file)
    call("allow", "add", "--owner", "o", "--reason", "r", "--like", "4", str(file))
    entries = {e.type: e for e in AllowLists(sqlite_database).load().entries}
    assert entries[HashType.SHA256].value == hashlib.sha256(file.read_bytes()).digest()
    assert entries[HashType.PDQ].distance == 4
    with pytest.raises(InvalidInput, match="cannot be read"):
        call("allow", "add", "--owner", "o", "--reason", "r", str(tmp_path / "missing"))


def test_an_empty_allow_list_says_so(call: Any) -> None:
    result = call("allow", "ls")
    assert "The allow list is empty." in result.output


def test_what_cannot_be_allowed_keeps_none_of_what_could(call: Any) -> None:
    by, why = ("--owner", "Ann"), ("--reason", "Ours.")
    with pytest.raises(InvalidInput):
        call("allow", "add", *by, *why, "--sha256", "11" * 32, "--pdq", "22" * 32, "--like", "11")
    assert call("allow", "ls", "--all", "--json").stdout == ""


def test_an_exact_digest_of_a_blocking_list_is_said_to_stay_blocked(
    call: Any, sqlite_database: Database
) -> None:
    lists = Lists(sqlite_database, Index(sqlite_database.settings.data_dir / "index"), Settings())
    who = {"actor": "t", "reason": "t"}
    lists.create("ours", Purpose.OWN, mode=ListMode.BLOCK, **who)
    digest = SignalHash(type=HashType.SHA256, value=b"\x11" * 32)
    lists.add("ours", [Signal(upstream_id="1", hashes=(digest,))], **who)
    by, why = ("--owner", "Ann"), ("--reason", "Ours.")
    told = call("allow", "add", *by, *why, "--sha256", "11" * 32)
    assert (told.exit_code, "This will not help" in told.stderr) == (0, True)
    assert call("allow", "add", *by, *why, "--sha256", "22" * 32).stderr == ""
    lists.set_mode("ours", ListMode.HOLD, **who)
    assert call("allow", "add", *by, *why, "--sha256", "11" * 32).stderr == ""


def test_check_warns_where_nothing_would_be_blocked(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("name = 'mine'\n[[rule]]\nname = 'a'\nwhen = 'true'\noutcome = 'hold'\n")
    told = call("check", str(file))
    assert told.exit_code == 0
    assert "WARNING: no rule of it blocks even the very same bytes" in told.stderr
    assert "the self-test would fail" in told.stderr
    one = "finding.list.purpose in ['csam', 'selftest']"
    file.write_text(f'name = "mine"\n[[rule]]\nname = "a"\nwhen = "{one}"\noutcome = "block"\n')
    assert "of purpose ncii, terror, own" in call("check", str(file)).stderr
    assert call("check", "default").stderr == call("check", "strict").stderr == ""
