"""The outermost layer: security headers, a request id, counting, and no error left unanswered."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tutela.core import new_id
from tutela.duties import places

from .metrics import Metrics
from .problems import unexpected

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
)
CSP = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger("tutela.web")


class Shell:
    """Wraps the application. One line a request goes to the log, at debug level below 500.

    ``hot`` are the endpoints, by path, that answer every POST of a platform: those go to them
    straight, past the application's own layers, of which they use none.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, hot: Mapping[str, ASGIApp] | None = None
    ) -> None:
        self.app = app
        self._metrics = metrics
        self._hot = dict(hot or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        status = 0
        started = time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                present = {name for name, _ in headers}
                headers += [pair for pair in SECURITY_HEADERS if pair[0] not in present]
                if b"content-security-policy" not in present:
                    headers.append((b"content-security-policy", CSP))
                headers.append((b"x-request-id", request_id))
                message = {**message, "headers": headers}
            await send(message)

        app = self._hot.get(scope["path"], self.app) if scope["method"] == "POST" else self.app
        try:
            await app(scope, receive, sending)
        except Exception as error:  # the last resort: the inside stays inside
            log.error(
                "unexpected",
                request_id=request_id.decode(),
                error=type(error).__name__,
                at=places(error),
            )
            if not status:
                await unexpected()(scope, receive, sending)
        finally:
            route = route_name(scope)
            self._metrics.answered(route, status)
            log.debug(
                "request",
                request_id=request_id.decode(),
                route=route,
                status=status,
                ms=round((time.perf_counter() - started) * 1000, 2),
            )


def route_name(scope: Scope) -> str:
    """The route's template, so that paths made up by a caller never become labels."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    if isinstance(path, str):
        return path
    known = scope.get("tutela.route")
    return known if isinstance(known, str) else "other"


def _request_id(scope: Scope) -> bytes:
    """The caller's request id where it is harmless, else one of ours."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return bytes(value)
    return new_id("req").encode()


__all__ = ["CSP", "SECURITY_HEADERS", "Shell", "route_name"]
