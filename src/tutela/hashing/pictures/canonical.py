"""From whatever Pillow decoded to plain planes: what a person would see, and what is hidden.

Hashing raw values misses the very same photo saved with a palette, in CMYK, in 16 bits or
behind transparency; here each becomes luma first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tutela.core import HashMode
from tutela.hashing.pdq.planes import over_ground

from .canvas import Canvas

_DEEP = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
_GREY = {"1", "L"}
_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_STRIP_PIXELS = 16_000_000
"""Larger pictures are converted in strips, to need no second copy of their pixels."""


def canvases(
    image: Image.Image, mode: HashMode, *, frame: int | None, orientation: str | None
) -> Iterator[Canvas]:
    """The planes to hash of one decoded picture, each different from those before it.

    An opaque picture gives one. A transparent one gives its pixels with the transparency
    ignored, itself on white and on black, and the transparency as a picture.
    """
    if image.mode in _DEEP:
        deep = np.asarray(image)
        clear = image.info.get("transparency")
        if isinstance(clear, int) and (deep == clear).any():  # one of 65536 greys is clear
            alpha = np.where(deep == clear, 0, 255).astype(np.uint8)
            yield from _grounds(scaled(deep), alpha, None, frame, orientation)
            return
        yield Canvas(plane=scaled(deep), frame=frame, orientation=orientation)
        return
    if image.mode in _ALPHA or image.has_transparency_data:
        solid = image.convert("RGBA")
        alpha = np.asarray(solid.getchannel("A"))
        if alpha.min() < 255:
            yield from _through(solid, alpha, mode, frame, orientation)
            return
        image = solid
    rgb = None
    if mode is HashMode.IDENTICAL and image.mode not in _GREY:
        rgb = np.asarray(image.convert("RGB"))
        yield Canvas(rgb=rgb, frame=frame, orientation=orientation)
    else:
        yield Canvas(plane=grey(image), frame=frame, orientation=orientation)


def _through(
    image: Image.Image,
    alpha: NDArray[np.uint8],
    mode: HashMode,
    frame: int | None,
    orientation: str | None,
) -> Iterator[Canvas]:
    rgb = np.asarray(image.convert("RGB")) if mode is HashMode.IDENTICAL else None
    yield from _grounds(grey(image), alpha, rgb, frame, orientation)


def _grounds(
    hidden: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    rgb: NDArray[np.uint8] | None,
    frame: int | None,
    orientation: str | None,
) -> Iterator[Canvas]:
    yield Canvas(plane=hidden, rgb=rgb, frame=frame, ground="hidden", orientation=orientation)
    seen = [hidden]
    for ground, behind in (("white", 255), ("black", 0), ("alpha", None)):
        plane = alpha if behind is None else over_ground(hidden, alpha, behind)
        if plane.min() == plane.max() or any(np.array_equal(plane, other) for other in seen):
            continue
        seen.append(plane)
        yield Canvas(plane=plane, frame=frame, ground=ground, orientation=orientation)


def grey(image: Image.Image) -> NDArray[np.uint8]:
    """HxW uint8 luma of a picture in any mode; transparency is ignored."""
    if image.mode in _DEEP:
        return scaled(np.asarray(image))
    if image.mode == "L":
        return np.asarray(image)
    if image.mode in {"LAB", "YCbCr"}:
        return np.asarray(image.getchannel(0))
    if image.width * image.height <= _STRIP_PIXELS:
        return _luma(image)
    luma = np.empty((image.height, image.width), np.uint8)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        luma[top:bottom] = _luma(image.crop((0, top, image.width, bottom)))
    return luma


def _luma(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in {"La", "RGBa"}:
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    elif image.mode in {"CMYK", "HSV", "PA"}:
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
    """8-bit luma of deeper grey values: 16 or 32 bit integers, or floats.

    The range is taken to be the smallest usual one that holds the values (8, 10, 12, 14, 16 bit
    or 0 to 1); anything else is stretched from its least to its greatest value. A hash does not
    change with either choice, because PDQ ignores offset and scale; its quality does.
    """
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    tops = (1.0, 255.0) if values.dtype.kind == "f" else (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
    top = next((top for top in tops if high <= top), None)
    if low < 0 or top is None:
        base, span = low, (high - low) or 1.0
    else:
        base, span = 0.0, top
    out = np.empty(values.shape, np.uint8)
    rows = max(1, _STRIP_PIXELS // max(1, values.shape[1]))
    for start in range(0, len(values), rows):
        part = values[start : start + rows].astype(np.float64)
        out[start : start + rows] = np.rint((part - base) * (255.0 / span))
    return out
