"""The player: a folder of its own, Tutela started as people start it, the story, the proof."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import httpx

from tutela.client import Client
from tutela.errors import TutelaError

from .page import Proof
from .scenes import jpeg, scene
from .story import KNOWN, KNOWN_FILE, Told, evasions, evening, oddities, play

MARK = "this-folder-belongs-to-tutela-demo"
LIST = "larkspur-known"
START_SECONDS = 600.0
"""Longest wait for the server: the very first start compiles the kernels."""
Say = Callable[[str], None]


class DemoFailed(TutelaError):
    """The demo could not be played."""

    code = "demo-failed"


@dataclass(frozen=True)
class Server:
    """A running ``tutela serve`` and the operator's key to it."""

    process: subprocess.Popen[bytes]
    url: str
    key: str


class Player:
    """Plays the story in ``folder``; ``port`` is wished for, another is taken if it is not free."""

    def __init__(self, folder: Path, port: int, say: Say) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = port
        self.say = say
        self.server: Server | None = None

    # --- setting up -------------------------------------------------------------------------

    def prepare(self) -> None:
        """A fresh folder. One that is not the demo's own is left alone (``DemoFailed``)."""
        if self.folder.exists() and any(self.folder.iterdir()):
            if not (self.folder / MARK).exists():
                raise DemoFailed(
                    f"The folder {self.folder} holds something else.",
                    kept="It was left as it is.",
                    next_step="Name another with --folder.",
                )
            shutil.rmtree(self.folder)
        self.data.mkdir(parents=True)
        (self.folder / MARK).write_text("Made by `tutela demo`; it may be deleted at any time.\n")
        package = resources.files("tutela")
        default = (package / "policy" / "default.toml").read_text("utf-8")
        own = (package / "demo" / "policy.toml").read_text("utf-8")
        head, rules = default.split("[[rule]]", 1)
        policy = head.replace('name = "default"', 'name = "larkspur"') + own
        (self.data / "policy.toml").write_text(f"{policy}\n[[rule]]{rules}", "utf-8")
        (self.data / "tutela.toml").write_text(
            f'[policy]\nfile = "{(self.data / "policy.toml").resolve()}"\n'
            '[ledger]\norigin = "demo.tutela.invalid/larkspur"\n'
            '[log]\nlevel = "warning"\n',
            "utf-8",
        )

    def tutela(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a ``tutela`` command on the demo's data, as an operator would."""
        return subprocess.run(
            [sys.executable, "-m", "tutela", *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TUTELA_")}
        return kept | {"TUTELA_DATA_DIR": str(self.data.resolve())}

    def start(self) -> Server:
        """Make a key and start the server. Raises ``DemoFailed``."""
        made = self.tutela("keys", "create", "larkspur", "--scope", "admin", "--json")
        if made.returncode:
            raise DemoFailed("No key could be made.", next_step=made.stderr.strip())
        key = str(json.loads(made.stdout)["key"])
        port_file = self.folder / "server.json"
        process = self._serve(port_file, self.port)
        deadline = time.monotonic() + START_SECONDS
        while not port_file.exists():
            if process.poll() is not None:
                if self.port == 0:
                    raise DemoFailed(f"The server did not start; see {self.folder / 'server.log'}.")
                self.port = 0
                process = self._serve(port_file, 0)
            if time.monotonic() > deadline:
                process.kill()
                raise DemoFailed("The server did not start in time.")
            time.sleep(0.05)
        self.server = Server(process, str(json.loads(port_file.read_text())["url"]), key)
        return self.server

    def _serve(self, port_file: Path, port: int) -> subprocess.Popen[bytes]:
        log = (self.folder / "server.log").open("wb")
        with log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "tutela", "serve"),
                    *("--port", str(port), "--port-file", str(port_file)),
                ],
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End the server, gently first."""
        if self.server is None or self.server.process.poll() is not None:
            return
        self.server.process.send_signal(signal.SIGINT)
        try:
            self.server.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.server.process.kill()
            self.server.process.wait()

    # --- playing ----------------------------------------------------------------------------

    def make_list(self) -> bytes:
        """A blocking list that knows one landscape and one file. Returns the landscape's JPEG."""
        known = jpeg(scene(KNOWN), 92)
        with self._http() as http:
            self._done(
                http.post(
                    "/v1/lists",
                    json={
                        "name": LIST,
                        "purpose": "own",
                        "mode": "block",
                        "source": "larkspur",
                        "reason": "The forum's own list, for this demo.",
                    },
                )
            )
            for content in (known, KNOWN_FILE):
                self._done(
                    http.post(
                        f"/v1/lists/{LIST}/files",
                        content=content,
                        params={"reason": "Made up for the demo."},
                    )
                )
        return known

    def _http(self) -> httpx.Client:
        assert self.server is not None
        return httpx.Client(
            base_url=self.server.url,
            headers={"Authorization": f"Bearer {self.server.key}"},
            timeout=60,
        )

    @staticmethod
    def _done(response: httpx.Response) -> Any:
        if response.status_code >= 400:
            raise DemoFailed(f"The server answered {response.status_code}: {response.text}")
        return response.json()

    def protecting(self) -> bool:
        """What ``readyz`` says of protection."""
        with self._http() as http:
            return bool(http.get("/readyz").json()["protecting"])

    def chapters(self, tell: Callable[[Told], None]) -> list[tuple[str, list[Told]]]:
        """Play every chapter."""
        assert self.server is not None
        played = []
        with Client(self.server.url, self.server.key, timeout=60) as client:
            for title, steps in (
                ("An ordinary evening", evening()),
                ("Somebody tries to get the known picture past", evasions()),
                ("What cannot be examined is never waved through", oddities()),
            ):
                self.say(f"\n{title}")
                played.append((title, play(steps, client, tell)))
        return played

    def record_of(self, told: Told) -> Mapping[str, Any]:
        """The decision as it was recorded, with its ledger entry."""
        with self._http() as http:
            return dict(self._done(http.get(f"/v1/decisions/{told.answer.decision_id}")))

    def sealed(self) -> list[dict[str, Any]]:
        """The sealed objects as they lie in the folder: name, bytes, and how they begin."""
        root = self.data / "objects"
        shown = []
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            with path.open("rb") as file:
                first = file.readline(64).decode("ascii", "replace").strip()
            size = path.stat().st_size
            shown.append({"name": str(path.relative_to(root)), "bytes": size, "begins": first})
        return shown

    # --- proving ----------------------------------------------------------------------------

    def proofs(self) -> list[Proof]:
        """The self-test, the ledger whole and tampered with, the vault."""
        time.sleep(1.5)
        proofs = []
        with self._http() as http:
            answer = http.post("/v1/selftest")
            fine = answer.status_code == 200 and bool(answer.json().get("ok"))
            said = "a harmless trigger picture and file travelled the whole road"
            proofs.append(Proof(title="Self-test:", said=f"{said}.", ok=fine))
        verified = self.tutela("verify")
        proofs.append(
            Proof(
                title="tutela verify:",
                said=_first_line(verified.stdout + verified.stderr),
                ok=verified.returncode == 0,
            )
        )
        proofs.append(self._tampered())
        checked = self.tutela("vault", "check", "--open")
        proofs.append(
            Proof(
                title="tutela vault check --open:",
                said=_last_line(checked.stdout + checked.stderr),
                ok=checked.returncode == 0,
            )
        )
        return proofs

    def _tampered(self) -> Proof:
        """A copy of the ledger with one byte changed must fail, and say where."""
        copy = self.folder / "tampered-ledger"
        shutil.copytree(self.data / "ledger", copy, dirs_exist_ok=True)
        tiles = sorted(p for p in (copy / "tile").rglob("*") if p.is_file())
        victim = max(tiles, key=lambda p: p.stat().st_size)
        raw = bytearray(victim.read_bytes())
        raw[len(raw) // 2] ^= 1
        victim.write_bytes(raw)
        done = self.tutela("verify", "--folder", str(copy))
        return Proof(
            title="The same with one byte changed:",
            said=_last_line(done.stdout) or _last_line(done.stderr),
            ok=done.returncode == 1,
        )


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "said nothing")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "said nothing"
