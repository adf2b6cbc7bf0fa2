"""Looking for what was done to a picture, and hashing it undone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutela.core import ViewHash
from tutela.hashing.pdq import DIHEDRALS, Spectrum, spectrum_from_luma

from ._badges import badge, patched
from ._folds import folded
from ._frames import LOOSE, RINGING, TIGHT, Rectangle, cut, trim, without_blur
from ._planes import rectangle_samples, shrink, warped
from ._seams import column_seams, row_seams
from ._turns import turned
from .catalogue import MOST_VIEWS, PADS, QUARTERS, RULES, TURNS, ZOOMS, Kind

Samples = NDArray[np.float32]
ALL_BITS = (1 << 256) - 1
SAME = 0.006
"""Rectangles whose sides lie nearer than this share of the plane are the same."""
MIXED = 2
"""Lines of the plane at a seam that show something of both sides."""
LEAST_AREA = 0.06
"""A rectangle smaller than this share of the picture is not looked at."""


class Looking:
    """One picture being looked at; ``views`` grows while it is."""

    def __init__(self, luma: NDArray[np.uint8], spectrum: Spectrum) -> None:
        self.height, self.width = luma.shape
        self.spectrum = spectrum
        self.plane = shrink(luma)
        self.views: list[ViewHash] = []
        self._seen = {spectrum.pdq().bits}
        self._rectangles: list[Rectangle] = []

    def look(self) -> tuple[ViewHash, ...]:
        """Every view of the picture."""
        rows, columns = self.plane.shape
        whole = (0, rows, 0, columns)
        self._rectangles.append(whole)
        plain = self.spectrum
        self._quarters("", plain, Kind.DIHEDRAL, DIHEDRALS)
        self._invert(plain)
        self._nudge(plain)
        self._straighten(plain)
        self._patch("", whole, plain)
        self._frames(whole)
        self._halves(whole)
        return tuple(self.views[:MOST_VIEWS])

    # --- views of the whole picture ---------------------------------------------------------

    def _quarters(
        self, prefix: str, spectrum: Spectrum, kind: Kind, names: tuple[str, ...]
    ) -> None:
        if spectrum.quality < RULES[kind].quality:
            return
        hashes = spectrum.dihedral()
        for name in names:
            if name:
                self._add(f"{prefix}{name}", hashes[name], spectrum.quality, kind)

    def _invert(self, spectrum: Spectrum) -> None:
        hashes = spectrum.dihedral()
        for name, kind in (("", Kind.INVERT), ("mirror", Kind.NESTED)):
            bits = (int.from_bytes(hashes[name]) ^ ALL_BITS).to_bytes(32)
            label = f"invert+{name}" if name else "invert"
            self._add(label, bits, spectrum.quality, kind)

    def _nudge(self, spectrum: Spectrum) -> None:
        """Small crops, small margins and small turns leave no trace to detect: they are tried."""
        samples, quality = spectrum.samples, spectrum.quality
        if quality < RULES[Kind.PAD].quality:
            return
        for share in PADS:
            bits = folded(samples, 1 - 2 * share).pdq().bits
            self._add(f"pad-{share * 100:g}", bits, quality, Kind.PAD)
        for share in ZOOMS:
            bits = folded(samples, 1 / (1 - 2 * share)).pdq().bits
            self._add(f"zoom-{share * 100:g}", bits, quality, Kind.ZOOM)
        for degrees, share in TURNS:
            for side, way in (("right", 1), ("left", -1)):
                bent = warped(samples, self.width / self.height, way * degrees, 1.0, 1.0)
                bits = folded(bent, 1 - 2 * share).pdq().bits
                self._add(f"turn-{side}-{degrees:g}", bits, quality, Kind.TURN)

    def _straighten(self, spectrum: Spectrum) -> None:
        degrees = turned(self.plane, self.height, self.width)
        if degrees:
            bent = warped(spectrum.samples, self.width / self.height, degrees, 1.0, 1.0)
            self._hash("straighten", bent, Kind.STRAIGHTEN)

    # --- views of a part of it --------------------------------------------------------------

    def _patch(self, prefix: str, rectangle: Rectangle, spectrum: Spectrum) -> None:
        top, bottom, left, right = rectangle
        part = self.plane[top:bottom, left:right]
        corner, tall, wide, seen = badge(part)
        if seen:
            shares = tall / (bottom - top), wide / (right - left)
            filled = patched(spectrum.samples, corner, *shares)
            self._hash(f"{prefix}patch", filled, Kind.NESTED if prefix else Kind.PATCH)

    def _frames(self, rectangle: Rectangle) -> None:
        """What is left without what was put around it: as far as faint steps tell, the same on
        both sides of an axis, and cut out of a page."""
        top, bottom, left, right = rectangle
        slack = -(-RINGING * self.plane.shape[0] // self.height)
        tight = trim(self.plane, *rectangle, TIGHT, slack)
        loose = trim(self.plane, *rectangle, LOOSE, 0)
        upright = min(loose[0] - top, bottom - loose[1])
        across = min(loose[2] - left, right - loose[3])
        even = (top + upright, bottom - upright, left + across, right - across)
        page = cut(self.plane, *rectangle)
        sharp = without_blur(self.plane, *rectangle)
        for name, found in (
            ("trim", tight),
            ("trim-even", even),
            ("cut", page),
            ("cut-blur", sharp),
        ):
            spectrum = self._rectangle(name, found, Kind.FRAME)
            if spectrum is not None:
                turns = Kind.FRAME_QUARTERS if name == "trim" else Kind.NESTED
                self._quarters(f"{name}+", spectrum, turns, QUARTERS)
                self._patch(f"{name}+", found, spectrum)

    def _halves(self, rectangle: Rectangle) -> None:
        top, bottom, left, right = rectangle
        halves: dict[str, Rectangle] = {}
        for mark, column in zip(("", "-2"), column_seams(self.plane, *rectangle), strict=True):
            if column:
                halves["left" + mark] = (top, bottom, left, column)
                halves["right" + mark] = (top, bottom, column, right)
        for mark, row in zip(("", "-2"), row_seams(self.plane, *rectangle), strict=True):
            if row:
                halves["top" + mark] = (top, row, left, right)
                halves["bottom" + mark] = (row, bottom, left, right)
        slack = -(-RINGING * self.plane.shape[0] // self.height)
        for name, half in halves.items():
            parts = [(f"half-{name}", half)]
            # The line at the seam is a mixture of both sides: a gutter begins behind it.
            behind = _without_seam(name, half)
            inner = trim(self.plane, *behind, TIGHT, slack)
            if inner != behind:
                parts.append((f"half-{name}+trim", inner))
            for label, part in parts:
                spectrum = self._rectangle(label, part, Kind.HALF)
                if spectrum is not None:
                    self._quarters(f"{label}+", spectrum, Kind.NESTED, ("mirror",))

    def _rectangle(self, name: str, rectangle: Rectangle, kind: Kind) -> Spectrum | None:
        """Hashes one rectangle; None where it is too small or was hashed before."""
        top, bottom, left, right = rectangle
        rows, columns = self.plane.shape
        if (bottom - top) * (right - left) < LEAST_AREA * rows * columns:
            return None
        for known in self._rectangles:
            apart_y = max(abs(top - known[0]), abs(bottom - known[1])) / rows
            apart_x = max(abs(left - known[2]), abs(right - known[3])) / columns
            if max(apart_x, apart_y) < SAME:
                return None
        self._rectangles.append(rectangle)
        samples = rectangle_samples(self.plane, *(float(side) for side in rectangle))
        spectrum = spectrum_from_luma(samples)
        self._add(name, spectrum.pdq().bits, spectrum.quality, kind)
        return spectrum

    # --- hashing ----------------------------------------------------------------------------

    def _hash(self, name: str, samples: Samples, kind: Kind) -> None:
        spectrum = spectrum_from_luma(samples)
        self._add(name, spectrum.pdq().bits, spectrum.quality, kind)

    def _add(self, name: str, bits: bytes, quality: int, kind: Kind) -> None:
        rule = RULES[kind]
        if quality >= rule.quality and bits not in self._seen:
            self._seen.add(bits)
            self.views.append(ViewHash(view=name, pdq=bits, quality=quality, radius=rule.radius))


def _without_seam(name: str, half: Rectangle) -> Rectangle:
    top, bottom, left, right = half
    return (
        top + MIXED * name.startswith("bottom"),
        bottom - MIXED * name.startswith("top"),
        left + MIXED * name.startswith("right"),
        right - MIXED * name.startswith("left"),
    )
