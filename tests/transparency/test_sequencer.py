"""Publishing: contiguous numbers, whole files, and the same tree after any crash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from tutela.errors import InvalidSetting, LedgerDamaged, StoreUnavailable, TutelaError
from tutela.store import Database
from tutela.store.tables.ledger import ledger_entries, ledger_state
from tutela.transparency import Sequencer, files
from tutela.transparency.merkle import consistency_proof, consistent, root
from tutela.transparency.notes import Checkpoint, open_checkpoint
from tutela.transparency.tiles import TileFolder


def again(log: Any) -> Sequencer:
    """As after a restart."""
    return Sequencer(log.database, log.database.settings)


def checkpoint_of(log: Any) -> Checkpoint:
    return open_checkpoint((log.folder / "checkpoint").read_bytes(), log.sequencer.key())


def test_every_checkpoint_continues_the_one_before(any_log: Any) -> None:
    earlier: list[Checkpoint] = []
    for count in (0, 1, 1, 5, 250, 1, 255, 300):
        any_log.grow(count)
        earlier.append(checkpoint_of(any_log))
    last = earlier[-1]
    read = TileFolder(any_log.folder).reader(last.size)
    assert last.size == 813
    assert root(read, last.size) == last.root
    for one in earlier:
        if one.size:
            path = consistency_proof(read, one.size, last.size)
            assert consistent(one.size, last.size, one.root, last.root, path)
    assert any_log.verify().ok


def test_numbers_are_contiguous_and_in_order_of_writing(any_log: Any) -> None:
    ids = [entry.id for entry in any_log.append(5)]
    any_log.sequencer.run_once()
    ids += [entry.id for entry in any_log.append(3)]
    any_log.sequencer.run_once()
    with any_log.database.read() as conn:
        rows = conn.execute(
            select(ledger_entries.c.seq, ledger_entries.c.id).order_by(ledger_entries.c.seq)
        ).all()
    assert [tuple(row) for row in rows] == list(enumerate(ids))


def test_nothing_is_written_when_nothing_waits(log: Any) -> None:
    log.grow(3)
    before = {p: p.stat().st_mtime_ns for p in log.folder.rglob("*")}
    assert log.sequencer.run_once().added == 0
    assert again(log).run_once().added == 0
    assert {p: p.stat().st_mtime_ns for p in log.folder.rglob("*")} == before


def test_partial_tiles_of_signed_sizes_stay_until_the_full_one_is_there(log: Any) -> None:
    log.grow(3, 4)
    names = sorted(p.name for p in (log.folder / "tile/0/000.p").iterdir())
    assert names == ["3", "7"]
    log.grow(249)
    assert (log.folder / "tile/0/000").exists()
    assert not (log.folder / "tile/0/000.p").exists()
    assert log.verify().ok


@pytest.mark.parametrize("before", [0, 2, 254])
def test_a_crash_at_any_write_leaves_the_last_state_and_the_next_run_finishes(
    log: Any, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Ends the run at its first, second, third… write to disk or database until one gets through;
    after each, the signed state still stands and what was promised is never taken back."""
    log.grow(before)
    signed = checkpoint_of(log)
    log.append(4)
    steps = ["write_whole", "flush_folder"]
    real = {name: getattr(files, name) for name in steps}
    real_note, real_rmtree = Sequencer._note, shutil.rmtree

    class CrashError(Exception):
        pass

    for survived in range(100):
        left = [survived]

        def dying(call: Any, left: list[int] = left) -> Any:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                if left[0] == 0:
                    raise CrashError
                left[0] -= 1
                return call(*args, **kwargs)

            return wrapped

        for name in steps:
            monkeypatch.setattr(files, name, dying(real[name]))
        monkeypatch.setattr(Sequencer, "_note", dying(real_note))
        monkeypatch.setattr(shutil, "rmtree", dying(real_rmtree))
        try:
            again(log).run_once()
            crashed = False
        except CrashError:
            crashed = True
        monkeypatch.undo()
        now = checkpoint_of(log)
        assert now.size >= signed.size
        told = [str(p) for p in log.verify().problems]
        assert all("beyond the signed checkpoint" in line for line in told), told
        if not crashed:
            break
    else:
        raise AssertionError("it never got through")
    assert survived > 5
    assert checkpoint_of(log).size == before + 4
    assert log.verify().ok
    again(log).run_once()
    assert log.verify().ok


