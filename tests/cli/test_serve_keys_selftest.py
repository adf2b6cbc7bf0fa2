"""``tutela serve``, ``keys`` and ``selftest`` from the command line."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.house import Process
from typer.testing import CliRunner

from tutela import cli
from tutela.cli import app, main
from tutela.errors import InvalidInput, InvalidSetting, NotFound
from tutela.settings import load_settings
from tutela.store import Database
from tutela.uploads.triggers import TRIGGER_FILE, trigger_picture

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("TUTELA_CONFIG", raising=False)
    monkeypatch.setenv("TUTELA_HASHING__WORKERS", "1")


def test_a_key_is_shown_once_listed_without_itself_and_revoked() -> None:
    made = RUN.invoke(
        app,
        [
            "keys",
            "create",
            "photos",
            "--scope",
            "uploads:write",
            "--scope",
            "hashes:check",
            "--days",
            "30",
            "--rate-per-minute",
            "600",
        ],
    )
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert token.startswith("tutela_")
    listed = RUN.invoke(app, ["keys", "ls", "--json"])
    shown = json.loads(listed.stdout)[0]
    assert (shown["name"], shown["state"], shown["rate_per_minute"]) == ("photos", "active", 600)
    assert shown["scopes"] == ["hashes:check", "uploads:write"]
    assert token not in listed.stdout
    assert RUN.invoke(app, ["keys", "revoke", shown["id"]]).exit_code == 0
    assert "revoked" in RUN.invoke(app, ["keys", "ls"]).stdout


def test_with_no_keys_it_says_how_to_make_one() -> None:
    Database(load_settings()).migrate()
    assert "tutela keys create" in RUN.invoke(app, ["keys", "ls"]).stdout


@pytest.mark.parametrize(
    "command",
    ["keys ls", "vault check", "vault recipients", "lists ls", "lists status", "policy allow ls"],
)
def test_a_command_that_looks_makes_no_data_folder(command: str, tmp_path: Path) -> None:
    done = RUN.invoke(app, command.split())
    assert isinstance(done.exception, NotFound)
    assert str(tmp_path / "data") in done.exception.what
    assert not (tmp_path / "data").exists()


def test_a_wrong_scope_and_a_missing_key_are_our_errors() -> None:
    wrong = RUN.invoke(app, ["keys", "create", "x", "--scope", "everything"])
    assert isinstance(wrong.exception, InvalidInput)
    missing = RUN.invoke(app, ["keys", "revoke", "key_none"])
    assert isinstance(missing.exception, NotFound)


def test_the_triggers_are_written_for_ones_own_platform(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["selftest", "--write", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert (tmp_path / "out" / "tutela-selftest.png").read_bytes() == trigger_picture()
    assert (tmp_path / "out" / "tutela-selftest.txt").read_bytes() == TRIGGER_FILE


def test_the_self_test_runs_without_a_server() -> None:
    said = RUN.invoke(app, ["selftest"])
    assert "passed" in said.stdout
    assert "NOT PROTECTING" in said.stderr, "it has a list of its own; nobody else has one yet"
    done = RUN.invoke(app, ["selftest", "--json"])
    assert done.exit_code == 0, done.output
    assert [step["ok"] for step in json.loads(done.stdout)["steps"]] == [True, True, True]


def test_half_a_tls_pair_and_a_taken_port_are_our_errors(tmp_path: Path) -> None:
    half = RUN.invoke(app, ["serve", "--port", "0", "--tls-key", "x.pem"])
    assert isinstance(half.exception, InvalidSetting)
    nowhere = RUN.invoke(app, ["serve", "--host", "203.0.113.77", "--port", "0"])
    assert isinstance(nowhere.exception, InvalidSetting)
    assert "203.0.113.77" in str(nowhere.exception)


def test_ports_and_certificates_that_cannot_be_are_told_by_name(tmp_path: Path) -> None:
    for port in ("99999", "-1"):
        done = RUN.invoke(app, ["serve", "--port", port])
        assert (done.exit_code, "Invalid value for '--port'" in done.output) == (2, True)
    missing, broken = tmp_path / "nope.pem", tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for path in (missing, broken):
        options = ["--tls-certificate", str(path), "--tls-key", str(path)]
        wrong = RUN.invoke(app, ["serve", "--port", "0", *options])
        assert isinstance(wrong.exception, InvalidSetting)
        assert str(path) in wrong.exception.what


def outcome_of_main(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    """The exit code and the words of the whole program."""
    monkeypatch.setattr("sys.argv", ["tutela", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err


def test_a_data_folder_that_is_a_file_or_no_database_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").write_text("x")
    code, said = outcome_of_main(["selftest"], monkeypatch, capsys)
    assert (code, said.count("\n")) == (2, 1)
    assert str(tmp_path / "data") in said
    (tmp_path / "data").unlink()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tutela.db").write_text("this is no database" * 100)
    code, said = outcome_of_main(["keys", "ls"], monkeypatch, capsys)
    assert (code, said.count("\n")) == (2, 1)
    assert "holds no database" in said


def test_an_index_that_cannot_be_read_is_never_taken_for_a_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ["lists", "create", "ours", "--purpose", "own", "--mode", "block"]
    assert RUN.invoke(app, made).exit_code == 0
    index = tmp_path / "data" / "index"
    shutil.rmtree(index)
    index.write_text("a file where the folder should be")
    code, said = outcome_of_main(["check", __file__], monkeypatch, capsys)
    assert code == 2
    assert str(index) in said
    assert "Traceback" not in said


def test_a_fault_of_ours_is_one_line_and_exit_code_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("secret text")

    monkeypatch.setattr(cli, "app", broken)
    code, said = outcome_of_main([], monkeypatch, capsys)
    assert (code, said.count("\n")) == (2, 1)
    assert "ZeroDivisionError: this is a fault of Tutela" in said
    assert "secret" not in said
    monkeypatch.setenv("TUTELA_DEBUG", "1")
    assert "Traceback" in outcome_of_main([], monkeypatch, capsys)[1]


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for loopback that signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tutela test")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, private


def test_it_serves_over_tls_tells_its_port_and_ends_when_asked(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    options = ["--tls-certificate", str(chain), "--tls-key", str(key)]
    with Process(tmp_path / "data", arguments=options) as running:
        assert running.url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(chain))
        assert httpx.get(f"{running.url}/healthz", verify=trusted).json() == {"status": "ok"}
        keys = tmp_path / "data" / "keys"
        assert stat.S_IMODE(keys.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} <= {0o600, 0o644}
    assert running.process.returncode == 0, running.log.read_text()
    assert "NOT PROTECTING" in running.log.read_text()
