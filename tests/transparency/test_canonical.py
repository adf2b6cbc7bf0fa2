"""The quick canonical form against the general implementation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tutela.core import Outcome, as_plain
from tutela.errors import InvalidInput
from tutela.transparency.canonical import canonical

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_it_is_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_fraction_is_spelt_as_rfc_8785_says(value: float) -> None:
    assert canonical([value]) == rfc8785.dumps([value])


def test_our_own_values_become_plain_first() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    value = {"b": b"\x01\xff", "at": at, "outcome": Outcome.HOLD, "list": (1, 2.0)}
    assert canonical(value) == rfc8785.dumps(as_plain(value))
    assert canonical(value) == (
        b'{"at":"2026-01-02T03:04:05.000006Z","b":"01ff","list":[1,2],"outcome":"hold"}'
    )


@pytest.mark.parametrize("value", [2**53, float("nan"), float("inf"), "\ud800", {"a": ["\udfff"]}])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        canonical({"value": value})


def test_what_nests_without_end_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidInput):
        canonical(value)
