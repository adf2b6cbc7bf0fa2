"""Names, keys and headers that mean harm: none reaches a path, a header or a log; and what is
answered, logged or counted tells an uploader neither list nor rule, neither hash nor bytes."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from tests.journeys.served.houses import LIST, House, Serving, marked, photo

DEBUG = {"TUTELA_LOG__LEVEL": "debug"}
SECRET_NAME = "holiday-with-the-niece"
ACCOUNT = "account-4711"


@pytest.fixture(scope="module")
def serving(module_house: House) -> Iterator[Serving]:
    """A server that logs all it has to say."""
    with module_house.serve(DEBUG, dies="none") as running:
        yield running


@pytest.fixture
def client(module_house: House, serving: Serving) -> Iterator[httpx.Client]:
    """A client that may do everything."""
    with serving.client(module_house.admin) as made:
        yield made


def tree(house: House) -> set[str]:
    """What lies in and beside the data folder, by kind: numbers and hashes left out, and the
    ledger's files, which are published in their own time."""
    found = set()
    for path in house.data_dir.parent.rglob("*"):
        if path.is_file() and path.suffix != ".json" and "data/ledger" not in str(path):
            found.add(
                re.sub(
                    r"(?<=/)[0-9a-f]{2}(?=/)|[0-9a-f]{8,}|\d+",
                    "#",
                    str(path.relative_to(house.data_dir.parent)),
                )
            )
    return found


