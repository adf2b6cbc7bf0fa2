"""``tutela serve``: the HTTP entrance and every background duty, in one process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    host: Annotated[str | None, typer.Option(help="Address; default: server.host.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one. Default: server.port.")
    ] = None,
    port_file: Annotated[
        Path | None,
        typer.Option(help="Write host, port, url and pid there as JSON once it listens."),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM certificate chain, to serve HTTPS directly.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key of it.")] = None,
) -> None:
    """Serve the HTTP API until interrupted."""
    from tutela.app import Tutela
    from tutela.errors import InvalidSetting
    from tutela.settings import load_settings
    from tutela.web.logs import configure_logs
    from tutela.web.server import announce, listen, make_server

    settings = load_settings()
    changed: dict[str, Any] = {}
    if host is not None:
        changed["host"] = host
    if port is not None:
        changed["port"] = port
    if changed:
        server = type(settings.server).model_validate(settings.server.model_dump() | changed)
        settings = settings.model_copy(update={"server": server})
    if (tls_certificate is None) != (tls_key is None):
        raise InvalidSetting("--tls-certificate and --tls-key belong together.")
    configure_logs(settings.log)
    _no_core_dumps()
    listener = listen(settings.server)
    tutela = Tutela(settings)
    running = make_server(tutela, certificate=tls_certificate, key=tls_key)
    scheme = "https" if tls_certificate else "http"

    async def run() -> None:
        serving = asyncio.ensure_future(running.serve(sockets=[listener]))
        while not running.started and not serving.done():
            await asyncio.sleep(0.01)
        if running.started:
            if port_file is not None:
                announce(port_file, listener, scheme=scheme)
            address, bound = listener.getsockname()[:2]
            shown = f"[{address}]" if ":" in address else address
            print(f"Tutela serves {scheme}://{shown}:{bound}/ (Ctrl-C ends it)", flush=True)
            if not tutela.protecting:
                print("NOT PROTECTING: no active, fresh list may block yet.", file=sys.stderr)
        await serving

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    if not running.started:
        raise SystemExit(2)


def _no_core_dumps() -> None:
    """A dump of memory would be a plaintext upload on disk."""
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pr_set_dumpable = 4
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_dumpable, 0, 0, 0, 0)
