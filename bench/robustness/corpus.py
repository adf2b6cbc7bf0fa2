"""The pictures of the bench: real photographs that packages carry, and generated scenes.

``pictures()`` are the originals that get transformed, in two halves: ``tune`` (looked at while
views were made) and ``report`` (what the table tells). ``unrelated()`` are many pictures that
have nothing to do with one another, for counting false matches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

from .scenes import scene

PACKAGED = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
"""scikit-image's packaged pictures, but for drawings, masks and second shots of the same scene."""
SHARED = (
    "dihedral/bridge-1-original.jpg",
    "labelme/q0003.jpg",
    "labelme/q0004.jpg",
    "labelme/q0122.jpg",
    "labelme/q0291.jpg",
    "labelme/q0746.jpg",
    "labelme/q1050.jpg",
    "labelme/q2821.jpg",
    "pen-and-coaster.png",
)
"""Photographs of the reference implementation's regression data, where it lies beside the tree."""
GENERATED = 72
SIZES = ((640, 480), (480, 640), (800, 533), (560, 560), (720, 405))
LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Original:
    """One picture, RGB. ``real`` is False for a generated one; ``half`` is tune or report."""

    name: str
    real: bool
    half: str
    picture: Image.Image


def shared_folder() -> Path | None:
    """The reference's photographs, if they lie beside the repository."""
    folder = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "pdq"
    return folder if folder.is_dir() else None


def _real() -> list[tuple[str, Image.Image]]:
    packaged = Path(skimage.__file__).parent / "data"
    paths = [(name, packaged / name) for name in PACKAGED]
    shared = shared_folder()
    if shared is not None:
        paths += [(name.rpartition("/")[2], shared / name) for name in SHARED]
    found = []
    for name, path in paths:
        with Image.open(path) as picture:
            picture.load()
            opaque = picture.convert("RGB")
        opaque.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        found.append((name, opaque))
    return found


def pictures(half: str | None = None, *, most: int | None = None) -> list[Original]:
    """The originals, those of one half only if ``half`` is given, at most ``most`` of each kind.

    Every second real picture and every second seed is of the other half.
    """
    halves = itertools.cycle(("tune", "report"))
    found = [
        Original(name, True, which, picture)
        for (name, picture), which in zip(_real(), halves, strict=False)
        if half in (None, which)
    ][:most]
    for seed, which in zip(range(GENERATED), halves, strict=False):
        if half in (None, which) and (most is None or sum(not o.real for o in found) < most):
            width, height = SIZES[seed % len(SIZES)]
            found.append(Original(f"scene-{seed}", False, which, scene(seed, width, height)))
    return found


def crops(side: int = 96) -> Iterator[Image.Image]:
    """Squares cut from the real pictures without overlap: each shows something else."""
    for _, picture in _real():
        for top in range(0, picture.height - side + 1, side):
            for left in range(0, picture.width - side + 1, side):
                yield picture.crop((left, top, left + side, top + side))


def unrelated(count: int) -> Iterator[np.ndarray]:
    """``count`` pictures, RGB uint8, that have nothing to do with one another: the real ones
    whole or their crops (never both), then scenes from seeds that ``pictures`` does not use."""
    cut = 0
    for picture in itertools.islice(crops(), count // 4):
        cut += 1
        yield np.asarray(picture)
    for seed in range(1_000_000, 1_000_000 + count - cut):
        width, height = ((192, 144), (144, 192), (176, 176))[seed % 3]
        yield np.asarray(scene(seed, width, height))
