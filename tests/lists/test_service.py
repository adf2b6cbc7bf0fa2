"""The lists service as the rest of the house uses it, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import insert, select

from tutela.core import (
    FindingKind,
    HashType,
    ListMode,
    Purpose,
    Signal,
    SignalHash,
    SignalState,
    utc_now,
)
from tutela.errors import Conflict, InvalidInput, NotFound, NotPermitted
from tutela.lists import SELFTEST_LIST, HashQuery, Hooks, Lists
from tutela.lists.versions import EMPTY_ROOT, root_of
from tutela.store.tables.lists import signal_hashes, signals
from tutela.store.tables.uploads import selftests

WHO = {"actor": "anna", "reason": "a test"}

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what does not depend on how a database locks, counts or streams."""


def test_a_signal_matches_at_once_and_no_more_after_its_withdrawal(lists: Lists, known, make):
    lists.add("known", [make.signal(1)], **WHO)
    (finding,) = lists.match(make.picture(1, flips=6))
    assert finding.kind is FindingKind.NEAR
    assert finding.distance == 6
    assert finding.reason == "PDQ at distance 6 of 31 from a signal of list 'known'"
    lists.withdraw("known", ["up-1"], **WHO)
    assert lists.match(make.picture(1, flips=6)) == ()


def test_a_withdrawn_signal_stops_matching_in_a_process_that_has_not_refreshed(
    open_lists, known, make
):
    here, there = open_lists(), open_lists()
    here.add("known", [make.signal(1)], **WHO)
    there.refresh()
    assert there.match(make.picture(1))
    here.withdraw("known", ["up-1"], **WHO)
    assert there.index.near([(make.bits(1), 31)])[0], "its index still has it"
    assert there.match(make.picture(1)) == (), "but matching asks the database"
    there.refresh()
    assert there.index.near([(make.bits(1), 31)])[0] == []


def test_what_one_process_adds_another_matches_after_a_refresh(open_lists, known, make):
    here, there = open_lists(), open_lists()
    here.add("known", [make.signal(1)], **WHO)
    assert there.match(make.picture(1)) == ()
    assert there.refresh() == 4
    assert there.match(make.picture(1))
    assert there.refresh() == 0


def test_the_operators_word_outlasts_the_sources_next_record(lists: Lists, known, make):
    lists.add("known", [make.signal(1)], **WHO)
    lists.dispute("known", ["up-1"], **WHO)
    lists.add("known", [make.signal(1, classification="A1")], **WHO)
    (finding,) = lists.match(make.picture(1))
    assert finding.signal.state is SignalState.DISPUTED
    assert finding.signal.classification == "A1"
    assert "the signal is disputed" in finding.reason
    lists.restore("known", ["up-1"], **WHO)
    assert lists.match(make.picture(1))[0].signal.state is SignalState.ACTIVE


def test_the_operator_cannot_restore_what_the_source_withdrew(lists: Lists, known, make):
    lists.add("known", [make.signal(1, state=SignalState.WITHDRAWN)], **WHO)
    with pytest.raises(Conflict, match="withdrawn by its source"):
        lists.restore("known", ["up-1"], **WHO)
    lists.add("known", [make.signal(1)], **WHO)
    assert lists.match(make.picture(1)), "the source may"


def test_expiry_takes_effect_by_itself_and_is_recorded_later(
    lists: Lists, known, make, monkeypatch
):
    later = utc_now() + timedelta(hours=1)
    lists.add("known", [make.signal(1, expires_at=later)], **WHO)
    assert lists.match(make.picture(1))
    monkeypatch.setattr("tutela.lists.service.utc_now", lambda: later + timedelta(seconds=1))
    assert lists.match(make.picture(1)) == ()
    assert lists.get("known").entries == 1
    monkeypatch.setattr("tutela.lists.editing.utc_now", lambda: later + timedelta(seconds=1))
    lists.maintain()
    assert lists.get("known").entries == 0
    assert lists.versions("known")[0].kind == "expire"
    assert lists.signal(lists.browse("known")[0].id).signal.state is SignalState.EXPIRED


def test_a_signal_that_came_expired_never_matches(lists: Lists, known, make):
    lists.add("known", [make.signal(1, expires_at=utc_now() - timedelta(days=1))], **WHO)
    assert lists.get("known").entries == 0
    assert lists.match(make.picture(1)) == ()
    lists.add("known", [make.signal(1)], **WHO)
    assert lists.match(make.picture(1)), "its source renewed it"


def test_replaced_hashes_match_no_more(lists: Lists, known, make):
    lists.add("known", [make.signal(1)], **WHO)
    lists.add("known", [make.signal(2, upstream_id="up-1")], **WHO)
    assert lists.match(make.picture(1)) == ()
    assert lists.match(make.picture(2))
    assert lists.get("known").entries == 1
    lists.rebuild_snapshot()
    assert lists.match(make.picture(1)) == ()
    assert lists.match(make.picture(2))


