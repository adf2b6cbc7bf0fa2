"""An account: a user of the platform, known to Tutela by an opaque id and the facts given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tutela.errors import InvalidInput

MAX_ACCOUNT_ID = 256
"""Longest account id in characters."""


class AgeBand(StrEnum):
    """How old an account's holder is, as a band. Never a date of birth."""

    UNDER_13 = "under_13"
    FROM_13_TO_15 = "13_15"
    FROM_16_TO_17 = "16_17"
    ADULT = "adult"
    UNKNOWN = "unknown"


class AgeSource(StrEnum):
    """Where the age band comes from: said by the holder, checked, or guessed by a system."""

    DECLARED = "declared"
    VERIFIED = "verified"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as the platform described it. ``id`` is opaque: Tutela never interprets it."""

    id: str
    age_band: AgeBand = AgeBand.UNKNOWN
    age_source: AgeSource = AgeSource.UNKNOWN
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id or len(self.id) > MAX_ACCOUNT_ID or not self.id.isprintable():
            raise InvalidInput(
                "The account id must be 1 to 256 printable characters.",
                next_step="Send the platform's own opaque id of the account.",
            )
