"""Everything that Pillow decodes, through the one plug-in that the sniffed format names.

Plug-ins are called directly: no other one gets to see the bytes, and our own limit on pixels
is checked from the header before anything is decoded.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from tutela.core import FaultKind, HashMode

from . import nested
from .canonical import canvases
from .canvas import Canvas, PictureFault, PictureLimits
from .choice import most_different
from .exif import orientation_of
from .profile import shown_by_profile

DISPLAY_GAMMA = 2.2
"""What displays are taken to have (PNG specification, section 13.13)."""
UNUSUAL_GAMMA = 1.5
"""A picture shown with an exponent within this of 1 hashes as it is stored."""


class _Gif(GifImagePlugin.GifImageFile):
    """GIF with every palette heeded.

    Pillow takes a first frame with a grey ramp for grey, and then reads the later frames'
    palette indices as grey values too: whoever puts a grey frame first would hide the others.
    """

    def _is_palette_needed(self, palette: bytes) -> bool:
        return True


def _open_gif(stream: io.BytesIO) -> _Gif:
    """A GIF without a palette of its own gets the grey ramp, for the same reason."""
    data = stream.getbuffer()
    if len(data) > 13 and not data[10] & 0x80:
        ramp = bytes(value for grey_value in range(256) for value in (grey_value,) * 3)
        head = bytes([*data[:10], data[10] & 0x78 | 0x87, *data[11:13]])
        return _Gif(io.BytesIO(head + ramp + bytes(data[13:])))
    return _Gif(stream)


_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "avif": AvifImagePlugin.AvifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "gif": _open_gif,
    "ico": IcoImagePlugin.IcoImageFile,
    "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "pnm": PpmImagePlugin.PpmImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
FORMATS = frozenset(_PLUGINS) - {"jpeg"}
"""Formats that this module opens."""
MAX_PLAIN = 20_000
"""Different frames of one animation that are hashed."""


def open_with_pillow(
    name: str, data: bytes, mode: HashMode, limits: PictureLimits
) -> Iterator[Canvas]:
    """The pictures in a file of the sniffed format ``name``. Raises ``PictureFault``."""
    yield from _opened(name, data, mode, limits)
    if name == "tiff":
        for part in nested.tiff_parts(data):
            yield from _opened(name, part, mode, limits)
    elif name == "ico":
        for kind, part in nested.ico_entries(data):
            yield from _opened(kind, part, mode, limits)


def _opened(name: str, data: bytes, mode: HashMode, limits: PictureLimits) -> Iterator[Canvas]:
    if name == "webp":
        limits.check(*webp_size(data))
    image = open_image(name, data)
    limits.check(*image.size)
    exif = image.info.get("exif")
    orientation = None
    if name != "tiff" and isinstance(exif, bytes):  # Pillow turns a TIFF upright itself
        orientation = orientation_of(exif)
    curve = _gamma_curve(image) if name == "png" else None

    clear = _heed_clear_colour(image, data) if name == "png" else None

    def shown(number: int | None) -> Iterator[Canvas]:
        for canvas in canvases(image, mode, frame=number, orientation=orientation):
            yield canvas
            if curve is not None and canvas.ground in {None, "hidden"}:
                yield replace(canvas, plane=curve[canvas.luma], rgb=None, ground="gamma")
        for other in shown_by_profile(image):
            for canvas in canvases(other, mode, frame=number, orientation=orientation):
                if canvas.ground != "alpha":
                    ground = "profile" if canvas.ground is None else f"profile-{canvas.ground}"
                    yield replace(canvas, ground=ground)
        if clear is not None and (np.asarray(image.convert("RGB")) == clear).all(axis=2).any():
            raise PictureFault(
                FaultKind.UNSUPPORTED, "The PNG has a clear colour of 16 bits, not supported."
            )

    yield from _frames(image, name, limits, shown)


def _heed_clear_colour(image: Image.Image, data: bytes) -> NDArray[np.uint8] | None:
    """Makes Pillow's note of a PNG's clear colour (chunk tRNS) fit the pixels that it gives.

    Pillow stretches 2 and 4 bit greys to 8 and not the clear one among them. Of 16 bit colours it
    keeps the upper half, in which others may look like the clear one: that half is the answer.
    """
    clear = image.info.get("transparency")
    depth, kind = data[24], data[25]
    if kind == 0 and depth in {2, 4} and isinstance(clear, int):
        top = (1 << depth) - 1
        image.info["transparency"] = min(clear, top) * (255 // top)
    elif kind == 2 and depth == 16 and isinstance(clear, tuple):
        del image.info["transparency"]
        return np.array([value >> 8 for value in clear], np.uint8)
    return None


def _gamma_curve(image: ImageFile.ImageFile) -> NDArray[np.uint8] | None:
    """Where a PNG asks for an unusual gamma (chunk gAMA, when no colour profile outranks it),
    what viewers that heed it show for each of the 256 values; else None.

    A picture can be built to look harmless as stored and like another one through its gamma.
    """
    gamma = image.info.get("gamma")
    if not gamma or "srgb" in image.info or "icc_profile" in image.info:
        return None
    exponent = 1 / (DISPLAY_GAMMA * float(gamma))
    if 1 / UNUSUAL_GAMMA < exponent < UNUSUAL_GAMMA:
        return None
    return np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)


def open_image(name: str, data: bytes) -> ImageFile.ImageFile:
    """A file opened but not decoded. Raises ``PictureFault``."""
    try:
        return _PLUGINS[name](io.BytesIO(data))
    except Exception as error:
        raise fault_of(error, name) from None


def partial_load(image: ImageFile.ImageFile) -> PictureFault | None:
    """Decodes the present frame as far as it goes; says what went wrong, raises if nothing came."""
    try:
        image.load()
    except Exception as error:
        fault = fault_of(error, str(image.format or "").lower())
        # With the tiles gone Pillow takes what was decoded so far for the whole picture.
        image.tile = []
        if image._im is None or fault.fault.kind is FaultKind.OVER_LIMIT:
            raise fault from None
        return fault
    return None


def fault_of(error: Exception, name: str) -> PictureFault:
    """What an exception from a codec means. The file's content never enters the message."""
    words = str(error).lower()
    label = name.upper()
    if isinstance(
        error, MemoryError | Image.DecompressionBombError | Image.DecompressionBombWarning
    ):
        return PictureFault(FaultKind.OVER_LIMIT, f"The {label} needs more memory than it may use.")
    if isinstance(error, EOFError | struct.error) or "truncated" in words or "not enough" in words:
        return PictureFault(FaultKind.TRUNCATED, f"The {label} ends before its picture does.")
    if isinstance(error, NotImplementedError) or "unsupported" in words or "unknown" in words:
        return PictureFault(FaultKind.UNSUPPORTED, f"The {label} uses a feature not supported.")
    return PictureFault(FaultKind.DAMAGED, f"The {label} cannot be read.")


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP from its header, before the decoder makes a canvas for it."""
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return (
        int.from_bytes(data[26:28], "little") & 0x3FFF,
        int.from_bytes(data[28:30], "little") & 0x3FFF,
    )


def _frames(
    image: ImageFile.ImageFile,
    name: str,
    limits: PictureLimits,
    shown: Callable[[int | None], Iterator[Canvas]],
) -> Iterator[Canvas]:
    """Decodes the frames one after the other and gives what each shows.

    Every page of a TIFF is one, and every frame of an animation that has no more than
    ``max_frames``. Of a longer one each different frame is given as plain, for its hash alone;
    then those are given in full that are shown for long or differ most from each other.
    """
    count = _count(image, name)
    if count <= 1:
        fault = partial_load(image)
        yield from shown(None)
        if fault is not None:
            raise fault
        return
    pages = name == "tiff"
    if pages or count <= limits.max_frames:
        most = limits.max_pages if pages else count
        for number, fault in _each_frame(image, name, count, most, limits):
            yield from shown(number)
            if fault is not None:
                raise fault
        return
    places: list[int] = []
    hashes: list[bytes] = []
    times: list[float] = []
    seen: set[bytes] = set()
    ended: PictureFault | None = None
    try:
        for number, ended in _each_frame(image, name, count, count, limits):
            lasts = _duration(image)
            for canvas in shown(number):
                bits = canvas.spectrum(exact=False).pdq().bits
                places.append(number)
                hashes.append(bits)
                times.append(lasts)
                if bits not in seen:
                    seen.add(bits)
                    yield canvas.as_plain()
            if len(seen) > MAX_PLAIN:
                raise PictureFault(
                    FaultKind.OVER_LIMIT,
                    f"It has {count} frames; only the first {number + 1} were examined.",
                )
            if ended is not None:
                break
    except PictureFault as fault:
        ended = fault
    for number in sorted({places[at] for at in most_different(hashes, limits.max_frames, times)}):
        image.seek(number)
        partial_load(image)
        yield from shown(number)
    if ended is not None:
        raise ended


def _duration(image: Image.Image) -> float:
    """Milliseconds for which the present frame is shown; 0 where the file does not say."""
    lasts = image.info.get("duration")
    return float(lasts) if isinstance(lasts, int | float) else 0.0


def _each_frame(
    image: ImageFile.ImageFile, name: str, count: int, most: int, limits: PictureLimits
) -> Iterator[tuple[int, PictureFault | None]]:
    budget = limits.all_pixels
    for number in range(count):
        try:
            image.seek(number)
        except Exception as error:
            raise fault_of(error, name) from None
        limits.check(*image.size)
        budget -= image.width * image.height
        if budget < 0 or number >= most:
            raise PictureFault(
                FaultKind.OVER_LIMIT,
                f"It has {count} frames or pages; only the first {number} were decoded.",
            )
        yield number, partial_load(image)


def _count(image: ImageFile.ImageFile, name: str) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise fault_of(error, name) from None
