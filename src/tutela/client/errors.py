"""What a client may raise."""

from __future__ import annotations

from typing import Any


class TutelaClientError(Exception):
    """Base of the client's errors."""


class InvalidInput(TutelaClientError, ValueError):
    """What the client was given cannot be used; nothing was sent. ``field`` names it."""

    def __init__(self, what: str, *, field: str) -> None:
        super().__init__(what)
        self.field = field


class Refused(TutelaClientError):
    """The server understood and said no: a wrong key, a bad fact, a file over the limit…

    Asking again with the same request would give the same answer. ``status`` is the HTTP status,
    ``code`` the stable last part of the problem's type, ``problem`` the whole RFC 9457 document.
    """

    def __init__(self, status: int, code: str, detail: str, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.problem = problem


class Unreachable(TutelaClientError):
    """No decision could be had: the server is away, overloaded or failing, retries included.

    Raised only with ``fail="error"``; with ``fail="hold"`` the answer is a hold instead.
    """
