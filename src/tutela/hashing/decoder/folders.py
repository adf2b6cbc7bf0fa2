"""What of the disk a decoder may read: the code it runs, and nothing else.

The search path of the process that starts the decoder is no answer: ``python -m tutela`` puts the
working directory on it, and the data folder often lies just there. So the standard library, the
folders of installed packages and the very files and folders of modules already loaded are opened,
never a folder merely because it is searched.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from types import ModuleType

INSTALLED = ("site-packages", "dist-packages")
"""Names of the folders that installers put packages into."""
LIBRARIES = ("lib", "lib64")
"""Folders of an interpreter's prefix that hold shared libraries."""


def search_path(path: Iterable[str], working: str, package: str) -> list[str]:
    """Where a decoder looks for modules: ``path`` without the working directory.

    ``package`` is the folder of the package ``tutela``: where it lies in the working directory
    itself, that stays, for it could not be loaded otherwise.
    """
    home = os.path.realpath(os.path.dirname(package))
    working = os.path.realpath(working)
    found = []
    for name in path:
        real = os.path.realpath(name) if name else working
        if real != working or (real == home and name):
            found.append(name)
    return found


def code_folders(modules: Iterable[ModuleType] | None = None) -> list[str]:
    """Files and folders that hold the running interpreter's code, each once, resolved.

    ``modules`` are those already loaded (default: all of this process).
    """
    paths = sysconfig.get_paths()
    installed = [name for name in sys.path if os.path.basename(name) in INSTALLED]
    named = [paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], *installed]
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix):
        named += [os.path.join(prefix, name) for name in LIBRARIES]
    roots = _real(named)
    loaded = tuple(sys.modules.values()) if modules is None else modules
    for place in _real(_place(module) for module in loaded):
        if not any(lies_below(place, root) for root in roots):
            roots.append(place)
    return [root for root in roots if not any(lies_below(root, r) for r in roots if r != root)]


def overlap(private: Sequence[str], readable: Iterable[str]) -> str | None:
    """The first folder of ``readable`` that holds one of ``private`` or lies in one, or None."""
    hidden = [os.path.realpath(name) for name in private]
    for root in _real(readable):
        if any(lies_below(each, root) or lies_below(root, each) for each in hidden):
            return root
    return None


def lies_below(path: str, root: str) -> bool:
    """Whether ``path`` is ``root`` or in it. Both absolute, without links."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def _place(module: ModuleType) -> str:
    """The folder of a package, the file of a plain module; empty where it has neither."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return ""
    return os.path.dirname(file) if hasattr(module, "__path__") else file


def _real(names: Iterable[str]) -> list[str]:
    found = (os.path.realpath(name) for name in names if name)
    return [name for name in dict.fromkeys(found) if os.path.exists(name)]
