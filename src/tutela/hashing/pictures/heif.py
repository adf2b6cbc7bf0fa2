"""HEIC and other HEIF pictures in HEVC, through pi-heif (libheif and libde265, both LGPL)."""

from __future__ import annotations

from collections.abc import Iterator

import pi_heif

from tutela.core import FaultKind, HashMode

from .canonical import canvases
from .canvas import Canvas, PictureFault, PictureLimits
from .exif import orientation_of

pi_heif.options.DECODE_THREADS = 1
pi_heif.options.THUMBNAILS = False
pi_heif.options.DEPTH_IMAGES = False
pi_heif.options.AUX_IMAGES = False


def open_heif(data: bytes, mode: HashMode, limits: PictureLimits) -> Iterator[Canvas]:
    """The pictures in a HEIF file, its primary one first. Raises ``PictureFault``.

    libheif applies the file's own rotation and mirroring while decoding; an EXIF orientation
    beside those is for the record only (ISO/IEC 23008-12), but is named, because some viewers
    go by it.
    """
    try:
        file = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
        images = sorted(file, key=lambda image: not image.info.get("primary"))
    except Exception as error:
        raise _fault_of(error) from None
    if not images:
        raise PictureFault(FaultKind.DAMAGED, "The HEIC holds no picture.")
    budget = limits.all_pixels
    fault: PictureFault | None = None
    for number, image in enumerate(images):
        width, height = image.size
        limits.check(width, height)
        budget -= width * height
        if budget < 0 or number >= limits.max_pages:
            raise PictureFault(
                FaultKind.OVER_LIMIT,
                f"It has {len(images)} pictures; only the first {number} were decoded.",
            )
        try:
            shown = image.to_pillow()
        except Exception as error:
            fault = fault or _fault_of(error)
            continue
        exif = image.info.get("exif")
        yield from canvases(
            shown,
            mode,
            frame=number if len(images) > 1 else None,
            orientation=orientation_of(exif) if isinstance(exif, bytes) else None,
        )
    if fault is not None:
        raise fault


def _fault_of(error: Exception) -> PictureFault:
    words = str(error).lower()
    if isinstance(error, MemoryError) or "limit" in words or "memory" in words:
        return PictureFault(FaultKind.OVER_LIMIT, "The HEIC needs more memory than it may use.")
    if isinstance(error, EOFError) or "end of file" in words or "end of data" in words:
        return PictureFault(FaultKind.TRUNCATED, "The HEIC ends before its picture does.")
    if "unsupported" in words or "no decod" in words:
        return PictureFault(FaultKind.UNSUPPORTED, "The HEIC uses a feature not supported.")
    return PictureFault(FaultKind.DAMAGED, "The HEIC cannot be read.")
