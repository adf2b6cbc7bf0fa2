"""A fault of ours is a deferred hold: its bytes wait encrypted, survive kill -9, and are examined
again by themselves; none is ever let through, and none makes a case on the way."""

from __future__ import annotations

import httpx
import pytest
from tests.house import wait_until
from tests.journeys.served.houses import House, marked, photo

MARKER = b"plain bytes of a parked upload"
SOON = {"TUTELA_UPLOADS__DEFERRED_RETRY_SECONDS": "1"}


def test_what_could_not_be_examined_is_settled_after_a_restart(house: House, listed: bytes) -> None:
    sent = {"listed": marked(listed, MARKER), "harmless": marked(photo(21), MARKER)}
    with house.serve(SOON, dies="lists-away") as faulty, faulty.client(house.uploader) as client:
        said = {
            name: client.post(
                "/v1/uploads", content=content, headers={"Idempotency-Key": name}
            ).json()
            for name, content in sent.items()
        }
        faulty.kill()
    for answer in said.values():
        assert (answer["outcome"], answer["deferred"]) == ("hold", True)
        assert answer["case_id"] is None
    assert house.count("cases") == house.count("evidence") == 0
    assert house.count("deferred_uploads") == 2
    assert len(list((house.data_dir / "deferred").iterdir())) == 2
    assert house.holding(MARKER) == []
    house.whole()

    with house.serve(SOON, dies="none") as healed, healed.client(house.admin) as client:
        wait_until(lambda: house.count("deferred_uploads") == 0)
        settled = {
            name: client.get(f"/v1/decisions/{answer['decision_id']}").json()
            for name, answer in said.items()
        }
        outcomes = {
            name: client.get(f"/v1/decisions/{one['superseded_by']}").json()["outcome"]
            for name, one in settled.items()
        }
    assert outcomes == {"listed": "block", "harmless": "allow"}
    wait_until(lambda: not list((house.data_dir / "deferred").iterdir()))
    assert house.count("cases") == house.count("evidence") == 1
    assert house.holding(MARKER) == []
    house.whole()


@pytest.mark.parametrize("step", ["before it is parked", "when it is parked and not yet recorded"])
def test_a_kill_while_parking_keeps_nothing_readable(
    module_house: House, listed: bytes, step: str
) -> None:
    house = module_house
    doomed = house.serve(dies=step)
    with doomed.client(house.uploader) as client, pytest.raises(httpx.TransportError):
        client.post("/v1/uploads", content=marked(listed, MARKER))
    assert doomed.ended(10)
    assert house.count("decisions") == house.count("deferred_uploads") == 0
    assert house.holding(MARKER) == []
    house.whole()
