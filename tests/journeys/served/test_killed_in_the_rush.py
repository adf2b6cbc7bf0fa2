"""kill -9 of a real server at any moment of many uploads, again and again: whoever was answered has
a decision with its evidence, nobody else has half of one, and no plaintext lies about."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import httpx
from tests.house import wait_until
from tests.journeys.served.houses import House, Serving, marked, photo

ROUNDS = 3
CLIENTS = 6
MARKER = b"plain bytes of an upload in the rush"
ENVIRONMENT = {"TUTELA_UPLOADS__SPOOL_MEMORY_BYTES": "0"}


class Rush:
    """Clients that upload without pause until the server is gone."""

    def __init__(self, house: House, serving: Serving, listed: bytes, number: int) -> None:
        self.house, self.serving, self.number = house, serving, number
        self.listed, self.harmless = listed, photo(900 + number)
        self.answered: dict[str, dict[str, Any]] = {}
        self.unanswered: dict[str, bytes] = {}
        self.threads = [threading.Thread(target=self.send, args=(n,)) for n in range(CLIENTS)]

    def send(self, client_number: int) -> None:
        with self.serving.client(self.house.uploader) as client:
            for turn in range(1000):
                key = f"{self.number}-{client_number}-{turn}"
                picture = self.harmless if turn % 3 == 2 else self.listed
                content = marked(picture, MARKER + key.encode())
                try:
                    answer = client.post(
                        "/v1/uploads", content=content, headers={"Idempotency-Key": key}
                    )
                except httpx.TransportError:
                    self.unanswered[key] = content
                    return
                assert answer.status_code == 200, answer.text
                self.answered[key] = answer.json()


def test_a_server_killed_in_the_rush_leaves_nothing_half_done(house: House, listed: bytes) -> None:
    moments = random.Random(8)
    answered: dict[str, dict[str, Any]] = {}
    unanswered: dict[str, bytes] = {}
    for number in range(ROUNDS):
        serving = house.serve(ENVIRONMENT)
        for key, content in unanswered.items():  # the platform asks again, as the answer was lost
            with serving.client(house.uploader) as client:
                answered[key] = client.post(
                    "/v1/uploads", content=content, headers={"Idempotency-Key": key}
                ).json()
        rush = Rush(house, serving, listed, number)
        for thread in rush.threads:
            thread.start()
        wait_until(lambda: rush.answered)
        time.sleep(moments.uniform(0.02, 0.6))
        family = serving.family()
        assert len(family) >= 2
        serving.kill()
        for thread in rush.threads:
            thread.join(20)
        wait_until(lambda: not any(one.is_running() for one in family))
        assert len(rush.unanswered) == CLIENTS
        assert house.holding(MARKER) == []
        answered |= rush.answered
        unanswered = rush.unanswered

    with house.serve(ENVIRONMENT) as serving, serving.client(house.uploader) as client:
        for key, content in unanswered.items():
            answered[key] = client.post(
                "/v1/uploads", content=content, headers={"Idempotency-Key": key}
            ).json()
    recorded = {
        row["idempotency_key"]: row
        for row in house.rows("SELECT * FROM decisions WHERE idempotency_key IS NOT NULL")
    }
    assert recorded.keys() == answered.keys()
    for key, said in answered.items():
        row = recorded[key]
        assert (said["decision_id"], said["outcome"]) == (row["id"], row["outcome"])
        assert said["outcome"] == ("allow" if _harmless(key) else "block")
        assert (row["evidence_id"] is None) == (said["outcome"] == "allow")
    assert house.count("decisions") == len(answered)
    blocked = sum(said["outcome"] == "block" for said in answered.values())
    assert house.count("cases") == house.count("evidence") == blocked
    house.whole()
    assert house.holding(MARKER) == []


def _harmless(key: str) -> bool:
    return int(key.rsplit("-", 1)[1]) % 3 == 2
