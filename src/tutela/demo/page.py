"""The page that the demo opens on: what was sent, what became of it, and the proof."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

TEMPLATES = Path(__file__).parent / "templates"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One thing that was proven after the story, and what was said of it."""

    title: str
    said: str
    ok: bool


def render(story: Mapping[str, Any]) -> str:
    """The page as HTML. ``story`` holds what the template names."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(["html"])
    )
    return environment.get_template("story.html").render(story)


def application(html: str, pictures: Mapping[str, bytes]) -> Starlette:
    """A tiny application that serves the page, its style and the demo's own pictures."""
    style = (TEMPLATES / "style.css").read_text()

    async def page(_: Request) -> Response:
        return HTMLResponse(html, headers=HEADERS)

    async def css(_: Request) -> Response:
        return PlainTextResponse(style, media_type="text/css", headers=HEADERS)

    async def picture(request: Request) -> Response:
        content = pictures.get(request.url.path.lstrip("/"))
        if content is None:
            return PlainTextResponse("There is no such picture.", 404, headers=HEADERS)
        return Response(content, media_type="image/jpeg", headers=HEADERS)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/style.css", css),
            Route("/known.jpg", picture),
            Route("/thumb/{name}", picture),
        ]
    )


class PageServer:
    """The page served from a thread on loopback; ``url`` is where."""

    def __init__(self, application: Starlette, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError:
            self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()  # a browser opened at once waits, and is not refused
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self._server = uvicorn.Server(
            uvicorn.Config(application, log_level="error", access_log=False, lifespan="off")
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and wait until it has ended."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()
