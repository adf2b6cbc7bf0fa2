"""Two servers on one SQLite: one Tutela. What one learns or forgets the other heeds within two
seconds, and a request that reaches both is decided once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.house import wait_until
from tests.journeys.served.houses import LIST, House, Serving, marked, photo

WITHIN = 2.0
"""Seconds until every process heeds a change of a list."""
WHY = "For the journeys."


@pytest.fixture(scope="module")
def pair(module_house: House) -> Iterator[tuple[Serving, Serving]]:
    """Two servers, started at once."""
    first, second = module_house.start(dies="none"), module_house.start(dies="none")
    yield first.wait(), second.wait()
    first.stop()
    second.stop()


@pytest.fixture
def clients(
    module_house: House, pair: tuple[Serving, Serving]
) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A client of each."""
    with pair[0].client(module_house.admin) as one, pair[1].client(module_house.admin) as two:
        yield one, two


def seconds_until(client: httpx.Client, content: bytes, outcome: str) -> float:
    """How long a server takes to answer so."""
    started = time.monotonic()

    def answers() -> bool:
        return client.post("/v1/uploads", content=content).json()["outcome"] == outcome

    wait_until(answers, 10)
    return time.monotonic() - started


def test_a_signal_added_or_withdrawn_by_one_is_heeded_by_the_other_within_two_seconds(
    clients: tuple[httpx.Client, httpx.Client],
) -> None:
    one, two = clients
    for seed, here, there in ((31, one, two), (32, two, one)):
        picture = photo(seed)
        assert there.post("/v1/uploads", content=picture).json()["outcome"] == "allow"
        added = here.post(f"/v1/lists/{LIST}/files", content=picture, params={"reason": WHY})
        assert added.status_code == 200, added.text
        assert here.post("/v1/uploads", content=picture).json()["outcome"] == "block"
        assert seconds_until(there, picture, "block") <= WITHIN

        blocked = there.post("/v1/uploads", content=picture).json()
        signal = blocked["findings"][0]["signal"]["id"]
        gone = here.post(f"/v1/lists/{LIST}/withdraw", json={"signals": [signal], "reason": WHY})
        assert gone.status_code == 200, gone.text
        assert here.post("/v1/uploads", content=picture).json()["outcome"] == "allow"
        assert seconds_until(there, picture, "allow") <= WITHIN


def test_a_request_that_reaches_both_at_once_is_decided_once(
    module_house: House, clients: tuple[httpx.Client, httpx.Client], listed: bytes
) -> None:
    before = module_house.count("cases")
    for number in range(5):
        content = marked(listed, f"sent to both {number}".encode())
        headers = {"Idempotency-Key": f"both-{number}"}
        with ThreadPoolExecutor(4) as pool:
            said = list(
                pool.map(
                    lambda client: client.post("/v1/uploads", content=content, headers=headers),
                    [*clients, *clients],
                )
            )
        answers = [one.json() for one in said]
        assert [one["outcome"] for one in answers] == ["block"] * 4
        assert len({one["decision_id"] for one in answers}) == 1
        assert sum(not one["repeated"] for one in answers) == 1
    assert module_house.count("cases") == before + 5


def test_both_decide_at_once_and_the_ledger_is_one(
    module_house: House, clients: tuple[httpx.Client, httpx.Client], listed: bytes
) -> None:
    before = module_house.count("decisions")

    def send(number: int) -> str:
        content = marked(listed if number % 4 == 0 else photo(40), f"at once {number}".encode())
        answer = clients[number % 2].post("/v1/uploads", content=content)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["outcome"])

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(send, range(60)))
    assert outcomes == ["block" if number % 4 == 0 else "allow" for number in range(60)]
    assert module_house.count("decisions") == before + 60
    time.sleep(1.5)  # so that both have published
    module_house.whole()


def test_a_key_revoked_on_the_command_line_is_refused_by_both_within_two_seconds(
    module_house: House, pair: tuple[Serving, Serving]
) -> None:
    made = module_house.tutela("keys", "create", "lost", "--scope", "admin", "--json")
    key = json.loads(made.out)
    with pair[0].client(key["key"]) as one, pair[1].client(key["key"]) as two:
        assert [client.get("/v1/lists").status_code for client in (one, two)] == [200, 200]
        assert module_house.tutela("keys", "revoke", key["id"]).code == 0
        time.sleep(WITHIN)
        assert [client.get("/v1/lists").status_code for client in (one, two)] == [401, 401]
