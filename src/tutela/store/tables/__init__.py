"""Every table, one module a room. Importing this package fills ``tutela.store.metadata.metadata``.

A new table is a new module here (or a new ``Table`` in one) and nothing else: it is found by
itself, and so are its migration's differences.
"""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
