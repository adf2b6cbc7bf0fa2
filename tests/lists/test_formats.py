"""Every format reads what its own world writes, and survives what nobody should write."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutela.core import HashType, ListMode, Opinion, Purpose, Signal, SignalHash, SignalState
from tutela.core.hashes import FrameHash
from tutela.errors import InvalidHash, InvalidImport, InvalidInput
from tutela.lists.formats import FORMATS, ReadOptions, open_reading, sniff
from tutela.lists.formats.base import Refused, flag_of, frames_of, time_of
from tutela.lists.formats.stream import JsonBroken, JsonStream
from tutela.lists.records import ListInfo
from tutela.lists.signals import derived_id, parse_hash

LIST = ListInfo(
    row=1,
    id="list_x",
    name="known",
    purpose=Purpose.CSAM,
    mode=ListMode.BLOCK,
    source="own",
    synced=False,
    stale_after_hours=72.0,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    refreshed_at=None,
    version=1,
    entries=0,
    root=b"",
)
MD5, SHA1, SHA256, PDQ = "1" * 32, "2" * 40, "3" * 64, "4" * 64


def read(data: bytes | str, name: str | None = None, **options):
    """All entries, by number, and the reading itself."""
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    reading, _ = open_reading(name, stream, LIST, ReadOptions(**options))
    return dict(reading), reading


def shown(signal: Signal) -> dict[str, str]:
    return {part.type.value: part.value.hex() for part in signal.hashes}


# --- CSV --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_of_any_habit_is_read(delimiter, mark, end):
    lines = [
        "ID;MD5;SHA-256;PDQ;Quality;Label",
        f"a;{MD5.upper()};{SHA256};{PDQ};88;A1",
        "",
        "b;;;;;",
    ]
    entries, _ = read(mark + end.join(lines).replace(";", delimiter) + end)
    assert shown(entries[2]) == {"md5": MD5, "sha256": SHA256, "pdq": PDQ}
    assert entries[2].upstream_id == "a"
    assert entries[2].classification == "A1"
    assert entries[2].hashes[-1].quality == 88
    assert entries[4] == "it has no hash that can be matched"


def test_csv_counts_lines_as_an_editor_does_past_quotes_over_lines():
    data = f'id,md5,note\na,{MD5},"one\ntwo, ""three"""\nb,{MD5},plain\nc,bad,x\n'
    entries, _ = read(data)
    assert entries[2].note == 'one\ntwo, "three"'
    assert sorted(entries) == [2, 4, 5]


def test_a_stray_quote_costs_its_own_line_only():
    rows = "".join(f"n{n},{n:032d},\n" for n in range(200))
    entries, _ = read(f'id,md5,note\nx,{MD5},"never closed\n{rows}')
    assert entries[2] == "its quotation marks do not pair"
    assert sum(isinstance(entry, Signal) for entry in entries.values()) == 200


def test_bare_hashes_say_what_they_are_by_length_or_word():
    entries, _ = read(f"# a comment\n{MD5}\n{SHA1}\nsha256:{SHA256}\npdq:{PDQ}\n{SHA256}\n\nxyz\n")
    assert [shown(entries[n]) for n in (2, 3, 4, 5)] == [
        {"md5": MD5},
        {"sha1": SHA1},
        {"sha256": SHA256},
        {"pdq": PDQ},
    ]
    assert entries[6] == (
        "the hash does not say what it is: write sha256:… or pdq:…, or give --type"
    )
    assert entries[8] == "the hash does not say what it is"
    assert entries[2].upstream_id.startswith("h-")
    assert MD5 not in entries[2].upstream_id


def test_csv_with_one_hash_a_line_names_its_type():
    entries, reading = read(
        f"type,value,quality\nMD5,{MD5},\npdq,{PDQ},77\nphotodna,AAAA,\nvideo_md5,{MD5},\n"
        f"unknown,{MD5},\nsha1,{MD5},\n"
    )
    assert shown(entries[2]) == {"md5": MD5}
    assert entries[3].hashes[0].quality == 77
    assert entries[4] == "it has no hash that can be matched"
    assert shown(entries[5]) == {"md5": MD5}
    assert entries[6] == "the type of its hash is not known"
    assert entries[7] == "a sha1 is 40 hexadecimal digits"
    assert reading.ignored == 1


