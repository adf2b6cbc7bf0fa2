"""``python -m tutela.store.migrations.regenerate``: write revision 0001 anew from the tables.

For developers, until the first release: while nobody has data to keep, there is one revision,
``0001``, which makes every table. Afterwards each change gets a revision of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tutela.settings import Settings, StoreSettings
from tutela.store.engine import Database
from tutela.store.migrations import FOLDER, config

FIRST = "0001"
"""The revision that makes everything."""


def regenerate(versions: Path = FOLDER / "versions") -> Path:
    """Replace every revision by one that makes the tables as they are now; its path."""
    from alembic import command

    for old in versions.glob("*.py"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Settings(data_dir=Path(folder), store=StoreSettings()))
        with database.begin() as connection:
            only_here = config(connection)
            only_here.set_main_option("version_locations", str(versions).replace("%", "%%"))
            command.revision(
                only_here,
                message="The tables as first released.",
                autogenerate=True,
                rev_id=FIRST,
                version_path=str(versions),
            )
        database.close()
    (written,) = versions.glob("*.py")
    path = written.rename(versions / f"{FIRST}_first.py")
    shutil.rmtree(versions / "__pycache__", ignore_errors=True)
    for arguments in (["format", "-q"], ["check", "--fix", "-q"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, str(path)], check=True)
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{regenerate().name} was written.\n")
