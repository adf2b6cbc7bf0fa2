"""Pictures to decode in tests: packaged photos, saved in every way that people save them."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from tutela.core import Fault, HashMode
from tutela.hashing import pdq
from tutela.hashing.pictures import Canvas, PictureFault, PictureLimits, open_pictures
from tutela.hashing.sniff import HEAD_BYTES, sniff

DATA = Path(__file__).parent / "data"
"""HEIC files of a packaged photo (300x200, HEVC by x265): nothing here can write them."""
NAMES = ("astronaut", "coffee", "chelsea", "rocket")
Turn = Image.Transpose
STORED_FOR = {
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_90,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_270,
}
"""How to store a picture so that a viewer that heeds this EXIF orientation shows it upright."""


def photo(name: str = "coffee") -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(getattr(skimage.data, name)()))


def save(image: Image.Image, fmt: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def opened(
    data: bytes,
    mode: HashMode = HashMode.LUMA,
    limits: PictureLimits | None = None,
) -> tuple[list[Canvas], Fault | None]:
    """All canvases of a file, and the fault that ended it."""
    canvases: list[Canvas] = []
    try:
        for canvas in open_pictures(
            io.BytesIO(data), sniff(data[:HEAD_BYTES]), mode=mode, limits=limits or PictureLimits()
        ):
            canvases.append(canvas)
    except PictureFault as fault:
        return canvases, fault.fault
    return canvases, None


def hashes(canvases: list[Canvas], mode: HashMode = HashMode.LUMA) -> list[bytes]:
    return [c.spectrum(exact=mode is HashMode.IDENTICAL).pdq().bits for c in canvases]


@cache
def original(name: str = "coffee", size: tuple[int, int] | None = None) -> bytes:
    """The hash of the photo itself, as the reference gives it."""
    image = photo(name) if size is None else photo(name).resize(size, Image.Resampling.LANCZOS)
    return pdq.spectrum_from_rgb(np.asarray(image)).pdq().bits


def nearest(data: bytes, name: str, mode: HashMode) -> int:
    """The least distance in bits between what is in the file and the photo."""
    canvases, fault = opened(data, mode)
    assert fault is None
    return min(pdq.distance(bits, original(name)) for bits in hashes(canvases, mode))


def saved_in_every_way(name: str) -> dict[str, bytes]:
    """One photo, as it stands in the files of people and programs."""
    image = photo(name)
    grey = image.convert("L")
    palette = image.quantize(255)
    deep = np.asarray(grey).astype(np.uint16)
    solid = image.convert("RGBA")
    in_alpha = Image.new("LA", image.size)
    in_alpha.putalpha(grey)
    negative_in_alpha = Image.new("RGBA", image.size, (0, 0, 0, 255))
    negative_in_alpha.putalpha(Image.eval(grey, lambda value: 255 - value))
    hidden = image.copy()
    hidden.putalpha(0)
    faded = image.copy()
    faded.putalpha(Image.linear_gradient("L").resize(image.size))
    other = photo("astronaut" if name != "astronaut" else "coffee").resize(image.size)
    before = [other, other.transpose(Turn.FLIP_LEFT_RIGHT)]
    ways = {
        "jpeg": save(image, "JPEG", quality=85),
        "jpeg, progressive": save(image, "JPEG", progressive=True),
        "jpeg, 4:4:4": save(image, "JPEG", subsampling=0),
        "jpeg, quality 10": save(image, "JPEG", quality=10),
        "jpeg, grey": save(grey, "JPEG"),
        "jpeg, stored as RGB": save(image, "JPEG", keep_rgb=True),
        "jpeg, CMYK": save(image.convert("CMYK"), "JPEG"),
        "png": save(image, "PNG"),
        "png, grey": save(grey, "PNG"),
        "png, 1 bit": save(image.convert("1"), "PNG"),
        "png, palette": save(palette, "PNG"),
        "png, palette with a clear colour": save(palette, "PNG", transparency=254),
        "png, 16 bit grey": save(Image.fromarray(deep * 257), "PNG"),
        "png, 12 bits in 16": save(Image.fromarray(deep * 16), "PNG"),
        "png, grey and alpha": save(solid.convert("LA"), "PNG"),
        "png, solid alpha": save(solid, "PNG"),
        "png, hidden under alpha 0": save(hidden, "PNG"),
        "png, faded out": save(faded, "PNG"),
        "png, in the alpha channel": save(in_alpha, "PNG"),
        "png, as a negative in the alpha channel": save(negative_in_alpha, "PNG"),
        "png, a clear colour": save(image, "PNG", transparency=image.getpixel((5, 5))),
        "png, third frame": save(before[0], "PNG", save_all=True, append_images=[before[1], image]),
        "gif": save(palette, "GIF"),
        "gif, third frame": save(
            before[0].convert("L"),
            "GIF",
            save_all=True,
            append_images=[before[1].convert("L"), grey],
        ),
        "webp": save(image, "WEBP"),
        "webp, lossless": save(image, "WEBP", lossless=True, method=0),
        "webp, hidden under alpha 0": save(hidden, "WEBP", lossless=True, exact=True, method=0),
        "webp, second frame": save(other, "WEBP", save_all=True, append_images=[image]),
        "avif": save(image, "AVIF", speed=10),
        "avif, second frame": save(other, "AVIF", speed=10, save_all=True, append_images=[image]),
        "tiff": save(image, "TIFF"),
        "tiff, LZW": save(image, "TIFF", compression="tiff_lzw"),
        "tiff, JPEG inside": save(image, "TIFF", compression="jpeg"),
        "tiff, CMYK": save(image.convert("CMYK"), "TIFF"),
        "tiff, 16 bit grey": save(Image.fromarray(deep * 257), "TIFF"),
        "tiff, 32 bit grey": save(Image.fromarray(deep.astype(np.int32) * 100_000), "TIFF"),
        "tiff, float 0 to 1": save(Image.fromarray(deep.astype(np.float32) / 255), "TIFF"),
        "tiff, float, any range": save(Image.fromarray(deep.astype(np.float32) * 3 - 99), "TIFF"),
        "tiff, second page": save(other, "TIFF", save_all=True, append_images=[image]),
        "bmp": save(image, "BMP"),
        "bmp, palette": save(palette, "BMP"),
        "jpeg 2000": save(image, "JPEG2000"),
        "portable pixmap": save(image, "PPM"),
    }
    for orientation, turn in STORED_FOR.items():
        turned = image.transpose(turn)
        ways[f"jpeg, EXIF {orientation}"] = save(turned, "JPEG", exif=exif(orientation))
    for fmt in ("PNG", "WEBP", "TIFF", "AVIF"):
        fast = {"speed": 10} if fmt == "AVIF" else {}
        turned = image.transpose(STORED_FOR[6])
        ways[f"{fmt.lower()}, EXIF 6"] = save(turned, fmt, exif=exif(6), **fast)
    return ways
