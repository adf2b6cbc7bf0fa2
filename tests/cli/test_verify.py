"""``tutela verify``: exit codes, places, proofs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import insert, update
from typer.testing import CliRunner, Result

from tutela.cli.verify import register
from tutela.core import new_id, utc_now
from tutela.errors import InvalidInput, NotFound
from tutela.settings import Settings
from tutela.store import Database
from tutela.store.tables.decisions import decisions, items
from tutela.transparency import Ledger, Sequencer


@pytest.fixture
def decision(sqlite_database: Database) -> str:
    """A decision in a published ledger; its id."""
    settings = sqlite_database.settings
    item_id, decision_id = new_id("item"), new_id("dec")
    row = {
        "id": decision_id,
        "item_id": item_id,
        "at": utc_now(),
        "outcome": "allow",
        "rule": "nothing-found",
        "policy_version": "default@0",
        "deferred": False,
        "protecting": True,
    }
    with sqlite_database.begin() as conn:
        conn.execute(
            insert(items),
            {
                "id": item_id,
                "kind": "upload",
                "received_at": utc_now(),
                "entrance": "api",
                "surface": "post",
                "recipients_age_band": "unknown",
            },
        )
        row["ledger_entry"] = Ledger(sqlite_database, settings).append_decisions(conn, [row])[0].id
        conn.execute(insert(decisions), row)
    Sequencer(sqlite_database, settings).run_once()
    return decision_id


def call(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_whole_ledger_verifies(decision: str) -> None:
    result = call()
    assert result.exit_code == 0
    assert "The ledger verifies: 1 entry in 4 files" in result.output
    assert "as they were logged: 1; erased: 0; waiting for publication: 0" in result.output


def test_one_changed_byte_fails_saying_where(decision: str, sqlite_settings: Settings) -> None:
    path = sqlite_settings.data_dir / "ledger/tile/entries/000.p/1"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    result = call()
    assert result.exit_code == 1
    assert "NOT GOOD tile/entries/000.p/1 (entry 0): the entry is not the one" in result.output
    plain = json.loads(call("--json").output)
    assert (plain["ok"], plain["problems"][0]["entry"]) == (False, 0)


def test_an_altered_decision_fails_naming_it(decision: str, sqlite_database: Database) -> None:
    with sqlite_database.begin() as conn:
        conn.execute(update(decisions).values(outcome="block"))
    result = call()
    assert result.exit_code == 1
    assert f"NOT GOOD decisions {decision} (entry 0, {decision})" in result.output


def test_a_copy_is_verified_without_anything_else(
    decision: str, sqlite_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(sqlite_settings.data_dir / "ledger", copy)
    key = (copy / "key.pub").read_text().strip()
    monkeypatch.setenv("TUTELA_DATA_DIR", str(tmp_path / "nothing"))
    result = call("--folder", str(copy), "--key", key)
    assert result.exit_code == 0
    assert "No database was compared" in result.output
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(NotFound):
        call()
    with pytest.raises(NotFound):
        call("--folder", str(tmp_path / "nowhere"))


def test_a_proof_is_made_and_checked(
    decision: str, sqlite_settings: Settings, tmp_path: Path
) -> None:
    key = (sqlite_settings.data_dir / "ledger/key.pub").read_text().strip()
    made = call("--prove", decision)
    file = tmp_path / "proof.json"
    file.write_text(made.output)
    good = call("--proof", str(file), "--key", key)
    assert good.exit_code == 0
    assert decision in good.output
    value: dict[str, Any] = json.loads(made.output)
    value["opening"]["record"] = value["opening"]["record"].replace("allow", "block")
    file.write_text(json.dumps(value))
    bad = call("--proof", str(file), "--key", key)
    assert (bad.exit_code, bad.output) == (1, "NOT GOOD The record is not the one in the ledger.\n")
    with pytest.raises(InvalidInput, match="against a key"):
        call("--proof", str(file))
    file.write_text("[]")
    with pytest.raises(InvalidInput, match="does not hold a proof"):
        call("--proof", str(file), "--key", key)
    with pytest.raises(NotFound):
        call("--prove", "dec_unknown")
