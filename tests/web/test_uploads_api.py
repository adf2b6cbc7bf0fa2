"""``POST /v1/uploads``: what comes in, what is answered, and to whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import func, select
from tests.house import Server, picture

from tutela.store.tables.cases import cases
from tutela.store.tables.decisions import decisions, items
from tutela.store.tables.evidence import evidence
from tutela.web.auth.keys import Scope

from .conftest import LISTED

JPEG = {"Content-Type": "image/jpeg"}


def count(server: Server, table: object) -> int:
    with server.tutela.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_harmless_picture_is_allowed_and_makes_no_case(
    server: Server, admin: httpx.Client
) -> None:
    before = count(server, cases), count(server, evidence)
    said = admin.post("/v1/uploads", content=picture(2), headers=JPEG).json()
    assert (said["outcome"], said["reason"], said["case_id"]) == ("allow", "accepted", None)
    assert said["protecting"] is True
    assert before == (count(server, cases), count(server, evidence))


def test_the_listed_picture_is_blocked_with_case_and_sealed_evidence(
    server: Server, admin: httpx.Client
) -> None:
    said = admin.post("/v1/uploads", content=LISTED, headers=JPEG).json()
    assert (said["outcome"], said["reason"]) == ("block", "not_accepted")
    assert said["findings"][0]["kind"] == "exact"
    with server.tutela.database.read() as connection:
        row = connection.execute(
            select(evidence).where(evidence.c.case_id == said["case_id"])
        ).one()
    assert row.id == said["detail"]["evidence_id"]
    assert row.size == len(LISTED)
    sealed = server.tutela.settings.data_dir / "objects" / row.object_name
    assert sealed.stat().st_size == row.sealed_size
    assert LISTED[:64] not in sealed.read_bytes()


def test_a_recompressed_copy_is_found_by_its_likeness(admin: httpx.Client) -> None:
    said = admin.post("/v1/uploads", content=picture(1, quality=40)).json()
    assert said["outcome"] == "block"
    assert said["findings"][0]["kind"] == "near"
    assert "distance_identical" not in said["findings"][0]


def test_a_match_near_the_edge_is_hashed_again_identically(admin: httpx.Client) -> None:
    """Both distances are in the finding, and a person decides."""
    said = admin.post("/v1/uploads", content=picture(1, side=300, quality=40)).json()
    near = next(finding for finding in said["findings"] if finding["kind"] == "near")
    assert said["outcome"] == "hold"
    assert near["distance"] >= 21
    assert abs(near["distance_identical"] - near["distance"]) <= 10


def test_a_form_is_as_good_as_a_raw_body(server: Server, admin: httpx.Client) -> None:
    said = admin.post(
        "/v1/uploads",
        files={"file": ("../evil\u202e.jpg", LISTED, "image/jpeg")},
        data={"account": "u-9", "surface": "avatar", "client_ip": "192.0.2.7", "fact_room": "a"},
    ).json()
    assert said["outcome"] == "block"
    with server.tutela.database.read() as connection:
        row = connection.execute(
            select(items)
            .join(decisions, decisions.c.item_id == items.c.id)
            .where(decisions.c.id == said["decision_id"])
        ).one()
    assert (row.account_id, row.surface, row.client_ip) == ("u-9", "avatar", "192.0.2.7")
    assert row.file_name == "evil.jpg"
    assert row.facts == {"room": "a"}


def test_facts_come_by_headers_too(server: Server, admin: httpx.Client) -> None:
    headers = {
        "Tutela-Account": "konto-ü".encode(),
        "Tutela-Account-Age-Band": "13_15",
        "Tutela-File-Name": "%C3%A9t%C3%A9.jpg",
        "Tutela-Recipients-Age-Band": "under_13",
        "Tutela-Live": "true",
    }
    said = admin.post("/v1/uploads", content=picture(3), headers=headers).json()
    with server.tutela.database.read() as connection:
        row = connection.execute(
            select(items)
            .join(decisions, decisions.c.item_id == items.c.id)
            .where(decisions.c.id == said["decision_id"])
        ).one()
    assert (row.account_id, row.file_name) == ("konto-ü", "été.jpg")
    assert row.account["age_band"] == "13_15"
    assert row.recipients_age_band == "under_13"


def test_an_unreadable_file_is_held_not_allowed(admin: httpx.Client) -> None:
    said = admin.post("/v1/uploads", content=b"\xff\xd8\xff\xe0" + bytes(200)).json()
    assert (said["outcome"], said["deferred"], said["case_id"]) == ("hold", False, None)
    assert said["reason"] == "being_checked"


def test_what_an_under_scoped_key_hears_is_the_same_for_any_list_or_rule(server: Server) -> None:
    """No list, rule, distance or fine timing in the answer (invariant 8)."""
    server.list_picture("another", picture(77))
    with server.client(Scope.UPLOADS_WRITE) as client:
        first = client.post("/v1/uploads", content=LISTED).json()
        near = client.post("/v1/uploads", content=picture(77, quality=30)).json()
    assert set(first) == set(near)
    for said in (first, near):
        assert set(said["milliseconds"]) == {"receive", "total"}
        text = str(said)
        for word in ("known", "another", "near", "exact", "distance", "rule", "default@"):
            assert word not in text
    assert "findings" not in first
    assert "detail" not in first


def test_the_same_key_with_the_same_content_gives_one_answer_and_one_case(
    server: Server, admin: httpx.Client
) -> None:
    before = count(server, cases)
    headers = {"Idempotency-Key": "once-1"}
    first = admin.post("/v1/uploads", content=LISTED, headers=headers).json()
    again = admin.post("/v1/uploads", content=LISTED, headers=headers).json()
    assert (first["repeated"], again["repeated"]) == (False, True)
    for name in ("decision_id", "outcome", "case_id", "reason", "findings", "detail"):
        assert first[name] == again[name]
    assert count(server, cases) == before + 1


def test_the_same_key_at_the_same_time_gives_one_case(server: Server, admin: httpx.Client) -> None:
    before = count(server, cases), count(server, evidence)

    def send(_: int) -> dict[str, object]:
        answer = admin.post("/v1/uploads", content=LISTED, headers={"Idempotency-Key": "rush"})
        said: dict[str, object] = answer.json()
        return said

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(send, range(8)))
    assert len({one["decision_id"] for one in said}) == 1
    assert len({one["case_id"] for one in said}) == 1
    assert sum(not one["repeated"] for one in said) == 1
    assert (count(server, cases), count(server, evidence)) == (before[0] + 1, before[1] + 1)
    objects = server.tutela.settings.data_dir / "objects" / "evidence"
    assert len(list(objects.rglob("*.age"))) == count(server, evidence)


@pytest.mark.parametrize("changed", ["content", "account"])
def test_the_same_key_with_other_content_or_account_is_refused(
    admin: httpx.Client, changed: str
) -> None:
    headers = {"Idempotency-Key": f"other-{changed}", "Tutela-Account": "a"}
    assert admin.post("/v1/uploads", content=picture(4), headers=headers).status_code == 200
    content = picture(5) if changed == "content" else picture(4)
    if changed == "account":
        headers["Tutela-Account"] = "b"
    answer = admin.post("/v1/uploads", content=content, headers=headers)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:tutela:problem:idempotency-conflict"


def test_two_keys_may_use_the_same_idempotency_key(server: Server) -> None:
    answers = []
    for seed in (6, 7):
        with server.client(Scope.UPLOADS_WRITE) as client:
            headers = {"Idempotency-Key": "shared"}
            answers.append(client.post("/v1/uploads", content=picture(seed), headers=headers))
    assert [answer.json()["repeated"] for answer in answers] == [False, False]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "invalid-input"),
        (b"x", {"Tutela-Client-IP": "nowhere"}, 400, "invalid-input"),
        (b"x", {"Tutela-Surprise": "1"}, 400, "invalid-input"),
        (b"x", {"Idempotency-Key": "x" * 300}, 400, "invalid-input"),
        (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, None),
        (b"x", {"Content-Type": "multipart/mixed; boundary=a"}, 415, None),
        (b"--a\r\n", {"Content-Type": "multipart/form-data; boundary=a"}, 400, "invalid-input"),
        (b"x", {"Content-Type": "multipart/form-data"}, 400, "invalid-input"),
    ],
)
def test_what_makes_no_sense_is_a_problem(
    admin: httpx.Client, body: bytes, headers: dict[str, str], status: int, code: str | None
) -> None:
    answer = admin.post("/v1/uploads", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    assert said["detail"]
    if code:
        assert said["type"].endswith(code)


def test_what_curl_sends_by_default_is_taken(admin: httpx.Client) -> None:
    """``curl --data-binary`` says that a picture is a form; what a file says counts for nothing."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = admin.post("/v1/uploads", content=LISTED, headers=headers)
    assert answer.json()["outcome"] == "block"


