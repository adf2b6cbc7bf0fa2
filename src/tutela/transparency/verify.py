"""Verifies a ledger offline, down to the byte, and says where it does not hold.

The signed root vouches for everything: entries hash to level-0 tiles, tiles to the level above, the
right edge to the root (``verify_tree.py``). With the database at hand, every record is compared
with its commitment as well (``verify_rows.py``).
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from pathlib import Path

from tutela.errors import LedgerDamaged, NotFound
from tutela.store import Database

from . import files, folder_state
from .ledger import Proof
from .merkle import leaf_hash, root_from_inclusion
from .notes import Checkpoint, VerifierKey, open_checkpoint
from .records import commitment
from .report import Findings, Report
from .verify_rows import RowCheck, Signed, check_rows, last_signed
from .verify_tree import Progress, TreeCheck

CATCH_UP_TRIES = 4
CATCH_UP_SECONDS = 1.0
"""How often and long to wait for a folder that is behind what was signed elsewhere."""


def verify(
    folder: Path,
    database: Database | None = None,
    *,
    key: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verifies the ledger in ``folder``, and against ``database`` if given.

    ``key`` is the public key (C2SP verifier key) that the reader trusts; without it the database's
    or, failing that, the one in the folder is used, which shows that the folder is of one piece but
    not whose it is. Raises ``NotFound`` where there is no folder and ``LedgerDamaged`` for a
    ``key`` that is none; everything else that is wrong is a ``Problem`` in the report.
    """
    if not folder.is_dir():
        raise NotFound(
            f"There is no ledger in {folder}.", next_step="Name its folder with --folder."
        )
    for _ in range(CATCH_UP_TRIES):
        found = Findings()
        with files.locked(folder.parent, shared=True):
            state = folder_state.take(folder, found)
            signed = last_signed(database) if database is not None else None
        trusted = folder_state.public_key(state, key or (signed.key if signed else None), found)
        checkpoint = folder_state.checkpoint(state, trusted, found)
        if signed is None or checkpoint is None or checkpoint.size >= signed.size:
            break
        time.sleep(CATCH_UP_SECONDS)  # another machine signed; ours is about to follow
    public: Callable[[int], bytes | None] = _nothing
    if checkpoint is not None:
        tree = TreeCheck(state, checkpoint, found)
        tree.check(progress)
        public = tree.commitment
    rows = RowCheck()
    if database is not None:
        if signed is not None and checkpoint is not None:
            _compare_signed(signed, checkpoint, found)
        rows = check_rows(database, checkpoint.size if checkpoint else None, public, found)
    return Report(
        problems=tuple(found.problems),
        count=found.count,
        origin=checkpoint.origin if checkpoint else "",
        key=str(trusted) if trusted else "",
        size=checkpoint.size if checkpoint else 0,
        root=checkpoint.root.hex() if checkpoint else "",
        files=len(state.sizes),
        database=database is not None,
        opened=rows.opened,
        erased=rows.erased,
        waiting=rows.waiting,
    )


def _nothing(_entry: int) -> bytes | None:
    return None


def _compare_signed(signed: Signed, checkpoint: Checkpoint, found: Findings) -> None:
    """A folder must not be behind what was signed before, nor be another tree of that size."""
    if checkpoint.size < signed.size:
        found.add(
            "checkpoint",
            f"it signs {checkpoint.size} entries, but {signed.size} were signed before: the folder "
            "was set back (or Tutela does not run here, and another machine signs)",
        )
    elif checkpoint.size == signed.size and checkpoint.root != signed.root:
        found.add("checkpoint", "the database remembers another root for this size")


def verify_proof(proof: Proof, key: str) -> Checkpoint:
    """Checks that the record in ``proof`` is in the log that ``key`` (C2SP verifier key) signs.

    Needs nothing but the proof. Gives the checkpoint that vouches for it; raises ``LedgerDamaged``
    saying what does not hold.
    """
    head, blank, note = proof.tlog.partition("\n\n")
    lines = head.split("\n")
    if not blank or len(lines) < 2 or lines[0] != "c2sp.org/tlog-proof@v1":
        raise LedgerDamaged("This is not a C2SP tlog-proof.")
    word, _, number = lines[1].partition(" ")
    if word != "index" or not number.isascii() or not number.isdigit():
        raise LedgerDamaged("The proof does not name its entry.")
    checkpoint = open_checkpoint(note.encode(), VerifierKey.parse(key))
    try:
        path = [base64.b64decode(line, validate=True) for line in lines[2:]]
        salt = bytes.fromhex(proof.opening["salt"])
        kind, record = proof.opening["kind"], proof.opening["record"]
    except (binascii.Error, ValueError, KeyError):
        raise LedgerDamaged("The proof is damaged.") from None
    leaf = leaf_hash(commitment(kind, record.encode(), salt))
    if root_from_inclusion(leaf, int(number), checkpoint.size, path) != checkpoint.root:
        raise LedgerDamaged("The record is not the one in the ledger.", where=proof.entry_id)
    return checkpoint
