"""The pictures of the bench: real photographs that packages carry, and generated scenes.

``pictures()`` are the originals that get transformed, in two halves: ``tune`` (looked at while
views were made) and ``report`` (what the table tells). ``unrelated()`` are many pictures that
have nothing to do with one another, for counting false matches.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFilter

from . import transforms
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
    """``count`` pictures, RGB uint8, that have nothing to do with one another: crops of the real
    ones, then made from seeds that ``pictures`` does not use.

    Every third made one is of a sort that hashes confuse most easily: posts on the same
    telephone's screen, captioned and framed pictures, pages of text, a few things on a plain
    ground, gradients.
    """
    cut = 0
    for picture in itertools.islice(crops(), count // 4):
        cut += 1
        yield np.asarray(picture)
    for seed in range(1_000_000, 1_000_000 + count - cut):
        yield np.asarray(_alike(seed) if seed % 3 == 0 else scene(seed, *SMALL[seed % 4]))


SMALL = ((192, 144), (144, 192), (176, 176), (208, 117))


def _alike(seed: int) -> Image.Image:
    """One picture of the sorts that are alike; which one, and all else, follows from the seed."""
    chance = random.Random(seed)
    sort = chance.choice(("screen", "screen", "caption", "frame", "text", "sparse", "gradient"))
    width, height = chance.choice(SMALL)
    if sort == "text":
        return page_of_text(chance)
    if sort == "gradient":
        return gradient(chance, width, height)
    if sort == "sparse":
        return sparse(chance, width, height)
    picture = scene(seed, width, height)
    apply = {
        "screen": transforms.screenshot,
        "caption": transforms.caption(chance.uniform(0.1, 0.35), below=chance.random() < 0.4),
        "frame": transforms.border(chance.uniform(0.02, 0.15), None),
    }[sort]
    return apply(picture, picture, chance)


def page_of_text(chance: random.Random) -> Image.Image:
    """A page of made-up words in lines, on white or black."""
    dark = chance.random() < 0.3
    width, height = chance.choice(((240, 320), (320, 240), (200, 360)))
    page = Image.new("RGB", (width, height), (16, 16, 16) if dark else (255, 255, 255))
    draw, size = ImageDraw.Draw(page), chance.randint(9, 22)
    for y in range(8, height - size, round(size * chance.uniform(1.2, 1.8))):
        if chance.random() < 0.12:
            continue
        letters = chance.choices("abcdefghijklmnopqrstuvwxyz      ", k=int(width / size * 2))
        line = "".join(letters)[: chance.randint(5, 60)]
        draw.text((8, y), line, font=transforms.font(size), fill=(230,) * 3 if dark else (20,) * 3)
    return page


def gradient(chance: random.Random, width: int, height: int) -> Image.Image:
    """A smooth change of brightness, straight or round, with a little grain."""
    rows, columns = np.mgrid[0:height, 0:width] / max(width, height)
    angle = chance.uniform(0, 2 * np.pi)
    ramp = columns * np.cos(angle) + rows * np.sin(angle)
    if chance.random() < 0.5:
        ramp = np.hypot(rows - chance.uniform(0, 1), columns - chance.uniform(0, 1))
    values = chance.uniform(30, 200) + chance.uniform(40, 200) * (ramp - ramp.mean())
    grain = np.random.default_rng(chance.getrandbits(32)).normal(0, 2, values.shape)
    grey = np.clip(values + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def sparse(chance: random.Random, width: int, height: int) -> Image.Image:
    """One to five plain things on a plain ground."""
    picture = Image.new("RGB", (width, height), tuple(chance.choices(range(256), k=3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(chance.randint(1, 5)):
        x, y = chance.uniform(0, width), chance.uniform(0, height)
        wide, tall = chance.uniform(10, width / 2), chance.uniform(10, height / 2)
        shape = chance.choice((draw.ellipse, draw.rectangle))
        shape((x - wide, y - tall, x + wide, y + tall), fill=tuple(chance.choices(range(256), k=3)))
    return picture.filter(ImageFilter.GaussianBlur(0.7))
