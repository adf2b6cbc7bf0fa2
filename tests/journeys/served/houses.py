"""A Tutela as an operator has it: a data folder, servers and commands on it, and a look inside."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from tests.house import environment, wait_until

from tutela.demo.scenes import jpeg, scene

ROOT = Path(__file__).resolve().parents[3]
LIST = "midwinter-known"
"""The blocking list of every house; the name must not reach an uploader."""
LISTED_SEED = 11
SOI = 2
"""Bytes of a JPEG's start marker."""


def photo(seed: int, width: int = 320, height: int = 240) -> bytes:
    """A generated landscape, as JPEG."""
    return jpeg(scene(seed, width, height))


def marked(data: bytes, marker: bytes) -> bytes:
    """The same JPEG with a comment: other bytes, the same picture."""
    comment = b"\xff\xfe" + (len(marker) + 2).to_bytes(2, "big") + marker
    return data[:SOI] + comment + data[SOI:]


@dataclass(frozen=True)
class Done:
    """A command that ran to its end."""

    code: int
    out: str
    err: str


class Nursery:
    """The process that commands and servers are forked from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        env = {name: value for name, value in os.environ.items() if name[:7] != "TUTELA_"}
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        assert self._said() == "ready"

    def run(self, arguments: Sequence[str], env: dict[str, str]) -> Done:
        """Run a command to its end."""
        out, err = self._files()
        code = self._order(arguments, env, out, err, wait=True)
        return Done(code, out.read_text(), err.read_text())

    def spawn(
        self, arguments: Sequence[str], env: dict[str, str], dies: str
    ) -> tuple[int, Path, Path]:
        """Start a command; its pid, and the files of its output."""
        out, err = self._files()
        return self._order(arguments, env, out, err, dies=dies), out, err

    def close(self) -> None:
        """End it, and with it whatever it started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _files(self) -> tuple[Path, Path]:
        number = next(self._numbers)
        made = self.folder / f"{number}.out", self.folder / f"{number}.err"
        for path in made:
            path.touch()
        return made

    def _order(
        self,
        arguments: Sequence[str],
        env: dict[str, str],
        out: Path,
        err: Path,
        *,
        wait: bool = False,
        dies: str = "",
    ) -> int:
        order = {"arguments": list(arguments), "env": env, "wait": wait, "dies": dies}
        order |= {"out": str(out), "err": str(err)}
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._said())

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Serving:
    """One ``tutela serve``."""

    def __init__(self, pid: int, port_file: Path, out: Path, err: Path) -> None:
        self.pid = pid
        self.port_file = port_file
        self.out, self.err = out, err
        self.url = ""
        self._handle = os.pidfd_open(pid)

    def __enter__(self) -> Serving:
        return self.wait()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """All it printed."""
        return self.out.read_text() + self.err.read_text()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return not self.ended(0)

    def wait(self, seconds: float = 60) -> Serving:
        """Wait until it listens."""
        wait_until(lambda: self.port_file.exists() or not self.alive, seconds)
        assert self.port_file.exists(), self.log
        self.url = json.loads(self.port_file.read_text())["url"]
        return self

    def ended(self, seconds: float) -> bool:
        """Whether it ends within some seconds."""
        return bool(select.select([self._handle], [], [], seconds)[0])

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        assert self.ended(10)

    def stop(self) -> None:
        """End it as an operator does; kill it if it does not end."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGTERM)
        if not self.ended(20):
            self.kill()

    def family(self) -> list[psutil.Process]:
        """Its zygote and decoder workers."""
        return psutil.Process(self.pid).children(recursive=True)

    def client(self, token: str, **options: Any) -> httpx.Client:
        """An HTTP client with a key."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, **{"timeout": 40, **options})

    def is_gone(self) -> bool:
        """Whether it no longer runs; for the end of a test."""
        return not self.alive


