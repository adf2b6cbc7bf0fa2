"""``POST /v1/uploads``: a body streams into the spool, travels the road, and gets its answer.

A plain ASGI endpoint: this is the hot route.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass, replace

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tutela.core import Decision, Item, ItemKind
from tutela.errors import InvalidInput, TutelaError, UnsupportedMedia
from tutela.hashing.source import Source
from tutela.uploads.bodies import BodyLimits, ClientGone, body_parts, header, too_large
from tutela.uploads.forms import OVERHEAD, Form, boundary_of
from tutela.uploads.records import Asker, answer
from tutela.uploads.spool import SpoolWriter

from ..auth.keys import ApiKey
from ..auth.keys import Scope as KeyScope
from ..facts import from_fields, from_headers, idempotency_key, make_item
from ..problems import from_error
from ..spooling import spooled
from ..state import Web

PATH = "/v1/uploads"
ENTRANCE = "api"
MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
"""What curl says of any ``--data-binary``. A file is taken; a form's text carries none."""
FORM_TEXT = re.compile(rb"[A-Za-z0-9_.%+\[\]-]{1,200}=[\x21-\x7e]*")
DRAIN_BYTES = 4 * 1024 * 1024
DRAIN_SECONDS = 1.0


@dataclass(slots=True)
class _Progress:
    """Whether the body was read to its end, so that an early answer knows what to drain."""

    whole: bool = False


class UploadEndpoint:
    """The route's ASGI application."""

    def __init__(self, web: Web) -> None:
        self._web = web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one upload. A client that hung up gets no answer and leaves nothing behind."""
        scope["tutela.route"] = PATH
        progress = _Progress()
        try:
            response = await self._answer(scope, receive, progress)
        except ClientGone:
            return
        except TutelaError as error:
            response = from_error(error)
            if not progress.whole and not await drained(receive):
                response.headers["Connection"] = "close"
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, progress: _Progress) -> Response:
        started = time.perf_counter()
        web = self._web
        key = await web.admit(scope, KeyScope.UPLOADS_WRITE)
        idempotency = idempotency_key(header(scope, b"idempotency-key"))
        async with web.slots.one(key.id):
            web.metrics.in_flight.inc()
            try:
                with web.tutela.spool.writer() as writer:
                    item = await receive_upload(scope, receive, writer, web.upload_limits)
                    progress.whole = True
                    source = writer.finish()
                with source:
                    received = time.perf_counter()
                    asker = _asker(key, idempotency, item, source)
                    decision = await web.tutela.road.upload(item, source, asker)
                    size = source.size
            finally:
                web.metrics.in_flight.dec()
        if not decision.repeated:
            decision = _timed(decision, started, received)
        web.decided(decision, ENTRANCE, size)
        return _response(decision, key)


def _timed(decision: Decision, started: float, received: float) -> Decision:
    spent = {"receive": _ms(started, received), **decision.milliseconds}
    spent["total"] = _ms(started, time.perf_counter())
    return replace(decision, milliseconds=spent)


def _response(decision: Decision, key: ApiKey) -> Response:
    detail = key.allows(KeyScope.DECISIONS_DETAIL)
    body = msgspec.json.encode(answer(decision, detail=detail))
    return Response(body, 200, media_type="application/json")


async def receive_upload(
    scope: Scope, receive: Receive, writer: SpoolWriter, limits: BodyLimits
) -> Item:
    """Stream a raw or multipart body into the spool; the item it came with.

    Raises ``InvalidInput`` and those below it, ``StorageFull``, ``StoreUnavailable``.
    """
    content_type = (header(scope, b"content-type") or "").lower()
    if content_type.startswith(MULTIPART):
        facts = await _form(scope, receive, writer, limits)
        _not_empty(writer)
        return make_item(facts, kind=ItemKind.UPLOAD, entrance=ENTRANCE)
    if content_type.startswith("multipart/"):
        raise _no_file()
    item = make_item(from_headers(scope["headers"]), kind=ItemKind.UPLOAD, entrance=ENTRANCE)
    async for part in body_parts(scope, receive, limits):
        if not writer.size and content_type.startswith(URLENCODED) and _is_form_text(part):
            raise _no_file()
        await spooled(writer, part)
    _not_empty(writer)
    return item


def _is_form_text(part: bytes) -> bool:
    """Whether a body begins as the text of an HTML form does: ``name=value``, nothing binary."""
    return FORM_TEXT.fullmatch(part[:512]) is not None


def _no_file() -> UnsupportedMedia:
    return UnsupportedMedia(
        "This kind of form carries no file.",
        next_step="Send multipart/form-data, or the file's bytes as application/octet-stream.",
    )


async def _form(
    scope: Scope, receive: Receive, writer: SpoolWriter, limits: BodyLimits
) -> dict[str, str]:
    """The facts of a form whose file went into the spool. Headers may carry facts too."""
    chunks: list[bytes] = []
    named: dict[str, str] = {}

    def on_file(_: str, file_name: str) -> None:
        if file_name:
            named["file_name"] = file_name

    boundary = boundary_of(header(scope, b"content-type") or "")
    form = Form(boundary, on_file=on_file, on_chunk=chunks.append)
    wider = replace(limits, max_bytes=limits.max_bytes + OVERHEAD)
    async for part in body_parts(scope, receive, wider):
        form.feed(part)
        for chunk in chunks:
            await spooled(writer, chunk)
        chunks.clear()
        if writer.size > limits.max_bytes:
            raise too_large(limits)
    form.finish()
    if not form.files:
        raise InvalidInput(
            "The form carries no file.", next_step="Send the file in a part with a file name."
        )
    fields = from_fields(form.fields)
    headers = from_headers(scope["headers"])
    if fields.keys() & headers.keys():
        raise InvalidInput("A fact came both as a header and as a field.")
    return named | headers | fields


def _not_empty(writer: SpoolWriter) -> None:
    if writer.size == 0:
        raise InvalidInput("The upload is empty.", next_step="Send the file's bytes.")


def _asker(key: ApiKey, idempotency: str | None, item: Item, source: Source) -> Asker:
    """Who asks, and what makes it the same request again: the bytes, and whose and where."""
    if idempotency is None or source.digests is None:
        return Asker(key_id=key.id)
    account = item.account.id if item.account else ""
    same = "\0".join((item.surface, account, item.file_name or ""))
    digest = hashlib.sha256(source.digests.sha256 + same.encode()).digest()
    return Asker(key_id=key.id, idempotency_key=idempotency, request_digest=digest)


async def drained(receive: Receive) -> bool:
    """Read away the rest of a small body, so that the client hears the answer; False where there
    is too much of it or it comes too slowly, and the line is to be closed."""
    seen = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while seen <= DRAIN_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return False
                seen += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return True
    except TimeoutError:
        return False
    return False


def _ms(start: float, end: float) -> float:
    return round((end - start) * 1000, 3)
