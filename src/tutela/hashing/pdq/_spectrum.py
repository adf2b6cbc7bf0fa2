"""The spectrum of a picture, and the eight hashes that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutela.core import Pdq
from tutela.core.hashes import PDQ_BYTES

from . import _exact, _kernels
from ._weights import (
    DCT,
    DCT_T,
    SIDE,
    SLOTS,
    mirrored_band,
    sample_positions,
    tent_band,
    window_size,
)
from .planes import warm_planes

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

QUALITY_SLACK = 2e-3
"""How far rounding may move one gradient of the quality, in hundredths of the range."""


def rounding_bound(longest: int) -> float:
    """How far a DCT value of the fast kernels may lie from the reference's, for a picture whose
    longer side has ``longest`` pixels.

    The reference keeps running sums in single precision, whose error grows with the number of
    steps; this is over the largest distance met in photos, noise, charts and stripes (0.015).
    """
    return 4e-3 + 3e-4 * math.sqrt(longest)


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """PDQ up to its last step, from which all eight dihedral hashes follow for free.

    ``dct`` is 16x16 float32, row = vertical frequency; ``quality`` 0 to 100; ``samples`` the
    64x64 float32 blurred and decimated luma. ``hashable`` is False for pictures with a side
    under 5 pixels. ``gap`` is the least distance of a value from the median that rounding can't
    bridge, and ``again`` gives the spectrum in the reference's arithmetic, where bits must
    equal the reference's; it is called only when rounding could decide one. It keeps the pixels.
    """

    dct: NDArray[np.float32]
    quality: int
    samples: NDArray[np.float32]
    hashable: bool = True
    gap: float = 0.0
    again: Callable[[], Spectrum] | None = field(default=None, repr=False)

    def pdq(self) -> Pdq:
        """The hash of the picture as it is."""
        if not self.hashable:
            return Pdq(bytes(PDQ_BYTES), 0)
        out = np.empty(PDQ_BYTES, np.uint8)
        gap = _kernels.plain_bits(self.dct, out)
        if self.again is not None and gap < self.gap:
            return self.again().pdq()
        return Pdq(out.tobytes(), self.quality)

    def dihedral(self) -> dict[str, bytes]:
        """The eight hashes by the names of ``DIHEDRALS``; ``""`` is the plain one."""
        if not self.hashable:
            return dict.fromkeys(DIHEDRALS, bytes(PDQ_BYTES))
        out = np.empty((len(DIHEDRALS), PDQ_BYTES), np.uint8)
        gap = _kernels.dihedral_bits(self.dct, out)
        if self.again is not None and gap < self.gap:
            return self.again().dihedral()
        data = out.tobytes()
        return {name: data[k * PDQ_BYTES : (k + 1) * PDQ_BYTES] for k, name in enumerate(DIHEDRALS)}

    def turned(self, dihedral: str) -> Spectrum:
        """The spectrum of the picture after one of ``DIHEDRALS``, without touching a pixel."""
        if not dihedral or not self.hashable:
            return self
        flip, transpose = _kernels.DIHEDRAL_SIGNS[DIHEDRALS.index(dihedral)]
        signs = np.ones((SLOTS, SLOTS), np.float32)
        if flip == 1:
            signs[0::2] = -1
        elif flip == 2:
            signs[:, 0::2] = -1
        elif flip == 3:
            signs[0::2, 1::2] = signs[1::2, 0::2] = -1
        dct = self.dct * signs
        source = self.again
        return Spectrum(
            np.ascontiguousarray(dct.T) if transpose else dct,
            self.quality,
            np.ascontiguousarray(turn(self.samples, dihedral)),
            gap=self.gap,
            again=None if source is None else lambda: source().turned(dihedral),
        )


def turn(plane: NDArray[Any], dihedral: str) -> NDArray[Any]:
    """A plane (HxW or HxWxC) after one of ``DIHEDRALS``, as a view of the same memory."""
    if dihedral in {"transpose", "transverse"}:
        plane = plane.swapaxes(0, 1)
        return plane if dihedral == "transpose" else plane[::-1, ::-1]
    if dihedral.startswith("rotate-"):
        return np.rot90(plane, int(dihedral.removeprefix("rotate-")) // 90)
    return {"": plane, "flip": plane[::-1], "mirror": plane[:, ::-1]}[dihedral]


def spectrum_from_luma(luma: NDArray[Any], *, exact: bool = False, turned: str = "") -> Spectrum:
    """The spectrum of a luma plane, HxW, uint8 or float32 in 0 to 255.

    With ``exact`` its bits equal the reference's on that luma for every input; without, they may
    differ where two values tie to within rounding (flat pictures, test charts). ``turned`` names
    one of ``DIHEDRALS``: the result is that of ``turn(luma, turned)``, without turning a pixel.
    """
    height, width = luma.shape
    if height < MIN_SIDE or width < MIN_SIDE:
        return _too_small()
    if luma.dtype not in (np.uint8, np.float32):
        luma = luma.astype(np.float32)
    plane = np.ascontiguousarray(luma)
    samples = _kernels.samples_from_luma(plane, *_bands(height, width, turned))
    samples = _laid(samples, turned)
    if exact:
        return _certain(
            samples, max(height, width), lambda: turn(plane, turned).astype(np.float32, order="C")
        )
    return Spectrum(
        _kernels.spectrum_of(samples, DCT, DCT_T), _kernels.quality_of(samples, 0.0), samples
    )


def spectrum_from_rgb(rgb: NDArray[np.uint8], *, turned: str = "") -> Spectrum:
    """The spectrum of HxWx3 uint8 RGB, with the reference's bits and quality on every picture.

    ``turned`` is as in ``spectrum_from_luma``.
    """
    height, width = rgb.shape[:2]
    if height < MIN_SIDE or width < MIN_SIDE:
        return _too_small()
    pixels = np.ascontiguousarray(rgb)
    flat = pixels.reshape(height, 3 * width)
    samples = _kernels.samples_from_rgb(flat, *_bands(height, width, turned))
    return _certain(
        _laid(samples, turned),
        max(height, width),
        lambda: _exact.luma_of(np.ascontiguousarray(turn(pixels, turned))),
    )


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
    warm_planes()


_READING = {
    "": (False, False),
    "rotate-90": (False, True),
    "rotate-180": (True, True),
    "rotate-270": (True, False),
    "flip": (True, False),
    "mirror": (False, True),
    "transpose": (False, False),
    "transverse": (True, True),
}
"""Which of a stored picture's axes (rows, columns) each dihedral reads backwards."""
_TRANSPOSING = {"rotate-90", "rotate-270", "transpose", "transverse"}


