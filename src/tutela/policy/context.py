"""What policy knows besides the findings: the item, its account and the state of the house.

A ``Context`` holds plain values only, in the shape in which rules read them, so that the very same
values can be recorded beside the decision and replayed later against other rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tutela.core import Item, Media, SignalHash, utc_now

_NO_ITEM: dict[str, Any] = {
    "kind": "upload",
    "surface": "",
    "entrance": "",
    "file_name": "",
    "live": False,
    "recipients_age_band": "unknown",
    "facts": {},
    "size": 0,
    "media": "",
    "format": "",
}
_NO_ACCOUNT: dict[str, Any] = {
    "known": False,
    "id": "",
    "age_band": "unknown",
    "age_source": "unknown",
    "facts": {},
}
_NO_HOUSE: dict[str, Any] = {"protecting": True, "tries": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What policy knows besides the findings. Make one with ``Context.of``.

    ``item``, ``account`` and ``context`` are what rules see under these names (``facts.py`` lists
    their fields). ``media`` or ``hashes`` is what was hashed or sent: allow lists look at nothing
    else, and rules never see it. ``now`` is the moment by which brakes and expiries count.
    """

    item: Mapping[str, Any] = field(default_factory=lambda: _NO_ITEM)
    account: Mapping[str, Any] = field(default_factory=lambda: _NO_ACCOUNT)
    context: Mapping[str, Any] = field(default_factory=lambda: _NO_HOUSE)
    media: Media | None = None
    hashes: tuple[SignalHash, ...] = ()
    now: datetime = field(default_factory=utc_now)

    @classmethod
    def of(
        cls,
        item: Item | None = None,
        media: Media | None = None,
        *,
        hashes: tuple[SignalHash, ...] = (),
        protecting: bool = True,
        tries: int = 0,
        now: datetime | None = None,
    ) -> Context:
        """The context of one item.

        ``media`` is what the upload hashed to (None where only ``hashes`` were sent);
        ``protecting`` is invariant 15's state; ``tries`` counts earlier examinations of a deferred
        upload.
        """
        return cls(
            item=_item_facts(item, media),
            account=_account_facts(item),
            context={"protecting": protecting, "tries": tries},
            media=media,
            hashes=hashes,
            now=now or utc_now(),
        )

    def plain(self) -> dict[str, Any]:
        """JSON-ready: what to record beside the decision so that it can be replayed.

        Holds the item's facts, which may be personal data: it is kept as long as the decision's
        row and no longer. Hashes are not repeated in it.
        """
        return {
            "item": dict(self.item),
            "account": dict(self.account),
            "context": dict(self.context),
        }

    @classmethod
    def from_plain(cls, value: Mapping[str, Any], *, now: datetime | None = None) -> Context:
        """A context out of what ``plain`` gave. Fields that older versions lack take defaults."""
        return cls(
            item={**_NO_ITEM, **value.get("item", {})},
            account={**_NO_ACCOUNT, **value.get("account", {})},
            context={**_NO_HOUSE, **value.get("context", {})},
            now=now or utc_now(),
        )


def _item_facts(item: Item | None, media: Media | None) -> dict[str, Any]:
    facts = dict(_NO_ITEM)
    if item is not None:
        facts.update(
            kind=item.kind.value,
            surface=item.surface,
            entrance=item.entrance,
            file_name=item.file_name or "",
            live=item.live,
            recipients_age_band=item.recipients_age_band.value,
            facts=dict(item.facts),
        )
    if media is not None:
        facts.update(size=media.size, media=media.kind.value, format=media.format)
    return facts


def _account_facts(item: Item | None) -> dict[str, Any]:
    account = item.account if item is not None else None
    if account is None:
        return _NO_ACCOUNT
    return {
        "known": True,
        "id": account.id,
        "age_band": account.age_band.value,
        "age_source": account.age_source.value,
        "facts": dict(account.facts),
    }