def test_a_csv_video_has_frames():
    frames = json.dumps([[0, 0.5, 90, PDQ], f"{PDQ},80,1.25"]).replace('"', '""')
    entries, _ = read(f'id,vpdq\na,"{frames}"\nb,"[]"\nc,"[[1]]"\nd,nonsense\n')
    first, second = entries[2].hashes[0].frames
    assert (first.number, first.time, first.quality) == (0, 0.5, 90)
    assert (second.number, second.time, second.quality) == (1, 1.25, 80)
    assert entries[3] == "its video has no frames"
    assert entries[4] == "frame 1 of its video makes no sense"
    assert entries[5] == "its vpdq is not a JSON array"


# --- JSON Lines -------------------------------------------------------------------------------


def test_json_lines_refuse_line_by_line():
    lines = [
        json.dumps({"id": "a", "md5": MD5, "pdq": PDQ, "quality": 55}),
        "not json",
        "[1]",
        json.dumps({"id": "b"}),
        json.dumps({"id": "c", "hashes": [{"type": "md5", "value": "zz"}]}),
        json.dumps({"id": "d", "hashes": [{"type": "photodna", "value": "x"}], "sha1": SHA1}),
        json.dumps({"id": "e", "md5": MD5, "purpose": "ncii"}),
        json.dumps({"id": "f", "md5": MD5, "tags": "x"}),
        json.dumps({"id": "g", "md5": MD5, "opinions": [{"owner": "o", "stance": "loves"}]}),
        json.dumps({"id": "h", "md5": 5}),
        json.dumps({"id": "i", "md5": MD5, "expires_at": "soon"}),
        json.dumps({"md5": MD5, "redistribute": "yes"}),
    ]
    entries, reading = read("\ufeff" + "\n\n".join(lines) + "\n", "jsonl")
    assert shown(entries[1]) == {"md5": MD5, "pdq": PDQ}
    assert [entries[n] for n in (3, 5, 7, 9)] == [
        "it is not JSON",
        "it is not a JSON object",
        "it has no hash that can be matched",
        "its md5 is not 32 hexadecimal digits",
    ]
    assert shown(entries[11]) == {"sha1": SHA1}
    assert reading.ignored == 1
    assert [entries[n] for n in (13, 15, 17, 19, 21)] == [
        "its purpose is not this list's (csam)",
        "its tags are not a list",
        "one of its opinions names no owner or no known stance",
        "its md5 is not text",
        "one of its times makes no sense",
    ]
    assert entries[23].redistribute


# --- HMA --------------------------------------------------------------------------------------


def content(number: int = 7, **facts: object) -> dict[str, object]:
    return {
        "id": number,
        "disable_until_ts": 1,
        "collab_metadata": {},
        "original_media_uri": None,
        "bank": {"name": "BANK", "matching_enabled_ratio": 1.0},
        "signals": {"pdq": PDQ},
        **facts,
    }


@pytest.mark.parametrize(
    "wrap",
    [
        lambda c: json.dumps(c),
        lambda c: json.dumps([c], indent=2),
        lambda c: json.dumps({"bank": "BANK", "contents": [c]}),
        lambda c: json.dumps(c) + "\n",
    ],
)
def test_hma_content_is_read_in_every_shape(wrap):
    entries, _ = read(wrap(content()), "hma")
    assert entries[1].upstream_id == "BANK/7"
    assert shown(entries[1]) == {"pdq": PDQ}