def test_what_an_interrupted_run_left_is_replaced_by_a_larger_one(log: Any) -> None:
    log.grow(2)
    (log.folder / "tile/0/000.p/4").write_bytes(b"\xff" * 128)
    (log.folder / "tile/entries/000.p/4").write_bytes(b"\xff" * 136)
    (log.database.settings.data_dir / files.STAGING / "half").write_bytes(b"half")
    log.append(5)
    again(log).run_once()
    report = log.verify()
    assert report.ok, report.problems
    assert not (log.folder / "tile/0/000.p/4").exists()
    assert list((log.database.settings.data_dir / files.STAGING).iterdir()) == []


def test_a_lost_folder_is_made_again_bit_for_bit(any_log: Any, tmp_path: Path) -> None:
    any_log.grow(3, 600)
    kept = {
        p.relative_to(any_log.folder): p.read_bytes()
        for p in any_log.folder.rglob("*")
        if p.is_file()
    }
    shutil.rmtree(any_log.folder)
    again(any_log).run_once()
    made = {
        p.relative_to(any_log.folder): p.read_bytes()
        for p in any_log.folder.rglob("*")
        if p.is_file()
    }
    assert made == kept
    assert any_log.verify().ok


def test_a_folder_behind_is_brought_up_to_date(log: Any, tmp_path: Path) -> None:
    """Another machine with a folder of its own takes over the duty."""
    log.grow(3)
    shutil.copytree(log.folder, tmp_path / "earlier")
    log.grow(4, 300)
    shutil.rmtree(log.folder)
    shutil.copytree(tmp_path / "earlier", log.folder)
    log.append(1)
    assert again(log).run_once().size == 308
    assert log.verify().ok


def test_entries_altered_after_they_were_signed_are_not_published_again(log: Any) -> None:
    log.grow(3)
    shutil.rmtree(log.folder)
    with log.database.begin() as conn:
        conn.execute(text("UPDATE ledger_entries SET commitment = zeroblob(32) WHERE seq = 1"))
    with pytest.raises(LedgerDamaged, match="not those that were signed"):
        again(log).run_once()
    assert not (log.folder / "checkpoint").exists()


def test_a_database_set_back_is_refused_not_forked(log: Any) -> None:
    log.grow(5)
    with log.database.begin() as conn:
        conn.execute(delete(ledger_entries).where(ledger_entries.c.seq >= 3))
    log.append(1)
    with pytest.raises(LedgerDamaged) as told:
        again(log).run_once()
    assert "5 entries were signed" in told.value.what
    with log.database.begin() as conn:
        conn.execute(delete(ledger_state))
    with pytest.raises(LedgerDamaged, match="published ledger has 5"):
        again(log).run_once()
    assert checkpoint_of(log).size == 5


def test_entries_missing_in_the_middle_are_refused(log: Any) -> None:
    log.append(5)
    log.sequencer._give_numbers()
    with log.database.begin() as conn:
        conn.execute(delete(ledger_entries).where(ledger_entries.c.seq == 2))
    with pytest.raises(LedgerDamaged, match="lacks entries"):
        log.sequencer.run_once()


def test_damaged_tiles_get_nothing_added(log: Any) -> None:
    log.grow(3)
    (log.folder / "tile/0/000.p/3").write_bytes(bytes(96))
    log.append(1)
    with pytest.raises(LedgerDamaged, match="do not lead to the signed root"):
        again(log).run_once()


def test_another_key_or_name_is_refused(log: Any) -> None:
    log.grow(1)
    settings = log.database.settings
    renamed = settings.model_copy(
        update={"ledger": settings.ledger.model_copy(update={"origin": "other.example/log"})}
    )
    with pytest.raises(InvalidSetting, match="begun as"):
        Sequencer(log.database, renamed).run_once()
    (settings.data_dir / files.KEY).unlink()
    shutil.rmtree(log.folder)
    with pytest.raises(LedgerDamaged, match="another key"):
        again(log).run_once()


