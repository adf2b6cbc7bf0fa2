"""Brakes: one suite over memory, SQLite and PostgreSQL; then what only the database has."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from tutela.errors import StoreUnavailable
from tutela.policy import Alarm, Brake, BrakeCounters, DatabaseBrakes, MemoryBrakes
from tutela.policy.brake_store import ALARM_KIND
from tutela.policy.brakes import MAX_SIGNALS, sound
from tutela.store import Database, Outbox, Writer
from tutela.store.tables.outbox import outbox
from tutela.store.tables.policy import brake_alarms, brake_counts
from tutela.web.metrics import Metrics

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Counting:
    """Brakes and the alarms that they raised."""

    def __init__(self, request: pytest.FixtureRequest, kind: str) -> None:
        self.alarms: list[Alarm] = []
        self.brakes: BrakeCounters
        if kind == "memory":
            self.brakes = MemoryBrakes(self.alarms.append)
        else:
            database: Database = request.getfixturevalue(f"{kind}_database")
            self.brakes = DatabaseBrakes(database, alarm=self.alarms.append)

    def take(self, *signals: str, rule: str = "r", now: datetime = NOW, **limits: int) -> Any:
        return self.brakes.take(rule, signals, Brake(**limits), now)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Brakes that ask anew each time, so that a test can move the clock."""
    monkeypatch.setattr("tutela.policy.brake_store.SETTLE_SECONDS", 0.0)
    return Counting(request, request.param)


def test_a_rule_may_block_so_often_and_no_more(counting: Counting) -> None:
    pulled = [counting.take("s", per_hour=3).rule for _ in range(5)]
    assert pulled == [False, False, False, True, True]
    assert [(a.rule, a.signal, a.limit, a.count) for a in counting.alarms] == [("r", None, 3, 4)]
    assert not counting.take("s", rule="other", per_hour=3).rule


def test_a_signal_may_block_so_often_and_no_more(counting: Counting) -> None:
    for _ in range(2):
        assert counting.take("s1", "s2", per_signal_per_hour=2).signals == frozenset()
    assert counting.take("s1", per_signal_per_hour=2).signals == {"s1"}
    assert counting.take("s3", per_signal_per_hour=2).signals == frozenset()
    assert counting.take("s1", "s2", "s3", per_signal_per_hour=2).signals == {"s1", "s2"}
    assert {a.signal for a in counting.alarms} == {"s1", "s2"}


def test_signals_of_one_rule_do_not_count_for_another(counting: Counting) -> None:
    for _ in range(3):
        counting.take("s1", rule="one", per_signal_per_hour=1)
    assert counting.take("s1", rule="two", per_signal_per_hour=1).signals == frozenset()


def test_the_brake_lets_go_when_the_crowd_has_gone(counting: Counting) -> None:
    for _ in range(3):
        counting.take("s", per_hour=2)
    assert counting.take("s", now=NOW + 59 * MINUTE, per_hour=2).rule, "still within the hour"
    assert not counting.take("s", now=NOW + 119 * MINUTE, per_hour=2).rule


def test_it_stays_pulled_while_the_crowd_lasts(counting: Counting) -> None:
    at = NOW
    for _ in range(10):
        counting.take("s", now=at, per_hour=2)
        at += 15 * MINUTE
    assert counting.take("s", now=at, per_hour=2).rule, "attempts count, held ones too"


def test_one_alarm_an_hour(counting: Counting) -> None:
    for minute in range(0, 61, 10):
        for _ in range(3):
            counting.take("s", now=NOW + minute * MINUTE, per_hour=1)
    assert [alarm.at for alarm in counting.alarms] == [NOW, NOW + 60 * MINUTE]


def test_without_limits_nothing_is_pulled(counting: Counting) -> None:
    for _ in range(3):
        pulled = counting.take("s")
        assert (pulled.rule, pulled.signals) == (False, frozenset())


def test_an_alarm_is_logged_and_counted() -> None:
    alarm = Alarm(rule="a_rule", signal="sig_9", limit=5, count=6, at=NOW)
    metrics = Metrics()
    before = metrics.registry.get_sample_value("tutela_policy_brakes_total") or 0.0
    with capture_logs() as logs:
        sound(alarm)
    assert metrics.registry.get_sample_value("tutela_policy_brakes_total") == before + 1
    assert b"a_rule" not in metrics.text()
    (line,) = logs
    assert (line["event"], line["signal_id"], line["limit_per_hour"]) == (
        "brake_pulled",
        "sig_9",
        5,
    )


