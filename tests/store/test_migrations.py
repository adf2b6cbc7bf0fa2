"""Migrations: the schema that they make is the one the code means, whoever else is starting."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import tutela.store.tables  # noqa: F401  fills the metadata
from tutela.errors import InvalidSetting, StorageFull
from tutela.store import Database
from tutela.store.metadata import metadata
from tutela.store.migrations import FOLDER, config, current, head
from tutela.store.migrations.regenerate import regenerate


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request, settings_for):
    """A database without a schema."""
    if request.param == "sqlite":
        database = Database(settings_for())
        yield database
        database.close()
        return
    server = request.getfixturevalue("postgres_server")
    name = server.create()
    database = Database(settings_for(store={"database_url": server.url(name)}))
    yield database
    database.close()
    server.drop(name)


def tables_of(database):
    with database.read() as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_the_migrated_schema_is_the_tables_schema(empty):
    empty.migrate()
    with empty.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == [], (
            "run: python -m tutela.store.migrations.regenerate"
        )
    assert tables_of(empty) == set(metadata.tables)


def test_migrating_again_changes_nothing(empty):
    empty.migrate()
    with empty.read() as connection:
        first = current(connection)
    empty.migrate()
    with empty.read() as connection:
        assert (
            current(connection) == first == ScriptDirectory.from_config(config()).get_current_head()
        )


def test_there_is_one_head_and_every_revision_goes_back(empty):
    from alembic import command

    script = ScriptDirectory.from_config(config())
    assert len(script.get_heads()) == 1
    empty.migrate()
    with empty.begin() as connection:
        command.downgrade(config(connection), "base")
    assert tables_of(empty) == set()
    empty.migrate()
    assert tables_of(empty) == set(metadata.tables)


def test_threads_that_start_at_once_migrate_once(empty):
    faults = []
    others = [Database(empty.settings) for _ in range(4)]
    start = threading.Barrier(len(others))

    def migrate(database):
        start.wait()
        try:
            database.migrate()
        except Exception as error:
            faults.append(error)
        database.close()

    threads = [threading.Thread(target=migrate, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert tables_of(empty) == set(metadata.tables)


def test_two_processes_that_start_at_once_migrate_once(empty):
    code = (
        "import sys;from pathlib import Path;from tutela.store import Database\n"
        "from tutela.settings import Settings,StoreSettings\n"
        "store=StoreSettings(database_url=sys.argv[2])\n"
        "Database(Settings(data_dir=Path(sys.argv[1]),store=store)).migrate()\n"
    )
    url = empty.settings.store.database_url.get_secret_value()
    command = [sys.executable, "-c", code, str(empty.settings.data_dir), url]
    children = [subprocess.Popen(command) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert tables_of(empty) == set(metadata.tables)


def test_a_database_of_a_newer_tutela_is_left_alone(empty):
    empty.migrate()
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidSetting) as caught:
        empty.migrate()
    assert "newer" in caught.value.what


def test_a_migration_that_fails_leaves_no_table(empty, monkeypatch):
    from alembic import command

    upgrade = command.upgrade

    def fail(*arguments, **options):
        upgrade(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", fail)
    with pytest.raises(KeyboardInterrupt):
        empty.migrate()
    assert tables_of(empty) == set()
    monkeypatch.undo()
    empty.migrate()
    assert tables_of(empty) == set(metadata.tables)


def test_no_room_to_migrate_is_told_and_leaves_no_table(small_disk, settings_for):
    database = Database(settings_for(data_dir=small_disk.path / "data"))
    database.check()
    small_disk.fill()
    with pytest.raises(StorageFull):
        database.migrate()
    small_disk.free()
    assert tables_of(database) == set()
    database.migrate()
    database.close()


def test_the_revision_is_what_the_developers_command_writes(tmp_path):
    """So that nobody edits it by hand, nor forgets to write it anew."""
    committed = sorted((FOLDER / "versions").glob("0*.py"))
    made = regenerate(tmp_path)
    assert [path.name for path in made] == [path.name for path in committed]
    assert [path.read_text() for path in made] == [path.read_text() for path in committed]


def test_the_newest_revision_is_known_without_alembic():
    assert head() == ScriptDirectory.from_config(config()).get_current_head()


def test_a_database_that_is_current_is_not_migrated_again(sqlite_database, monkeypatch):
    from alembic import command

    sqlite_database.migrate()
    monkeypatch.setattr(command, "upgrade", lambda *_: pytest.fail("nothing was to be done"))
    sqlite_database.migrate()
