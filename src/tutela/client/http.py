"""The two clients. Both build the same requests and read the same answers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import httpx

from .answers import Answer, HashQuery, ServerState
from .bodies import AsyncFileLike, Body, FileLike
from .errors import InvalidInput, Refused, Unreachable
from .retries import AGAIN, Retries

Fail = Literal["hold", "error"]

_HASHES = "/v1/hashes"


class _Common:
    """What both clients share: configuration, requests as plain values, answers."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        fail: Fail = "hold",
        timeout: float = 30.0,
        retries: Retries | None = None,
    ) -> None:
        if fail not in ("hold", "error"):
            raise ValueError("fail is 'hold' or 'error'")
        self.fail: Fail = fail
        self.retries = retries or Retries()
        self._options: dict[str, Any] = {
            "base_url": _usable(url),
            "headers": {"Authorization": f"Bearer {key}", "User-Agent": "tutela-client"},
            "timeout": httpx.Timeout(timeout, connect=min(timeout, 5.0)),
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options['base_url']!r}, fail={self.fail!r})"

    def _no_decision(self, cause: Exception | None, what: str) -> Answer:
        if self.fail == "hold":
            return Answer.unreachable_hold()
        raise Unreachable(f"No decision could be had: {what}.") from cause

    def _answer(self, response: httpx.Response) -> Answer:
        body = _accepted(response)
        if body.get("outcome") not in ("allow", "hold", "block"):
            return self._no_decision(None, "the answer was not understood")
        return Answer.parse(body)

    def _answers(self, response: httpx.Response, count: int) -> list[Answer]:
        items = _accepted(response).get("items")
        if not isinstance(items, list) or len(items) != count:
            return [self._no_decision(None, "the answer was not understood")] * count
        return [Answer.parse(item if isinstance(item, dict) else {}) for item in items]

    def _wait_after(
        self, attempt: int, again: bool, response: httpx.Response | None
    ) -> float | None:
        """Seconds to wait before the next attempt, or None to give up."""
        if not again or attempt >= self.retries.attempts:
            return None
        return self.retries.wait(attempt, response.headers.get("Retry-After") if response else None)


