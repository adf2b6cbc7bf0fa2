"""Background duties outlive whatever goes wrong in them, and say since when they fail."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tutela import duties as duties_module
from tutela.duties import Duties, Duty, DutyState, _wait
from tutela.errors import StoreUnavailable
from tutela.settings import LogSettings
from tutela.web.logs import configure_logs


def test_a_duty_that_fails_is_done_again_and_delays_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And what it failed on does not enter the log: only the kind and the places."""
    configure_logs(LogSettings(format="json"))
    done = {"good": 0, "bad": 0}

    async def good() -> None:
        done["good"] += 1

    async def bad() -> None:
        done["bad"] += 1
        if done["bad"] == 1:
            raise RuntimeError("SECRET")
        if done["bad"] == 2:
            raise StoreUnavailable("away")

    async def story() -> None:
        duties = Duties(
            (
                Duty(name="good", every=0.01, work=good),
                Duty(name="bad", every=0.01, work=bad),
            )
        )
        duties.start()
        seen_failing = False
        for _ in range(200):
            await asyncio.sleep(0.01)
            seen_failing = seen_failing or duties.states["bad"].failing_since is not None
            if done["bad"] >= 3 and duties.states["bad"].failing_since is None:
                break
        assert seen_failing
        assert duties.states["bad"].failing_since is None
        assert duties.states["bad"].last_ok is not None
        await duties.stop()

    asyncio.run(story())
    assert done["good"] > 3
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failed = [line for line in lines if line["event"] == "duty_failed"]
    assert [line["error"] for line in failed] == ["RuntimeError"]
    assert any("bad" in place for place in failed[0]["at"])
    assert "SECRET" not in json.dumps(lines)


def test_a_failing_duty_waits_longer_and_not_for_ever() -> None:
    duty = Duty(name="d", every=1.0, work=asyncio.sleep)  # type: ignore[arg-type]
    assert _wait(duty, DutyState()) == 1.0
    waits = [_wait(duty, DutyState(failures=n)) for n in (1, 3, 5, 50)]
    assert waits[0] <= 2.0
    assert max(waits) <= 60.0
    assert waits[3] >= 30.0


def test_a_first_pause_is_kept() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    async def story() -> None:
        duties = Duties((Duty(name="d", every=1.0, work=work, first=5.0),))
        duties.start()
        await asyncio.sleep(0.05)
        await duties.stop()

    asyncio.run(story())
    assert done == []


def test_a_duty_at_work_is_waited_for_when_all_end() -> None:
    """Else the database would be closed under a snapshot being built in a thread."""
    done: list[str] = []

    def long_work() -> None:
        time.sleep(0.3)
        done.append("whole")

    async def story() -> None:
        duties = Duties((Duty(name="long", every=60.0, work=lambda: asyncio.to_thread(long_work)),))
        duties.start()
        await asyncio.sleep(0.05)
        await duties.stop()
        assert done == ["whole"]

    asyncio.run(story())


def test_a_duty_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties_module, "STOP_SECONDS", 0.05)

    async def story() -> None:
        duties = Duties((Duty(name="stuck", every=1.0, work=lambda: asyncio.sleep(3600)),))
        duties.start()
        await asyncio.sleep(0.01)
        await asyncio.wait_for(duties.stop(), 5)

    asyncio.run(story())
