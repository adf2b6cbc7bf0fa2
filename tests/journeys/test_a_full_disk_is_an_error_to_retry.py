"""Disk full: an error with a retry time, never a hold without evidence; then all is well again."""

from __future__ import annotations

from tests.house import QUICK, Server, picture
from tests.journeys.conftest import Aftermath
from tests.services.disks import SmallDisk

from tutela.settings import Settings
from tutela.store.tables.cases import cases
from tutela.store.tables.decisions import decisions


def test_a_full_disk_is_an_error_to_retry(small_disk: SmallDisk) -> None:
    settings = Settings(data_dir=small_disk.path / "data", **QUICK)
    aftermath = Aftermath(settings)
    with Server(settings) as server, server.client() as client:
        server.list_picture("l", picture(50))
        assert client.post("/v1/uploads", content=picture(51)).json()["outcome"] == "allow"
        before = aftermath.count(cases), aftermath.count(decisions)
        small_disk.fill()
        for content in (picture(50), picture(50, quality=40), picture(51)):
            answer = client.post("/v1/uploads", content=content)
            assert answer.status_code in (503, 507), answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert "outcome" not in answer.json()
        small_disk.free()
        assert (aftermath.count(cases), aftermath.count(decisions)) == before
        again = client.post("/v1/uploads", content=picture(50)).json()
        assert again["outcome"] == "block"
        assert again["case_id"] is not None
    aftermath.whole()
