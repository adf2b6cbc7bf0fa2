"""``POST /v1/hashes``: hashes that the platform computed, so that bytes never leave it.

A plain ASGI endpoint: this is a hot route.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tutela.core import Decision, HashType, Item, ItemKind, new_id
from tutela.core.hashes import parse_digest, parse_pdq
from tutela.errors import InvalidInput, TooLarge, TutelaError, UnsupportedMedia
from tutela.lists.matching import HashQuery
from tutela.uploads.bodies import ClientGone, header, whole_body
from tutela.uploads.records import Asker, answer

from ..auth.keys import Scope as KeyScope
from ..facts import FACT_PREFIX, idempotency_key, make_item
from ..problems import from_error
from ..state import Web
from .uploads import drained

PATH = "/v1/hashes"
ENTRANCE = "hashes"
ITEMS_PER_COST = 100
"""So many items of a batch count as one request against the key's rate."""


class HashItem(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One file's hashes in hexadecimal, and the facts that came along."""

    md5: str | None = None
    sha1: str | None = None
    sha256: str | None = None
    pdq: str | None = None
    quality: int | None = None
    account: str | None = None
    account_age_band: str | None = None
    account_age_source: str | None = None
    surface: str | None = None
    file_name: str | None = None
    recipients_age_band: str | None = None
    client_time: str | None = None
    client_ip: str | None = None
    client_port: int | None = None
    live: bool | None = None
    facts: dict[str, str] | None = None


class HashBatch(HashItem, forbid_unknown_fields=True, omit_defaults=True):
    """A single item, or ``items``: many."""

    items: list[HashItem] | None = None


_HASHES = ("md5", "sha1", "sha256", "pdq", "quality")
_FACTS = tuple(name for name in HashItem.__struct_fields__ if name not in {*_HASHES, "facts"})
_decoder = msgspec.json.Decoder(HashBatch)


class HashesEndpoint:
    """The route's ASGI application."""

    def __init__(self, web: Web) -> None:
        self._web = web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one check or one batch of them."""
        scope["tutela.route"] = PATH
        read = False
        try:
            key = await self._web.admit(scope, KeyScope.HASHES_CHECK)
            idempotency = idempotency_key(header(scope, b"idempotency-key"))
            content_type = header(scope, b"content-type") or "application/json"
            if not content_type.lower().startswith("application/json"):
                raise UnsupportedMedia("The body must be application/json.")
            body = await whole_body(scope, receive, self._web.json_limits)
            read = True
            batch, single = parse(body, self._web.tutela.settings.server.max_batch)
            cost = len(batch) / ITEMS_PER_COST
            self._web.rates.spend(key.id, key.rate_per_minute, cost=cost)
            asker = Asker(key_id=key.id)
            if idempotency is not None:
                digest = hashlib.sha256(body).digest()
                asker = Asker(key_id=key.id, idempotency_key=idempotency, request_digest=digest)
            decisions = await self._web.tutela.road.hashes(batch, asker)
        except ClientGone:
            return
        except TutelaError as error:
            response = from_error(error)
            if not read and not await drained(receive):
                response.headers["Connection"] = "close"
        else:
            said = self._said(decisions, detail=key.allows(KeyScope.DECISIONS_DETAIL))
            shown: Any = said[0] if single else {"items": said}
            response = Response(msgspec.json.encode(shown), 200, media_type="application/json")
        await response(scope, receive, send)

    def _said(self, decisions: list[Decision], *, detail: bool) -> list[dict[str, Any]]:
        """The answers; items that were decided together share one."""
        answers: dict[str, dict[str, Any]] = {}
        for decision in decisions:
            if decision.id not in answers:
                answers[decision.id] = answer(decision, detail=detail)
                self._web.decided(decision, ENTRANCE)
        return [answers[decision.id] for decision in decisions]


def parse(body: bytes, most: int) -> tuple[list[tuple[Item, HashQuery]], bool]:
    """Items with their hashes out of a JSON body, and whether it was a single one.

    Raises ``InvalidInput`` naming the item's place, ``TooLarge`` for more than ``most``.
    """
    try:
        batch = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"The JSON cannot be used: {_safe(error)}.",
            next_step="See POST /v1/hashes in the API reference.",
        ) from None
    if batch.items is None:
        return [_item(batch, None)], True
    if any(getattr(batch, name) is not None for name in HashItem.__struct_fields__):
        raise InvalidInput("Send either one item or items, not both.")
    if not batch.items:
        raise InvalidInput("The list of items is empty.")
    if len(batch.items) > most:
        raise TooLarge(f"More than {most} items in one request.", next_step="Send fewer at once.")
    base = new_id("item")
    return [_item(item, place, f"{base}.{place}") for place, item in enumerate(batch.items)], False


def _item(given: HashItem, place: int | None, id: str | None = None) -> tuple[Item, HashQuery]:
    try:
        item = make_item(_facts(given), kind=ItemKind.HASHES, entrance=ENTRANCE, id=id)
        return item, _query(given)
    except InvalidInput as error:
        if place is None:
            raise
        raise type(error)(f"Item {place}: {error.what}", next_step=error.next_step) from None


def _query(given: HashItem) -> HashQuery:
    if given.quality is not None and not 0 <= given.quality <= 100:
        raise InvalidInput("The quality is a number from 0 to 100.")
    if not (given.md5 or given.sha1 or given.sha256 or given.pdq):
        raise InvalidInput("At least one of md5, sha1, sha256 and pdq is needed.")
    return HashQuery(
        md5=parse_digest(HashType.MD5, given.md5) if given.md5 is not None else None,
        sha1=parse_digest(HashType.SHA1, given.sha1) if given.sha1 is not None else None,
        sha256=parse_digest(HashType.SHA256, given.sha256) if given.sha256 is not None else None,
        pdq=parse_pdq(given.pdq) if given.pdq is not None else None,
        quality=given.quality,
    )


def _facts(given: HashItem) -> dict[str, str]:
    facts: dict[str, str] = {}
    for name in _FACTS:
        value = getattr(given, name)
        if value is not None:
            facts[name] = str(value).lower() if isinstance(value, bool) else str(value)
    for name, text in (given.facts or {}).items():
        facts[FACT_PREFIX + name] = text
    return facts


def _safe(error: Exception) -> str:
    """msgspec's message names places and types, never values; other errors are only named."""
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    return "it is not valid JSON"