def test_the_key_is_private_and_made_once(log: Any) -> None:
    key = log.sequencer.key()
    path = log.database.settings.data_dir / files.KEY
    assert path.stat().st_mode & 0o777 == 0o600
    assert again(log).key() == key
    log.sequencer.run_once()
    assert (log.folder / "key.pub").read_text() == f"{key}\n"
    secret = path.read_text().split("+")[-1].strip()
    assert all(secret.encode() not in p.read_bytes() for p in log.folder.rglob("*") if p.is_file())


def test_a_full_disk_is_told_and_survived(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    log.grow(1)
    log.append(1)

    def full(*_args: Any, **_kwargs: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(TutelaError) as told:
        log.sequencer.run_once()
    assert told.value.code == "storage-full"
    monkeypatch.undo()
    assert checkpoint_of(log).size == 1
    assert log.sequencer.run_once().size == 2
    assert log.verify().ok


def test_an_unreadable_folder_is_told(log: Any) -> None:
    log.database.settings.data_dir.joinpath("ledger").write_text("in the way")
    log.append(1)
    with pytest.raises(StoreUnavailable):
        log.sequencer.run_once()


def test_more_than_fits_at_once_follows_under_the_next_checkpoint(
    log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutela.transparency.sequencer.MOST_AT_ONCE", 10)
    log.append(25)
    assert [log.sequencer.run_once().size for _ in range(4)] == [10, 20, 25, 25]
    assert log.verify().ok


def test_many_writers_and_sequencers_at_once_make_one_tree(any_log: Any) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(15):
                any_log.append(2)
        except BaseException as error:
            failed.append(error)

    def publish() -> None:
        sequencer = again(any_log)
        try:
            while not stop.is_set():
                sequencer.run_once()
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write) for _ in range(3)]
    publishers = [threading.Thread(target=publish) for _ in range(2)]
    for thread in (*writers, *publishers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in publishers:
        thread.join()
    assert failed == []
    again(any_log).run_once()
    report = any_log.verify()
    assert report.ok, report.problems
    assert (report.size, report.waiting) == (90, 0)


def test_what_another_process_publishes_meanwhile_is_no_contradiction(
    log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for work and getting the lock, others number, publish and sign."""
    log.grow(2)
    other, late = again(log), again(log)
    real, done = files.locked, [False]

    def locked(*arguments: Any, **more: Any) -> Any:
        if not done[0]:
            done[0] = True
            log.append(5)
            other.run_once()
        return real(*arguments, **more)

    monkeypatch.setattr(files, "locked", locked)
    assert late.run_once().size == 7
    assert log.verify().ok


PUBLISHES_FOR_EVER = """
import sys
from tutela.settings import load_settings
from tutela.store import Database
from tutela.transparency import Ledger, Sequencer

settings = load_settings()
database = Database(settings)
ledger, sequencer = Ledger(database, settings), Sequencer(database, settings)
while True:
    with database.begin() as conn:
        for n in range(7):
            ledger.append(conn, "policy", {"n": n})
    sequencer.run_once()
    sys.stdout.write("published\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_at_any_moment_the_ledger_verifies_after_the_next_run(
    kind: str, request: pytest.FixtureRequest, make_log: Any
) -> None:
    database: Database = request.getfixturevalue(f"{kind}_database")
    log = make_log(database)
    settings = database.settings
    environment = {
        **os.environ,
        "TUTELA_DATA_DIR": str(settings.data_dir),
        "TUTELA_STORE__DATABASE_URL": settings.store.database_url.get_secret_value(),
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISHES_FOR_EVER], env=environment, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    try:
        for worker, pause in zip(workers, (0.003, 0.017, 0.041), strict=True):
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"published\n"
            time.sleep(pause)
            worker.kill()
            worker.wait()
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    again(log).run_once()
    report = log.verify()
    assert report.ok, report.problems
    assert report.size >= 21
    assert report.waiting == 0


def test_the_state_is_never_set_back(log: Any) -> None:
    log.grow(5)
    with log.database.begin() as conn:
        conn.execute(update(ledger_state).values(size=4, root=bytes(32)))
    log.append(1)
    shutil.rmtree(log.folder)
    with pytest.raises(LedgerDamaged):
        again(log).run_once()
