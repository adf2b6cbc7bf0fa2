"""Everything that Pillow decodes, through the one plug-in that the sniffed format names.

Plug-ins are called directly: no other one gets to see the bytes, and our own limit on pixels
is checked from the header before anything is decoded.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator

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
from tutela.hashing import pdq

from .canonical import canvases, grey
from .canvas import Canvas, PictureFault, PictureLimits
from .exif import orientation_of

_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "avif": AvifImagePlugin.AvifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "gif": GifImagePlugin.GifImageFile,
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
NOVEL_BITS = 20
"""In a long animation, a frame nearer than this to one already taken need not be taken."""


def open_with_pillow(
    name: str, data: bytes, mode: HashMode, limits: PictureLimits
) -> Iterator[Canvas]:
    """The pictures in a file of the sniffed format ``name``. Raises ``PictureFault``."""
    if name == "webp":
        limits.check(*webp_size(data))
    image = open_image(name, data)
    limits.check(*image.size)
    exif = image.info.get("exif")
    orientation = None
    if name != "tiff" and isinstance(exif, bytes):  # Pillow turns a TIFF upright itself
        orientation = orientation_of(exif)
    for number, shown, fault in _chosen_frames(image, name, limits):
        yield from canvases(shown, mode, frame=number, orientation=orientation)
        if fault is not None:
            raise fault


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


def _chosen_frames(
    image: ImageFile.ImageFile, name: str, limits: PictureLimits
) -> Iterator[tuple[int | None, Image.Image, PictureFault | None]]:
    """Decodes frame after frame and gives those to hash, with what is wrong with each.

    Every page of a TIFF is given, and every frame of an animation that has no more than
    ``max_frames``. A longer one is cut into stretches; of each the first frame is given and the
    one that differs most from that, so that a single frame slipped in is not passed over.
    """
    count = _count(image, name)
    if count <= 1:
        fault = partial_load(image)
        yield None, image, fault
        return
    pages = name == "tiff"
    stretch = 1 if pages or count <= limits.max_frames else -(-2 * count // limits.max_frames)
    budget = limits.all_pixels
    first = b""
    novel: tuple[int, Image.Image] | None = None
    most = NOVEL_BITS
    for number in range(count):
        try:
            image.seek(number)
        except Exception as error:
            raise fault_of(error, name) from None
        limits.check(*image.size)
        budget -= image.width * image.height
        if budget < 0 or (pages and number >= limits.max_pages):
            raise PictureFault(
                FaultKind.OVER_LIMIT,
                f"It has {count} frames or pages; only the first {number} were decoded.",
            )
        fault = partial_load(image)
        if stretch == 1:
            yield number, image, fault
            continue
        bits = pdq.spectrum_from_luma(grey(image)).pdq().bits
        if number % stretch == 0:
            if novel is not None:
                yield *novel, None
            yield number, image, fault
            first, novel, most = bits, None, NOVEL_BITS
        elif fault is not None:
            yield number, image, fault
        elif (apart := pdq.distance(bits, first)) > most:
            most, novel = apart, (number, image.copy())
    if novel is not None:
        yield *novel, None


def _count(image: ImageFile.ImageFile, name: str) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise fault_of(error, name) from None
