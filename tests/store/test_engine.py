"""The database door: transactions, faults in our own words, private files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from tutela.core import utc_now
from tutela.errors import Conflict, InvalidInput, InvalidSetting, StorageFull, StoreUnavailable
from tutela.store import Database, insert_new
from tutela.store.tables.cases import cases


def test_a_transaction_is_kept_whole_or_not_at_all(database, rows):
    with database.begin() as connection:
        kept = rows.write(connection)

    def fail():
        with database.begin() as connection:
            rows.write(connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as connection:
        assert connection.execute(select(cases.c.id)).scalars().all() == [kept]


def test_a_taken_key_is_a_conflict_that_shows_no_value(database, rows):
    with database.begin() as connection:
        rows.write(connection, id="case_taken")
    with pytest.raises(Conflict) as caught, database.begin() as connection:
        rows.write(connection, id="case_taken", account_id="secret-account")
    assert "secret-account" not in caught.value.spoken()
    assert "secret-account" not in str(caught.value.__cause__)


def test_insert_new_leaves_the_transaction_usable(database, rows):
    with database.begin() as connection:
        row = rows.values()
        assert insert_new(connection, cases, row)
        assert not insert_new(connection, cases, row)
        rows.write(connection)
    with database.read() as connection:
        assert rows.count(connection) == 2


def test_times_come_back_as_utc_and_json_as_it_was(database, rows):
    moment = datetime(2026, 3, 29, 2, 30, 1, 123456, timezone(timedelta(hours=5, minutes=45)))
    facts = {"ü": [1, 2.5, None, True], "nested": {"a": "\"'\\"}}
    with database.begin() as connection:
        rows.write(connection, id="case_t", opened_at=moment, facts=facts)
    with database.read() as connection:
        found = connection.execute(select(cases)).one()
    assert found.opened_at == moment
    assert found.opened_at.tzinfo is UTC
    assert found.facts == facts


def test_a_time_without_a_zone_is_refused(database, rows):
    with pytest.raises(InvalidInput), database.begin() as connection:
        rows.write(connection, opened_at=datetime(2026, 1, 1))


def test_text_that_postgres_cannot_hold_is_the_sender_s_doing(postgres_database, rows):
    with pytest.raises(InvalidInput), postgres_database.begin() as connection:
        rows.write(connection, facts={"name": "a\x00b"})


def test_two_writers_queue_and_none_is_lost(database, rows):
    def write_many():
        for _ in range(25):
            with database.begin() as connection:
                before = rows.count(connection)
                rows.write(connection)
                assert rows.count(connection) >= before + 1

    threads = [threading.Thread(target=write_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert rows.count(connection) == 100


def test_the_database_s_clock_is_close_to_ours(database):
    with database.read() as connection:
        assert abs(database.now(connection) - utc_now()) < timedelta(seconds=30)


def test_two_processes_on_one_sqlite_lose_nothing(sqlite_database, rows):
    """What two `tutela serve` on one data folder do: write at the same time, for a while."""
    code = (
        "import sys;from pathlib import Path;from tutela.settings import Settings;"
        "from tutela.store import Database;from tutela.store.tables.cases import cases;"
        "from tutela.core import new_id,utc_now\n"
        "db=Database(Settings(data_dir=Path(sys.argv[1])))\n"
        "for i in range(60):\n"
        "  with db.begin() as c:\n"
        "    c.execute(cases.insert(),dict(id=new_id('case'),purpose='own',state='open',"
        "state_at=utc_now(),opened_at=utc_now()))\n"
    )
    folder = str(sqlite_database.settings.data_dir)
    children = [subprocess.Popen([sys.executable, "-c", code, folder]) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    with sqlite_database.read() as connection:
        assert rows.count(connection) == 120


def test_a_process_killed_in_mid_transaction_leaves_nothing_half_done(database, rows):
    code = (
        "import sys,time;from pathlib import Path;"
        "from tutela.settings import Settings,StoreSettings;"
        "from tutela.store import Database;from tutela.store.tables.cases import cases;"
        "from tutela.core import new_id,utc_now\n"
        "store=StoreSettings(database_url=sys.argv[2])\n"
        "db=Database(Settings(data_dir=Path(sys.argv[1]),store=store))\n"
        "def one(c):\n"
        "  c.execute(cases.insert(),dict(id=new_id('case'),purpose='own',state='open',"
        "state_at=utc_now(),opened_at=utc_now()))\n"
        "with db.begin() as c: one(c)\n"
        "with db.begin() as c:\n"
        "  one(c);print('ready',flush=True);time.sleep(60)\n"
    )
    settings = database.settings
    url = settings.store.database_url.get_secret_value()
    command = [sys.executable, "-c", code, str(settings.data_dir), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    with database.begin() as connection:
        assert rows.count(connection) == 1
        rows.write(connection)


def test_a_locked_sqlite_is_told_as_such_after_the_time_out(sqlite_settings, rows):
    settings = sqlite_settings.model_copy(
        update={"store": sqlite_settings.store.model_copy(update={"busy_timeout_seconds": 0.2})}
    )
    database = Database(settings)
    other = sqlite3.connect(settings.data_dir / "tutela.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught, database.begin() as connection:
        rows.write(connection)
    assert "locked" in caught.value.what
    assert caught.value.retry_after
    assert time.monotonic() - started < 3
    with database.read() as connection:  # readers go on meanwhile
        assert rows.count(connection) == 0
    other.execute("ROLLBACK")
    other.close()
    with database.begin() as connection:
        rows.write(connection)
    database.close()


def test_a_postgres_that_went_away_and_came_back(postgres_database, postgres_server, rows):
    with postgres_database.begin() as connection:
        rows.write(connection)

    def be_cut_off():
        with postgres_database.begin() as connection:
            rows.write(connection)
            postgres_server.cut_off(postgres_database.url.database)
            rows.write(connection)

    with pytest.raises(StoreUnavailable):
        be_cut_off()
    with postgres_database.begin() as connection:  # a stale pooled connection is noticed
        assert rows.count(connection) == 1


def test_a_postgres_that_is_not_there_is_unavailable_at_once(settings_for):
    url = "postgresql+psycopg://nobody:hunter2@127.0.0.1:1/none"
    database = Database(settings_for(store={"database_url": url}))
    with pytest.raises(StoreUnavailable) as caught:
        database.check()
    assert "hunter2" not in caught.value.spoken()


def test_a_full_disk_is_told_and_what_was_kept_stays(small_disk, settings_for, rows):
    database = Database(settings_for(data_dir=small_disk.path / "data"))
    database.migrate()
    with database.begin() as connection:
        kept = rows.write(connection)
    small_disk.fill()
    large = {"large": "x" * 3_000_000}
    with pytest.raises(StorageFull) as caught, database.begin() as connection:
        rows.write(connection, facts=large)
    assert caught.value.retry_after
    assert caught.value.status == 507
    small_disk.free()
    with database.begin() as connection:
        found = connection.execute(select(cases.c.id)).scalars().all()
        assert kept in found
        rows.write(connection)
    database.close()


def test_database_files_and_folder_are_private(sqlite_settings, rows):
    database = Database(sqlite_settings)
    os.chmod(sqlite_settings.data_dir / "tutela.db", 0o600)
    with database.begin() as connection:
        rows.write(connection)
    for path in [sqlite_settings.data_dir, *sqlite_settings.data_dir.glob("tutela.db*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    database.close()


def test_a_new_database_file_is_private_from_the_start(settings_for):
    old = os.umask(0o000)
    try:
        database = Database(settings_for())
    finally:
        os.umask(old)
    path = database.settings.data_dir / "tutela.db"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    database.close()


def test_sqlite_commits_survive_a_power_cut_and_deleted_rows_are_overwritten(sqlite_database):
    with sqlite_database.read() as connection:
        asked = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    assert asked == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 2,
    }


@pytest.mark.parametrize("url", ["mysql://a@b/c", "not a url", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused_at_start(settings_for, url):
    with pytest.raises(InvalidSetting):
        Database(settings_for(store={"database_url": url}))


def test_a_plain_postgres_url_gets_our_driver(settings_for):
    database = Database(settings_for(store={"database_url": "postgresql://u@127.0.0.1:1/n"}))
    assert database.engine.dialect.driver == "psycopg"
    database.close()


def test_an_sqlite_url_names_another_file(settings_for, tmp_path):
    database = Database(settings_for(store={"database_url": f"sqlite:///{tmp_path}/x/other.db"}))
    database.check()
    assert (tmp_path / "x" / "other.db").exists()
    database.close()


def test_a_data_folder_that_cannot_be_made_is_told(settings_for, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidSetting) as caught:
        Database(settings_for(data_dir=tmp_path / "file" / "data"))
    assert str(tmp_path / "file" / "data") in caught.value.what
    assert "Not a directory" in caught.value.what


def test_errors_of_the_driver_never_leave_the_room(sqlite_database):
    with pytest.raises(StoreUnavailable) as caught, sqlite_database.read() as connection:
        connection.exec_driver_sql("SELECT * FROM there_is_none")
    assert isinstance(caught.value.__cause__, OperationalError)
    assert "there_is_none" not in caught.value.spoken()
