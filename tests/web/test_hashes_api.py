"""``POST /v1/hashes``: the platform's own hashes, one or many."""

from __future__ import annotations

import hashlib
import io
import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.house import Server, picture

from tutela import client
from tutela.core.hashes import HashType
from tutela.errors import TutelaError
from tutela.hashing.media import hash_media
from tutela.hashing.options import HashOptions
from tutela.store.tables.decisions import items as items_table
from tutela.store.tables.evidence import evidence
from tutela.web.api.hashes import parse
from tutela.web.auth.keys import Scope
from tutela.web.facts import KNOWN

from .conftest import LISTED


def pdq_of(data: bytes) -> tuple[str, int]:
    hashed = hash_media(io.BytesIO(data), HashOptions(views=False)).pictures[0]
    return hashed.pdq.hex(), hashed.quality


def test_one_digest_of_a_listed_file_is_blocked_and_a_record_is_sealed(
    server: Server, admin: httpx.Client
) -> None:
    digest = hashlib.sha256(LISTED).hexdigest()
    said = admin.post("/v1/hashes", json={"sha256": digest, "account": "u-1"}).json()
    assert said["outcome"] == "block"
    with server.tutela.database.read() as connection:
        row = connection.execute(
            select(evidence).where(evidence.c.case_id == said["case_id"])
        ).one()
    assert row.size < 2000


def test_every_fact_that_the_client_takes_is_understood() -> None:
    facts = {
        "account": "u-1",
        "account_age_band": "13_15",
        "account_age_source": "declared",
        "surface": "post",
        "file_name": "a.jpg",
        "recipients_age_band": "under_13",
        "client_time": "2026-01-01T00:00:00+00:00",
        "client_ip": "192.0.2.1",
        "client_port": "4711",
        "live": "true",
        "fact_room": "garden",
    }
    assert KNOWN.keys() <= facts.keys()
    said = json.dumps(client.HashQuery(md5="00" * 16, facts=facts).plain()).encode()
    ((item, _),), single = parse(said, 10)
    assert single
    assert (item.surface, item.client_port, item.account.id) == ("post", 4711, "u-1")
    assert item.facts["room"] == "garden"


def test_a_batch_is_answered_in_its_order(admin: httpx.Client) -> None:
    near, quality = pdq_of(picture(1, quality=40))
    items = [
        {"md5": hashlib.md5(LISTED).hexdigest()},
        {"sha1": "00" * 20, "surface": "post"},
        {"pdq": near, "quality": quality},
        {"pdq": near, "quality": 10},
    ]
    said = admin.post("/v1/hashes", json={"items": items}).json()["items"]
    assert [one["outcome"] for one in said] == ["block", "allow", "block", "allow"]
    assert said[1] == said[3]
    assert len({one["decision_id"] for one in said}) == 3


def test_an_item_gets_the_same_outcome_alone_as_in_a_batch(admin: httpx.Client) -> None:
    """A few hashes are looked up on the spot, many in a thread: nobody may tell from answers."""
    near, quality = pdq_of(picture(1, quality=40))
    items = [
        {"md5": hashlib.md5(LISTED).hexdigest()},
        {"sha1": "00" * 20},
        {"pdq": near, "quality": quality},
        {"pdq": near, "quality": 10},
        {"sha256": hashlib.sha256(LISTED).hexdigest()},
        {"pdq": "0f" * 32},
    ]
    together = admin.post("/v1/hashes", json={"items": items}).json()["items"]
    alone = [admin.post("/v1/hashes", json=item).json() for item in items]
    outcomes = [one["outcome"] for one in alone]
    assert outcomes == [one["outcome"] for one in together]
    assert outcomes == ["block", "allow", "block", "allow", "block", "allow"]


def test_one_hash_is_not_answered_without_an_index(
    server: Server, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.tutela.lists.index, "_force", None)
    assert admin.post("/v1/hashes", json={"md5": "00" * 16}).status_code == 503


