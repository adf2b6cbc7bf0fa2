"""JSON bodies of FastAPI's routes, read within limits before FastAPI sees them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from tutela.uploads.bodies import whole_body

from .state import web_of


class BoundedRoute(APIRoute):
    """A route whose JSON body is bounded in size and time (413, 408)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with the body read by us first."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def bounded(request: Request) -> Response:
            limits = web_of(request).json_limits
            body = await whole_body(request.scope, request.receive, limits)
            request._body = body
            return await handler(request)

        return bounded
