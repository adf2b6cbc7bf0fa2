"""The age recipients that evidence is sealed to: public keys, and where they come from.

Kinds (https://age-encryption.org/v1, https://c2sp.org/age-plugin): ``age1…`` (X25519),
``age1tag1…`` and ``age1tagpq1…`` (keys held by hardware such as a YubiKey, a TPM or an HSM, the
second one post-quantum; sealing needs no device), ``ssh-ed25519`` and ``ssh-rsa``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyrage
from pyrage import ssh, tag, tagpq, x25519

from tutela.errors import InvalidSetting, StoreUnavailable
from tutela.settings import Settings

KEY_FILE = "vault.agekey"
"""The private key made at first start, in the data folder's ``keys``; move it away."""
RECIPIENTS_FILE = "vault.recipients"
"""Its public half, which stays."""


def key_path(settings: Settings) -> Path:
    """Where the private key is, until its holder moves it away."""
    return settings.data_dir / "keys" / KEY_FILE


def parse(text: str) -> Any:
    """A recipient as pyrage takes it. Raises ``InvalidSetting`` (which quotes nothing)."""
    for prefix, make in (
        ("age1tagpq1", tagpq.Recipient.from_str),
        ("age1tag1", tag.Recipient.from_str),
        ("age1", x25519.Recipient.from_str),
        ("ssh-", ssh.Recipient.from_str),
    ):
        if text.startswith(prefix):
            try:
                return make(text)
            except pyrage.RecipientError as error:
                raise _unusable() from error
    raise _unusable()


def load(settings: Settings) -> tuple[str, ...]:
    """The recipients in force; at the first start of all, with a key made for the purpose.

    The key is made by another process (``tutela.cases.opener``), so that no process of the gate
    ever has it in memory. Two processes that start at once agree on one key. Raises
    ``InvalidSetting`` for a recipient that cannot be used, ``StoreUnavailable`` where the key
    cannot be written.
    """
    given = tuple(settings.vault.recipients)
    if not given:
        path = settings.data_dir / "keys" / RECIPIENTS_FILE
        if not path.exists():
            _make_key(key_path(settings), path)
        given = _read(path)
    for recipient in given:
        parse(recipient)
    if not given:
        raise InvalidSetting(
            "There is no recipient to seal evidence to.",
            next_step="Set vault.recipients, or restore keys/vault.recipients in the data folder.",
        )
    return given


def _read(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable("The file of the vault's recipients cannot be read.") from error
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _make_key(key: Path, recipients: Path) -> None:
    run_opener(["make-key", str(key), str(recipients)])


def opener_command(arguments: Sequence[str]) -> list[str]:
    """The command that starts the opener's process."""
    return [sys.executable, "-m", "tutela.cases.opener", *arguments]


def opener_environment() -> dict[str, str]:
    """What the opener gets of our environment: no setting and no secret."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}


def run_opener(arguments: Sequence[str]) -> None:
    """Run the opener to its end. Raises ``StoreUnavailable`` where it fails."""
    done = subprocess.run(
        opener_command(arguments),
        env=opener_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise StoreUnavailable(
            "The vault's key could not be made.",
            next_step="See that the data folder's keys can be written, or set vault.recipients.",
        )


def _unusable() -> InvalidSetting:
    return InvalidSetting(
        "A recipient of the vault is not one that age knows.",
        next_step="Give public keys: age1…, age1tag1…, age1tagpq1…, ssh-ed25519 … or ssh-rsa ….",
    )
