"""Importing: all or nothing, line by line, and never a hash value in a report."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from tutela.core import ListMode, Purpose, SignalState, utc_now
from tutela.errors import Conflict, InvalidImport, NotFound, NotPermitted
from tutela.lists import HashQuery, Hooks, Lists, ReadOptions
from tutela.lists.versions import root_of
from tutela.store.tables.lists import list_imports, signal_hashes, signals

WHO = {"actor": "anna", "reason": "a test"}

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what does not depend on how a database locks, counts or streams."""


def csv(make, numbers, header: str = "upstream_id,md5,pdq,quality", extra: str = "") -> bytes:
    lines = [header]
    lines += [f"up-{n},{make.digests(n).md5.hex()},{make.bits(n).hex()},90{extra}" for n in numbers]
    return ("\n".join(lines) + "\n").encode()


def take(lists: Lists, data: bytes, name: str = "known", **options):
    return lists.import_file(name, io.BytesIO(data), **{**WHO, **options})


def counts(report) -> tuple[int, ...]:
    return (report.read, report.added, report.changed, report.unchanged, report.refused)


def test_a_file_is_one_version_and_matches_at_once(lists: Lists, known, make):
    report = take(lists, csv(make, range(30)))
    assert counts(report) == (30, 30, 0, 0, 0)
    assert (report.format, report.unit, report.version) == ("csv", "line", 2)
    assert lists.match(make.picture(7, flips=3))
    info = lists.get("known")
    assert (info.entries, info.version) == (30, 2)
    assert info.refreshed_at is not None
    content = [stored.signal for stored in lists.browse("known", limit=100)]
    assert info.root == root_of(content) == lists.recomputed_root("known")
    assert lists.versions("known")[0].kind == "import"


def test_the_same_file_again_changes_nothing(lists: Lists, known, make):
    take(lists, csv(make, range(5)))
    first = lists.get("known")
    report = take(lists, csv(make, range(5)))
    assert counts(report) == (5, 0, 0, 5, 0)
    assert report.version is None
    again = lists.get("known")
    assert (again.version, again.root) == (first.version, first.root)
    assert again.refreshed_at > first.refreshed_at, "but the list is fresh"


def test_a_file_changes_withdraws_and_adds(lists: Lists, known, make):
    header = "upstream_id,md5,pdq,quality,state"
    take(lists, csv(make, range(4), header, ","))
    data = (
        csv(make, [0], header, ",withdrawn") + csv(make, [1, 2, 9], header, ",")[len(header) + 1 :]
    )
    report = take(lists, data)
    assert counts(report) == (4, 1, 1, 2, 0)
    assert report.withdrawn == 1
    assert lists.match(make.picture(0)) == ()
    assert lists.match(make.picture(9))
    assert lists.get("known").entries == 4
    assert lists.get("known").root == lists.recomputed_root("known")


@on_sqlite
def test_a_dry_run_tells_the_same_and_changes_nothing(lists: Lists, known, make):
    take(lists, csv(make, range(3)))
    data = csv(make, [1, 2, 3, 3, 4]) + b"up-5,nonsense,,\n"
    tried = take(lists, data, dry_run=True)
    assert tried.dry_run
    assert lists.get("known").version == 2
    assert lists.match(make.picture(4)) == ()
    done = take(lists, data)
    assert counts(tried) == counts(done) == (6, 2, 0, 2, 1)
    assert tried.duplicates == done.duplicates == 1


@on_sqlite
def test_a_dry_run_needs_no_approval(open_lists, known, make):
    def refuse(_edit):
        raise NotPermitted("A second person has to agree.")

    strict = open_lists(Hooks(approve=refuse))
    assert take(strict, csv(make, [1]), dry_run=True).added == 1
    with pytest.raises(NotPermitted):
        take(strict, csv(make, [1]))


