"""An item: one thing to examine, with the facts that came along."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from tutela.errors import InvalidInput

from .account import Account, AgeBand
from .clock import utc_now
from .ids import new_id

MAX_FILE_NAME = 255
"""Longest file name kept, in characters."""
MAX_SURFACE = 64
"""Longest surface name, in characters."""


class ItemKind(StrEnum):
    """What kind of thing an item is; each kind has its gate."""

    UPLOAD = "upload"
    HASHES = "hashes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to examine. Bytes are not part of it: they travel as a ``Source``.

    ``surface`` says where on the platform it appeared (``post``, ``avatar``, ``message``…);
    ``recipients_age_band`` is the youngest band among those it was meant for; ``client_ip`` and
    ``client_port`` are the uploader's, as the platform saw them; ``client_time`` is the platform's
    time of the upload (aware). ``facts`` are further strings the platform wants kept.
    """

    id: str = field(default_factory=lambda: new_id("item"))
    kind: ItemKind
    received_at: datetime = field(default_factory=utc_now)
    account: Account | None = None
    file_name: str | None = None
    surface: str = "upload"
    recipients_age_band: AgeBand = AgeBand.UNKNOWN
    client_time: datetime | None = None
    client_ip: IPv4Address | IPv6Address | None = None
    client_port: int | None = None
    live: bool = False
    entrance: str = "api"
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file_name is not None:
            object.__setattr__(self, "file_name", clean_file_name(self.file_name))
        if not self.surface or len(self.surface) > MAX_SURFACE or not self.surface.isprintable():
            raise InvalidInput("The surface must be 1 to 64 printable characters.")
        if self.client_time is not None and self.client_time.tzinfo is None:
            raise InvalidInput(
                "The client time has no time zone.",
                next_step="Send an RFC 3339 time with an offset, such as 2026-01-31T09:30:00Z.",
            )
        if self.client_port is not None and not 0 < self.client_port < 65536:
            raise InvalidInput("The client port must be between 1 and 65535.")


def clean_file_name(name: str) -> str:
    """A file name made harmless: last path part, no control or direction-changing characters.

    The name is a label shown to people and written into reports; it never becomes a path.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(
        c for c in last if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    )
    return shown[:MAX_FILE_NAME].strip() or "unnamed"
