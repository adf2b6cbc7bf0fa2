"""Transparency: the append-only ledger of what was decided, provable to anybody, telling nobody.

``ledger.py`` is where entries are written, ``sequencer.py`` puts them into a signed Merkle tree of
static files, ``verify.py`` checks that tree, offline, down to the byte.
"""

from .ledger import Ledger, LedgerEntry, Proof
from .sequencer import Published, Sequencer

__all__ = ["Ledger", "LedgerEntry", "Proof", "Published", "Sequencer"]