@on_sqlite
def test_refusals_name_line_and_reason_and_never_a_value(lists: Lists, known, make):
    secret = make.digests(1).md5.hex()
    data = (
        "upstream_id,md5,pdq,quality,purpose,state\n"
        f"a,{secret[:-1]},,,,\n"
        f"b,{secret},,,ncii,\n"
        f"c,{secret}\n"
        f"d,{secret},,,,gone\n"
        f'e,"{secret},,,,\n'
        f"f,,{make.bits(1).hex()},101,,\n"
        "g,,,,,\n"
        f"h,{secret},,,csam,\n"
    ).encode()
    report = take(lists, data)
    assert [(r.number, r.reason) for r in report.refusals] == [
        (2, "its md5 is not 32 hexadecimal digits"),
        (3, "its purpose is not this list's (csam)"),
        (4, "it has 2 fields where the first line has 6"),
        (5, "its state is not active, disputed, withdrawn or expired"),
        (6, "its quotation marks do not pair"),
        (7, "its quality is not a number from 0 to 100"),
        (8, "it has no hash that can be matched"),
    ]
    assert counts(report) == (8, 1, 0, 0, 7)
    assert secret not in repr(report)
    assert make.bits(1).hex() not in repr(report)


def test_lines_of_one_id_make_one_signal_even_across_parts(lists: Lists, known, make, monkeypatch):
    monkeypatch.setattr("tutela.lists.importing.PART", 2)
    digests = make.digests(1)
    rows = [f"one,md5,{digests.md5.hex()}"]
    rows += [f"other-{n},md5,{make.digests(n).md5.hex()}" for n in range(10, 15)]
    rows += [f"one,sha1,{digests.sha1.hex()}", f"one,pdq,{make.bits(1).hex()}"]
    rows += [f"one,md5,{digests.md5.hex()}"]
    report = take(lists, ("id,hash_type,hash\n" + "\n".join(rows) + "\n").encode())
    assert (report.added, report.duplicates, report.changed) == (6, 3, 0)
    (stored,) = [s for s in lists.browse("known") if s.signal.upstream_id == "one"]
    assert [part.type.value for part in stored.signal.hashes] == ["md5", "sha1", "pdq"]
    assert lists.match(make.picture(1, flips=2))
    assert lists.match_hashes([HashQuery(sha1=digests.sha1)])[0]
    info = lists.get("known")
    assert (info.entries, info.root) == (6, lists.recomputed_root("known"))


@on_sqlite
def test_the_operators_withdrawal_survives_an_import(lists: Lists, known, make):
    take(lists, csv(make, range(3)))
    lists.withdraw("known", ["up-1"], **WHO)
    report = take(lists, csv(make, range(3)))
    assert report.unchanged == 3
    assert lists.match(make.picture(1)) == ()
    assert lists.get("known").entries == 2


class Cut(io.BytesIO):
    """A stream whose reader dies after so many bytes."""

    def __init__(self, data: bytes, after: int) -> None:
        super().__init__(data)
        self.after = after

    def read1(self, size: int = -1) -> bytes:
        return self.read(size)

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self.after:
            raise KeyboardInterrupt
        return super().read(min(size, 4096) if size and size > 0 else 4096)


def rows_left(lists: Lists, row: int) -> tuple[int, int]:
    with lists.database.read() as connection:
        query = select(signals.c.id).where(signals.c.list_row == row)
        hashes = select(signal_hashes.c.id).where(signal_hashes.c.list_row == row)
        return len(connection.execute(query).all()), len(connection.execute(hashes).all())


def test_an_import_that_breaks_off_leaves_the_list_as_it_was(
    lists: Lists, known, make, monkeypatch
):
    monkeypatch.setattr("tutela.lists.importing.PART", 20)
    take(lists, csv(make, range(3)))
    before = lists.get("known")
    with pytest.raises(KeyboardInterrupt):
        lists.import_file("known", Cut(csv(make, range(100, 400)), 12_000), format="csv", **WHO)
    lists.rebuild_snapshot()
    assert lists.match(make.picture(105)) == ()
    assert lists.match(make.picture(1))
    assert lists.get("known") == before
    assert rows_left(lists, known.row) == (3, 6)
    assert take(lists, csv(make, range(100, 110))).added == 10, "and the next import works"