def test_hma_states_and_signal_types():
    frames = json.dumps([f"{PDQ},90,0.000"])
    contents = [
        content(1, signals={"video_md5": MD5, "vpdq": frames, "raw_text": "x"}),
        content(2, disable_until_ts=0),
        content(3, disable_until_ts=4102444800),
        content(4, disable_until_ts=1000),
        content(5, signals=[{"signal_type": "pdq", "signal_value": PDQ}]),
        content(6, signals={"raw_text": "x"}),
        content(7, signals=None),
        content(8, disable_until_ts="never"),
        {"id": 9},
        content(10, signals={"pdq": "short"}),
        17,
    ]
    entries, reading = read(json.dumps(contents))
    assert [part.type for part in entries[1].hashes] == [HashType.MD5, HashType.VPDQ]
    assert [entries[n].state for n in (2, 3, 4, 5)] == [
        SignalState.WITHDRAWN,
        SignalState.WITHDRAWN,
        SignalState.ACTIVE,
        SignalState.ACTIVE,
    ]
    assert [entries[n] for n in range(6, 12)] == [
        "it has no hash that can be matched",
        "its signals are neither an object nor a list",
        "its disable_until_ts is not a number",
        "it is not a content object with signals",
        "its pdq is not 64 hexadecimal digits",
        "it is not a content object with signals",
    ]
    assert reading.ignored == 2


def test_a_file_that_breaks_off_is_told_and_what_came_before_is_taken():
    whole = json.dumps([content(n) for n in range(50)])
    entries, reading = read(whole[:-700])
    assert not reading.complete
    numbers = sorted(entries)
    assert entries[numbers[-1]] == "the file is not JSON from here on"
    assert all(isinstance(entries[n], Signal) for n in numbers[:-1])
    assert len(numbers) > 40


# --- VICS -------------------------------------------------------------------------------------

VICS = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/UK/$metadata#"


def media(**facts: object) -> dict[str, object]:
    return {"MediaID": 1, "Category": 1, "MD5": MD5.upper(), **facts}


def test_vics_hash_sets_and_cases_with_every_habit_of_their_writers():
    odd = media(
        Category="2",
        SHA1=SHA1,
        PhotoDNA="AAAA",
        MediaSize="123",
        VictimIdentified="True",
        IsDistributed="false",
        DateUpdated="/Date(1400000000000+0200)/",
        Tags="one;two",
        Comments="a name",
        AlternativeHashes=[
            {"HashName": "SHA-256", "HashValue": SHA256},
            {"HashName": "PDQ", "HashValue": PDQ},
            {"HashName": "eD2k", "HashValue": "x"},
        ],
    )
    for document in (
        {"@odata.context": VICS + "Media", "value": [odd]},
        {"value": [{"CaseID": "x", "Media": [odd], "ContactName": "y"}], "@odata.context": VICS},
        {
            "@odata.context": VICS + "Cases",
            "value": [{"CaseID": "x", "Media": [odd]}, {"CaseID": "z"}],
        },
    ):
        entries, reading = read("\ufeff" + json.dumps(document), "vics")
        signal = entries[1]
        assert list(entries) == [1]
        assert shown(signal) == {"md5": MD5, "sha1": SHA1, "sha256": SHA256, "pdq": PDQ}
        assert signal.last_seen == datetime.fromtimestamp(1_400_000_000, UTC)
        assert signal.tags == ("one", "two")
        assert signal.facts["VictimIdentified"] == "yes"
        assert "IsDistributed" not in signal.facts
        assert "a name" not in repr(signal), "comments of investigators are not taken in"
        assert reading.ignored == 2


def test_vics_takes_only_the_categories_asked_for():
    items = [
        media(Category=c, MD5=f"{n:032d}") for n, c in enumerate([0, 1, 2, 3, 4, 5, None, "x"])
    ]
    document = json.dumps({"odata.metadata": "x", "value": items})
    entries, _ = read(document)
    taken = [n for n, entry in entries.items() if isinstance(entry, Signal)]
    assert taken == [2, 3]
    assert entries[1] == "it has category 0, which was not asked for"
    assert entries[7] == "it has no category, which was not asked for"
    assert entries[8] == "its category is not a number"
    entries, _ = read(document, categories=frozenset({3}))
    assert [n for n, entry in entries.items() if isinstance(entry, Signal)] == [4]


