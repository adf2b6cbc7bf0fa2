"""Puts waiting entries into the public tree and signs its new state.

The database says what the tree is: entries get contiguous leaf numbers in one transaction, and the
folder is a projection of it that any process can bring up to date or make anew. Order of writing:
numbers (committed), tiles, checkpoint, then the database's note of what was signed. A crash between
any two leaves the last signed state whole; the next run removes what lay beyond it and goes on.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, func, select, text, update

from tutela.core import utc_now
from tutela.errors import LedgerDamaged
from tutela.settings import Settings
from tutela.store import Database, insert_new
from tutela.store.tables.ledger import ledger_entries, ledger_state

from . import files
from .merkle import EMPTY, HASH_BYTES, leaf_hash, perfect, root
from .notes import Checkpoint, SignerKey, VerifierKey, open_checkpoint
from .tiles import (
    ENTRIES,
    ENTRY_BYTES,
    RECORD_BYTES,
    WIDTH,
    Tile,
    TileFolder,
    at_level,
    edge_tile,
    frame,
    levels,
)

MOST_AT_ONCE = 1 << 16
"""Entries under one new checkpoint at most; more follow under the next."""
ADVISORY_LOCK = 0x7475_7465_6C62
"""The PostgreSQL advisory lock held while numbers are given ("tutelb" in ASCII)."""

_NUMBER = text(
    "UPDATE ledger_entries SET seq = n.seq FROM ("
    " SELECT id, :next - 1 + row_number() OVER (ORDER BY id) AS seq"
    " FROM (SELECT id FROM ledger_entries WHERE seq IS NULL ORDER BY id LIMIT :most) AS w"
    ") AS n WHERE ledger_entries.id = n.id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What one run did: the size of the tree now, and how many entries came in."""

    size: int
    added: int


@dataclass(slots=True)
class _Edge:
    """The right edge of the tree in memory: its size, and each level's unfinished tile's bytes."""

    size: int = 0
    parts: dict[int, bytearray] = field(default_factory=dict)

    def root(self) -> bytes:
        """The root, from the edge alone."""
        if self.size == 0:
            return EMPTY
        return root(self._read, self.size)

    def _read(self, level: int, index: int) -> bytes:
        tile_level, above = divmod(level, 8)
        low = ((index << above) % WIDTH) * HASH_BYTES
        span = self.parts[tile_level][low : low + (HASH_BYTES << above)]
        return perfect([bytes(span[i : i + HASH_BYTES]) for i in range(0, len(span), HASH_BYTES)])