NAMES = [
    "../../../../etc/cron.d/evil",
    "..\\..\\evil.exe",
    "/etc/passwd",
    "evil\x00.jpg",
    "evil\r\nSet-Cookie: a=b",
    "\u202egpj.evil",
    "x" * 5000,
    ".",
    "",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_file_name_is_a_label_and_never_a_path_or_a_header(
    module_house: House, client: httpx.Client, listed: bytes, name: str
) -> None:
    client.post("/v1/uploads", content=listed)
    before = tree(module_house)
    answers = [
        client.post(
            "/v1/uploads", content=listed, headers={"Tutela-File-Name": quote(name, safe="")}
        ),
        client.post("/v1/uploads", files={"file": (name or "x", listed)}),
    ]
    for answer in answers:
        assert answer.status_code in (200, 400), answer.text
        assert "set-cookie" not in answer.headers
        assert "evil" not in str(answer.headers)
    assert tree(module_house) <= before
    for row in module_house.rows("SELECT file_name FROM items WHERE file_name IS NOT NULL"):
        assert not set(row["file_name"]) & set("/\\\r\n\0\u202e")
        assert len(row["file_name"]) <= 1024


@pytest.mark.parametrize(
    "path", ["..%2F..%2Fkeys%2Fvault.agekey", "%2e%2e/keys", "a%00b", "%0d%0a"]
)
def test_a_list_name_or_decision_id_is_never_a_path(client: httpx.Client, path: str) -> None:
    for url in (
        f"/v1/lists/{path}",
        f"/v1/lists/{path}/export",
        f"/v1/decisions/{path}",
        f"/{path}",
    ):
        answer = client.get(url)
        assert answer.status_code in (400, 404), url
        assert "AGE-SECRET" not in answer.text


def test_a_line_break_in_a_header_is_not_passed_on(serving: Serving) -> None:
    url = httpx.URL(serving.url)
    for injected in (b"a\r\nSet-Cookie: a=b", b"a\nSet-Cookie: a=b", b"a\r Set-Cookie: a=b"):
        with socket.create_connection((url.host, url.port or 80), timeout=10) as line:
            line.sendall(
                b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-Request-ID: "
                + injected
                + b"\r\n\r\n"
            )
            said = b""
            while part := line.recv(4096):
                said += part
        assert b"set-cookie" not in said.lower()


def test_wrong_expired_revoked_and_lesser_keys_open_nothing(
    module_house: House, serving: Serving, listed: bytes
) -> None:
    def made(*options: str) -> dict[str, str]:
        done = module_house.tutela("keys", "create", "k", "--json", *options)
        assert done.code == 0, done.err
        return dict(json.loads(done.out))

    expired = made("--scope", "admin", "--days", "0.00001")
    revoked = made("--scope", "admin")
    assert module_house.tutela("keys", "revoke", revoked["id"]).code == 0
    lesser = made("--scope", "lists:read")
    time.sleep(1)
    before = module_house.count("decisions")
    admin = module_house.admin
    wrong = {
        "none": None,
        "made up": "Bearer tutela_" + "A" * 43,
        "one letter changed": "Bearer " + admin[:-1] + ("A" if admin[-1] != "A" else "B"),
        "cut": "Bearer " + admin[:-1],
        "basic": "Basic " + admin,
        "expired": "Bearer " + expired["key"],
        "revoked": "Bearer " + revoked["key"],
    }
    with httpx.Client(base_url=serving.url) as client:
        texts = set()
        for what, header in wrong.items():
            headers = {"Authorization": header} if header else {}
            answer = client.post("/v1/uploads", content=listed, headers=headers)
            assert answer.status_code == 401, what
            texts.add(answer.text)
            assert admin not in answer.text
        headers = {"Authorization": "Bearer " + lesser["key"]}
        assert client.post("/v1/uploads", content=listed, headers=headers).status_code == 403
        assert client.post("/v1/lists", json={}, headers=headers).status_code == 403
        assert client.get("/v1/lists", headers=headers).status_code == 200
    assert module_house.count("decisions") == before
    for key in (admin, expired["key"], revoked["key"], lesser["key"]):
        assert module_house.holding(key.encode()) == []
        assert key not in serving.log


def test_answers_logs_and_metrics_tell_neither_list_nor_rule_nor_hash_nor_bytes(
    module_house: House, serving: Serving, client: httpx.Client, listed: bytes
) -> None:
    near = marked(listed, b"another file of the same picture")
    told = client.post("/v1/uploads", content=near).json()
    rule, version = told["detail"]["rule"], told["detail"]["policy_version"]
    hashed = module_house.tutela("hash", "--json", str(_file(module_house, listed)))
    pdq = json.loads(hashed.out)["pdq"]
    headers = {"Tutela-File-Name": SECRET_NAME + ".jpg", "Tutela-Account": ACCOUNT}
    said = []
    with serving.client(module_house.uploader) as uploader:
        for content in (listed, near, photo(91), b"\xff\xd8\xff\xe0 broken"):
            answer = uploader.post("/v1/uploads", content=content, headers=headers)
            said.append(answer.text + str(answer.headers))
            decision = uploader.get(f"/v1/decisions/{answer.json()['decision_id']}")
            said.append(decision.text + str(decision.headers))
        for path in ("/v1/lists", "/metrics", "/v1/nothing", "/", "/readyz", "/healthz"):
            answer = uploader.get(path)
            said.append(answer.text + str(answer.headers))
    with serving.client(module_house.keys["metrics:read"]) as scraper:
        metrics = scraper.get("/metrics").text
    assert "tutela_decisions_total" in metrics

    hidden = [LIST, rule, version, SECRET_NAME, pdq, "known"]
    for content in (listed, near):
        for algorithm in ("md5", "sha1", "sha256"):
            hidden.append(hashlib.new(algorithm, content).hexdigest())
        hidden.append(content[2000:2016].hex())
    everything = {"answers": "\n".join(said), "metrics": metrics}
    for where, text in everything.items():
        for word in [*hidden, ACCOUNT]:
            assert word not in text, (where, word)
    log = serving.log
    assert log.count('"event": "decision"') >= 5
    for word in [*hidden, ACCOUNT]:
        assert word not in log, ("log", word)


def _file(house: House, content: bytes) -> object:
    path = house.temp / "to-hash.jpg"
    path.write_bytes(content)
    return path
