"""`tutela vault` as an operator types it: what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from tutela.cases import Vault
from tutela.store import Database, Objects
from tutela.transparency import Ledger


class Bytes:
    def open(self):
        return io.BytesIO(b"picture")


@pytest.fixture
def sealed(sqlite_settings):
    """Settings of a house with one piece of evidence, and its object's name."""
    objects = Objects(sqlite_settings)
    vault = Vault(sqlite_settings, objects)
    done = vault.seal_blocking(Bytes())
    database = Database(sqlite_settings)
    with database.begin() as connection:
        vault.record(connection, done, None, ledger=Ledger(database, sqlite_settings))
    database.close()
    return sqlite_settings, done.object_name


def tutela_vault(settings, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "tutela", "vault", *arguments],
        env={**os.environ, "TUTELA_DATA_DIR": str(settings.data_dir)},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def test_recipients_are_printed_and_the_operator_told_to_move_the_key(sqlite_settings):
    Database(sqlite_settings).migrate()
    done = tutela_vault(sqlite_settings, "recipients")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("age1")
    assert "SECRET" not in done.stdout + done.stderr
    assert "vault.agekey" in done.stderr
    (sqlite_settings.data_dir / "keys" / "vault.agekey").unlink()
    assert "vault.agekey" not in tutela_vault(sqlite_settings, "recipients").stderr


def test_a_whole_vault_ends_in_zero(sealed):
    settings, _ = sealed
    done = tutela_vault(settings, "check")
    assert done.returncode == 0, done.stderr
    assert "1 sealed objects" in done.stdout
    assert "all whole" in done.stdout


def test_open_opens_and_json_is_one_object(sealed):
    settings, _ = sealed
    done = tutela_vault(settings, "check", "--open", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["checked"], report["opened"], report["ok"]) == (1, 1, True)


def test_rot_ends_in_one_and_is_named(sealed):
    settings, name = sealed
    path = settings.data_dir / "objects" / name
    path.write_bytes(path.read_bytes()[:-1])
    done = tutela_vault(settings, "check")
    assert done.returncode == 1
    assert name in done.stdout
    assert "rotten" in done.stdout
    assert "NOT ALL WHOLE" in done.stdout
