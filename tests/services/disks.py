"""Disks that are full, for tests of what happens then."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from pathlib import Path

SMALL = 24 * 1024 * 1024


class SmallDisk:
    """A folder whose disk can be filled up and freed again.

    Where the tests may mount (root), ``path`` is a small tmpfs of its own, and writes fail with
    ``ENOSPC``. Elsewhere it is a plain folder, and filling it lowers this process's limit of file
    sizes, so that writes fail with ``EFBIG``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.mounted = False
        if os.geteuid() == 0:
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=700", "tmpfs", str(path)],
                capture_output=True,
                check=False,
            )
            self.mounted = done.returncode == 0
        self._limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """From now on nothing more fits."""
        if not self.mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, self._limit[1]))
            return
        with (self.path / "filler").open("wb", buffering=0) as filler:
            for size in (1 << 20, 4096, 1):
                try:
                    while filler.write(bytes(size)) == size:
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """There is room again."""
        if self.mounted:
            (self.path / "filler").unlink(missing_ok=True)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)

    def close(self) -> None:
        self.free()
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=False)