class Client(_Common):
    """The blocking client. Thread-safe; make one and keep it.

    ``fail`` chooses what happens when no decision can be had: ``"hold"`` (the default) answers with
    a hold, ``"error"`` raises ``Unreachable``. It never becomes an ``allow``. A ``Refused`` (wrong
    key, bad facts) is always raised: it is a mistake to be mended, not an outage.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        fail: Fail = "hold",
        timeout: float = 30.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, key, fail=fail, timeout=timeout, retries=retries)
        self._http = httpx.Client(transport=transport, **self._options)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def upload(
        self,
        file: FileLike,
        *,
        account: str | None = None,
        surface: str | None = None,
        file_name: str | None = None,
        idempotency_key: str | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask about a file: bytes, a path, an open binary file or an iterable of chunks.

        ``facts`` are further ones (``client_ip``, ``account_age_band``, ``fact_NAME``…). Without an
        ``idempotency_key`` one is made, so that a retry never counts twice.
        """
        body = Body(file)
        headers = upload_headers(body, account, surface, file_name, idempotency_key, facts)
        error: Exception | None = None
        what = "the server did not answer"
        for attempt in range(1, self.retries.attempts + 1):
            response = None
            try:
                response = self._http.post("/v1/uploads", content=body.sync(), headers=headers)
            except httpx.TransportError as trouble:
                error = trouble
            else:
                if response.status_code not in AGAIN:
                    return self._answer(response)
                what = f"the server answered {response.status_code}"
            wait = self._wait_after(attempt, body.again, response)
            if wait is None:
                break
            time.sleep(wait)
        return self._no_decision(error, what)

    def check_hashes(self, queries: Sequence[HashQuery]) -> list[Answer]:
        """Ask about hashes computed by the platform, one answer for each query, in order."""
        response, error, what = self._ask("POST", _HASHES, json=_hash_body(queries), once=True)
        if response is None:
            return [self._no_decision(error, what) for _ in queries]
        return self._answers(response, len(queries))

    def decision(self, decision_id: str) -> dict[str, Any]:
        """A decision by its id, with the one that followed it, if any."""
        return self._get(f"/v1/decisions/{quote(decision_id, safe='')}")

    def lists(self) -> list[dict[str, Any]]:
        """The lists with their states (scope ``lists:read``)."""
        found: list[dict[str, Any]] = self._get("/v1/lists")["lists"]
        return found

    def selftest(self) -> dict[str, Any]:
        """Run the self-test (scope ``selftest:run``)."""
        response, error, what = self._ask("POST", "/v1/selftest")
        if response is None:
            raise Unreachable(f"The self-test could not be run: {what}.") from error
        return _accepted(response)

    def state(self) -> ServerState:
        """What ``/readyz`` says; not ready where the server cannot be reached."""
        try:
            return _state(self._http.get("/readyz"))
        except httpx.TransportError:
            return ServerState(ready=False, protecting=False)

    def _get(self, path: str) -> dict[str, Any]:
        response, error, what = self._ask("GET", path)
        if response is None:
            raise Unreachable(f"No answer could be had: {what}.") from error
        return _accepted(response)

    def _ask(
        self, method: str, path: str, *, json: Any = None, once: bool = False
    ) -> tuple[httpx.Response | None, Exception | None, str]:
        error: Exception | None = None
        what = "the server did not answer"
        headers = {"Idempotency-Key": uuid.uuid4().hex} if once else {}
        for attempt in range(1, self.retries.attempts + 1):
            response = None
            try:
                response = self._http.request(method, path, json=json, headers=headers)
            except httpx.TransportError as trouble:
                error = trouble
            else:
                if response.status_code not in AGAIN:
                    return response, None, ""
                what = f"the server answered {response.status_code}"
            wait = self._wait_after(attempt, True, response)
            if wait is None:
                break
            time.sleep(wait)
        return None, error, what


