"""Install the peers that the bench measures beside Tutela: ``python -m bench.setup``.

``vpdq`` has no wheels: pip builds it from source, which needs a C++ compiler and FFmpeg's
development files. Where this runs as root on Debian they are installed; where they cannot be had,
everything else is installed and the video bench says that its peer is missing (and is short).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements" / "bench.lock"
FFMPEG_PARTS = [
    "g++",
    "cmake",
    "pkg-config",
    "libavcodec-dev",
    "libavdevice-dev",
    "libavfilter-dev",
    "libavformat-dev",
    "libavutil-dev",
    "libswresample-dev",
    "libswscale-dev",
]


def pip_install(lock: Path) -> bool:
    """Install a hashed lock into this environment; True where it worked."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    return subprocess.run([*command, "--require-hashes", "-r", lock], check=False).returncode == 0


def install_ffmpeg_parts() -> None:
    """Debian's FFmpeg development files, where this may install them and they are missing."""
    apt = shutil.which("apt-get")
    present = (
        subprocess.run(
            ["pkg-config", "--exists", "libavcodec", "libavdevice", "libavfilter"], check=False
        )
        if shutil.which("pkg-config")
        else None
    )
    if (present and present.returncode == 0) or apt is None or os.geteuid() != 0:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([apt, "update", "-qq"], check=False, env=quiet)
    subprocess.run(
        [apt, "install", "-y", "-qq", "--no-install-recommends", *FFMPEG_PARTS],
        check=False,
        env=quiet,
        stdout=subprocess.DEVNULL,
    )


def without(lock: str, package: str) -> str:
    """The lock's text without one package's pin and hashes."""
    return re.sub(rf"(?m)^{re.escape(package)}==.*(?:\n[ \t].*)*\n", "", lock)


def main() -> int:
    """Install everything that can be had. Returns the exit code."""
    install_ffmpeg_parts()
    if pip_install(LOCK):
        return 0
    print("vpdq could not be built; the other peers are installed without it.", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        rest = Path(folder) / "bench.lock"
        rest.write_text(without(LOCK.read_text(), "vpdq"))
        return 0 if pip_install(rest) else 1


if __name__ == "__main__":
    raise SystemExit(main())