class Sequencer:
    """Publishes the ledger. Any number may run, in any process; one works at a time."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.data_dir: Path = settings.data_dir
        self.folder = settings.data_dir / files.FOLDER
        self._staging = settings.data_dir / files.STAGING
        self._origin = settings.ledger.origin
        self._edge: _Edge | None = None
        self._touched: set[Path] = set()
        self._replaced: list[Path] = []

    def run_once(self) -> Published:
        """Publishes what waits, if anything. Cheap when nothing does.

        Raises ``LedgerDamaged`` where folder and database contradict each other (nothing is then
        written), ``StorageFull`` and ``StoreUnavailable``. The next run takes up whatever this one
        left undone.
        """
        with self.database.read() as conn:
            waiting = conn.execute(
                select(ledger_entries.c.id).where(ledger_entries.c.seq.is_(None)).limit(1)
            ).first()
            numbered = _count(conn)
        edge = self._edge
        if waiting is None and edge is not None and edge.size == numbered:
            return Published(size=edge.size, added=0)
        with files.faults("The ledger cannot be published"), files.locked(self.data_dir):
            if waiting is not None:
                self._give_numbers()
            return self._publish()

    def key(self) -> VerifierKey:
        """The log's public key; made with the private one at first use."""
        with files.faults("The ledger's key cannot be made"), files.locked(self.data_dir):
            return files.signer(self.data_dir, self._origin).verifier

    def _give_numbers(self) -> None:
        """Gives waiting entries their leaf numbers."""
        with self.database.begin() as conn:
            if not self.database.is_sqlite:
                conn.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": ADVISORY_LOCK})
            conn.execute(_NUMBER, {"next": _count(conn), "most": MOST_AT_ONCE})

    def _publish(self) -> Published:
        """Brings the folder up to the numbered entries. Called under the lock."""
        key = files.signer(self.data_dir, self._origin)
        with self.database.read() as conn:
            # In this order: another machine may number and sign in between, and never the reverse.
            state = conn.execute(select(ledger_state)).one_or_none()
            size = _count(conn)
        if state is not None and state.key != str(key.verifier):
            raise LedgerDamaged(
                "This ledger is signed by another key than the one in this data folder.",
                where=str(files.KEY),
                next_step="Copy keys/ledger.key from the machine that began the ledger.",
            )
        edge = self._present(key)
        before = edge.size
        if state is not None and state.size > size:
            raise LedgerDamaged(
                f"{state.size} entries were signed, but the database holds {size}.",
                where="ledger_entries",
                next_step="Put a newer backup of the database back.",
            )
        if edge.size > size:
            raise LedgerDamaged(
                f"The published ledger has {edge.size} entries, the database {size}.",
                where="checkpoint",
                next_step="Put a newer backup of the database back.",
            )
        known = None if state is None else (int(state.size), bytes(state.root))
        self._edge = None
        self._touched, self._replaced = set(), []
        for upto in _steps(before, size, known[0] if known else None):
            self._extend(edge, upto)
            _check_known(edge, known)
        if size > before or not (self.folder / "checkpoint").exists():
            self._sign(edge, key)
        if state is None or state.size < size:
            self._note(edge, key)
        self._edge = edge
        return Published(size=size, added=size - before)

    def _present(self, key: SignerKey) -> _Edge:
        """The edge of the folder as it is, verified against its checkpoint; what an interrupted run
        left beyond it is removed. Empty where there is no folder yet."""
        path = self.folder / "checkpoint"
        if not path.exists():
            files.sweep_staging(self._staging)
            self._remove_beyond(0)
            return _Edge()
        checkpoint = open_checkpoint(path.read_bytes(), key.verifier)
        if self._edge is not None and self._edge.size == checkpoint.size:
            return self._edge
        files.sweep_staging(self._staging)
        edge = _Edge(checkpoint.size)
        tiles = TileFolder(self.folder)
        for level in levels(checkpoint.size):
            tile = edge_tile(checkpoint.size, level)
            edge.parts[level] = bytearray(tiles.bytes_of(tile) if tile else b"")
        if edge.root() != checkpoint.root:
            raise LedgerDamaged(
                "The published tiles do not lead to the signed root; nothing was added to them.",
                where="tile",
                next_step="Run 'tutela verify' to see which file; put it back from a backup.",
            )
        self._remove_beyond(checkpoint.size)
        return edge

    def _remove_beyond(self, size: int) -> None:
        """Removes tiles that no signed checkpoint vouches for. They come again by themselves."""
        for base in sorted((self.folder / "tile").glob("*")):
            for path in sorted(p for p in base.rglob("*") if p.is_file()):
                tile = Tile.parse(path.relative_to(self.folder).as_posix())
                if tile is not None and tile.start + tile.width > at_level(size, tile.level):
                    path.unlink()

    def _extend(self, edge: _Edge, size: int) -> None:
        """Adds the entries up to ``size`` to the edge and writes every tile that grew."""
        before = edge.size
        while edge.size < size:
            upto = min(size, (edge.size // WIDTH + 1) * WIDTH)
            bundle = edge.parts.setdefault(ENTRIES, bytearray())
            leaves = edge.parts.setdefault(0, bytearray())
            for commitment in self._commitments(edge.size, upto):
                bundle += frame(commitment)
                leaves += leaf_hash(commitment)
            edge.size = upto
            self._settle(edge)
        if edge.size == before:
            return
        for level in levels(size):
            tile = edge_tile(size, level)
            if tile is not None:
                self._write(tile, bytes(edge.parts[level]))

    def _commitments(self, low: int, high: int) -> list[bytes]:
        """The public entries from ``low`` up to ``high``."""
        with self.database.read() as conn:
            rows = conn.execute(
                select(ledger_entries.c.seq, ledger_entries.c.commitment)
                .where(ledger_entries.c.seq >= low, ledger_entries.c.seq < high)
                .order_by(ledger_entries.c.seq)
            ).all()
        if [row.seq for row in rows] != list(range(low, high)):
            raise LedgerDamaged(
                f"The database lacks entries between {low} and {high}.",
                where="ledger_entries",
                next_step="Put a backup of the database back.",
            )
        if any(len(row.commitment) != ENTRY_BYTES for row in rows):
            raise LedgerDamaged("A commitment has the wrong length.", where="ledger_entries")
        return [bytes(row.commitment) for row in rows]

    def _settle(self, edge: _Edge) -> None:
        """Writes tiles that are full now, and gives each one's root to the level above."""
        for level in levels(edge.size):
            part = edge.parts.setdefault(level, bytearray())
            unit = RECORD_BYTES if level == ENTRIES else HASH_BYTES
            if len(part) < WIDTH * unit:
                continue
            self._write(Tile(level, at_level(edge.size, level) // WIDTH - 1), bytes(part))
            if level != ENTRIES:
                hashes = [bytes(part[i : i + unit]) for i in range(0, len(part), unit)]
                edge.parts.setdefault(level + 1, bytearray()).extend(perfect(hashes))
            part.clear()

    def _write(self, tile: Tile, data: bytes) -> None:
        path = self.folder / tile.path
        files.write_whole(path, data, self._staging)
        self._touched.update(p for p in path.parents if p.is_relative_to(self.folder))
        if tile.width == WIDTH:
            self._replaced.append(self.folder / f"{tile.path}.p")

    def _sign(self, edge: _Edge, key: SignerKey) -> None:
        """Signs the new state once every tile of it is on disk; then drops partial tiles that full
        ones have replaced."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder in sorted(self._touched, reverse=True):
            files.flush_folder(folder)
        public = self.folder / "key.pub"
        if not public.exists():
            files.write_whole(public, f"{key.verifier}\n".encode(), self._staging)
        note = key.sign(Checkpoint(self._origin, edge.size, edge.root()).text())
        files.write_whole(self.folder / "checkpoint", note.encode(), self._staging)
        files.flush_folder(self.folder)
        for partial in self._replaced:
            shutil.rmtree(partial, ignore_errors=True)

    def _note(self, edge: _Edge, key: SignerKey) -> None:
        """Notes in the database what was signed; never goes back behind a larger size."""
        note = (self.folder / "checkpoint").read_bytes().decode()
        values = {"size": edge.size, "root": edge.root(), "checkpoint": note, "at": utc_now()}
        first = {"id": 1, "key": str(key.verifier), **values}
        with self.database.begin() as conn:
            insert_new(conn, ledger_state, first)
            conn.execute(
                update(ledger_state).where(ledger_state.c.size < edge.size).values(**values)
            )


def _count(conn: Connection) -> int:
    """How many entries have a leaf number."""
    highest = conn.execute(select(func.max(ledger_entries.c.seq))).scalar()
    return 0 if highest is None else int(highest) + 1


def _steps(before: int, size: int, known: int | None) -> list[int]:
    """The sizes to stop at on the way: where a signed root is known, and the end."""
    stops = {size} if known is None else {size, known}
    return sorted(stop for stop in stops if before <= stop <= size)


def _check_known(edge: _Edge, known: tuple[int, bytes] | None) -> None:
    """Raises ``LedgerDamaged`` where the tree at a size once signed has another root."""
    if known is not None and edge.size == known[0] and edge.root() != known[1]:
        raise LedgerDamaged(
            "The entries are not those that were signed.",
            where="ledger_entries",
            next_step="Run 'tutela verify' to see which; put a backup back.",
        )
