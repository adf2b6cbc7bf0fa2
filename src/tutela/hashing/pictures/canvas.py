"""What a picture is after decoding: one plane of luma, ready to be hashed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tutela.core import Fault, FaultKind, ViewHash
from tutela.hashing import pdq
from tutela.hashing.pdq import Spectrum
from tutela.hashing.pdq.planes import luma_of_rgb

EXIF_DIHEDRALS = {
    2: "mirror",
    3: "rotate-180",
    4: "flip",
    5: "transpose",
    6: "rotate-270",
    7: "transverse",
    8: "rotate-90",
}
"""What each EXIF orientation (tag 0x0112) asks a viewer to do, in ``pdq.DIHEDRALS``' words."""

STORED_RADIUS = 31
"""The stored pixels of a picture that EXIF turns are no guess: they match as the picture does."""


class PictureFault(Exception):
    """A picture could not be read, or not to its end. Carries the ``Fault``; stays in hashing."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(kind=kind, detail=detail)


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """Limits while decoding: pixels of one picture, and frames sampled from one animation."""

    max_pixels: int = 200_000_000
    max_frames: int = 64

    @property
    def all_pixels(self) -> int:
        """Pixels decoded from one file, all frames and pages together."""
        return 4 * self.max_pixels

    @property
    def max_pages(self) -> int:
        """Pages or pictures taken from one file that is no animation (TIFF, HEIC, ICO)."""
        return 16 * self.max_frames

    def check(self, width: int, height: int) -> None:
        """Raises ``PictureFault`` if one picture of this size is too large or has no pixels."""
        if width < 1 or height < 1:
            raise PictureFault(FaultKind.DAMAGED, f"It says to be {width} x {height} pixels.")
        if width * height > self.max_pixels:
            raise PictureFault(
                FaultKind.OVER_LIMIT,
                f"It has {width} x {height} pixels; at most {self.max_pixels} are decoded.",
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Canvas:
    """One picture to hash, as its file stores it.

    ``plane`` is HxW uint8 luma, or None where ``rgb`` (HxWx3 uint8) is there to take it from.
    ``rgb`` is filled in identical mode for pictures with colour. ``frame`` counts from 0 in
    animations and files of several pages, else None. ``ground`` says what was put under
    transparent pixels: ``"white"``, ``"black"``, ``"hidden"`` (transparency ignored, so that
    pixels hidden under it count; what the reference implementation hashes), ``"alpha"`` (the
    transparency itself as a picture) or None for opaque pictures; ``"inks"`` is a CMYK picture
    read the other way round, ``"gamma"`` a PNG seen through the gamma that it asks for,
    ``"profile"`` (alone, or before one of the grounds) a picture seen through its colour profile.
    ``plain`` marks a frame of a long animation of which the hash alone is wanted, no views.
    ``orientation`` names the one of ``pdq.DIHEDRALS`` that a viewer
    applies because the file says so (EXIF), or is None. Pixels are never turned for it: one
    decode gives both hashes, ``spectrum`` (as shown) and ``stored_view`` (as stored).
    """

    plane: NDArray[np.uint8] | None = None
    rgb: NDArray[np.uint8] | None = None
    frame: int | None = None
    ground: str | None = None
    orientation: str | None = None
    plain: bool = False

    @cached_property
    def luma(self) -> NDArray[np.uint8]:
        """HxW uint8 luma as stored."""
        if self.plane is not None:
            return self.plane
        assert self.rgb is not None
        return luma_of_rgb(self.rgb)

    @cached_property
    def upright(self) -> NDArray[np.uint8]:
        """The luma as viewers show it; a view of the same memory, which may be strided."""
        return pdq.turn(self.luma, self.orientation or "")

    @property
    def width(self) -> int:
        """Width in pixels as viewers show it."""
        return self._sides[1]

    @property
    def height(self) -> int:
        """Height in pixels as viewers show it."""
        return self._sides[0]

    @property
    def _sides(self) -> tuple[int, int]:
        pixels = self.plane if self.plane is not None else self.rgb
        assert pixels is not None
        sides = pixels.shape[0], pixels.shape[1]
        turned = self.orientation in {"rotate-90", "rotate-270", "transpose", "transverse"}
        return (sides[1], sides[0]) if turned else sides

    def spectrum(self, *, exact: bool) -> Spectrum:
        """The spectrum of the picture as viewers show it; ``exact`` as in ``pdq``."""
        if self.rgb is not None or not exact:
            return self._quick
        return self._hashed(self.orientation or "", exact)

    @cached_property
    def _quick(self) -> Spectrum:
        return self._hashed(self.orientation or "", False)

    def as_plain(self) -> Canvas:
        """Itself, marked as one of which the hash alone is wanted; a hash made is kept."""
        object.__setattr__(self, "plain", True)
        return self

    def stored_view(self, *, exact: bool) -> ViewHash | None:
        """Where viewers turn the picture: the hash of it as stored, whatever EXIF says, at the
        full radius. Else None."""
        if self.orientation is None:
            return None
        plain = self._hashed("", exact).pdq()
        return ViewHash(view="stored", pdq=plain.bits, quality=plain.quality, radius=STORED_RADIUS)

    def _hashed(self, turned: str, exact: bool) -> Spectrum:
        if self.rgb is not None:
            return pdq.spectrum_from_rgb(self.rgb, turned=turned)
        return pdq.spectrum_from_luma(self.luma, exact=exact, turned=turned)