@on_sqlite
def test_adding_the_same_again_changes_nothing(lists: Lists, known, make):
    assert lists.add("known", [make.signal(1)], **WHO).number == 2
    assert lists.add("known", [make.signal(1)], **WHO) is None
    assert lists.get("known").version == 2


def test_every_edit_is_a_version_whose_root_is_that_of_the_content(lists: Lists, known, make):
    content = [make.signal(number) for number in range(5)]
    assert lists.get("known").root == EMPTY_ROOT
    lists.add("known", content, **WHO)
    assert lists.get("known").root == root_of(content)
    lists.withdraw("known", ["up-0"], **WHO)
    assert lists.get("known").root == root_of(content[1:])
    lists.dispute("known", ["up-1"], **WHO)
    disputed = [replace(content[1], state=SignalState.DISPUTED), *content[2:]]
    assert lists.get("known").root == root_of(disputed) == lists.recomputed_root("known")
    found = lists.versions("known")
    assert [each.kind for each in found] == ["dispute", "withdraw", "add", "create"]
    assert [each.number for each in found] == [4, 3, 2, 1]
    assert [each.entries for each in found] == [4, 4, 5, 0]
    assert found[1].removed == 1
    assert {(each.actor, each.reason) for each in found} == {("anna", "a test")}


@on_sqlite
def test_what_a_list_may_do_is_a_recorded_choice(lists: Lists, known, make):
    lists.add("known", [make.signal(1)], **WHO)
    lists.set_mode("known", ListMode.HOLD, actor="ben", reason="too many disputes")
    assert lists.match(make.picture(1))[0].list.mode is ListMode.HOLD
    lists.set_mode("known", ListMode.OFF, actor="ben", reason="contract ended")
    assert lists.match(make.picture(1)) == ()
    history = [(e.kind, e.mode, e.actor, e.reason) for e in lists.history("known")]
    assert history == [
        ("created", ListMode.BLOCK, "anna", "a test"),
        ("mode", ListMode.HOLD, "ben", "too many disputes"),
        ("mode", ListMode.OFF, "ben", "contract ended"),
    ]
    assert lists.versions("known")[0].kind == "mode"


@on_sqlite
def test_an_edit_without_actor_or_reason_is_refused(lists: Lists, known, make):
    with pytest.raises(InvalidInput, match="needs the name"):
        lists.add("known", [make.signal(1)], actor=" ", reason="x")
    with pytest.raises(InvalidInput, match="needs a reason"):
        lists.set_mode("known", ListMode.OFF, actor="anna", reason="")
    assert lists.get("known").version == 1


@on_sqlite
def test_one_hook_can_refuse_every_kind_of_edit(open_lists, known, make):
    seen = []

    def refuse(edit):
        seen.append(edit.kind)
        raise NotPermitted("A second person has to agree.")

    plain, strict = open_lists(), open_lists(Hooks(approve=refuse))
    plain.add("known", [make.signal(1)], **WHO)
    edits = [
        lambda: strict.create("other", Purpose.OWN, mode=ListMode.HOLD, **WHO),
        lambda: strict.set_mode("known", ListMode.OFF, **WHO),
        lambda: strict.add("known", [make.signal(2)], **WHO),
        lambda: strict.withdraw("known", ["up-1"], **WHO),
        lambda: strict.dispute("known", ["up-1"], **WHO),
        lambda: strict.restore("known", ["up-1"], **WHO),
        lambda: strict.delete("known", **WHO),
        lambda: strict.export("known", "jsonl", **WHO),
    ]
    for edit in edits:
        with pytest.raises(NotPermitted):
            edit()
    assert len(seen) == len(edits)
    assert plain.get("known").version == 2


def test_the_version_hook_runs_inside_the_transaction(open_lists, known, make):
    told = []

    def note(connection, info, version):
        rows = connection.execute(select(signals.c.id).where(signals.c.list_row == info.row))
        told.append((version.kind, info.version, info.entries, len(rows.all())))
        if info.entries == 2:
            raise Conflict("The ledger is closed.")

    service = open_lists(Hooks(version=note))
    service.add("known", [make.signal(1)], **WHO)
    with pytest.raises(Conflict):
        service.add("known", [make.signal(2)], **WHO)
    assert told == [("add", 2, 1, 1), ("add", 3, 2, 2)]
    assert service.get("known").entries == 1, "what the hook refused was not committed"
    assert service.match(make.picture(2)) == ()