def test_media_of_two_vics_files_do_not_overwrite_each_other():
    one, _ = read(json.dumps({"@odata.context": VICS, "value": [media(MD5="a" * 32)]}))
    two, _ = read(json.dumps({"@odata.context": VICS, "value": [media(MD5="b" * 32)]}))
    assert one[1].facts["MediaID"] == two[1].facts["MediaID"]
    assert one[1].upstream_id != two[1].upstream_id


# --- all of them ------------------------------------------------------------------------------

words = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12
)
times = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(
    lambda t: t.replace(tzinfo=UTC)
)
hashes = st.one_of(
    st.binary(min_size=16, max_size=16).map(lambda b: SignalHash(type=HashType.MD5, value=b)),
    st.binary(min_size=20, max_size=20).map(lambda b: SignalHash(type=HashType.SHA1, value=b)),
    st.binary(min_size=32, max_size=32).map(lambda b: SignalHash(type=HashType.SHA256, value=b)),
    st.builds(
        SignalHash,
        type=st.just(HashType.PDQ),
        value=st.binary(min_size=32, max_size=32),
        quality=st.none() | st.integers(0, 100),
    ),
)
frames = st.builds(
    FrameHash,
    number=st.integers(0, 9999),
    time=st.integers(0, 10_000).map(lambda n: n / 8),
    pdq=st.binary(min_size=32, max_size=32),
    quality=st.integers(0, 100),
)
videos = st.lists(frames, min_size=1, max_size=3).map(
    lambda f: SignalHash(type=HashType.VPDQ, frames=tuple(f))
)
signals = st.builds(
    Signal,
    upstream_id=words,
    hashes=st.lists(hashes, min_size=1, max_size=3, unique=True).map(tuple)
    | videos.map(lambda video: (video,)),
    state=st.sampled_from(SignalState),
    classification=st.none() | words,
    tags=st.lists(words.filter(lambda w: ";" not in w), max_size=2, unique=True).map(tuple),
    first_seen=st.none() | times,
    last_seen=st.none() | times,
    expires_at=st.none() | times,
    redistribute=st.booleans(),
    note=st.none() | words,
)
opinions = st.builds(
    Opinion,
    owner=words,
    stance=st.sampled_from(["agrees", "disputes", "unsure"]),
    at=st.none() | times,
    tags=st.lists(words, max_size=2, unique=True).map(tuple),
)


@settings(max_examples=60)
@given(st.lists(signals, max_size=4), st.lists(opinions, max_size=2).map(tuple))
def test_json_lines_round_trip(items, voices):
    from dataclasses import replace

    items = [replace(item, opinions=voices, facts={"k": "v"}) for item in items]
    data = b"".join(FORMATS["jsonl"].write(LIST, items))
    entries, reading = read(data, "jsonl")
    assert list(entries.values()) == items
    assert reading.complete


@settings(max_examples=60)
@given(st.lists(signals, max_size=4))
def test_csv_round_trip(items):
    data = b"".join(FORMATS["csv"].write(LIST, items))
    entries, _ = read(data, "csv")
    joined: dict[int, Signal] = {}
    rows = iter(entries.values())
    for place, item in enumerate(items):
        parts = []
        while len(parts) < len(item.hashes):
            signal = next(rows)
            assert isinstance(signal, Signal), signal
            parts += signal.hashes
            joined[place] = signal
        assert set(parts) == set(item.hashes)
        for fact in ("upstream_id", "state", "classification", "tags", "expires_at", "note"):
            assert getattr(joined[place], fact) == getattr(item, fact), fact
    assert next(rows, None) is None


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "'", "'=1", "''x", "plain"])
def test_no_cell_of_an_export_is_a_formula_and_reading_gives_back_what_was(text):
    pdq = SignalHash(type=HashType.PDQ, value=bytes(range(32)), quality=90)
    item = Signal(upstream_id=text, hashes=(pdq,), tags=(text,), note=text)
    data = b"".join(FORMATS["csv"].write(LIST, [item]))
    cells = next(row for row in csv.reader(data.decode().splitlines()[1:]))
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    entries, _ = read(data, "csv")
    (again,) = entries.values()
    assert (again.upstream_id, again.tags, again.note) == (text, (text,), text)


