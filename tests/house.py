"""A running Tutela for tests: in a thread of this process, or as ``tutela serve`` of its own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
from PIL import Image

from tutela.app import Tutela
from tutela.core import ListMode, Purpose, Signal, SignalHash
from tutela.core.hashes import HashType
from tutela.settings import Settings
from tutela.web.auth.keys import ApiKeys, Scope
from tutela.web.logs import configure_logs
from tutela.web.server import listen, make_server

T = TypeVar("T")
QUICK: dict[str, Any] = {
    "server": {"port": 0},
    "hashing": {"workers": 1},
    "selftest": {"every_minutes": 0},
    "log": {"level": "error"},
}
"""Settings under which a test's server starts fast and keeps quiet."""


def picture(seed: int, *, side: int = 256, kind: str = "JPEG", quality: int = 90) -> bytes:
    """A smooth picture that resembles no other seed's, encoded."""
    cells = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    image = Image.fromarray(cells).resize((side, side), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, kind, **({"quality": quality} if kind in ("JPEG", "WEBP") else {}))
    return out.getvalue()


class Server:
    """A Tutela served from a thread. ``tutela`` is there to look into and to break."""

    def __init__(self, settings: Settings) -> None:
        configure_logs(settings.log)
        self.tutela = Tutela(settings)
        self.keys = ApiKeys(self.tutela.database)
        self._listener = listen(settings.server)
        port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._uvicorn = make_server(self.tutela)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Server:
        self._thread.start()
        wait_until(lambda: self._uvicorn.started or not self._thread.is_alive(), 60)
        assert self._uvicorn.started, "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(30)
        self._listener.close()

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._uvicorn.serve(sockets=[self._listener])

        asyncio.run(serve())

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's own loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def key(self, *scopes: Scope, **options: Any) -> str:
        """A fresh key with these scopes."""
        return self.keys.create("test", scopes or (Scope.ADMIN,), **options)[1]

    def client(self, *scopes: Scope, **options: Any) -> httpx.Client:
        """An HTTP client with a fresh key."""
        headers = {"Authorization": f"Bearer {self.key(*scopes, **options)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def list_picture(
        self,
        name: str,
        data: bytes,
        *,
        mode: ListMode = ListMode.BLOCK,
        purpose: Purpose = Purpose.CSAM,
    ) -> None:
        """Put a picture's hashes on a list, made where it is missing."""
        from tutela.hashing.source import Source

        with Source.from_bytes(data) as source:
            media = self.call(self.tutela.decoder.hash(source))
        self._list(name, mode, purpose)
        self.tutela.lists.add_media(name, media, actor="test", reason="test")
        self._refresh()

    def list_hash(self, name: str, kind: HashType, value: bytes, **options: Any) -> None:
        """Put one hash on a list, made where it is missing."""
        self._list(name, ListMode.BLOCK, Purpose.CSAM)
        signal = Signal(
            upstream_id=value.hex()[:32], hashes=(SignalHash(type=kind, value=value),), **options
        )
        self.tutela.lists.add(name, [signal], actor="test", reason="test")
        self._refresh()

    def _list(self, name: str, mode: ListMode, purpose: Purpose) -> None:
        from tutela.errors import Conflict

        with contextlib.suppress(Conflict):
            self.tutela.lists.create(name, purpose, mode=mode, actor="test", reason="test")

    def _refresh(self) -> None:
        """What a background duty does every second."""
        self.tutela.protecting = self.tutela.lists.protection(fresh=True).protecting


class Process:
    """``tutela serve`` as a process of its own, on a free port."""

    def __init__(
        self,
        data_dir: Path,
        *,
        env: dict[str, str] | None = None,
        arguments: Iterable[str] = (),
    ) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self.port_file = data_dir.parent / f"{data_dir.name}-{os.urandom(4).hex()}.json"
        self.log = data_dir.parent / f"{self.port_file.stem}.log"
        command = [*TUTELA, "serve", "--port", "0", "--port-file", str(self.port_file), *arguments]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=environment(data_dir) | (env or {}), stdout=log, stderr=log
            )
        self.url = ""

    def __enter__(self) -> Process:
        return self.wait()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, seconds: float = 60) -> Process:
        """Wait until it listens."""
        wait_until(lambda: self.port_file.exists() or self.process.poll() is not None, seconds)
        assert self.port_file.exists(), self.log.read_text()
        self.url = json.loads(self.port_file.read_text())["url"]
        return self

    def client(self, token: str) -> httpx.Client:
        """An HTTP client with a key."""
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """End it as an operator does; kill it if it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


TUTELA = (sys.executable, "-m", "tutela")


def environment(data_dir: Path) -> dict[str, str]:
    """The environment of a Tutela on this data folder, otherwise as ``QUICK``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUTELA_")}
    return kept | {
        "TUTELA_DATA_DIR": str(data_dir),
        "TUTELA_HASHING__WORKERS": "1",
        "TUTELA_SELFTEST__EVERY_MINUTES": "0",
        "TUTELA_LOG__LEVEL": "info",
        "TUTELA_LOG__FORMAT": "json",
    }


def run_tutela(data_dir: Path, *arguments: str, check: bool = True) -> str:
    """Run a command to its end; what it printed."""
    done = subprocess.run(
        [*TUTELA, *arguments], env=environment(data_dir), capture_output=True, text=True, timeout=60
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def new_key(data_dir: Path, *scopes: str) -> str:
    """A key made on the command line, as an operator does."""
    options = [part for scope in scopes or ("admin",) for part in ("--scope", scope)]
    return run_tutela(data_dir, "keys", "create", "journey", *options).strip()


def wait_until(done: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something holds; fail where it does not in time."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