def test_a_deleted_lists_signals_and_hashes_are_gone_and_its_record_stays(
    lists: Lists, known, make
):
    lists.add("known", [make.signal(1), make.signal(2)], **WHO)
    lists.add("known", [make.signal(3, upstream_id="up-1")], **WHO)
    lists.delete("known", actor="anna", reason="the contract ended")
    assert lists.match(make.picture(2)) == ()
    assert lists.index.near([(make.bits(2), 31)])[0] == [], "nor does the snapshot keep them"
    with lists.database.read() as connection:
        row = known.row
        left = select(signal_hashes.c.id).where(signal_hashes.c.list_row == row)
        assert connection.execute(left).first() is None
        left = select(signals.c.id).where(signals.c.list_row == row)
        assert connection.execute(left).first() is None
    with pytest.raises(NotFound):
        lists.get("known")
    again = lists.create("known", Purpose.CSAM, mode=ListMode.BLOCK, **WHO)
    assert again.id != known.id
    assert again.entries == 0


@on_sqlite
def test_names_are_taken_once_and_purposes_never_change(lists: Lists, known):
    with pytest.raises(Conflict, match="already"):
        lists.create("known", Purpose.NCII, mode=ListMode.BLOCK, **WHO)
    assert lists.get("known").purpose is Purpose.CSAM
    for name in ("", " padded ", "x" * 81, "line\nbreak"):
        with pytest.raises(InvalidInput):
            lists.create(name, Purpose.OWN, mode=ListMode.HOLD, **WHO)


def test_a_signal_is_found_by_its_hash_its_id_and_its_ref(lists: Lists, known, make):
    lists.add("known", [make.signal(1, tags=("a", "b"), note="n", facts={"k": "v"})], **WHO)
    (stored,) = lists.find(HashType.MD5, make.digests(1).md5)
    assert stored.list.name == "known"
    assert stored.signal.tags == ("a", "b")
    assert stored.signal.facts == {"k": "v"}
    assert stored.signal.hashes == make.signal(1).hashes
    assert lists.find(HashType.PDQ, make.bits(1)) == (stored,)
    assert lists.find(HashType.PDQ, make.bits(2)) == ()
    assert lists.signal(stored.id) == stored
    (finding,) = lists.match(make.picture(1))
    assert finding.signal.id == stored.id
    assert lists.by_refs([finding.signal.ref]) == (stored,)
    assert lists.values([finding.signal.ref, 999_999]) == {finding.signal.ref: make.bits(1)}
    with pytest.raises(NotFound):
        lists.signal("sig_99999999")
    for wrong in ("99", "sig_", "sig_x", "sig_" + "9" * 40, "sig_²"):
        with pytest.raises(NotFound):
            lists.signal(wrong)


@on_sqlite
def test_a_signal_that_is_not_there_is_named_by_its_place(lists: Lists, known, make):
    lists.add("known", [make.signal(1)], **WHO)
    with pytest.raises(NotFound, match="Number 2 "):
        lists.withdraw("known", ["up-1", "up-2"], **WHO)
    assert lists.match(make.picture(1)), "nothing was changed"


@on_sqlite
def test_unusable_signals_are_refused_by_their_place(lists: Lists, known, make):
    for wrong in (
        make.signal(2, upstream_id=""),
        make.signal(2, upstream_id="x" * 513),
        make.signal(2, upstream_id="a\nb"),
        make.signal(2, hashes=()),
        make.signal(2, hashes=(SignalHash(type=HashType.VPDQ),)),
    ):
        with pytest.raises(InvalidInput, match="Signal 2"):
            lists.add("known", [make.signal(1), wrong], **WHO)
    assert lists.get("known").entries == 0


def test_the_selftest_list_is_there_and_holds_its_trigger(lists: Lists, make):
    trigger = make.signal(7, upstream_id="trigger")
    lists.ensure_selftest([trigger])
    info = lists.ensure_selftest([trigger])
    assert (info.name, info.purpose, info.mode) == (
        SELFTEST_LIST,
        Purpose.SELFTEST,
        ListMode.BLOCK,
    )
    assert lists.get(SELFTEST_LIST).version == 2, "adding it again is no edit"
    assert lists.match(make.picture(7))[0].list.purpose is Purpose.SELFTEST


def test_a_rebuilt_snapshot_answers_the_same(lists: Lists, known, make):
    lists.add("known", [make.signal(number) for number in range(20)], **WHO)
    lists.withdraw("known", ["up-3"], **WHO)
    before = [lists.match(make.picture(number, flips=9)) for number in range(21)]
    lists.rebuild_snapshot()
    assert lists.index.side_size == 0
    assert [lists.match(make.picture(number, flips=9)) for number in range(21)] == before
    assert before[3] == before[20] == ()
    assert all(before[:3])


