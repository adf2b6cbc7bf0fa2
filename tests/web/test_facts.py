"""Facts from headers, forms and JSON become an item, or an error that repeats no value."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutela.core import AgeBand, AgeSource, Item, ItemKind
from tutela.errors import InvalidInput
from tutela.web.facts import KNOWN, from_fields, from_headers, idempotency_key, make_item


def item(**facts: str) -> Item:
    return make_item(facts, kind=ItemKind.UPLOAD, entrance="api")


def test_every_fact_reaches_the_item() -> None:
    made = item(
        account="u-1",
        account_age_band="13_15",
        account_age_source="verified",
        surface="avatar",
        file_name="../../etc/passwd\u202egpj.exe",
        recipients_age_band="under_13",
        client_time="2026-01-31T09:30:00+01:00",
        client_ip="2001:db8::7",
        client_port="50123",
        live="true",
        fact_room="blue",
    )
    assert made.account is not None
    assert (made.account.age_band, made.account.age_source) == (
        AgeBand.FROM_13_TO_15,
        AgeSource.VERIFIED,
    )
    assert made.file_name == "passwdgpj.exe"
    assert made.recipients_age_band is AgeBand.UNDER_13
    assert made.client_time is not None
    assert made.client_time.utcoffset() is not None
    assert str(made.client_ip) == "2001:db8::7"
    assert (made.client_port, made.live, made.surface) == (50123, True, "avatar")
    assert made.facts == {"room": "blue"}


def test_headers_are_utf8_and_file_names_percent_encoded() -> None:
    facts = from_headers(
        [
            (b"tutela-file-name", b"%C3%A9t%C3%A9%0D%0AX-Evil%3A1.jpg"),
            (b"tutela-account", "ünï%41".encode()),
            (b"accept", b"x"),
        ]
    )
    assert facts == {"file_name": "été\r\nX-Evil:1.jpg", "account": "ünï%41"}
    made = make_item(facts, kind=ItemKind.UPLOAD, entrance="api")
    assert made.file_name == "étéX-Evil:1.jpg"


def test_fields_may_be_written_with_dashes() -> None:
    assert from_fields({"Client-IP": "::1"}) == {"client_ip": "::1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account", "a\u0007SECRET"),
        ("account", "S" * 300),
        ("account_age_band", "SECRET"),
        ("recipients_age_band", "SECRET"),
        ("client_time", "SECRET"),
        ("client_time", "2026-01-31T09:30:00"),
        ("client_ip", "SECRET"),
        ("client_port", "0"),
        ("client_port", "SECRET"),
        ("live", "SECRET"),
        ("surface", "S" * 65),
        ("fact_x", "SECRET\r\nline"),
        ("fact_" + "x" * 80, "SECRET"),
        ("acount", "SECRET"),
    ],
)
def test_a_wrong_fact_is_refused_without_repeating_it(name: str, value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        item(**({"account": "u"} | {name: value}))
    assert "SECRET" not in caught.value.spoken()


@given(st.dictionaries(st.sampled_from([*KNOWN, "fact_a", "x"]), st.text(max_size=80)))
def test_any_facts_make_an_item_or_one_of_our_errors(facts: dict[str, str]) -> None:
    with contextlib.suppress(InvalidInput):
        assert item(**facts).kind is ItemKind.UPLOAD


def test_a_header_given_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        from_headers([(b"tutela-account", b"a"), (b"tutela-account", b"b")])


def test_headers_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        from_headers([(b"tutela-account", b"\xff")])


@pytest.mark.parametrize("text", ["", "x" * 201, "with\nline", "é"])
def test_an_unusable_idempotency_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        idempotency_key(text)


def test_a_usable_idempotency_key_is_kept() -> None:
    assert idempotency_key("a b-1") == "a b-1"
    assert idempotency_key(None) is None