@pytest.mark.parametrize("path", ["/v1/hashes", "/v1/uploads"])
def test_a_hot_route_fails_as_every_other_route_does(
    server: Server, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(server.tutela.road, "upload", broken)
    monkeypatch.setattr(server.tutela.road, "hashes", broken)
    answer = admin.post(path, json={"md5": "00" * 16})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text
    assert admin.get(path).status_code == 405


def test_what_a_batch_finds_nothing_on_is_recorded_together(
    server: Server, admin: httpx.Client
) -> None:
    items = [{"md5": f"{n:032x}", "account": f"u-{n}"} for n in range(5)]
    said = admin.post("/v1/hashes", json={"items": items}).json()["items"]
    assert len({one["decision_id"] for one in said}) == 1
    shown = admin.get(f"/v1/decisions/{said[0]['decision_id']}").json()
    with server.tutela.database.read() as connection:
        row = connection.execute(
            select(items_table).where(items_table.c.id == shown["item"]["id"])
        ).one()
    kept = [{"md5": item["md5"], "account": item["account"]} for item in items]
    assert row.hashes == {"checked": kept}


def test_hashes_may_be_written_in_capitals(admin: httpx.Client) -> None:
    digest = hashlib.sha1(LISTED).hexdigest().upper()
    assert admin.post("/v1/hashes", json={"sha1": digest}).json()["outcome"] == "block"


def test_a_repeated_batch_makes_no_second_case(admin: httpx.Client) -> None:
    items = [{"md5": hashlib.md5(LISTED).hexdigest()}, {"md5": "11" * 16}]
    headers = {"Idempotency-Key": "batch-1"}
    first = admin.post("/v1/hashes", json={"items": items}, headers=headers).json()["items"]
    again = admin.post("/v1/hashes", json={"items": items}, headers=headers).json()["items"]
    assert [one["decision_id"] for one in first] == [one["decision_id"] for one in again]
    assert [one["repeated"] for one in again] == [True, True]
    other = admin.post("/v1/hashes", json={"items": items[:1]}, headers=headers)
    assert other.status_code == 409


def test_a_key_that_ends_like_a_place_is_another_key(admin: httpx.Client) -> None:
    """``batch-2#0`` is a client's own key and no item of its batch ``batch-2``."""
    items = [{"md5": hashlib.md5(LISTED).hexdigest()}, {"md5": "11" * 16}]
    batch = {"Idempotency-Key": "batch-2"}
    first = admin.post("/v1/hashes", json={"items": items}, headers=batch).json()["items"]
    for place in range(2):
        other = admin.post(
            "/v1/hashes", json=items[place], headers={"Idempotency-Key": f"batch-2#{place}"}
        )
        assert other.status_code == 200
        assert other.json()["repeated"] is False
        assert other.json()["decision_id"] != first[place]["decision_id"]


def test_a_batch_of_matches_alone_is_answered_again(admin: httpx.Client) -> None:
    items = [{"md5": hashlib.md5(LISTED).hexdigest()}] * 3
    headers = {"Idempotency-Key": "batch-3"}
    first = admin.post("/v1/hashes", json={"items": items}, headers=headers).json()["items"]
    again = admin.post("/v1/hashes", json={"items": items}, headers=headers).json()["items"]
    assert [one["decision_id"] for one in first] == [one["decision_id"] for one in again]
    assert len({one["decision_id"] for one in first}) == 3


def test_an_under_scoped_key_hears_no_detail(server: Server) -> None:
    with server.client(Scope.HASHES_CHECK) as client:
        said = client.post("/v1/hashes", json={"md5": hashlib.md5(LISTED).hexdigest()}).json()
    assert "findings" not in said
    assert said["milliseconds"].keys() <= {"receive", "total"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{}]},
        {"md5": "zz"},
        {"md5": "00" * 20},
        {"pdq": "00" * 32, "quality": 101},
        {"md5": "00" * 16, "surprise": 1},
        {"md5": "00" * 16, "items": [{"md5": "00" * 16}]},
        {"items": [{"md5": "00" * 16}, {"md5": 5}]},
        {"md5": "00" * 16, "client_ip": "nowhere"},
        {"md5": "00" * 16, "facts": {"a b": "x"}},
        [],
        "text",
    ],
)
def test_what_makes_no_sense_is_a_problem(admin: httpx.Client, body: object) -> None:
    answer = admin.post("/v1/hashes", json=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_place_of_a_wrong_item_is_told(admin: httpx.Client) -> None:
    answer = admin.post("/v1/hashes", json={"items": [{"md5": "00" * 16}, {"md5": "5ECRET"}]})
    assert "Item 1" in answer.json()["detail"]
    assert "5ECRET" not in answer.text


def test_too_many_items_and_too_large_a_body_are_refused(
    server: Server, admin: httpx.Client
) -> None:
    most = server.tutela.settings.server.max_batch
    many = admin.post("/v1/hashes", json={"items": [{"md5": "00" * 16}] * (most + 1)})
    assert many.status_code == 413
    size = server.tutela.settings.server.max_json_bytes
    large = admin.post(
        "/v1/hashes", content=b" " * (size + 1), headers={"Content-Type": "application/json"}
    )
    assert large.status_code == 413


def test_another_media_type_is_refused(admin: httpx.Client) -> None:
    answer = admin.post("/v1/hashes", content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["items", "md5", "pdq", "live", "facts"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_any_body_gives_items_or_one_of_our_errors(body: bytes) -> None:
    try:
        items, _ = parse(body, 10)
    except TutelaError:
        return
    for _, query in items:
        assert any((query.md5, query.sha1, query.sha256, query.pdq))


def test_a_signal_by_hash_only_matches_by_hash(server: Server, admin: httpx.Client) -> None:
    server.list_hash("by-hash", HashType.MD5, bytes.fromhex("ab" * 16))
    assert admin.post("/v1/hashes", json={"md5": "ab" * 16}).json()["outcome"] == "block"
