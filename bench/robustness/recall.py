"""Recall: how often a changed copy is still found, by plain PDQ and with views."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from tutela.core import ViewHash
from tutela.hashing.pdq import Spectrum, distance, spectrum_from_luma, spectrum_from_rgb
from tutela.hashing.views import view_hashes

from .corpus import Original
from .transforms import Transform

PLAIN_RADIUS = 31
"""The radius that PDQ's authors recommend, and the field uses."""


@dataclass(slots=True)
class Row:
    """What became of one transform over all pictures of a half."""

    transform: Transform
    pictures: int = 0
    plain: int = 0
    found: int = 0
    real: int = 0
    real_plain: int = 0
    real_found: int = 0
    by_view: dict[str, int] = field(default_factory=dict)
    lookups: int = 0

    def add(
        self, original: Original, plain: int, nearest: tuple[int, str] | None, lookups: int
    ) -> None:
        """Counts one copy: its plain distance, and the nearest view within its radius."""
        hit_plain = plain <= PLAIN_RADIUS
        hit = hit_plain or nearest is not None
        self.pictures += 1
        self.plain += hit_plain
        self.found += hit
        self.lookups += lookups
        if original.real:
            self.real += 1
            self.real_plain += hit_plain
            self.real_found += hit
        if nearest is not None and not hit_plain:
            self.by_view[nearest[1]] = self.by_view.get(nearest[1], 0) + 1


def saved(original: Original, partner: Original, row: Transform) -> bytes:
    """The changed copy as the JPEG file that would be uploaded; the same every time."""
    chance = random.Random(f"{row.name}/{original.name}")
    changed = row.apply(original.picture, partner.picture, chance)
    out = io.BytesIO()
    changed.save(out, "JPEG", quality=row.quality)
    return out.getvalue()


def opened(data: bytes) -> NDArray[np.uint8]:
    """The luma plane, HxW, as the gate decodes it in its default mode."""
    return np.ascontiguousarray(simplejpeg.decode_jpeg(data, colorspace="GRAY")[:, :, 0])


def nearest_view(listed: bytes, views: Iterable[ViewHash]) -> tuple[int, str] | None:
    """The nearest view that lies within its own radius of the listed hash: distance, name."""
    hits = [(distance(listed, view.pdq), view.view, view.radius) for view in views]
    return min(((d, name) for d, name, radius in hits if d <= radius), default=None)


def hashed(luma: NDArray[np.uint8]) -> tuple[Spectrum, tuple[ViewHash, ...]]:
    """The spectrum of a copy and all its views."""
    spectrum = spectrum_from_luma(luma)
    return spectrum, view_hashes(luma, spectrum)


def measure(originals: Sequence[Original], rows: Sequence[Transform]) -> Iterator[Row]:
    """One counted row for each transform, over all originals."""
    listed = [spectrum_from_rgb(np.asarray(o.picture)).pdq().bits for o in originals]
    for transform in rows:
        row = Row(transform)
        for k, original in enumerate(originals):
            partner = originals[(k + 1) % len(originals)]
            spectrum, views = hashed(opened(saved(original, partner, transform)))
            plain = distance(listed[k], spectrum.pdq().bits)
            row.add(original, plain, nearest_view(listed[k], views), len(views))
        yield row
