"""ASGI middleware that guards the upload routes of a FastAPI, Starlette or other application.

    from tutela.adapters.asgi import UploadGuard
    from tutela.client import AsyncClient

    app.add_middleware(UploadGuard, client=AsyncClient(URL, KEY), paths=["/photos"])

Every file in a form, or the body as a whole where it is no form, streams to Tutela while it comes
in. Fields, JSON and urlencoded bodies are texts: they go to Tutela, out of their escapes, where
they may hold a picture. The application sees the request only once all decisions are ``allow``; it
finds them in ``request.state.tutela``. What is held or blocked never reaches it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tutela.client import Answer, AsyncClient, Refused, Unreachable
from tutela.errors import TooLarge, TutelaError
from tutela.uploads.bodies import BodyLimits, ClientGone, body_parts, header
from tutela.uploads.forms import Form, boundary_of

from .asking import Asking
from .refusals import as_json, note_refused, plain_refusal, respond
from .replay import Replay
from .texts import KeptText, readings

Refusal = Callable[[Scope, Answer], tuple[int, dict[str, str], bytes]]
"""Makes the response to an uploader: status, headers, body. It must name no list and no rule."""

MAX_FILES = 64
AT_ONCE = 64 * 1024
"""Bytes of text that are read on the spot; longer ones go to a thread."""
URLENCODED = "application/x-www-form-urlencoded"


class UploadGuard:
    """The middleware. See the module for the three lines that put it in.

    ``paths`` are the guarded paths, or a function of the scope; ``account`` finds the account's
    opaque id in the scope; ``surface`` names the place. ``on_hold`` is ``refuse`` (the uploader is
    told that it was not accepted just now) or ``pass`` (the application gets the request and must
    look at ``request.state.tutela`` itself; it never gets a blocked one). ``refusal`` makes another
    response. ``memory_bytes`` of a body stay in memory, more goes encrypted to a temporary file.
    JSON and urlencoded bodies may have ``max_text_bytes``, since they are read as a whole.
    ``part_seconds``, ``min_rate`` (bytes a second) and ``body_seconds`` bound how slowly a body
    may come; under them the answer is 408.
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
        max_text_bytes: int = 32 * 1024 * 1024,
        part_seconds: float = 60.0,
        min_rate: int = 4096,
        body_seconds: float = 3600.0,
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
        self._limits = BodyLimits(
            max_bytes=max_bytes,
            part_seconds=part_seconds,
            min_rate=min_rate,
            whole_seconds=body_seconds,
        )
        self._max_text = max_text_bytes
        self._memory = memory_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request, or pass it on untouched."""
        if scope["type"] != "http" or not self._guarded(scope):
            await self.app(scope, receive, send)
            return
        if _bodiless(scope):
            await self.app(_with_answers(scope, []), receive, send)
            return
        replay = Replay(self._memory)
        try:
            passed = await self._judged(scope, receive, send, replay)
            if passed is not None:
                await self.app(passed, _replayed(replay, receive), send)
        finally:
            replay.close()

    async def _judged(
        self, scope: Scope, receive: Receive, send: Send, replay: Replay
    ) -> Scope | None:
        """The scope with which the application gets the request; None where it does not, since it
        was answered here or nobody waits any more."""
        try:
            answers = await self._examine(scope, receive, replay)
        except ClientGone:
            return None
        except Refused as refused:
            if refused.status != 413:
                note_refused(refused)
            status = 413 if refused.status == 413 else 502
            await respond(send, status, {}, as_json({"error": "not-checked"}))
            return None
        except Unreachable:
            await respond(send, 503, {"retry-after": "30"}, as_json({"error": "not-checked"}))
            return None
        except TutelaError as error:
            said = as_json({"error": error.code, "detail": str(error)})
            await respond(send, error.status, {}, said)
            return None
        except OSError:
            await respond(send, 507, {"retry-after": "30"}, as_json({"error": "storage-full"}))
            return None
        worst = max(answers, key=_weight, default=None)
        if worst is not None and (worst.blocked or (worst.held and self._on_hold == "refuse")):
            await respond(send, *self._refusal(scope, worst))
            return None
        return _with_answers(scope, answers)

    async def _examine(self, scope: Scope, receive: Receive, replay: Replay) -> list[Answer]:
        content_type = header(scope, b"content-type") or ""
        asked: list[Asking] = []
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
        self, scope: Scope, parts: AsyncIterator[bytes], replay: Replay, asked: list[Asking]
    ) -> None:
        """A body that is no form: it streams as a file, unless it says and looks to be a text."""
        content_type = (header(scope, b"content-type") or "").lower()
        urlencoded = content_type.startswith(URLENCODED)
        held_back = urlencoded or "json" in content_type
        kept = KeptText(self._max_text)
        asking: Asking | None = None
        async for part in parts:
            replay.write(part)
            kept.write(part)
            if held_back and kept.is_text:
                continue
            if held_back and kept.too_long:
                raise _too_long(self._max_text)
            if asking is None:
                asking = self._open(scope, "", asked)
            await asking.put(part)
        if asking is None:
            texts = kept.readings
        else:
            await asking.put(None)
            texts = kept.further
        for text in await _read(texts, kept.size, urlencoded):
            await self._ask_text(scope, text, asked)

    async def _ask_text(self, scope: Scope, text: bytes, asked: list[Asking]) -> None:
        asking = self._open(scope, "", asked)
        await asking.put(text)
        await asking.put(None)

    async def _ask_form(
        self,
        scope: Scope,
        boundary: bytes,
        parts: AsyncIterator[bytes],
        replay: Replay,
        asked: list[Asking],
    ) -> None:
        """A form: its files stream, its fields are texts. A file that is a text is read too, since
        some clients send JSON as one."""
        events: list[tuple[str, Any]] = []
        kept = KeptText(self._max_text)
        form = Form(
            boundary,
            on_file=lambda _, file_name: events.append(("open", file_name)),
            on_chunk=lambda chunk: events.append(("chunk", chunk)),
            on_file_end=lambda: events.append(("end", None)),
            on_field=lambda value: events.append(("field", value)),
            max_files=MAX_FILES,
            long_fields_are_files=True,
        )
        async for part in parts:
            replay.write(part)
            form.feed(part)
            for kind, value in events:
                if kind == "open":
                    kept = KeptText(self._max_text)
                    file = self._open(scope, value, asked)
                elif kind == "chunk":
                    kept.write(value)
                    await file.put(value)
                elif kind == "end":
                    await file.put(None)
                    for text in await _read(kept.further, kept.size, False):
                        await self._ask_text(scope, text, asked)
                else:
                    for text in readings(value):
                        await self._ask_text(scope, text, asked)
            events.clear()
        form.finish()

    def _open(self, scope: Scope, file_name: str, asked: list[Asking]) -> Asking:
        asking = Asking()
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


async def _read(texts: Callable[..., list[bytes]], size: int, urlencoded: bool) -> list[bytes]:
    """The readings of a text; a long one is read in a thread."""
    if size <= AT_ONCE:
        return texts(urlencoded=urlencoded)
    return await asyncio.to_thread(texts, urlencoded=urlencoded)


def _too_long(most: int) -> TooLarge:
    return TooLarge(
        f"A text body is larger than the {most} bytes accepted here.",
        next_step="Send files as multipart/form-data or as a body of their own.",
    )


def _bodiless(scope: Scope) -> bool:
    """Whether HTTP/1.1 says that no body comes (RFC 9112 §6.3). Later versions need not say."""
    length = header(scope, b"content-length")
    if length is not None:
        return length == "0" and header(scope, b"transfer-encoding") is None
    old = str(scope.get("http_version", "")).startswith("1")
    return old and header(scope, b"transfer-encoding") is None


def _with_answers(scope: Scope, answers: list[Answer]) -> Scope:
    state = dict(scope.get("state") or {})
    state["tutela"] = tuple(answers)
    return {**scope, "state": state}


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


__all__ = ["Refusal", "UploadGuard", "plain_refusal"]