@on_sqlite
def test_a_file_is_listed_by_everything_it_hashes_to(lists: Lists, known, make):
    lists.add_media("known", make.picture(1), classification="own", note="reported", **WHO)
    kinds = {part.type for part in lists.browse("known")[0].signal.hashes}
    assert kinds == {HashType.MD5, HashType.SHA1, HashType.SHA256, HashType.PDQ}
    exact = lists.match(make.picture(1))
    assert [finding.kind for finding in exact] == [FindingKind.EXACT, FindingKind.NEAR]
    lists.add_media("known", make.picture(2, quality=10), **WHO)
    (finding,) = lists.match(make.picture(2, quality=10))
    assert finding.kind is FindingKind.EXACT, "a flat picture is listed by digest only"


class ListMachine(RuleBasedStateMachine):
    """Whatever edits come in whatever order: the service agrees with a plain dictionary."""

    service: Lists
    make: object
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).runs += 1
        self.name = f"machine {self.runs}"
        self.service.create(self.name, Purpose.OWN, mode=ListMode.BLOCK, **WHO)
        self.source: dict[str, SignalState] = {}
        self.own: dict[str, SignalState] = {}
        self.content: dict[str, Signal] = {}

    def state(self, name: str) -> SignalState:
        order = [SignalState.ACTIVE, SignalState.DISPUTED, SignalState.WITHDRAWN]
        return max(self.source[name], self.own.get(name, SignalState.ACTIVE), key=order.index)

    @rule(
        number=st.integers(0, 5),
        media=st.integers(0, 2),
        state=st.sampled_from([SignalState.ACTIVE, SignalState.DISPUTED, SignalState.WITHDRAWN]),
    )
    def add(self, number, media, state):
        name = f"up-{number}"
        signal = self.make.signal(1000 * self.runs + 10 * number + media, upstream_id=name)
        self.service.add(self.name, [replace(signal, state=state)], **WHO)
        self.source[name], self.content[name] = state, signal

    @rule(number=st.integers(0, 5), word=st.sampled_from(["withdraw", "dispute", "restore"]))
    def move(self, number, word):
        name = f"up-{number}"
        call = getattr(self.service, word)
        if name not in self.source:
            with pytest.raises(NotFound):
                call(self.name, [name], **WHO)
        elif word == "restore" and self.source[name] is SignalState.WITHDRAWN:
            with pytest.raises(Conflict):
                call(self.name, [name], **WHO)
        else:
            call(self.name, [name], **WHO)
            states = {"withdraw": SignalState.WITHDRAWN, "dispute": SignalState.DISPUTED}
            self.own[name] = states.get(word, SignalState.ACTIVE)

    @rule()
    def rebuild(self):
        self.service.rebuild_snapshot()

    @invariant()
    def content_agrees(self):
        live = [
            replace(signal, state=self.state(name))
            for name, signal in self.content.items()
            if self.state(name).matches
        ]
        info = self.service.get(self.name)
        assert info.entries == len(live)
        assert info.root == root_of(live)
        queries = [HashQuery(sha1=s.hashes[1].value) for s in self.content.values()]
        answers = self.service.match_hashes(queries)
        for (name, signal), findings in zip(self.content.items(), answers, strict=True):
            state = self.state(name)
            found = [f for f in findings if f.list.name == self.name]
            assert [f.signal.state for f in found] == ([state] if state.matches else [])
            assert all(f.signal.upstream_id == name for f in found), signal


def test_any_order_of_edits_agrees_with_a_plain_model(sqlite_lists: Lists, make):
    ListMachine.service, ListMachine.make = sqlite_lists, make
    case = ListMachine.TestCase
    case.settings = settings(
        max_examples=4,
        stateful_step_count=10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()


def test_only_tutela_makes_a_self_test_list_and_it_can_only_block(lists: Lists):
    with pytest.raises(InvalidInput, match="harmless trigger"):
        lists.create("mine", Purpose.SELFTEST, mode=ListMode.BLOCK, **WHO)
    with pytest.raises(InvalidInput, match="can only block"):
        lists.set_mode(SELFTEST_LIST, ListMode.OFF, **WHO)
    assert lists.set_mode(SELFTEST_LIST, ListMode.BLOCK, **WHO).mode is ListMode.BLOCK


def test_a_failed_self_test_is_not_protecting_until_one_passes(lists: Lists, known, make):
    lists.add("known", [make.signal(1)], **WHO)
    lists.set_mode("known", ListMode.BLOCK, **WHO)
    for ok in (True, False, True):
        with lists.database.begin() as connection:
            connection.execute(insert(selftests), {"at": utc_now(), "ok": ok, "steps": []})
        protection = lists.protection(fresh=True)
        assert protection.protecting is ok
        assert ok or "self-test failed" in protection.why
