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
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0 takes a free one. Default: server.port."),
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
    if tls_certificate is not None and tls_key is not None:
        _check_tls(tls_certificate, tls_key)
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


def _check_tls(certificate: Path, key: Path) -> None:
    """Raises ``InvalidSetting`` naming the file that cannot be read or does not fit."""
    import ssl

    from tutela.errors import InvalidSetting

    kept = "Nothing was started."
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise InvalidSetting(f"{path} cannot be read: {error.strerror}.", kept=kept) from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _no_password)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidSetting(
            f"{certificate} and {key} are not a PEM certificate and its private key.",
            kept=kept,
            next_step="Give the certificate chain in PEM and the key it was made for, without a "
            "pass phrase.",
        ) from error


def _no_password() -> str:
    """Asked for where the key has a pass phrase; nobody may be waited for at a terminal."""
    raise ValueError("the key has a pass phrase")


def _no_core_dumps() -> None:
    """A dump of memory would be a plaintext upload on disk."""
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pr_set_dumpable = 4
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_dumpable, 0, 0, 0, 0)
