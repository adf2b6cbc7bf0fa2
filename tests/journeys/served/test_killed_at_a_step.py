"""kill -9 of a server at a step of an upload, seen from the client: no answer comes, nothing is
half done, and the same request gets its one decision from the server that starts next."""

from __future__ import annotations

import httpx
import pytest
from tests.journeys.served.houses import House, marked

ON_DISK = {"TUTELA_UPLOADS__SPOOL_MEMORY_BYTES": "0"}
"""The spool goes to disk from the first byte, encrypted."""
COMMITTED = "when it is committed and not yet answered", "before the answer is sent"
STEPS = "when the body is in the spool", "when it is sealed and not yet recorded", *COMMITTED


@pytest.mark.parametrize("step", STEPS)
def test_killed(module_house: House, listed: bytes, step: str) -> None:
    house = module_house
    marker = f"plain bytes of the upload killed {step}".encode()
    content = marked(listed, marker)
    before = {name: house.count(name) for name in ("items", "decisions", "cases", "evidence")}
    request = {"content": content, "headers": {"Idempotency-Key": step}}

    doomed = house.serve(ON_DISK, dies=step)
    with doomed.client(house.uploader) as client, pytest.raises(httpx.TransportError):
        client.post("/v1/uploads", **request)
    assert doomed.ended(10)

    committed = step in COMMITTED
    after = {name: house.count(name) for name in before}
    assert after == {name: count + committed for name, count in before.items()}
    assert house.holding(marker) == []

    with house.serve(ON_DISK, dies="none") as next_one, next_one.client(house.uploader) as client:
        said = client.post("/v1/uploads", **request).json()
        again = client.post("/v1/uploads", **request).json()
    assert (said["outcome"], said["repeated"]) == ("block", committed)
    assert (again["decision_id"], again["repeated"]) == (said["decision_id"], True)
    assert house.count("cases") == before["cases"] + 1
    assert house.holding(marker) == []
    house.whole()
    assert list((house.data_dir / "spool").iterdir()) == []