def test_a_form_with_two_files_or_none_is_refused(admin: httpx.Client) -> None:
    two = admin.post("/v1/uploads", files=[("a", ("a", b"1")), ("b", ("b", b"2"))])
    none = admin.post("/v1/uploads", files={"account": (None, "u")})
    assert (two.status_code, none.status_code) == (400, 400)


def test_a_fact_given_twice_is_refused(admin: httpx.Client) -> None:
    answer = admin.post(
        "/v1/uploads",
        files={"file": ("a", b"1")},
        data={"account": "u"},
        headers={"Tutela-Account": "u"},
    )
    assert answer.status_code == 400


def test_other_methods_and_paths_are_problems_too(admin: httpx.Client) -> None:
    assert admin.get("/v1/uploads").status_code == 405
    missing = admin.get("/v1/nothing")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("header", "after", "status"),
    [
        (b"Content-Transfer-Encoding: base64\r\n", b"", 415),
        (b"", b'--a\r\nContent-Disposition: form-data; name="f"\r\n\r\ny\r\n--a--\r\n', 400),
    ],
)
def test_an_encoded_part_and_a_second_form_behind_the_first_are_refused(
    admin: httpx.Client, header: bytes, after: bytes, status: int
) -> None:
    head = b'--a\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
    body = head + header + b"\r\nx\r\n--a--\r\n" + after
    kind = {"Content-Type": "multipart/form-data; boundary=a"}
    assert admin.post("/v1/uploads", content=body, headers=kind).status_code == status
