"""The HTTP application, and how it is served."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tutela import __version__
from tutela.app import Tutela
from tutela.duties import Duties, Duty
from tutela.errors import InvalidSetting, TutelaError
from tutela.settings import ServerSettings

from .api import decisions, hashes, lists, status, uploads
from .api.hashes import HashesEndpoint
from .api.uploads import UploadEndpoint
from .openapi import describe
from .problems import on_http_error, on_tutela_error, on_unexpected, problem
from .protocol import http_protocol
from .shell import Shell
from .state import Web

KEY_USE_SECONDS = 30.0
BACKLOG = 2048


def create_app(tutela: Tutela, *, manage: bool = True) -> ASGIApp:
    """The ASGI application over a Tutela. With ``manage`` it starts and stops the Tutela with its
    own lifespan; else the caller does."""
    web = Web(tutela)
    upkeep = Duties((Duty(name="keys", every=KEY_USE_SECONDS, work=web.note_key_use),))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if manage:
            await tutela.start()
        upkeep.start()
        try:
            yield
        finally:
            try:
                await upkeep.stop()
                await web.note_key_use()
            finally:
                if manage:
                    await tutela.stop()

    app = FastAPI(
        title="Tutela",
        version=__version__,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            TutelaError: on_tutela_error,
            HTTPException: on_http_error,
            RequestValidationError: _on_invalid,
            Exception: on_unexpected,
        },
    )
    app.state.web = web
    hot: dict[str, ASGIApp] = {uploads.PATH: UploadEndpoint(web), hashes.PATH: HashesEndpoint(web)}
    for path, endpoint in hot.items():
        app.router.routes.insert(0, Route(path, endpoint, methods=["POST"]))
    for router in (status.router, lists.router, decisions.router):
        app.include_router(router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's documented way
    web.metrics.watch(lambda: status.gauges(web))
    return Shell(app, metrics=web.metrics, hot=hot)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """FastAPI's own refusals as problems that name places and never values."""
    assert isinstance(error, RequestValidationError)
    places = [
        {"at": ".".join(str(part) for part in wrong["loc"]), "what": wrong["msg"]}
        for wrong in error.errors()
    ]
    return problem(
        400,
        "invalid-input",
        "The request does not fit its description.",
        kept="Nothing was kept.",
        next_step="See openapi.json for what is expected.",
        extra={"errors": places[:20]},
    )


def listen(server: ServerSettings) -> socket.socket:
    """A listening socket. Raises ``InvalidSetting`` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((server.host, server.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise InvalidSetting(
            f"Nothing can listen on {server.host} port {server.port}: {error.strerror}.",
            next_step="Choose another with --port or server.port, or end what uses it.",
        ) from error
    listener.set_inheritable(False)
    return listener


def announce(path: Path, listener: socket.socket, *, scheme: str = "http") -> None:
    """Write where we listen as JSON (host, port, url, pid), whole or not at all."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    told = {"host": host, "port": port, "url": f"{scheme}://{shown}:{port}", "pid": os.getpid()}
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(told) + "\n", "utf-8")
    part.replace(path)


class Serving(uvicorn.Server):
    """uvicorn's server, but that ending it as asked is a success: it raises no signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End gracefully on SIGINT and SIGTERM; at once on a second SIGINT."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        asked = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in asked}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(
    tutela: Tutela, *, certificate: Path | None = None, key: Path | None = None
) -> Serving:
    """uvicorn over this Tutela, as we want it: uvloop, httptools with patience's end, no banner."""
    server = tutela.settings.server
    config = uvicorn.Config(
        create_app(tutela),
        loop="uvloop",
        http=http_protocol(server.header_timeout_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=20,
        proxy_headers=True,
        forwarded_allow_ips=server.forwarded_allow_ips,
        ssl_certfile=str(certificate) if certificate else None,
        ssl_keyfile=str(key) if key else None,
    )
    return Serving(config)