class House:
    """A data folder with its list and keys, and everything that runs on it."""

    def __init__(self, nursery: Nursery, data_dir: Path, keys: dict[str, str]) -> None:
        self.nursery = nursery
        self.data_dir = data_dir
        self.keys = keys
        self.temp = data_dir.parent / f"{data_dir.name}-tmp"
        self.temp.mkdir(exist_ok=True)
        self._serving: list[Serving] = []

    @property
    def admin(self) -> str:
        """The key that may do everything."""
        return self.keys["admin"]

    @property
    def uploader(self) -> str:
        """The key that may only upload."""
        return self.keys["uploads:write"]

    def environment(self, env: dict[str, str] | None = None) -> dict[str, str]:
        """What a process on this house sees."""
        return environment(self.data_dir) | {"TMPDIR": str(self.temp)} | (env or {})

    def serve(self, env: dict[str, str] | None = None, *, dies: str = "") -> Serving:
        """Start a server and wait for it. ``dies`` is a step of ``deaths``."""
        return self.start(env, dies=dies).wait()

    def start(self, env: dict[str, str] | None = None, *, dies: str = "") -> Serving:
        """Start a server."""
        port_file = self.temp.parent / f"{self.data_dir.name}-{os.urandom(4).hex()}.json"
        arguments = ["serve", "--port", "0", "--port-file", str(port_file)]
        pid, out, err = self.nursery.spawn(arguments, self.environment(env), dies)
        serving = Serving(pid, port_file, out, err)
        self._serving.append(serving)
        return serving

    def tutela(self, *arguments: str) -> Done:
        """Run a command, as an operator would."""
        return self.nursery.run(arguments, self.environment())

    def close(self) -> None:
        """Kill what still runs."""
        for serving in self._serving:
            if serving.alive:
                serving.kill()

    # --- looking inside -----------------------------------------------------------------------

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """What the database holds, read by a connection of ours."""
        connection = sqlite3.connect(self.data_dir / "tutela.db", timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def count(self, table: str) -> int:
        """How many rows."""
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])

    def sealed(self) -> list[Path]:
        """The sealed objects on disk."""
        return sorted((self.data_dir / "objects").rglob("*.age"))

    def holding(self, *markers: bytes) -> list[Path]:
        """Files under the data folder, or temporary ones, that hold any of these bytes."""
        found = []
        for root in (self.data_dir, self.temp):
            for path in root.rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file() and any(mark in path.read_bytes() for mark in markers):
                        found.append(path)
        return found

    def verified(self) -> None:
        """The ledger verifies, and every record with it."""
        done = self.tutela("verify", "-q")
        assert done.code == 0, done.out + done.err

    def checked(self) -> set[str]:
        """Every piece of evidence is there and whole; the names of objects without a record.

        Such an object is told an hour after it was sealed, as before it may belong to an upload
        that is being answered: the clock is put back for it.
        """
        long_ago = time.time() - 2 * 3600
        for path in self.sealed():
            os.utime(path, (long_ago, long_ago))
        done = self.tutela("vault", "check", "--json", "-q")
        assert done.code == 0, done.out + done.err
        report = json.loads(done.out)
        assert report["checked"] == self.count("evidence")
        return {trouble["object_name"] for trouble in report["troubles"]}

    def whole(self) -> None:
        """Nothing is half done: every row has the rows that belong to it, every block its evidence,
        every object without a record is told, and the ledger verifies."""
        dangling = {
            "an item without a decision": "SELECT id FROM items WHERE id NOT IN "
            "(SELECT item_id FROM decisions)",
            "a decision without an item": "SELECT id FROM decisions WHERE item_id NOT IN "
            "(SELECT id FROM items)",
            "a decision without its ledger entry": "SELECT id FROM decisions WHERE "
            "coalesce(ledger_entry, '') NOT IN (SELECT id FROM ledger_entries)",
            "a block without a case or evidence": "SELECT id FROM decisions WHERE "
            "outcome = 'block' AND (coalesce(case_id, '') NOT IN (SELECT id FROM cases) "
            "OR coalesce(evidence_id, '') NOT IN (SELECT id FROM evidence))",
            "a case without a decision": "SELECT id FROM cases WHERE id NOT IN "
            "(SELECT case_id FROM decisions WHERE case_id IS NOT NULL)",
            "a case without an item": "SELECT id FROM cases WHERE id NOT IN "
            "(SELECT case_id FROM case_items)",
            "evidence without a case": "SELECT id FROM evidence WHERE case_id NOT IN "
            "(SELECT id FROM cases)",
            "evidence without custody": "SELECT id FROM evidence WHERE id NOT IN "
            "(SELECT evidence_id FROM custody)",
            "a held or blocked decision that leaves no event": "SELECT id FROM decisions WHERE "
            "outcome != 'allow' AND id NOT IN "
            "(SELECT json_extract(payload, '$.decision_id') FROM outbox)",
            "a deferred hold whose bytes nobody waits for": "SELECT id FROM decisions d WHERE "
            "deferred AND id NOT IN (SELECT decision_id FROM deferred_uploads) AND NOT EXISTS "
            "(SELECT 1 FROM decisions s WHERE s.supersedes = d.id)",
        }
        for what, query in dangling.items():
            assert not self.rows(query), what
        recorded = {row[0] for row in self.rows("SELECT object_name FROM evidence")}
        on_disk = {str(path.relative_to(self.data_dir / "objects")) for path in self.sealed()}
        assert recorded <= on_disk, "evidence whose object is gone"
        for row in self.rows("SELECT parked FROM deferred_uploads"):
            assert (self.data_dir / "deferred" / row["parked"]).exists()
        self.verified()
        assert self.checked() == on_disk - recorded, "an object without a record was not told"


def furnish(nursery: Nursery, data_dir: Path, listed: Path) -> dict[str, str]:
    """A new house, furnished as an operator does it: keys, a blocking list, one picture on it.

    Returns the keys by scope.
    """
    house = House(nursery, data_dir, {})
    keys = {}
    for scope in ("admin", "uploads:write", "metrics:read"):
        keys[scope] = _done(house.tutela("keys", "create", scope, "--scope", scope)).out.strip()
    said = ("--reason", "For the journeys.")
    _done(house.tutela("lists", "create", LIST, "--purpose", "csam", "--mode", "block", *said))
    _done(house.tutela("lists", "add", LIST, str(listed), *said))
    return keys


@functools.cache
def furnished_house() -> House:
    """The house to copy, with its nursery: one for all tests of this process, made when first
    asked for."""
    folder = Path(tempfile.mkdtemp(prefix="tutela-journeys-"))
    nursery = Nursery(folder)
    picture = folder / "listed.jpg"
    picture.write_bytes(photo(LISTED_SEED))

    def leave() -> None:
        nursery.close()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(leave)
    return House(nursery, folder / "data", furnish(nursery, folder / "data", picture))


def copied(house: House, data_dir: Path) -> House:
    """A house of one's own, as furnished."""
    shutil.copytree(house.data_dir, data_dir)
    return House(house.nursery, data_dir, house.keys)


def _done(done: Done) -> Done:
    assert done.code == 0, done.out + done.err
    return done


@contextlib.contextmanager
def closing(house: House) -> Iterator[House]:
    """The house, and nothing of it running afterwards."""
    try:
        yield house
    finally:
        house.close()
