"""``python -m tutela.store.migrations.regenerate``: write the first revisions anew from the tables.

For developers, until the first release: while nobody has data to keep, two revisions make every
table, those of the lists and all others. Afterwards each change gets a revision of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sqlalchemy import Table

from tutela.settings import Settings, StoreSettings
from tutela.store.engine import Database
from tutela.store.migrations import FOLDER, config
from tutela.store.tables import lists

LIST_TABLES = frozenset(table.name for table in vars(lists).values() if isinstance(table, Table))
"""What the first revision makes."""

REVISIONS = (("0001", "lists", "The tables of the lists."), ("0002", "rest", "All other tables."))
"""Revision, file name's end and message."""


def regenerate(versions: Path = FOLDER / "versions") -> list[Path]:
    """Replace every revision by those that make the tables as they are now; their paths."""
    for old in versions.glob("*.py"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Settings(data_dir=Path(folder), store=StoreSettings()))
        written = [_write(database, versions, *revision) for revision in REVISIONS]
        database.close()
    shutil.rmtree(versions / "__pycache__", ignore_errors=True)
    return written


def _write(database: Database, versions: Path, revision: str, name: str, message: str) -> Path:
    """Write one revision, and bring ``database`` up to it."""
    from alembic import command

    with database.begin() as connection:
        only_here = config(connection)
        only_here.set_main_option("version_locations", str(versions).replace("%", "%%"))
        only_here.attributes["include_object"] = _of_lists if name == "lists" else None
        command.revision(
            only_here,
            message=message,
            autogenerate=True,
            rev_id=revision,
            version_path=str(versions),
        )
    (made,) = (path for path in versions.glob(f"{revision}*.py"))
    path = made.rename(versions / f"{revision}_{name}.py")
    for arguments in (["format", "-q"], ["check", "--fix", "-q"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, str(path)], check=True)
    with database.begin() as connection:
        only_here.attributes["connection"] = connection
        command.upgrade(only_here, revision)
    return path


def _of_lists(_made: object, name: str | None, kind: str, *_: object) -> bool:
    """Whether a revision of the lists' tables alone takes this in."""
    return kind != "table" or name in LIST_TABLES


if __name__ == "__main__":
    for path in regenerate():
        sys.stdout.write(f"{path.name} was written.\n")
