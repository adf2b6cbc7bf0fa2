"""``make bench``: every bench in turn, each in a process of its own, then all ratios together.

Each bench prints lines ``NAME VALUE (bar BAR) ok`` or ``… SHORT``; they are gathered and printed
again at the end, and the exit code is 1 if any is short or a bench failed. ``QUICK=1`` runs
smaller sizes without bars, within five minutes. ``python -m bench hashing index`` runs those two.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

BENCHES = {
    "hashing": "decoding and PDQ of pictures, beside threatexchange",
    "isolation": "what the decoder's process costs",
    "robustness": "what edits of a picture are found, and what views cost in false matches",
    "video": "frames of video, beside vpdq",
    "index": "exact lookups, beside HMA's PDQIndex and faiss",
    "http": "the whole road over HTTP, related to HMA",
}
LINE = re.compile(r"^\S+ \S+ (\(bar .*\) (ok|SHORT)|\(no bar\).*)$")


def run(name: str) -> tuple[int, list[str]]:
    """One bench, its output passed through. Returns its exit code and its result lines."""
    print(f"\n== {name}: {BENCHES[name]}", flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", f"bench.{name}"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        if LINE.match(line.strip()):
            lines.append(line.strip())
    return process.wait(), lines


def main() -> int:
    """Run the benches named, or all. Returns the exit code."""
    wanted = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in wanted if name not in BENCHES]
    if unknown:
        print(f"No such bench: {', '.join(unknown)}. There are: {', '.join(BENCHES)}.")
        return 2
    began = time.monotonic()
    failed: list[str] = []
    gathered: list[str] = []
    for name in wanted:
        code, lines = run(name)
        gathered += lines
        if code and not any(line.endswith("SHORT") for line in lines):
            failed.append(name)
    print(f"\n== all ratios ({time.monotonic() - began:.0f} s)")
    for line in gathered:
        print(line)
    for name in failed:
        print(f"{name} failed (bar runs) SHORT")
    return 1 if failed or any(line.endswith("SHORT") for line in gathered) else 0


if __name__ == "__main__":
    raise SystemExit(main())
