"""What never leaves: evidence by any route, anything to a party outside, content into logs."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.house import Server, picture

LISTED = picture(1)
JPEG = {"Content-Type": "image/jpeg"}


def test_no_route_gives_evidence_bytes_to_any_key(server: Server, admin: httpx.Client) -> None:
    """Invariant 3: an administrator who asks every readable route gets no piece of the picture."""
    said = admin.post("/v1/uploads", content=LISTED, headers=JPEG).json()
    markers = [LISTED[at : at + 24] for at in range(200, len(LISTED) - 24, 1500)]
    described = admin.get("/openapi.json").json()
    names = {"decision_id": said["decision_id"], "name": "known"}
    asked = 0
    for path, methods in described["paths"].items():
        if "get" not in methods:
            continue
        answer = admin.get(path.format(**names))
        assert answer.status_code in (200, 400, 404, 503), path
        assert not any(marker in answer.content for marker in markers), path
        asked += 1
    assert asked >= 6
    for word in ("evidence", "vault", "objects", f"cases/{said['case_id']}"):
        assert admin.get(f"/v1/{word}").status_code == 404


@contextlib.contextmanager
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every attempt to reach a party outside is refused and noted."""
    reached: list[Any] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        outside = self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1")
        if outside:
            reached.append(address)
            raise OSError("there is no way out")
        connect(self, address)

    def no_names(*asked: Any, **_: Any) -> Any:
        reached.append(asked)
        raise socket.gaierror("there is no name service")

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        patch.setattr(socket, "getaddrinfo", no_names)
        yield reached


def test_no_answer_waits_for_a_party_outside(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 12: with every way out shut, uploads are answered as ever."""
    with server.client() as client:
        client.get("/healthz")
        with only_this_machine(monkeypatch) as reached:
            blocked = client.post("/v1/uploads", content=LISTED, headers=JPEG)
            allowed = client.post("/v1/uploads", content=picture(3), headers=JPEG)
    assert (blocked.json()["outcome"], allowed.json()["outcome"]) == ("block", "allow")
    assert reached == []


def test_logs_hold_no_content_name_list_or_key(
    server: Server, admin: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    """Invariant 11: whatever an upload brings along, none of it is written into a log."""
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    handler.addFilter(lambda record: not record.name.startswith(("httpx", "httpcore")))
    logging.getLogger().addHandler(handler)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        admin.post(
            "/v1/uploads",
            content=LISTED,
            headers=JPEG | {"Tutela-File-Name": "marker-name.jpg", "Tutela-Account": "marker-acc"},
        )
        admin.post("/v1/uploads", content=b"marker-content" * 50)
        admin.post("/v1/uploads", content=b"", headers={"Tutela-Bad-Fact": "marker-fact"})
        admin.get("/v1/decisions/marker-id")
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger().setLevel(level)
    captured = capfd.readouterr()
    told = kept.getvalue() + captured.out + captured.err
    key = admin.headers["Authorization"].removeprefix("Bearer ")
    for word in ("marker-", "known", key, LISTED[:16].hex()):
        assert word not in told


def test_the_vaults_key_is_opened_by_the_opener_and_nobody_else() -> None:
    """Invariant 14: no module of the gate can read an age identity."""
    source = Path(__file__).resolve().parents[2] / "src" / "tutela"
    users = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(r"\bIdentity\.from_|pyrage\.decrypt", path.read_text())
    }
    assert users == {"cases/opener.py"}
