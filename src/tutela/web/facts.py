"""What the platform says about an upload, from headers, form fields or JSON, into an ``Item``.

One table serves all three: the header ``Tutela-Client-IP``, the form field ``client_ip`` and the
JSON member ``client_ip`` are the same fact. Unknown facts are refused, so that a typing error is
noticed and not silently dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from tutela.core import Account, AgeBand, AgeSource, Item, ItemKind, new_id
from tutela.errors import InvalidInput

HEADER_PREFIX = b"tutela-"
FACT_PREFIX = "fact_"
MAX_FACTS = 32
MAX_FACT_NAME = 64
MAX_FACT_VALUE = 1024
MAX_IDEMPOTENCY_KEY = 200

KNOWN = {
    "account": "The account's opaque id on the platform.",
    "account_age_band": "Age band of the account's holder: under_13, 13_15, 16_17, adult, unknown.",
    "account_age_source": "Where the age band comes from: declared, verified, estimated, unknown.",
    "surface": "Where on the platform it appears: post, avatar, message…",
    "file_name": "The file's name; in a header percent-encoded UTF-8. A label, never a path.",
    "recipients_age_band": "Youngest age band among those it is meant for.",
    "client_time": "The platform's time of the upload, RFC 3339 with an offset.",
    "client_ip": "The uploader's address as the platform saw it.",
    "client_port": "The uploader's port as the platform saw it.",
    "live": "true where it is already public; a match is then more urgent.",
}
"""Every fact with its meaning; further ones come as ``fact_NAME`` (header ``Tutela-Fact-NAME``)."""

_NAME = re.compile(r"[a-z0-9_]{1,64}")
_E = TypeVar("_E", bound=StrEnum)


def from_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The facts among the headers. File names are percent-decoded; all must be UTF-8."""
    facts: dict[str, str] = {}
    for raw_name, raw_value in headers:
        if not raw_name.startswith(HEADER_PREFIX):
            continue
        name = raw_name[len(HEADER_PREFIX) :].decode("latin-1").replace("-", "_")
        if name in facts:
            raise InvalidInput(f"The header for {shown(name)} comes twice.")
        value = unquote_to_bytes(bytes(raw_value)) if name == "file_name" else bytes(raw_value)
        try:
            facts[name] = value.decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"The value of {shown(name)} is not UTF-8.") from None
    return facts


def from_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """The facts among form fields; dashes count as underscores, case does not count."""
    facts: dict[str, str] = {}
    for field, value in fields.items():
        name = field.lower().replace("-", "_")
        if name in facts:
            raise InvalidInput(f"The field {shown(name)} comes twice.")
        facts[name] = value
    return facts


def make_item(
    facts: Mapping[str, str], *, kind: ItemKind, entrance: str, id: str | None = None
) -> Item:
    """An item from its facts, with a fresh id where none is given.

    Raises ``InvalidInput`` naming the fact, never its value.
    """
    extra: dict[str, str] = {}
    for name, value in facts.items():
        if name in KNOWN:
            continue
        if not name.startswith(FACT_PREFIX) or not _NAME.fullmatch(name):
            raise InvalidInput(
                f"There is no fact {shown(name)}.",
                next_step="Known facts: " + ", ".join(KNOWN) + ", fact_NAME.",
            )
        if len(value) > MAX_FACT_VALUE or not value.isprintable():
            raise InvalidInput(
                f"The value of {shown(name)} must be at most {MAX_FACT_VALUE} printable characters."
            )
        extra[name.removeprefix(FACT_PREFIX)] = value
    if len(extra) > MAX_FACTS:
        raise InvalidInput(f"More than {MAX_FACTS} further facts came along.")
    known = {name: value for name, value in facts.items() if name in KNOWN and value != ""}
    return Item(
        id=id or new_id("item"),
        kind=kind,
        entrance=entrance,
        account=_account(known),
        file_name=known.get("file_name"),
        surface=known.get("surface", "upload"),
        recipients_age_band=_one_of(AgeBand, known, "recipients_age_band", AgeBand.UNKNOWN),
        client_time=_time(known),
        client_ip=_ip(known),
        client_port=_port(known),
        live=_flag(known, "live"),
        facts=extra,
    )


def idempotency_key(text: str | None) -> str | None:
    """A usable idempotency key, or None. Raises ``InvalidInput``."""
    if text is None:
        return None
    if not 1 <= len(text) <= MAX_IDEMPOTENCY_KEY or not text.isascii() or not text.isprintable():
        raise InvalidInput(
            f"The Idempotency-Key must be 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters."
        )
    return text


def shown(name: str) -> str:
    """A name from outside, made safe to show in an error."""
    return "".join(c for c in name[:MAX_FACT_NAME] if c.isascii() and (c.isalnum() or c == "_"))


def _account(known: Mapping[str, str]) -> Account | None:
    if "account" not in known:
        if "account_age_band" in known or "account_age_source" in known:
            raise InvalidInput("An account's age band came without the account.")
        return None
    return Account(
        id=known["account"],
        age_band=_one_of(AgeBand, known, "account_age_band", AgeBand.UNKNOWN),
        age_source=_one_of(AgeSource, known, "account_age_source", AgeSource.UNKNOWN),
    )


def _one_of(kind: type[_E], known: Mapping[str, str], name: str, default: _E) -> _E:
    if name not in known:
        return default
    try:
        return kind(known[name])
    except ValueError:
        raise InvalidInput(f"The {name} must be one of: {', '.join(kind)}.") from None


def _time(known: Mapping[str, str]) -> datetime | None:
    if "client_time" not in known:
        return None
    try:
        return datetime.fromisoformat(known["client_time"])
    except ValueError:
        raise InvalidInput(
            "The client_time is not a time.",
            next_step="Send RFC 3339 with an offset, such as 2026-01-31T09:30:00Z.",
        ) from None


def _ip(known: Mapping[str, str]) -> IPv4Address | IPv6Address | None:
    if "client_ip" not in known:
        return None
    try:
        return ip_address(known["client_ip"])
    except ValueError:
        raise InvalidInput("The client_ip is not an IP address.") from None


def _port(known: Mapping[str, str]) -> int | None:
    if "client_port" not in known:
        return None
    text = known["client_port"]
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise InvalidInput("The client_port is not a port.")
    return int(text)


def _flag(known: Mapping[str, str], name: str) -> bool:
    value = known.get(name, "false").lower()
    if value not in {"true", "false", "1", "0"}:
        raise InvalidInput(f"The fact {name} must be true or false.")
    return value in {"true", "1"}
