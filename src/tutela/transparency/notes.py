"""Signed notes, their Ed25519 keys, and checkpoints (C2SP ``signed-note`` and ``tlog-checkpoint``).

Everything is read strictly: one text has one meaning and one spelling, so that no byte of a note
or key can change unseen.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tutela.errors import InvalidSetting, LedgerDamaged

_ED25519 = b"\x01"
_NAME = re.compile(r"[!-*,-~]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_DASH = "— "


def check_name(name: str) -> str:
    """``name`` if a key or log can bear it: 1–200 visible ASCII characters, no plus sign.

    Raises ``InvalidSetting``.
    """
    if not _NAME.fullmatch(name):
        raise InvalidSetting(
            "ledger.origin must be 1 to 200 visible ASCII characters without '+' and spaces.",
            next_step="Take an address of your own without the scheme, such as example.org/ledger.",
        )
    return name


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _decode(text: str) -> bytes | None:
    """Bytes of canonical base64, None for anything else."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if base64.b64encode(value).decode() == text else None


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A log's public key: its ``name`` and 32 bytes. Spelt ``name+keyid+base64``."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The 4-byte key id that signatures carry."""
        return _key_id(self.name, self.public)

    def __str__(self) -> str:
        key = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """A key from its spelling. Raises ``LedgerDamaged`` for anything but the one spelling."""
        parts = text.split("+", 2)
        raw = _decode(parts[2]) if len(parts) == 3 else None
        if raw is None or len(raw) != 33 or raw[:1] != _ED25519 or not _NAME.fullmatch(parts[0]):
            raise LedgerDamaged("This is not the public key of a ledger (C2SP verifier key).")
        key = cls(parts[0], raw[1:])
        if str(key) != text:
            raise LedgerDamaged("The public key's id does not belong to its name and bytes.")
        return key

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (64 bytes) over ``text`` is by this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A log's private key: ``seed`` is the 32-byte Ed25519 seed. Never printed."""

    name: str
    seed: bytes

    def __repr__(self) -> str:
        return f"SignerKey({self.name!r})"

    @classmethod
    def generate(cls, name: str) -> SignerKey:
        """A fresh key."""
        return cls(check_name(name), Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self._private().public_key().public_bytes_raw())

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def secret_text(self) -> str:
        """The key file's one line, as Go's ``sumdb/note`` spells private keys."""
        key = base64.b64encode(_ED25519 + self.seed).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier.id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> SignerKey:
        """A key from its file's line. Raises ``InvalidSetting``, never showing the text."""
        parts = text.strip().split("+", 4)
        raw = _decode(parts[4]) if len(parts) == 5 and parts[:2] == ["PRIVATE", "KEY"] else None
        if raw is not None and len(raw) == 33 and raw[:1] == _ED25519:
            key = cls(parts[2], raw[1:])
            if _NAME.fullmatch(key.name) and key.verifier.id.hex() == parts[3]:
                return key
        raise InvalidSetting(
            "The ledger's key file is damaged.",
            next_step="Put keys/ledger.key back from your backup.",
        )

    def sign(self, text: str) -> str:
        """A signed note: the text, an empty line, one signature line."""
        signature = self._private().sign(text.encode())
        blob = base64.b64encode(self.verifier.id + signature).decode()
        return f"{text}\n{_DASH}{self.name} {blob}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: ``root`` over its first ``size`` entries."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def open_checkpoint(note: bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint in a signed note, verified. Raises ``LedgerDamaged`` saying what is wrong.

    The log's own signature must be there and must be the only one: a signature that cannot be
    verified here would be bytes that nobody vouches for.
    """
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError:
        raise LedgerDamaged("The checkpoint is not UTF-8 text.") from None
    body, blank, signatures = text.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise LedgerDamaged("The checkpoint is not a signed note.")
    lines = signatures[:-1].split("\n")
    if len(lines) != 1 or not lines[0].startswith(_DASH):
        raise LedgerDamaged("The checkpoint does not carry exactly one signature line.")
    name, _, blob = lines[0][len(_DASH) :].partition(" ")
    raw = _decode(blob)
    if raw is None or len(raw) != 68 or name != key.name or raw[:4] != key.id:
        raise LedgerDamaged("The checkpoint is not signed by this ledger's key.")
    if not key.verify((body + "\n").encode(), raw[4:]):
        raise LedgerDamaged("The checkpoint's signature does not hold.")
    return _read_body(body, key)


def _read_body(body: str, key: VerifierKey) -> Checkpoint:
    lines = body.split("\n")
    root = _decode(lines[2]) if len(lines) == 3 else None
    if root is None or len(root) != 32 or not _SIZE.fullmatch(lines[1]):
        raise LedgerDamaged("The checkpoint's text is not a checkpoint.")
    if lines[0] != key.name:
        raise LedgerDamaged("The checkpoint belongs to another ledger.")
    return Checkpoint(lines[0], int(lines[1]), root)