LONG = "1" * 5000
"""An integer of more digits than Python converts."""
HOSTILE = [float("inf"), LONG, "0001-01-01T00:00:00+10:00", [[0, 0, float("inf"), PDQ]]]

JUNK = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=300).map(lambda text: text.encode()),
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats()
        | st.integers()
        | st.text(max_size=8)
        | st.sampled_from(HOSTILE),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        *("value", "Media", "signals", "contents", "MD5", "hashes", "type", "id"),
                        *("pdq", "vpdq", "quality", "Category", "DateUpdated", "expires_at"),
                        "disable_until_ts",
                    ]
                )
                | st.text(max_size=4),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).replace(f'"{LONG}"', LONG).encode()),
)


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN", LONG, "1e999"])
@pytest.mark.parametrize("name", ["hma", "vics", "jsonl"])
def test_numbers_beyond_reason_cost_their_own_line_only(name, value):
    odd = {
        "hma": f'{{"id":1,"signals":{{"vpdq":[[0,0,{value},"{PDQ}"]]}}}}',
        "vics": f'{{"Category":{value},"MD5":"{MD5}"}}',
        "jsonl": f'{{"id":"a","hashes":[{{"type":"vpdq","frames":[[0,0,{value},"{PDQ}"]]}}]}}',
    }[name]
    good = {
        "hma": f'{{"id":2,"signals":{{"video_md5":"{MD5}"}},"disable_until_ts":1}}',
        "vics": f'{{"Category":1,"MD5":"{MD5}"}}',
        "jsonl": f'{{"id":"b","md5":"{MD5}"}}',
    }[name]
    wrap = {
        "hma": f"[{odd},{good}]",
        "vics": f'{{"@odata.context":"x","value":[{odd},{good}]}}',
        "jsonl": f"{odd}\n{good}\n",
    }[name]
    entries, reading = read(wrap, name)
    assert isinstance(entries[1], str)
    assert isinstance(entries[2], Signal)
    assert reading.complete


@pytest.mark.parametrize(
    "frames", [[f"{PDQ},inf,0"], [[0, 0, float("inf"), PDQ]], [[0, 0, None, 1]]]
)
def test_a_frame_whose_quality_is_infinite_is_refused(frames):
    with pytest.raises(Refused, match="makes no sense"):
        frames_of(frames)


@settings(max_examples=150)
@given(JUNK, st.sampled_from([None, *FORMATS]))
def test_no_file_raises_anything_but_our_own_errors(data, name):
    try:
        entries, _ = read(data, name)
    except (InvalidImport, InvalidInput):
        return
    assert all(isinstance(entry, Signal | str) for entry in entries.values())


@settings(max_examples=60)
@given(st.sampled_from([*FORMATS]), st.integers(0, 600), st.binary(max_size=6), st.integers(0, 40))
def test_no_damage_to_a_good_file_raises_anything_but_our_own_errors(name, at, put, cut):
    made = Signal(
        upstream_id="a", hashes=(SignalHash(type=HashType.MD5, value=b"x" * 16),), note="n"
    )
    data = b"".join(FORMATS[name].write(LIST, [made] * 3))
    with contextlib.suppress(InvalidImport, InvalidInput):
        read(data[:at] + put + data[at + cut :], name)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"upstream_id,md5\n", "csv"),
        (b'\xef\xbb\xbf{"@odata.context":1}', "vics"),
        (b' {"odata.metadata":1}', "vics"),
        (b'[{"id":1}]', "hma"),
        (b'{"id":1,"signals":{}}', "hma"),
        (b'{"bank":1,\n"contents":[]}', "hma"),
        (b'{"upstream_id":"a"}\n', "jsonl"),
        (MD5.encode(), "csv"),
    ],
)
def test_a_format_is_made_out_by_its_beginning(head, name):
    assert sniff(head) == name


