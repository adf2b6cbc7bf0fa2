"""``python -m tutela.demo SEED FILE``: write one of the demo's landscapes as a JPEG, to try with.

With ``--disguised`` it is resized, mirrored, framed and recompressed, as somebody hiding it would.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .scenes import disguised, jpeg, scene


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="python -m tutela.demo", description=__doc__)
    parser.add_argument("seed", type=int, help="which landscape")
    parser.add_argument("file", type=Path, help="where to write it")
    parser.add_argument("--disguised", action="store_true", help="altered to get past a gate")
    wanted = parser.parse_args()
    picture = scene(wanted.seed)
    wanted.file.write_bytes(disguised(picture) if wanted.disguised else jpeg(picture))


if __name__ == "__main__":
    main()
