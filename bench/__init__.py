"""Tutela beside its peers, measured in the same run. ``python -m bench`` runs all of it.

Every library keeps to one thread, theirs and ours: ratios are for one core. That has to be said
before NumPy, Numba or faiss are imported, and so here.
"""

import os

for _library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
