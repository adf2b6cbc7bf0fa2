"""What leaves is what may leave, and it comes back as it was."""

from __future__ import annotations

import io
import json

import pytest

from tutela.core import ListMode, Opinion, Purpose, SignalState, utc_now
from tutela.core.hashes import FrameHash, HashType
from tutela.core.signal import SignalHash
from tutela.errors import InvalidImport, InvalidInput, NotPermitted, StoreUnavailable
from tutela.lists import Lists
from tutela.lists.editing import Editor

WHO = {"actor": "anna", "reason": "a test"}

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""Exports read what the service's tests prove on both databases."""


def written(lists: Lists, name: str, format: str) -> bytes:
    return b"".join(lists.export(name, format, **WHO))


def rich(make, number: int, **facts):
    now = utc_now().replace(microsecond=0)
    frames = tuple(FrameHash(number=n, time=n / 4, pdq=make.bits(n), quality=70) for n in range(3))
    more = (
        SignalHash(type=HashType.PDQ, value=make.bits(number + 500), quality=None),
        SignalHash(type=HashType.VPDQ, frames=frames),
    )
    return make.signal(
        number,
        **{
            "hashes": make.signal(number).hashes + more,
            "classification": "A1",
            "tags": ("a", "b c"),
            "opinions": (Opinion(owner="org", stance="disputes", at=now, tags=("x",)),),
            "first_seen": now,
            "last_seen": now,
            "note": 'a "note", with\nlines; and more',
            "facts": {"size": "12"},
            **facts,
        },
    )


def test_json_lines_carry_everything_there_and_back(lists: Lists, known, make):
    lists.add("known", [rich(make, 1), rich(make, 2, state=SignalState.DISPUTED)], **WHO)
    lists.create("copy", Purpose.CSAM, mode=ListMode.HOLD, **WHO)
    lists.import_file("copy", io.BytesIO(written(lists, "known", "jsonl")), **WHO)
    first, second = (
        sorted((s.signal for s in lists.browse(name)), key=lambda s: s.upstream_id)
        for name in ("known", "copy")
    )
    assert first == second
    assert lists.get("known").root == lists.get("copy").root, "the same content, the same root"


def test_csv_carries_every_hash_and_fact_but_opinions(lists: Lists, known, make):
    lists.add("known", [rich(make, 1, opinions=(), facts={})], **WHO)
    lists.create("copy", Purpose.CSAM, mode=ListMode.HOLD, **WHO)
    report = lists.import_file("copy", io.BytesIO(written(lists, "known", "csv")), **WHO)
    assert (report.added, report.refused, report.duplicates) == (1, 0, 1)
    first, second = (lists.browse(name)[0].signal for name in ("known", "copy"))
    assert set(first.hashes) == set(second.hashes)
    for fact in ("upstream_id", "state", "classification", "tags", "first_seen", "note"):
        assert getattr(first, fact) == getattr(second, fact), fact


def test_hma_bank_content_there_and_back(lists: Lists, known, make):
    lists.add("known", [rich(make, 1), make.signal(2, state=SignalState.WITHDRAWN)], **WHO)
    data = written(lists, "known", "hma")
    contents = json.loads(data)
    assert contents[0]["bank"]["name"] == "KNOWN"
    assert sorted(contents[0]["signals"]) or sorted(contents[1]["signals"])
    lists.create("copy", Purpose.CSAM, mode=ListMode.HOLD, **WHO)
    report = lists.import_file("copy", io.BytesIO(data), **WHO)
    assert (report.format, report.added, report.withdrawn) == ("hma", 2, 1)
    assert lists.get("copy").entries == 1


def test_vics_there_and_back(lists: Lists, known, make):
    pdq_only = make.signal(3, hashes=(make.signal(3).hashes[-1],))
    lists.add("known", [make.signal(1, classification="A1"), pdq_only], **WHO)
    lists.withdraw("known", ["up-3"], **WHO)
    data = written(lists, "known", "vics")
    document = json.loads(data)
    (media,) = document["value"]
    assert media["Category"] is None, "what categories mean differs from country to country"
    assert media["Tags"] == "A1"
    lists.create("copy", Purpose.CSAM, mode=ListMode.HOLD, **WHO)
    report = lists.import_file("copy", io.BytesIO(data), **WHO)
    assert (report.format, report.refused) == ("vics", 1)
    assert report.refusals[0].reason == "it has no category, which was not asked for"
    categorised = data.replace(b'"Category":null', b'"Category":1')
    assert lists.import_file("copy", io.BytesIO(categorised), **WHO).added == 1
    signal = lists.browse("copy")[0].signal
    assert {part.value for part in signal.hashes} == {p.value for p in make.signal(1).hashes}


def test_signals_of_others_leave_only_where_their_source_lets_them(lists: Lists, make):
    lists.create("theirs", Purpose.CSAM, mode=ListMode.BLOCK, source="org", **WHO)
    lists.add("theirs", [make.signal(1)], **WHO)
    with pytest.raises(NotPermitted, match="lets nothing of it be passed on"):
        lists.export("theirs", "jsonl", **WHO)
    lists.add("theirs", [make.signal(2, redistribute=True)], **WHO)
    export = lists.export("theirs", "jsonl", **WHO)
    lines = b"".join(export).splitlines()
    assert (len(lines), export.written, export.withheld) == (1, 1, 1)
    assert json.loads(lines[0])["upstream_id"] == "up-2"


def test_an_export_is_recorded_with_who_and_why(lists: Lists, known, make):
    lists.add("known", [make.signal(1)], **WHO)
    b"".join(lists.export("known", "csv", actor="ben", reason="for the hotline"))
    event = lists.history("known")[-1]
    assert (event.kind, event.actor, event.reason) == ("export", "ben", "for the hotline")
    assert event.facts == {"format": "csv", "version": 2}


def test_an_export_that_cannot_be_recorded_hands_out_nothing(
    lists: Lists, known, make, monkeypatch
):
    """It is in the history before its first byte, so a failure is an error and no broken file."""
    lists.add("known", [make.signal(1)], **WHO)
    lists.export("known", "csv", **WHO)
    assert lists.history("known")[-1].kind == "export"

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("The database is away.")

    monkeypatch.setattr(Editor, "note", away)
    with pytest.raises(StoreUnavailable):
        lists.export("known", "csv", **WHO)


def test_vics_is_refused_for_any_other_purpose_and_unknown_formats_too(lists: Lists, known, make):
    lists.create("intimate", Purpose.NCII, mode=ListMode.BLOCK, **WHO)
    with pytest.raises(InvalidImport, match="purpose csam"):
        lists.export("intimate", "vics", **WHO)
    with pytest.raises(InvalidInput, match="not known"):
        lists.export("known", "xml", **WHO)


def test_an_export_left_half_way_frees_its_connection(lists: Lists, known, make):
    lists.add("known", [make.signal(n) for n in range(30)], **WHO)
    for _ in range(40):
        parts = iter(lists.export("known", "jsonl", **WHO))
        next(parts)
        parts.close()
    assert lists.match(make.picture(3))


def test_an_empty_list_exports_as_an_empty_file_of_its_format(lists: Lists, known):
    assert written(lists, "known", "jsonl") == b""
    assert json.loads(written(lists, "known", "hma")) == []
    assert json.loads(written(lists, "known", "vics"))["value"] == []
    assert written(lists, "known", "csv").count(b"\n") == 1