def _bands(height: int, width: int, turned: str) -> tuple[NDArray[Any], ...]:
    rows, columns = _READING[turned]
    return (
        *(mirrored_band(height) if rows else tent_band(height)),
        *(mirrored_band(width) if columns else tent_band(width)),
    )


def _laid(samples: NDArray[np.float32], turned: str) -> NDArray[np.float32]:
    return np.ascontiguousarray(samples.T) if turned in _TRANSPOSING else samples


def _too_small() -> Spectrum:
    return Spectrum(
        np.zeros((SLOTS, SLOTS), np.float32), 0, np.zeros((SIDE, SIDE), np.float32), hashable=False
    )


def _certain(
    samples: NDArray[np.float32], longest: int, luma: Callable[[], NDArray[np.float32]]
) -> Spectrum:
    """The fast result where rounding cannot have decided the hash, else the exact one.

    ``luma`` gives a fresh HxW float32 plane, already turned as the samples are; ``longest`` is
    its longer side.
    """

    def again() -> Spectrum:
        plane = luma()
        height, width = plane.shape
        samples = _exact.exact_samples(
            plane,
            window_size(width),
            window_size(height),
            sample_positions(height),
            sample_positions(width),
        )
        quality = _kernels.quality_of(samples, 0.0)
        return Spectrum(_exact.exact_spectrum(samples, DCT), quality, samples)

    spectrum = _kernels.spectrum_of(samples, DCT, DCT_T)
    low = _kernels.quality_of(samples, -QUALITY_SLACK)
    high = _kernels.quality_of(samples, QUALITY_SLACK)
    gap = 2 * rounding_bound(longest)
    if low == high and _kernels.plain_bits(spectrum, np.empty(PDQ_BYTES, np.uint8)) > gap:
        return Spectrum(spectrum, low, samples, gap=gap, again=again)
    return again()
