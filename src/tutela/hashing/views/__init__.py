"""Views: hashes of what a picture may have been before somebody changed it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutela.core import ViewHash
from tutela.hashing.pdq import Spectrum


def view_hashes(luma: NDArray[np.uint8], spectrum: Spectrum) -> tuple[ViewHash, ...]:
    """All views of one picture; see the package's documentation."""
    if not spectrum.hashable:
        return ()
    return tuple(
        ViewHash(view=name, pdq=bits, quality=spectrum.quality, radius=24)
        for name, bits in spectrum.dihedral().items()
        if name
    )


__all__ = ["view_hashes"]
