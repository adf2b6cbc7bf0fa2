"""The whole test run: pytest on every core with branch coverage, then the floors.

``python -m tests.run`` is what ``make test`` calls. Two floors are held: one for the whole, set
where it stands, and one for each file of the rooms where a slip costs most (``hashing``,
``lists``, ``policy``, the vault and the keys), so that a well-covered neighbour cannot hide a
badly covered file. Both stand in ``pyproject.toml`` under ``[tool.tutela.coverage]``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


WARM = """
import tempfile
from pathlib import Path
import numpy as np
from tutela.core import HashType
from tutela.hashing.warm import warm_up
from tutela.lists.index import Change, Index, build_snapshot

warm_up()
with tempfile.TemporaryDirectory() as folder:
    some = np.random.default_rng(1).integers(0, 256, (64, 32), np.uint8)
    index = Index(folder)
    build_snapshot(index.path, pdq=some, pdq_refs=np.arange(64), digests={}, seq=1)
    index.open()
    index.apply([Change(2, "add", HashType.PDQ, bytes(32), 99)])
    assert index.near([(bytes(32), 31)])[0][0].ref == 99
    index.close()
"""


def warm() -> int:
    """Compile the kernels once, so that the workers of the test run don't do it side by side."""
    return subprocess.run([sys.executable, "-c", WARM], cwd=ROOT, check=False).returncode


def run_pytest(report: Path, arguments: list[str]) -> int:
    """Run the tests; the coverage report goes to ``report`` as JSON."""
    workers = os.environ.get("TUTELA_TEST_WORKERS", str(max(2, os.cpu_count() or 2)))
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not soak", "-n", workers]
    command += ["--dist", "loadgroup", "--cov", "--cov-branch", "--cov-report", f"json:{report}"]
    return subprocess.run(command + arguments, cwd=ROOT, check=False).returncode


def shortfalls(measured: dict[str, object], wanted: dict[str, object]) -> list[str]:
    """What is under its floor, in sentences."""
    problems: list[str] = []
    total = measured["totals"]["percent_covered"]  # type: ignore[index]
    if total < wanted["floor"]:
        problems.append(
            f"coverage of the whole is {total:.1f} %, under the floor of {wanted['floor']} %"
        )
    for pattern, floor in wanted["own_files"].items():  # type: ignore[attr-defined]
        seen = False
        for name, file in measured["files"].items():  # type: ignore[attr-defined]
            if fnmatch(name, f"src/tutela/{pattern}"):
                seen = True
                share = file["summary"]["percent_covered"]
                if share < floor:
                    problems.append(f"{name} is covered to {share:.1f} %, under {floor} %")
        if not seen:
            problems.append(f"no file matches the floor for {pattern}: correct pyproject.toml")
    return problems


def standing(measured: dict[str, object], wanted: dict[str, object]) -> list[str]:
    """Where coverage stands: of the whole, and the lowest file of each room with a floor."""
    total = measured["totals"]["percent_covered"]  # type: ignore[index]
    lines = [f"coverage of the whole {total:.1f} % (floor {wanted['floor']} %)"]
    for pattern, floor in wanted["own_files"].items():  # type: ignore[attr-defined]
        shares = [
            (file["summary"]["percent_covered"], name)
            for name, file in measured["files"].items()  # type: ignore[attr-defined]
            if fnmatch(name, f"src/tutela/{pattern}")
        ]
        if shares:
            share, name = min(shares)
            lines.append(f"lowest of {pattern}: {share:.1f} % (floor {floor} %), {name}")
    return lines


def main() -> int:
    """Run everything and say what is short. Returns the exit code."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["tutela"]["coverage"]
    if code := warm():
        return code
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        code = run_pytest(report, sys.argv[1:])
        if code or len(sys.argv) > 1:
            return code
        measured = json.loads(report.read_text())
    print(*standing(measured, wanted), sep="\n")
    problems = shortfalls(measured, wanted)
    for problem in problems:
        print(f"SHORT: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
