"""ASGI middleware that guards the upload routes of a FastAPI, Starlette or other application.

    from tutela.adapters.asgi import UploadGuard
    from tutela.client import AsyncClient

    app.add_middleware(UploadGuard, client=AsyncClient(URL, KEY), paths=["/photos"])

Every file in a form, or the body as a whole where it is no form, streams to Tutela while it comes
in. The application sees the request only once all decisions are ``allow``; it finds them in
``request.state.tutela``. What is held or blocked never reaches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tutela.client import Answer, AsyncClient, Refused
from tutela.errors import TutelaError
from tutela.uploads.bodies import BodyLimits, ClientGone, body_parts, header
from tutela.uploads.forms import Form, boundary_of

from .replay import Replay

Refusal = Callable[[Scope, Answer], tuple[int, dict[str, str], bytes]]
"""Makes the response to an uploader: status, headers, body. It must name no list and no rule."""

METHODS = frozenset({"POST", "PUT", "PATCH"})
MAX_FILES = 64
_WORDS = {
    "block": (403, "This file was not accepted", "It cannot be posted here."),
    "hold": (202, "This file is being checked", "It appears once the check is done."),
}


@dataclass
class _Asking:
    """One file on its way to Tutela: chunks go into the queue, the task brings the answer."""

    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(8))
    task: asyncio.Task[Answer] | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """What the client sends."""
        while (chunk := await self.queue.get()) is not None:
            yield chunk

    async def put(self, chunk: bytes | None) -> None:
        """Hand a chunk over, unless the client has stopped reading."""
        assert self.task is not None
        put = asyncio.ensure_future(self.queue.put(chunk))
        await asyncio.wait({put, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if not put.done():
            put.cancel()


class UploadGuard:
    """The middleware. See the module for the three lines that put it in.

    ``paths`` are the guarded paths, or a function of the scope; ``account`` finds the account's
    opaque id in the scope; ``surface`` names the place. ``on_hold`` is ``refuse`` (the uploader is
    told that it is being checked) or ``pass`` (the application gets the request and must look at
    ``request.state.tutela`` itself; it never gets a blocked one). ``refusal`` makes another
    response. ``memory_bytes`` of a body stay in memory, more goes encrypted to a temporary file.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        client: AsyncClient,
        paths: Collection[str] | Callable[[Scope], bool],
        account: Callable[[Scope], str | None] = lambda scope: None,
        surface: str = "upload",
        on_hold: Literal["refuse", "pass"] = "refuse",
        refusal: Refusal | None = None,
        max_bytes: int = 512 * 1024 * 1024,
        memory_bytes: int = 8 * 1024 * 1024,
        part_seconds: float = 60.0,
    ) -> None:
        if isinstance(paths, str):
            raise TypeError("paths is a collection of paths, not one path")
        self.app = app
        self._client = client
        self._guarded = paths if callable(paths) else _one_of(paths)
        self._account = account
        self._surface = surface
        self._on_hold = on_hold
        self._refusal = refusal or plain_refusal
        self._limits = BodyLimits(max_bytes=max_bytes, part_seconds=part_seconds)
        self._memory = memory_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request, or pass it on untouched."""
        if scope["type"] != "http" or scope["method"] not in METHODS or not self._guarded(scope):
            await self.app(scope, receive, send)
            return
        replay = Replay(self._memory)
        try:
            await self._guard(scope, receive, send, replay)
        except ClientGone:
            return
        except TutelaError as error:
            await _respond(
                send, error.status, {}, _json({"error": error.code, "detail": str(error)})
            )
        except OSError:
            await _respond(send, 507, {"retry-after": "30"}, _json({"error": "storage-full"}))
        finally:
            replay.close()

    async def _guard(self, scope: Scope, receive: Receive, send: Send, replay: Replay) -> None:
        try:
            answers = await self._examine(scope, receive, replay)
        except Refused as refused:
            status = 413 if refused.status == 413 else 502
            await _respond(send, status, {}, _json({"error": "not-checked"}))
            return
        worst = max(answers, key=_weight, default=None)
        if worst is not None and (worst.blocked or (worst.held and self._on_hold == "refuse")):
            await _respond(send, *self._refusal(scope, worst))
            return
        state = dict(scope.get("state") or {})
        state["tutela"] = tuple(answers)
        await self.app({**scope, "state": state}, _replayed(replay, receive), send)

    async def _examine(self, scope: Scope, receive: Receive, replay: Replay) -> list[Answer]:
        content_type = header(scope, b"content-type") or ""
        asked: list[_Asking] = []
        parts = body_parts(scope, receive, self._limits)
        try:
            if content_type.lower().startswith("multipart/"):
                await self._ask_form(scope, boundary_of(content_type), parts, replay, asked)
            else:
                await self._ask_body(scope, parts, replay, asked)
            return [await one.task for one in asked if one.task is not None]
        finally:
            for one in asked:
                if one.task is not None and not one.task.done():
                    one.task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await one.task

    async def _ask_body(
        self, scope: Scope, parts: AsyncIterator[bytes], replay: Replay, asked: list[_Asking]
    ) -> None:
        asking: _Asking | None = None
        async for part in parts:
            replay.write(part)
            if asking is None:
                asking = self._open(scope, "", asked)
            await asking.put(part)
        if asking is not None:
            await asking.put(None)

    async def _ask_form(
        self,
        scope: Scope,
        boundary: bytes,
        parts: AsyncIterator[bytes],
        replay: Replay,
        asked: list[_Asking],
    ) -> None:
        events: list[tuple[str, Any]] = []
        form = Form(
            boundary,
            on_file=lambda _, file_name: events.append(("open", file_name)),
            on_chunk=lambda chunk: events.append(("chunk", chunk)),
            on_file_end=lambda: events.append(("end", None)),
            max_files=MAX_FILES,
            long_fields_are_files=True,
        )
        async for part in parts:
            replay.write(part)
            form.feed(part)
            for kind, value in events:
                if kind == "open":
                    self._open(scope, value, asked)
                else:
                    await asked[-1].put(value)
            events.clear()
        form.finish()

    def _open(self, scope: Scope, file_name: str, asked: list[_Asking]) -> _Asking:
        asking = _Asking()
        asking.task = asyncio.create_task(
            self._client.upload(
                asking.chunks(),
                account=self._account(scope),
                surface=self._surface,
                file_name=file_name or None,
            )
        )
        asked.append(asking)
        return asking


def plain_refusal(scope: Scope, answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """A page for browsers, JSON for programs. It says no more than the opaque reason."""
    status, title, text = _WORDS["block" if answer.blocked else "hold"]
    if "text/html" in (header(scope, b"accept") or ""):
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
            f"<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p></main></body></html>"
        )
        return status, {"content-type": "text/html; charset=utf-8"}, page.encode()
    body = {"outcome": answer.outcome, "reason": answer.reason, "detail": title + "."}
    return status, {"content-type": "application/json"}, _json(body)


def _one_of(paths: Collection[str]) -> Callable[[Scope], bool]:
    wanted = {path.rstrip("/") or "/" for path in paths}
    return lambda scope: (scope["path"].rstrip("/") or "/") in wanted


def _weight(answer: Answer) -> int:
    return ("allow", "hold", "block").index(answer.outcome)


def _replayed(replay: Replay, receive: Receive) -> Receive:
    chunks = replay.read()
    done = False

    async def replayed() -> Message:
        nonlocal done
        if done:
            return await receive()
        chunk = next(chunks, None)
        done = chunk is None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    return replayed


async def _respond(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    sent = {"content-type": "application/json", "cache-control": "no-store"} | headers
    sent["content-length"] = str(len(body))
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in sent.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


__all__ = ["Refusal", "UploadGuard", "plain_refusal"]
