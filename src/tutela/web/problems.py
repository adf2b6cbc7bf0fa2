"""Errors as RFC 9457 problem details: what happened, what was kept, what to do next."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tutela.errors import TutelaError

MEDIA_TYPE = "application/problem+json"
"""The media type of RFC 9457."""

TYPE_BASE = "urn:tutela:problem:"
"""Prefix of a problem's ``type``; the rest is the error's stable code."""

TITLES = {
    400: "The request cannot be used",
    401: "A valid API key is needed",
    403: "The key lacks a scope",
    404: "Not found",
    405: "This method is not offered here",
    408: "The body came too slowly",
    409: "It conflicts with what is there",
    411: "A body is needed",
    413: "Too large",
    415: "This media type is not accepted",
    422: "The request cannot be used",
    429: "Too many requests",
    500: "Something broke here",
    501: "Not installed",
    503: "Not available now",
    507: "No room",
}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    kept: str = "",
    next_step: str = "",
    retry_after: int | None = None,
    headers: dict[str, str] | None = None,
    extra: dict[str, Any] | None = None,
) -> Response:
    """A problem response. ``detail`` must be safe to show: no content, list entries or secrets."""
    body: dict[str, Any] = {
        "type": TYPE_BASE + code,
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    if kept:
        body["kept"] = kept
    if next_step:
        body["next_step"] = next_step
    if retry_after is not None:
        body["retry_after"] = retry_after
    body.update(extra or {})
    all_headers = dict(headers or {})
    if retry_after is not None:
        all_headers["Retry-After"] = str(retry_after)
    if status == 401:
        all_headers["WWW-Authenticate"] = 'Bearer realm="tutela"'
    return Response(msgspec.json.encode(body), status, all_headers, MEDIA_TYPE)


def from_error(error: TutelaError) -> Response:
    """The problem that one of our errors answers with."""
    return problem(
        error.status,
        error.code,
        error.what,
        kept=error.kept,
        next_step=error.next_step,
        retry_after=error.retry_after,
    )


def unexpected() -> Response:
    """The problem for a fault nobody foresaw. It says nothing of the inside."""
    return problem(
        500,
        "error",
        "Something failed that should not fail; the operator's log says what.",
        kept="Nothing was decided.",
        next_step="Send the same request again later, with the same idempotency key.",
        retry_after=5,
    )


async def on_tutela_error(request: Request, error: Exception) -> Response:
    """Handler for the application."""
    assert isinstance(error, TutelaError)
    return from_error(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handler for the router's own 404 and 405."""
    assert isinstance(error, HTTPException)
    code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "error")
    detail = TITLES.get(error.status_code, "Error") + "."
    return problem(error.status_code, code, detail, headers=dict(error.headers or {}))


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Handler for what nobody foresaw; the shell logs where it came from."""
    return unexpected()
