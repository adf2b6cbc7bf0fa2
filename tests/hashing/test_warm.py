"""Warming up compiles all that uploads need: a worker is shut off and must not compile."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from pathlib import Path

from numba.core.dispatcher import Dispatcher

from tutela.core import HashMode
from tutela.demo.story import evasions, evening
from tutela.hashing.media import hash_media
from tutela.hashing.options import HashOptions
from tutela.hashing.warm import warm_up


def compiled() -> dict[str, set[str]]:
    """Each kernel of the hashing room with the signatures it is compiled for."""
    kernels: dict[str, set[str]] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("tutela.hashing"):
            for thing in vars(module).values():
                if isinstance(thing, Dispatcher):
                    kernels[str(thing.py_func)] = {str(each) for each in thing.signatures}
    return kernels


def test_warming_up_compiles_every_kernel_that_pictures_need() -> None:
    warm_up()
    before = compiled()
    pictures = [s.content for s in itertools.islice(evening(), 3)] + [s.content for s in evasions()]
    for mode in HashMode:
        for content in pictures:
            hash_media(io.BytesIO(content), HashOptions(mode=mode))
    late = {k: v - before[k] for k, v in compiled().items() if v - before[k]}
    assert late == {}


SHUT_OFF = """
import numpy as np, numba, os
from tutela.hashing.decoder import folders, sandbox, zygote

@numba.njit(cache=True)
def late(a):
    return a.sum()

zygote.forget_caches()
sandbox.shut_off(folders.code_folders())
assert late(np.arange(4)) == 6
print("compiled in memory")
"""


def test_a_kernel_not_foreseen_is_compiled_in_memory_inside_the_sandbox(
    tmp_path: Path,
) -> None:
    script = tmp_path / "late.py"
    script.write_text(SHUT_OFF)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "compiled in memory", done.stderr[-800:]
