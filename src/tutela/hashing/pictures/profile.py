"""Pictures whose colour profile makes viewers show something else than what is stored.

Browsers and image viewers run every pixel through the embedded ICC profile (ICC.1:2022, 9.2 and
10). Those of cameras, telephones and editors hardly move the brightness; one whose curve or table
is built for it shows another picture. The transforms are LittleCMS's, by Pillow.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

UNUSUAL_LEVELS = 40
"""Grey levels of 255: a profile that moves the brightness of no colour by more hashes as stored
(sRGB, Display P3, Adobe RGB and grey gamma 2.2 move it by at most 20 or so)."""
MAX_PROFILE_BYTES = 16 << 20
_SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
_PLAIN = {"1": "L", "LA": "L", "La": "L", "P": "RGB", "PA": "RGB", "RGBA": "RGB", "RGBa": "RGB"}
_STRIP_PIXELS = 4_000_000


Picture = TypeVar("Picture", bound=Image.Image)


def shown_by_profile(
    image: Picture, load: Callable[[Picture], object] | None = None
) -> Iterator[Image.Image]:
    """What viewers that heed the profile show, in sRGB, where it is unusual; the transparency is
    kept. A profile that is broken, or made for other colours, is ignored as viewers do. ``load``
    decodes the picture, where that was not done yet and its profile asks for it."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 < len(profile) <= MAX_PROFILE_BYTES:
        return
    space = _PLAIN.get(image.mode, image.mode)
    transforms = _unusual(profile, space)
    if not transforms:
        return
    if load is not None:
        load(image)
    clear = image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or image.has_transparency_data
    alpha = image.convert("RGBA").getchannel("A") if clear else None
    stored = image.convert(space)
    for transform in transforms:
        shown = Image.fromarray(_through(stored, transform))
        if alpha is not None:
            shown.putalpha(alpha)
        yield shown


def _through(image: Image.Image, transform: Any) -> NDArray[np.uint8]:
    """A picture through a transform, in strips, to need no second copy of its pixels."""
    out = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        part = image.crop((0, top, image.width, bottom))
        out[top:bottom] = np.asarray(ImageCms.applyTransform(part, transform))
    return out


@lru_cache(maxsize=32)
def _unusual(profile: bytes, space: str) -> tuple[Any, ...]:
    """The transforms to sRGB of a profile that is unusual, one for each intent; else none.

    Tables may hold anything between the colours that could be tried, and count as unusual.
    """
    if space not in _SPACES.values():
        return ()
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _SPACES.get(source.profile.xcolor_space.strip()) != space:
            return ()
        table = _has_table(profile)
        if not table and not _moves(_transform(source, space, 0, quick=True), space):
            return ()
        intents = {0, source.profile.rendering_intent & 3} if table else {0}
        return tuple(_transform(source, space, intent) for intent in sorted(intents))
    except Exception:  # LittleCMS refuses it, and so do viewers
        return ()


def _transform(source: Any, space: str, intent: int, *, quick: bool = False) -> Any:
    """To sRGB; ``quick`` is quick to make, and slow to use."""
    flags = ImageCms.Flags.NOOPTIMIZE if quick else ImageCms.Flags.NONE
    return ImageCms.buildTransform(
        source, _srgb(), space, "RGB", ImageCms.Intent(intent), flags=flags
    )


@cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")


def _has_table(profile: bytes) -> bool:
    """Whether there is a table of colours (tags ``A2B0`` and its like) and not curves alone."""
    count = min(int.from_bytes(profile[128:132]), 256)
    return any(profile[at : at + 3] in {b"A2B", b"D2B"} for at in range(132, 132 + 12 * count, 12))


def _moves(transform: Any, space: str) -> bool:
    """Whether curves move the brightness of any grey, or of any strength of one colour, far."""
    ramp = np.arange(256, dtype=np.uint8)
    if space == "L":
        tried = Image.fromarray(ramp[None])
    else:
        colours = np.full((4, 256, 3), 128, np.uint8)
        colours[0] = ramp[:, None]
        for channel in range(3):
            colours[channel + 1, :, channel] = ramp
        tried = Image.fromarray(colours)
    before = np.asarray(tried.convert("L")).astype(int)
    shown = Image.fromarray(np.asarray(ImageCms.applyTransform(tried, transform)))
    after = np.asarray(shown.convert("L")).astype(int)
    return int(np.abs(after - before).max()) > UNUSUAL_LEVELS