def test_what_a_killed_import_left_never_counts_and_the_next_one_sweeps_it(
    open_lists, known, make, monkeypatch
):
    monkeypatch.setattr("tutela.lists.importing.PART", 20)
    lists = open_lists()
    take(lists, csv(make, range(3)))
    with monkeypatch.context() as killed:
        killed.setattr("tutela.lists.importing.Importer._abandon", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            lists.import_file("known", Cut(csv(make, range(100, 400)), 12_000), format="csv", **WHO)
    assert rows_left(lists, known.row)[0] > 3
    late = open_lists()
    late.rebuild_snapshot()
    assert late.match(make.picture(105)) == ()
    assert late.get("known").entries == 3
    assert len(late.browse("known")) == 3
    with pytest.raises(NotFound):
        late.withdraw("known", ["up-105"], **WHO)
    assert late.recomputed_root("known") == late.get("known").root
    with pytest.raises(Conflict, match="under way"):
        take(late, csv(make, [9]))
    with lists.database.begin() as connection:
        old = utc_now() - timedelta(minutes=3)
        connection.execute(update(list_imports).values(alive_at=old))
    assert take(late, csv(make, [9])).added == 1
    assert rows_left(late, known.row)[0] == 4


def test_edits_go_on_while_an_import_runs(lists: Lists, known, make, monkeypatch):
    monkeypatch.setattr("tutela.lists.importing.PART", 10)
    take(lists, csv(make, range(3)))
    done = []

    def meanwhile(read: int) -> None:
        if not done:
            lists.withdraw("known", ["up-1"], **WHO)
            lists.add("known", [make.signal(900)], **WHO)
            lists.add("known", [make.signal(101)], **WHO)
            done.append(read)
            assert lists.match(make.picture(1)) == ()
            assert lists.match(make.picture(900))
            assert lists.match(make.picture(102)) == (), "what is being imported waits"

    report = take(lists, csv(make, range(100, 130)), progress=meanwhile)
    assert done == [10]
    assert report.version == 6
    info = lists.get("known")
    assert info.entries == 2 + 1 + 30
    assert info.root == lists.recomputed_root("known")
    assert all(lists.match(make.picture(n)) for n in range(100, 130))


@on_sqlite
def test_two_imports_into_one_list_do_not_mix(lists: Lists, known, make, monkeypatch):
    monkeypatch.setattr("tutela.lists.importing.PART", 10)

    def second(_read: int) -> None:
        with pytest.raises(Conflict):
            take(lists, csv(make, [900]))

    assert take(lists, csv(make, range(30)), progress=second).added == 30


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("at", [10, 30])
def test_an_import_taken_for_dead_writes_no_more(
    lists: Lists, known, make, monkeypatch, at, mirror
):
    """It was silent too long and another one swept it: half of it must not count as the whole."""
    monkeypatch.setattr("tutela.lists.importing.PART", 10)
    take(lists, csv(make, range(500, 503)))

    def silent(read: int) -> None:
        if read == at:
            with lists.database.begin() as connection:
                old = utc_now() - timedelta(minutes=3)
                connection.execute(update(list_imports).values(alive_at=old))
            assert take(lists, csv(make, [900])).added == 1

    with pytest.raises(Conflict, match="took it for dead"):
        take(lists, csv(make, range(30)), progress=silent, mirror=mirror)
    info = lists.get("known")
    assert info.entries == 4
    assert info.root == lists.recomputed_root("known")
    assert rows_left(lists, known.row)[0] == 4
    assert lists.match(make.picture(5)) == ()
    assert lists.match(make.picture(900))


def test_a_list_deleted_meanwhile_stops_its_import(lists: Lists, known, make, monkeypatch):
    monkeypatch.setattr("tutela.lists.importing.PART", 10)

    def remove(read: int) -> None:
        if read == 10:
            lists.delete("known", **WHO)

    with pytest.raises(NotFound):
        take(lists, csv(make, range(30)), progress=remove)
    assert rows_left(lists, known.row) == (0, 0)


def test_a_mirrored_file_withdraws_what_it_no_longer_has(lists: Lists, known, make):
    take(lists, csv(make, range(6)))
    take(lists, csv(make, range(6)))
    lists.dispute("known", ["up-2"], **WHO)
    report = take(lists, csv(make, [2, 3, 7]), mirror=True)
    assert counts(report) == (3, 1, 0, 2, 0)
    assert [bool(lists.match(make.picture(n))) for n in range(8)] == [
        n in (2, 3, 7) for n in range(8)
    ]
    info = lists.get("known")
    assert (info.entries, info.root) == (3, lists.recomputed_root("known"))
    assert lists.versions("known")[0].removed == 4
    assert take(lists, csv(make, range(6))).changed == 4, "the source may bring them back"
    assert lists.match(make.picture(0))


@on_sqlite
def test_a_damaged_file_is_never_mirrored(lists: Lists, known, make):
    take(lists, csv(make, range(6)))
    for data in (csv(make, [1]) + b"x,broken,,\n", b"upstream_id,md5\n"):
        with pytest.raises(InvalidImport):
            take(lists, data, mirror=True)
    assert lists.get("known").entries == 6
    assert all(lists.match(make.picture(n)) for n in range(6))


@on_sqlite
def test_the_flag_that_a_signal_may_be_passed_on_can_be_given(lists: Lists, known, make):
    take(lists, csv(make, [1]), options=ReadOptions(redistribute=True))
    assert lists.browse("known")[0].signal.redistribute
    take(lists, csv(make, [1]), options=ReadOptions(redistribute=False))
    assert not lists.browse("known")[0].signal.redistribute


@on_sqlite
def test_purposes_never_mix_by_files_of_another_list(lists: Lists, known, make):
    lists.create("intimate", Purpose.NCII, mode=ListMode.BLOCK, **WHO)
    take(lists, csv(make, range(3)), name="intimate")
    for name in ("csv", "jsonl"):
        data = b"".join(lists.export("intimate", name, **WHO))
        report = take(lists, data)
        assert (report.added, report.refused) == (0, 3)
    with pytest.raises(InvalidImport, match="purpose csam"):
        take(lists, b'{"@odata.context":"x","value":[]}', name="intimate", format="vics")


@on_sqlite
def test_an_unknown_state_of_the_world_is_told_before_anything_is_written(
    lists: Lists, known, make
):
    with pytest.raises(NotFound):
        take(lists, csv(make, [1]), name="nowhere")
    for data in (b"", b"  \n ", b"\x00\x01\x02", b"a,b,c\n1,2,3\n"):
        with pytest.raises(InvalidImport):
            take(lists, data)
    assert lists.get("known").version == 1
    assert take(lists, csv(make, [1])).added == 1, "no import is left hanging"


@on_sqlite
def test_expired_signals_are_taken_in_and_do_not_match(lists: Lists, known, make):
    header = "upstream_id,md5,pdq,quality,expires_at"
    take(lists, csv(make, [1], header, ",2020-01-01T00:00:00Z"))
    assert lists.match(make.picture(1)) == ()
    assert lists.browse("known")[0].signal.state is SignalState.EXPIRED


def refreshed_at(lists: Lists):
    return lists.get("known").refreshed_at


def test_a_file_that_was_refused_whole_makes_no_list_fresh(lists: Lists, known, make):
    take(lists, csv(make, [1]))
    before = refreshed_at(lists)
    report = take(lists, b"md5\nxyz\n")
    assert (report.refused, report.refreshed) == (1, False)
    assert take(lists, b"md5\n").refreshed is False, "an empty file says nothing either"
    assert refreshed_at(lists) == before
    again = take(lists, csv(make, [1]) + b"wrong line\n")
    assert (again.unchanged, again.refused, again.refreshed) == (1, 1, True)
    assert refreshed_at(lists) > before