def test_a_huge_document_is_read_in_little_memory():
    import tracemalloc

    number = 30_000

    class Endless(io.RawIOBase):
        def __init__(self):
            self.parts = self.made()
            self.rest = b""

        def readable(self):
            return True

        def made(self):
            yield b'{"@odata.context":"x","value":['
            for n in range(number):
                yield (b"," if n else b"") + json.dumps(media(MD5=f"{n:032d}")).encode()
            yield b"]}"

        def readinto(self, buffer):
            while len(self.rest) < len(buffer):
                part = next(self.parts, None)
                if part is None:
                    break
                self.rest += part
            taken, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
            buffer[: len(taken)] = taken
            return len(taken)

    reading, _ = open_reading(None, io.BufferedReader(Endless()), LIST, ReadOptions())
    tracemalloc.start()
    assert sum(isinstance(entry, Signal) for _, entry in reading) == number
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


@given(st.recursive(st.none() | st.integers() | st.text(max_size=6), st.lists, max_leaves=9))
def test_the_json_cursor_reads_what_json_reads(value):
    text = json.dumps([value, {"a": value}], indent=1)
    stream = JsonStream(io.BytesIO(text.encode()))
    assert list(stream.items()) == [value, {"a": value}]
    assert stream.peek() == ""


def test_a_huge_integer_over_the_edge_of_the_window_is_read_as_text():
    text = f'[[{LONG},{{"a":{LONG}}},"{"x" * 200_000}"]]'
    values = list(JsonStream(io.BytesIO(text.encode())).items())
    assert values == [[LONG, {"a": LONG}, "x" * 200_000]]


@pytest.mark.parametrize("text", ["", "[", "[1", "[1,", "[1 2]", "{}", "[}"])
def test_the_json_cursor_says_where_json_ends(text):
    with pytest.raises(JsonBroken):
        list(JsonStream(io.BytesIO(text.encode())).items())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-31T09:30:00Z", 1769851800),
        ("2026-01-31T11:30:00+02:00", 1769851800),
        ("2026-01-31", 1769817600),
        ("1769851800", 1769851800),
        ("/Date(1769851800000)/", 1769851800),
    ],
)
def test_times_of_every_habit(text, seconds):
    assert time_of(text) == datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "99999999999999999999",
        "/Date(x)/",
        "2026-13-01",
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59:59-10:00",
        "1" * 5000,
    ],
)
def test_times_that_make_no_sense_are_refused(text):
    with pytest.raises(Refused):
        time_of(text)


def test_flags_as_text():
    assert [flag_of(word) for word in (True, "True", " yes ", 1, "T")] == [True] * 5
    assert [flag_of(word) for word in (False, "False", "no", 0, None, "")] == [False] * 6
    with pytest.raises(Refused):
        flag_of("perhaps")


def test_hashes_named_in_text():
    assert parse_hash(f"SHA-256: {SHA256.upper()}").value.hex() == SHA256
    assert parse_hash(MD5).type is HashType.MD5
    for wrong in (SHA256, "crc:1", f"md5:{SHA1}", "vpdq:1", ""):
        with pytest.raises((InvalidHash, InvalidInput)) as caught:
            parse_hash(wrong)
        assert not wrong or wrong not in str(caught.value)


def test_an_id_made_from_a_hash_is_stable_and_does_not_show_it():
    first = [parse_hash(f"md5:{MD5}"), parse_hash(f"sha256:{SHA256}")]
    assert derived_id(first) == derived_id(first[::-1]) == derived_id(first[1:])
    assert SHA256 not in derived_id(first)


def test_a_first_line_that_is_a_hash_is_not_swallowed_as_a_header():
    other = "00" + SHA256[2:]
    for text in (f"sha256,{SHA256}\nsha256,{other}\n", f"{SHA256};SHA-256\n{other};sha256\n"):
        entries, _ = read(text)
        assert [shown(entry) for entry in entries.values()] == [
            {"sha256": SHA256},
            {"sha256": other},
        ]
    with pytest.raises(InvalidImport, match="holds a hash where it should name"):
        read(f"up-1,{SHA256},sha256\n")


def test_bare_hashes_may_be_given_their_type():
    entries, _ = read(f"{SHA256}\npdq:{PDQ}\n", type=HashType.SHA256)
    assert [shown(entries[n]) for n in (1, 2)] == [{"sha256": SHA256}, {"pdq": PDQ}]