class AsyncClient(_Common):
    """The asynchronous client; the same words as ``Client``, awaited."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        fail: Fail = "hold",
        timeout: float = 30.0,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, key, fail=fail, timeout=timeout, retries=retries)
        self._http = httpx.AsyncClient(transport=transport, **self._options)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def upload(
        self,
        file: AsyncFileLike,
        *,
        account: str | None = None,
        surface: str | None = None,
        file_name: str | None = None,
        idempotency_key: str | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> Answer:
        """As ``Client.upload``; the file may also be an asynchronous iterable of chunks."""
        body = Body(file)
        headers = upload_headers(body, account, surface, file_name, idempotency_key, facts)
        error: Exception | None = None
        what = "the server did not answer"
        for attempt in range(1, self.retries.attempts + 1):
            response = None
            try:
                response = await self._http.post(
                    "/v1/uploads", content=body.asynchronous(), headers=headers
                )
            except httpx.TransportError as trouble:
                error = trouble
            else:
                if response.status_code not in AGAIN:
                    return self._answer(response)
                what = f"the server answered {response.status_code}"
            wait = self._wait_after(attempt, body.again, response)
            if wait is None:
                break
            await asyncio.sleep(wait)
        return self._no_decision(error, what)

    async def check_hashes(self, queries: Sequence[HashQuery]) -> list[Answer]:
        """As ``Client.check_hashes``."""
        response, error, what = await self._ask(
            "POST", _HASHES, json=_hash_body(queries), once=True
        )
        if response is None:
            return [self._no_decision(error, what) for _ in queries]
        return self._answers(response, len(queries))

    async def decision(self, decision_id: str) -> dict[str, Any]:
        """As ``Client.decision``."""
        return await self._get(f"/v1/decisions/{quote(decision_id, safe='')}")

    async def lists(self) -> list[dict[str, Any]]:
        """As ``Client.lists``."""
        found: list[dict[str, Any]] = (await self._get("/v1/lists"))["lists"]
        return found

    async def selftest(self) -> dict[str, Any]:
        """As ``Client.selftest``."""
        response, error, what = await self._ask("POST", "/v1/selftest")
        if response is None:
            raise Unreachable(f"The self-test could not be run: {what}.") from error
        return _accepted(response)

    async def state(self) -> ServerState:
        """As ``Client.state``."""
        try:
            return _state(await self._http.get("/readyz"))
        except httpx.TransportError:
            return ServerState(ready=False, protecting=False)

    async def _get(self, path: str) -> dict[str, Any]:
        response, error, what = await self._ask("GET", path)
        if response is None:
            raise Unreachable(f"No answer could be had: {what}.") from error
        return _accepted(response)

    async def _ask(
        self, method: str, path: str, *, json: Any = None, once: bool = False
    ) -> tuple[httpx.Response | None, Exception | None, str]:
        error: Exception | None = None
        what = "the server did not answer"
        headers = {"Idempotency-Key": uuid.uuid4().hex} if once else {}
        for attempt in range(1, self.retries.attempts + 1):
            response = None
            try:
                response = await self._http.request(method, path, json=json, headers=headers)
            except httpx.TransportError as trouble:
                error = trouble
            else:
                if response.status_code not in AGAIN:
                    return response, None, ""
                what = f"the server answered {response.status_code}"
            wait = self._wait_after(attempt, True, response)
            if wait is None:
                break
            await asyncio.sleep(wait)
        return None, error, what


def _usable(url: str) -> str:
    """A server's URL without its last slash. Raises ``InvalidInput``: with a URL that no request
    can be sent to, every answer would be a hold and nothing would say why."""
    text = url.strip().rstrip("/")
    try:
        parsed = httpx.URL(text)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidInput(
            "The URL must begin with http:// or https:// and name a host, "
            "as http://127.0.0.1:8780 does.",
            field="url",
        )
    return text


def upload_headers(
    body: Body,
    account: str | None,
    surface: str | None,
    file_name: str | None,
    idempotency_key: str | None,
    facts: Mapping[str, str] | None,
) -> dict[bytes, bytes]:
    """The headers of one upload: facts in UTF-8, the file name percent-encoded."""
    named = dict(facts or {})
    for name, value in (("account", account), ("surface", surface)):
        if value is not None:
            named[name] = value
    label = file_name or named.pop("file_name", None) or body.name
    if label is not None:
        named["file_name"] = quote(label, safe="")
    headers = {b"Idempotency-Key": (idempotency_key or uuid.uuid4().hex).encode()}
    for name, value in named.items():
        if any(c in name + value for c in "\r\n\0"):
            raise ValueError(f"the fact {name!r} carries a line break")
        headers[b"Tutela-" + name.replace("_", "-").encode("ascii")] = value.encode()
    headers[b"Content-Type"] = b"application/octet-stream"
    return headers


def _hash_body(queries: Sequence[HashQuery]) -> dict[str, Any]:
    return {"items": [query.plain() for query in queries]}


def _accepted(response: httpx.Response) -> dict[str, Any]:
    """The JSON of a good answer. Raises ``Refused`` for any other."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    if response.is_success:
        return body
    code = str(body.get("type", "")).rsplit(":", 1)[-1] or "error"
    detail = str(body.get("detail", response.reason_phrase))
    raise Refused(response.status_code, code, detail, body)


def _state(response: httpx.Response) -> ServerState:
    try:
        body = response.json()
    except ValueError:
        body = {}
    return ServerState(
        ready=response.status_code == 200,
        protecting=bool(isinstance(body, dict) and body.get("protecting")),
        body=body if isinstance(body, dict) else {},
    )