def test_processes_count_together_and_one_of_them_alarms(database: Database) -> None:
    alarms: list[Alarm] = []
    box = Outbox(database)
    several = [DatabaseBrakes(database, alarm=alarms.append, enqueue=box.enqueue) for _ in range(3)]
    pulled: list[bool] = []

    def work(brakes: DatabaseBrakes) -> None:
        for _ in range(10):
            pulled.append(brakes.take("r", ["s"], Brake(per_hour=12), NOW).rule)

    threads = [threading.Thread(target=work, args=(brakes,)) for brakes in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pulled.count(False) == 12, "exactly as many as allowed, over all processes"
    assert len(alarms) == 1
    with database.read() as conn:
        rows = conn.execute(select(outbox.c.kind, outbox.c.payload)).all()
    ((kind, payload),) = rows
    assert kind == ALARM_KIND
    assert (payload["rule"], payload["signal_id"], payload["limit_per_hour"]) == ("r", None, 12)


def test_a_pulled_brake_spares_the_database_and_forgets_no_count(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    brakes = DatabaseBrakes(sqlite_database, alarm=lambda _alarm: None)
    limit = Brake(per_hour=1, per_signal_per_hour=5)
    asked = 0
    begin = sqlite_database.begin

    def counted() -> Any:
        nonlocal asked
        asked += 1
        return begin()

    monkeypatch.setattr(sqlite_database, "begin", counted)
    for _ in range(50):
        brakes.take("r", ["s"], limit, NOW)
    assert asked <= 4
    time.sleep(1.05)
    assert brakes.take("r", ["s"], limit, NOW).rule
    with sqlite_database.read() as conn:
        counts = {(r.rule, r.signal): r.count for r in conn.execute(select(brake_counts))}
    assert counts == {("r", ""): 51, ("r", "s"): 51}


def test_counts_can_share_a_transaction_with_other_writes(database: Database) -> None:
    writer = Writer(database)
    brakes = DatabaseBrakes(database, alarm=lambda _alarm: None, transact=writer.submit_blocking)
    with ThreadPoolExecutor(8) as pool:
        pulled = list(
            pool.map(lambda _: brakes.take("r", ["s"], Brake(per_hour=40), NOW).rule, range(60))
        )
    writer.close()
    assert pulled.count(False) == 40
    assert writer.writes > writer.commits


def test_counts_that_left_the_window_are_swept(sqlite_database: Database) -> None:
    brakes = DatabaseBrakes(sqlite_database, alarm=lambda _alarm: None)
    brakes.take("old", ["s"], Brake(per_hour=5), NOW)
    brakes.take("new", ["s"], Brake(per_hour=5), NOW + 61 * MINUTE)
    with sqlite_database.read() as conn:
        assert [row.rule for row in conn.execute(select(brake_counts))] == ["new"]


def test_the_database_away_is_told_and_nothing_is_lost(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    brakes = DatabaseBrakes(sqlite_database, alarm=lambda _alarm: None)
    limit = Brake(per_hour=1)
    for _ in range(6):
        brakes.take("r", [], limit, NOW)
    time.sleep(1.05)

    def away() -> Any:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_database, "begin", away)
        with pytest.raises(StoreUnavailable):
            brakes.take("r", [], limit, NOW)
    brakes.take("r", [], limit, NOW)
    with sqlite_database.read() as conn:
        (row,) = conn.execute(select(brake_counts)).all()
        assert row.count == 7
        assert len(conn.execute(select(brake_alarms)).all()) == 1


def test_an_item_of_many_signals_is_judged_by_some_of_them(finding: Any, rules: Any) -> None:
    from tutela.policy import Context, Policy

    seen: list[int] = []

    class Spy(MemoryBrakes):
        def take(self, rule: str, signals: Any, brake: Brake, now: datetime) -> Any:
            seen.append(len(signals))
            return super().take(rule, signals, brake, now)

    text = "[[rule]]\nname = 'b'\nwhen = 'true'\noutcome = 'block'\nbrake = {per_hour = 9}"
    policy = Policy(rules(text), brakes=Spy(lambda _alarm: None))
    policy.decide([finding(signal=f"s{n}") for n in range(40)], Context())
    assert seen == [MAX_SIGNALS]
