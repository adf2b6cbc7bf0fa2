"""The ledger's folder as it stands at one moment, while others may go on publishing."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from tutela.errors import LedgerDamaged

from .notes import Checkpoint, VerifierKey, open_checkpoint
from .report import Findings

LARGEST = 1 << 16
"""No file of a ledger is larger: a full bundle has 8,704 bytes."""


@dataclass(slots=True)
class FolderState:
    """Names and sizes of all files, and the bytes of those that may be replaced or removed while
    we read: everything but full tiles, which never change."""

    path: Path
    sizes: dict[str, int] = field(default_factory=dict)
    moving: dict[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None where it is missing or cannot be read."""
        if name in self.moving:
            return self.moving[name]
        if not 0 <= self.sizes.get(name, -1) <= LARGEST:
            return None
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return None


def take(folder: Path, found: Findings) -> FolderState:
    """The state of ``folder`` now. What is no plain file, or too large for one of a ledger, is
    noted in ``found``. Call it under the ledger's lock."""
    state = FolderState(folder)

    def closed(error: OSError) -> None:
        shown = Path(error.filename).relative_to(folder).as_posix()
        found.add(shown, f"the folder cannot be read ({error.strerror})")

    for base, folders, names in os.walk(folder, onerror=closed):
        for name in (*folders, *names):
            path = Path(base) / name
            shown = path.relative_to(folder).as_posix()
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue  # a partial tile that a full one has just replaced
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode):
                found.add(shown, "this is not a plain file")
                continue
            state.sizes[shown] = status.st_size
            if status.st_size > LARGEST:
                found.add(shown, f"the file has {status.st_size} bytes, more than any of a ledger")
            elif shown in {"checkpoint", "key.pub"} or ".p/" in shown:
                _keep(state, shown, found)
    return state


def _keep(state: FolderState, shown: str, found: Findings) -> None:
    try:
        state.moving[shown] = (state.path / shown).read_bytes()
    except OSError as error:
        state.moving[shown] = b""
        found.add(shown, f"the file cannot be read ({error.strerror})")


def public_key(state: FolderState, trusted: str | None, found: Findings) -> VerifierKey | None:
    """The key to verify with: ``trusted`` if given, otherwise the folder's own.

    The folder's file is checked in any case. Raises ``LedgerDamaged`` for a ``trusted`` text that
    is no key.
    """
    key = VerifierKey.parse(trusted) if trusted is not None else None
    own: VerifierKey | None = None
    data = state.read("key.pub")
    if data is None:
        found.add("key.pub", "the file is missing")
    else:
        try:
            text = data.decode("ascii", "replace")
            own = VerifierKey.parse(text[:-1])
            if not text.endswith("\n"):
                raise LedgerDamaged("The file does not end with its line.")
        except LedgerDamaged as error:
            own = None
            found.add("key.pub", f"the public key is damaged: {error.what}")
    if key is not None and own is not None and own != key:
        found.add("key.pub", "this is not the key that this ledger is known by")
    return key or own


def checkpoint(state: FolderState, key: VerifierKey | None, found: Findings) -> Checkpoint | None:
    """The signed checkpoint, or None (noted) where there is none that holds."""
    data = state.read("checkpoint")
    if data is None:
        found.add("checkpoint", "the file is missing")
        return None
    if key is None:
        found.add("checkpoint", "there is no public key to verify it with")
        return None
    try:
        return open_checkpoint(data, key)
    except LedgerDamaged as error:
        found.add("checkpoint", error.what)
        return None
