"""Wrong settings are told in plain words, and a typing error is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tutela.errors import InvalidSetting
from tutela.settings import load_settings


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TUTELA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TUTELA_DATA_DIR", str(tmp_path))


def said() -> str:
    with pytest.raises(InvalidSetting) as caught:
        load_settings()
    return caught.value.what


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TUTELA_DATADIR", "TUTELA_DATA_DIR"),
        ("TUTELA_SERVER__PROT", "TUTELA_SERVER__PORT"),
        ("TUTELA_CONFG", "TUTELA_CONFIG"),
        ("TUTELA_PORT", ""),
    ],
)
def test_a_variable_that_sets_nothing_is_refused_with_the_nearest_name(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    assert f"{name}: there is no such setting" in said()
    assert meant in said()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TUTELA_KEY", "x"),
        ("TUTELA_DEBUG", "1"),
        ("TUTELA_SERVICE_HOST", "10.0.0.1"),
        ("TUTELA_PORT", "tcp://10.0.0.1:8780"),
        ("TUTELA_PORT_8780_TCP_ADDR", "10.0.0.1"),
        ("TUTELA_STORE__OBJECTS_OPTIONS__REGION", "eu"),
        ("tutela_server__port", "9"),
    ],
)
def test_documented_names_and_those_of_kubernetes_are_no_errors(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    load_settings()


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[server]\nprot = 1", "server.prot: there is no such setting (did you mean port?)"),
        ("[servr]\nport = 1", "servr: there is no such setting (did you mean server?)"),
        ("[server]\nport = 'http'", "server.port must be a whole number"),
        ("[server]\nport = 99999", "server.port must be at most 65535"),
        ("[uploads]\nkeep_days = 'x'", "uploads.keep_days must be a number"),
        ("[hashing]\nviews = 'perhaps'", "hashing.views must be true or false"),
        ("[hashing]\nmode = 'x'", "hashing.mode must be 'luma' or 'identical'"),
        ("[vault]\nrecipients = 'x'", "vault.recipients must be a list"),
        ("server = 5", "server must be a table of settings"),
    ],
)
def test_wrong_values_are_told_in_plain_words(toml: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "tutela.toml").write_text(toml)
    assert words in said()


def test_a_list_in_the_environment_that_is_no_json_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELA_VAULT__RECIPIENTS", "age1x")
    assert "JSON" in said()
