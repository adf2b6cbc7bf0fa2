"""What journeys share: settings of their own, and checks that hold after every one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from tutela.cases import check_vault
from tutela.settings import Settings
from tutela.store import Database, Objects
from tutela.store.tables.cases import case_items, cases
from tutela.store.tables.decisions import decisions, items
from tutela.store.tables.evidence import custody, evidence
from tutela.store.tables.ledger import ledger_entries
from tutela.transparency import Ledger
from tutela.transparency.sequencer import Sequencer
from tutela.transparency.verify import verify


class Aftermath:
    """What must hold of a data folder, whatever happened to the processes that used it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def whole(self, *, orphans: bool = False) -> None:
        """Nothing is half done: each decision has its item and ledger entry, each case its item
        and evidence, each evidence its object and custody record; the ledger verifies."""
        database = Database(self.settings)
        try:
            with database.read() as connection:
                for row in connection.execute(select(decisions)).all():
                    assert row.ledger_entry is not None
                    entry = select(ledger_entries).where(ledger_entries.c.id == row.ledger_entry)
                    assert connection.execute(entry).one()
                    assert connection.execute(select(items).where(items.c.id == row.item_id)).one()
                    if row.outcome == "block" and row.purpose != "selftest":
                        assert row.case_id is not None
                        assert row.evidence_id is not None
                for row in connection.execute(select(cases)).all():
                    held = select(case_items).where(case_items.c.case_id == row.id)
                    assert connection.execute(held).all()
                    sealed = select(evidence).where(evidence.c.case_id == row.id)
                    assert connection.execute(sealed).all()
                for row in connection.execute(select(evidence)).all():
                    log = select(custody).where(custody.c.evidence_id == row.id)
                    assert connection.execute(log).all()
            report = check_vault(database, Objects(self.settings), Ledger(database, self.settings))
            kinds = {trouble.kind.value for trouble in report.troubles}
            assert kinds <= ({"orphan"} if orphans else set()), report.troubles
            Sequencer(database, self.settings).run_once()
            found = verify(self.settings.data_dir / "ledger", database)
            assert found.ok, found
        finally:
            database.close()

    def count(self, table: object) -> int:
        """Rows of a table."""
        database = Database(self.settings)
        try:
            with database.read() as connection:
                number = connection.execute(select(func.count()).select_from(table)).scalar_one()
                return int(number)
        finally:
            database.close()

    def no_plaintext(self, marker: bytes) -> None:
        """No file in the data folder holds these bytes of an upload."""
        assert len(marker) >= 16
        for path in self.settings.data_dir.rglob("*"):
            if path.is_file():
                assert marker not in path.read_bytes(), path


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder of this journey's own."""
    return tmp_path / "data"


@pytest.fixture
def aftermath(data_dir: Path) -> Aftermath:
    """Looks at ``data_dir``."""
    return Aftermath(Settings(data_dir=data_dir))
