"""Views: hashes of what a picture may have been before somebody changed it.

PDQ survives recompression, resizing and changes of tone, and fails on nearly everything that
moves pixels about. So the gate looks up not one hash but several: of the picture mirrored and
turned, inverted, without its border or caption or screen, of the halves of a collage, straightened,
with a badge filled in, a little zoomed and padded. What can be detected is only undone where it
is seen; the rest is tried always. ``catalogue`` says how far each kind may match.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutela.core import ViewHash
from tutela.hashing.pdq import Spectrum

from ._looking import Looking
from .catalogue import MOST_VIEWS, RULES, Kind, Rule

LEAST_SIDE = 24
"""Pictures with a shorter side have no views: there is nothing to see in them."""


def view_hashes(luma: NDArray[np.uint8], spectrum: Spectrum) -> tuple[ViewHash, ...]:
    """The views of one picture, each named for what it undoes, with quality and radius.

    ``luma`` is the picture's luma plane, HxW uint8, and ``spectrum`` its ``Spectrum``. The plain
    hash itself is never among them, and no hash is there twice; at most ``MOST_VIEWS``.
    """
    if not spectrum.hashable or min(luma.shape) < LEAST_SIDE:
        return ()
    return Looking(luma, spectrum).look()


__all__ = ["LEAST_SIDE", "MOST_VIEWS", "RULES", "Kind", "Rule", "view_hashes"]
