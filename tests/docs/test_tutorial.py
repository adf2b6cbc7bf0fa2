"""The tutorial, followed word for word: every ``sh`` block is run in order in one folder."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-afternoon.md"
BLOCK = re.compile(r"^```sh(?P<marks>[^\n]*)\n(?P<script>.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = 8790


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the server of the tutorial did not start")


@pytest.mark.timeout(180)
def test_the_tutorial_works_word_for_word(tmp_path: Path) -> None:
    port = free_port()
    env = {k: v for k, v in os.environ.items() if not k.startswith("TUTELA_")}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    env["TUTELA_DATA_DIR"] = str(tmp_path / "my-tutela")
    env["TUTELA_HASHING__WORKERS"] = "1"
    outputs: list[str] = []
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for block in BLOCK.finditer(PAGE.read_text()):
            script = block["script"].replace(str(PORT), str(port))
            marks = block["marks"].split()
            if "background" in marks:
                servers.append(
                    subprocess.Popen(["bash", "-c", f"exec {script}"], cwd=tmp_path, env=env)
                )
                wait_for(port)
                continue
            expected = next((int(m[5:]) for m in marks if m.startswith("exit=")), 0)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                check=False,
                timeout=90,
            )
            said = done.stdout + done.stderr
            assert done.returncode == expected, f"{script}\nended in {done.returncode}:\n{said}"
            outputs.append(said)
    finally:
        for server in servers:
            server.terminate()
            server.wait(20)
    told = "\n".join(outputs)
    assert "NOT PROTECTING" in told
    assert "banned.jpg: block" in told
    assert "again.jpg: hold" in told
    assert '"outcome":"block"' in told
    assert '"outcome":"allow"' in told
    assert len(outputs) >= 9
