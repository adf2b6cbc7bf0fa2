"""The HTTP line itself: uvicorn's httptools protocol, with a deadline for a request's headers.

uvicorn waits for headers for ever; a client that sends one byte a minute would hold a connection
(slow-loris). Here the line is cut where headers are not whole in time.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def http_protocol(header_seconds: float) -> type[HttpToolsProtocol]:
    """A protocol class that waits ``header_seconds`` for a request's headers, no longer."""

    class Patient(HttpToolsProtocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._got_headers()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self._expect_headers()
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._got_headers()
            super().on_headers_complete()

        def _expect_headers(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(header_seconds, self._too_slow)

        def _got_headers(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_slow(self) -> None:
            self._deadline = None
            if self.transport is not None and not self.transport.is_closing():
                self.transport.close()

    return Patient
