"""PDQ (256 bits and a quality), equal to the reference implementation, as one linear map.

``spectrum_from_luma`` and ``spectrum_from_rgb`` take a picture to its ``Spectrum``; that gives
the hash and its seven rotated and mirrored fellows. See ``_weights`` for the mathematics.
"""

from ._spectrum import (
    DIHEDRALS,
    MIN_SIDE,
    Spectrum,
    distance,
    spectrum_from_luma,
    spectrum_from_rgb,
    turn,
    warm_up,
)

__all__ = [
    "DIHEDRALS",
    "MIN_SIDE",
    "Spectrum",
    "distance",
    "spectrum_from_luma",
    "spectrum_from_rgb",
    "turn",
    "warm_up",
]
