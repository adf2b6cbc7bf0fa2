"""The spectrum of a picture, and the eight hashes that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutela.core import Pdq
from tutela.core.hashes import PDQ_BYTES

from . import _exact, _kernels
from ._weights import DCT, SIDE, SLOTS, sample_positions, tent_band, window_size

MIN_SIDE = 5
"""Pictures with a side under this have an all-zero hash of quality 0, as in the reference."""

DIHEDRALS = (
    "",
    "rotate-90",
    "rotate-180",
    "rotate-270",
    "flip",
    "mirror",
    "transpose",
    "transverse",
)
"""The eight rotations and mirrorings, in the order of the reference's ``compute_dihedral``.

A name says what is done to the picture: ``rotate-90`` turns it by 90° anticlockwise, ``flip``
turns it upside down (top to bottom), ``mirror`` exchanges left and right, ``transpose`` mirrors
it at the main diagonal, ``transverse`` at the other one.
"""

GAP = 0.02
"""Identical mode: a gap above the median under this is decided by the reference's arithmetic."""
SLACK = 2e-3
"""Identical mode: how far rounding may move one gradient of the quality, in hundredths."""


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """PDQ up to its last step, from which all eight dihedral hashes follow for free.

    ``dct`` is 16x16 float32, row = vertical frequency; ``quality`` 0 to 100; ``samples`` the
    64x64 float32 blurred and decimated luma. ``hashable`` is False for pictures with a side
    under 5 pixels.
    """

    dct: NDArray[np.float32]
    quality: int
    samples: NDArray[np.float32]
    hashable: bool = True

    def pdq(self) -> Pdq:
        """The hash of the picture as it is."""
        if not self.hashable:
            return Pdq(bytes(PDQ_BYTES), 0)
        out = np.empty(PDQ_BYTES, np.uint8)
        _kernels.plain_bits(self.dct, out)
        return Pdq(out.tobytes(), self.quality)

    def dihedral(self) -> dict[str, bytes]:
        """The eight hashes by the names of ``DIHEDRALS``; ``""`` is the plain one."""
        if not self.hashable:
            return dict.fromkeys(DIHEDRALS, bytes(PDQ_BYTES))
        out = np.empty((len(DIHEDRALS), PDQ_BYTES), np.uint8)
        _kernels.dihedral_bits(self.dct, out)
        data = out.tobytes()
        return {
            name: data[k * PDQ_BYTES : (k + 1) * PDQ_BYTES] for k, name in enumerate(DIHEDRALS)
        }


def spectrum_from_luma(luma: NDArray[Any], *, exact: bool = False) -> Spectrum:
    """The spectrum of a luma plane, HxW, uint8 or float32 in 0 to 255.

    With ``exact`` its bits equal the reference's on that luma for every input; without, they may
    differ where two values tie to within rounding (flat pictures, test charts).
    """
    height, width = luma.shape
    if height < MIN_SIDE or width < MIN_SIDE:
        return _too_small()
    if luma.dtype != np.uint8 and luma.dtype != np.float32:
        luma = luma.astype(np.float32)
    plane = np.ascontiguousarray(luma)
    samples = _kernels.samples_from_luma(plane, *tent_band(height), *tent_band(width))
    if exact:
        return _certain(samples, plane.astype, width, height)
    return _finish(samples)


def spectrum_from_rgb(rgb: NDArray[np.uint8]) -> Spectrum:
    """The spectrum of HxWx3 uint8 RGB, with the reference's bits and quality on every picture."""
    height, width = rgb.shape[:2]
    if height < MIN_SIDE or width < MIN_SIDE:
        return _too_small()
    pixels = np.ascontiguousarray(rgb)
    flat = pixels.reshape(height, 3 * width)
    samples = _kernels.samples_from_rgb(flat, *tent_band(height), *tent_band(width))
    return _certain(samples, lambda _: _luma_of(pixels), width, height)


def distance(a: bytes, b: bytes) -> int:
    """The Hamming distance of two hashes in bits (0 to 256 for PDQ)."""
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def warm_up() -> None:
    """Compiles or loads every kernel, so that the first picture is not slow."""
    ramp = np.add.outer(np.arange(70), np.arange(70)).astype(np.uint8)
    for luma in (ramp, ramp.astype(np.float32)):
        spectrum_from_luma(luma, exact=True).pdq()
    spectrum = spectrum_from_rgb(np.full((70, 70, 3), 7, np.uint8))
    spectrum.dihedral()


def _too_small() -> Spectrum:
    return Spectrum(
        np.zeros((SLOTS, SLOTS), np.float32), 0, np.zeros((SIDE, SIDE), np.float32), hashable=False
    )


def _finish(samples: NDArray[np.float32]) -> Spectrum:
    quality, _ = _kernels.quality_bounds(samples, 0.0)
    return Spectrum(_kernels.spectrum_of(samples, DCT), quality, samples)


def _certain(samples: NDArray[np.float32], luma: Any, width: int, height: int) -> Spectrum:
    """The fast result where rounding cannot have decided anything, else the exact one."""
    spectrum = _kernels.spectrum_of(samples, DCT)
    low, high = _kernels.quality_bounds(samples, SLACK)
    gap = _kernels.dihedral_bits(spectrum, np.empty((len(DIHEDRALS), PDQ_BYTES), np.uint8))
    if low == high and gap > GAP:
        return Spectrum(spectrum, low, samples)
    samples = _exact.exact_samples(
        luma(np.float32),
        window_size(width),
        window_size(height),
        sample_positions(height),
        sample_positions(width),
    )
    quality, _ = _kernels.quality_bounds(samples, 0.0)
    return Spectrum(_exact.exact_spectrum(samples, DCT), quality, samples)


def _luma_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma as the reference's Python binding takes it: in double precision, then rounded."""
    luma = rgb[:, :, 0] * 0.299 + rgb[:, :, 1] * 0.587 + rgb[:, :, 2] * 0.114
    return luma.astype(np.float32)
