"""Policy as a running Tutela uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tutela.core import FindingKind, HashType, Outcome
from tutela.errors import InvalidPolicy
from tutela.policy import Context, PolicyDesk
from tutela.settings import Settings
from tutela.store import Database, Outbox
from tutela.store.tables.ledger import ledger_entries
from tutela.store.tables.outbox import outbox
from tutela.store.tables.policy import policy_versions
from tutela.transparency import Ledger


def with_file(settings: Settings, file: Path) -> Settings:
    return settings.model_copy(
        update={"policy": settings.policy.model_copy(update={"file": str(file)})}
    )


def test_each_version_is_recorded_and_logged_once(database: Database, tmp_path: Path) -> None:
    log = Ledger(database, database.settings).append
    file = tmp_path / "mine.toml"
    file.write_text("name = 'mine'\n")
    for settings in (database.settings, database.settings, with_file(database.settings, file)):
        PolicyDesk(database, settings, log=log).open()
    with database.read() as conn:
        kept = {r.version: r.source for r in conn.execute(select(policy_versions))}
        logged = conn.execute(select(ledger_entries.c.kind, ledger_entries.c.subject)).all()
    assert sorted(version.partition("@")[0] for version in kept) == ["default", "mine"]
    assert "name = 'mine'\n" in kept.values()
    assert sorted(map(tuple, logged)) == sorted(("policy", version) for version in kept)


def test_an_entry_made_elsewhere_is_taken_up(
    sqlite_database: Database, finding: Any, media: Any
) -> None:
    here = PolicyDesk(sqlite_database, sqlite_database.settings)
    policy = here.open()
    file = media(sha256=b"\x05" * 32)
    near = [finding(FindingKind.NEAR)]
    assert policy.decide(near, Context.of(media=file)).outcome is Outcome.BLOCK
    elsewhere = PolicyDesk(sqlite_database, sqlite_database.settings)
    made = elsewhere.allow_lists.add(HashType.SHA256, b"\x05" * 32, owner="o", reason="r")
    here.refresh()
    assert policy.decide(near, Context.of(media=file)).allow_listed == made.id
    elsewhere.allow_lists.end(made.id, by="o", why="no")
    here.refresh()
    assert policy.decide(near, Context.of(media=file)).outcome is Outcome.BLOCK


def test_a_pulled_brake_holds_and_goes_to_the_outbox(
    database: Database, finding: Any, tmp_path: Path
) -> None:
    file = tmp_path / "braked.toml"
    file.write_text(
        "[[rule]]\nname = 'b'\nwhen = 'true'\noutcome = 'block'\nbrake = { per_hour = 1 }"
    )
    settings = with_file(database.settings, file)
    desks = [PolicyDesk(database, settings, enqueue=Outbox(database).enqueue) for _ in range(2)]
    outcomes = [desk.open().decide([finding()], Context()).outcome for desk in (*desks, *desks)]
    assert outcomes == [Outcome.BLOCK, Outcome.HOLD, Outcome.HOLD, Outcome.HOLD]
    with database.read() as conn:
        assert conn.execute(select(outbox.c.kind)).scalars().all() == ["policy.brake_pulled"]


def test_a_wrong_file_is_refused_at_start(sqlite_database: Database, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[[rule]]\nname = 'a'\nwhen = 'nope'\noutcome = 'hold'")
    with pytest.raises(InvalidPolicy) as told:
        PolicyDesk(sqlite_database, with_file(sqlite_database.settings, file))
    assert (told.value.line, told.value.column) == (3, 9)
