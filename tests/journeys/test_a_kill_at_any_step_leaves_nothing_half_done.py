"""kill -9 at every step of an upload: nothing half done, no answer without its evidence, no
plaintext left on the disk; and the same request sent again gets its one decision and one case."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.house import environment, picture
from tests.journeys.conftest import Aftermath
from tests.journeys.crashing import STEPS, InProcess

from tutela.app import Tutela
from tutela.core import ListMode, Purpose
from tutela.hashing.source import Source
from tutela.settings import Settings
from tutela.store import Database
from tutela.store.tables.decisions import decisions

LISTED = picture(11, side=640)
MARKER = LISTED[5000:5064]

Send = Callable[[str, str], list[str]]
"""Sends the picture, dying at a step; how that ended, and what was answered."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A data folder with the listed picture on a blocking list."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("killed") / "data")
    tutela = Tutela(settings, background=False)
    tutela.open_lists()
    tutela.lists.create("l", Purpose.CSAM, mode=ListMode.BLOCK, actor="t", reason="t")
    with Source.from_bytes(LISTED) as source:
        media = asyncio.run(InProcess().hash(source))
    tutela.lists.add_media("l", media, actor="t", reason="t")
    tutela.close()
    return settings


@pytest.fixture(scope="module")
def send(house: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send]:
    """The process that makes the processes that die."""
    path = tmp_path_factory.mktemp("upload") / "upload.jpg"
    path.write_bytes(LISTED)
    mother = subprocess.Popen(
        [sys.executable, "-m", "tests.journeys.crashing", str(path)],
        env=environment(house.data_dir) | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(step: str, key: str) -> list[str]:
        assert mother.stdin is not None
        assert mother.stdout is not None
        mother.stdin.write(f"{step} {key}\n")
        mother.stdin.flush()
        return mother.stdout.readline().split()

    yield run
    mother.kill()
    mother.communicate()


def rows(settings: Settings, key: str) -> list[str]:
    database = Database(settings)
    with database.read() as connection:
        found = connection.execute(
            select(decisions.c.id).where(decisions.c.idempotency_key == key)
        ).scalars()
        ids = list(found)
    database.close()
    return ids


@pytest.mark.parametrize("step", STEPS)
def test_killed_and_sent_again(house: Settings, send: Send, step: str) -> None:
    aftermath = Aftermath(house)
    assert send(step, step) == [str(-signal.SIGKILL)]
    recorded = rows(house, step)
    assert len(recorded) == (1 if step == "committed" else 0)
    aftermath.whole(orphans=True)
    aftermath.no_plaintext(MARKER)

    status, outcome, decision_id, case_id, repeated = send("none", step)
    assert (status, outcome) == ("0", "block")
    assert case_id.startswith("case_")
    assert repeated == str(step == "committed")
    assert rows(house, step) == [decision_id]
    aftermath.whole(orphans=True)
    aftermath.no_plaintext(MARKER)
