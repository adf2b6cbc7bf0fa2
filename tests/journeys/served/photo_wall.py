"""The example application as a process of its own, guarded by a Tutela."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.house import wait_until
from tests.journeys.served.houses import ROOT, House, Serving


@contextmanager
def photo_wall(house: House, serving: Serving) -> Iterator[str]:
    """Run ``examples/fastapi_app`` as its own words say; its URL."""
    log = Path(house.temp) / "photo-wall.log"
    env = dict(os.environ) | {"TUTELA_URL": serving.url, "TUTELA_KEY": house.uploader}
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT / "examples" / "fastapi_app")]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "main:app", "--port", "0"], env=env, stdout=out, stderr=out
        )
    try:
        wait_until(lambda: b"running on" in log.read_bytes() or process.poll() is not None, 60)
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        assert found is not None, log.read_text()
        yield found.group()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
