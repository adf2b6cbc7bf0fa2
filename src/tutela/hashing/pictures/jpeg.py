"""JPEG: the hot path. Header first, then straight to luma (or RGB), with nothing in between.

Decoded by libjpeg-turbo through simplejpeg; what that refuses (rare samplings) goes to Pillow.
Source of the marker layout: ITU-T T.81, annex B; Adobe's APP14 in its technical note 5116.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from tutela.core import FaultKind, HashMode
from tutela.hashing.pdq.planes import luma_of_inks

from .canvas import Canvas, PictureFault, PictureLimits
from .exif import orientation_of

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xCA}
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_HIERARCHICAL = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF}
_ALONE = {0x01, *range(0xD0, 0xD9)}
_SCAN = 0xDA
_END = 0xD9
_SCAN_MARKER = b"\xff\xda"
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
"""A marker that is no filling, no stuffed byte and no restart."""
FAST_PIXELS = 4_000_000
"""From this size on, luma is decoded with the faster inverse DCT: it is up to two grey levels off
in single pixels, which cancels out (0 bits of difference in 80 of 80 pictures, 5 % less time)."""
MAX_SCANS = 500
"""Scans of one picture; progressive ones usually have 10. libjpeg-turbo's fuzzers stop here."""
MAX_SCANNED_PIXELS = 4_000_000_000
"""Scans times pixels. A scan of a few bytes goes over every block in one call that nothing can
interrupt; so much takes some five seconds of CPU, and is 160 scans of 24 million pixels."""
USUAL_SCANS = 20
"""So many scans are decoded however large the picture is; other limits hold there."""


PROFILE = b"ICC_PROFILE\x00"
"""What marks a segment (APP2) with a colour profile (ICC.1:2022, annex B.4)."""
_HARMLESS = ("extraneous bytes", "Unknown Adobe", "Invalid SOS", "Inconsistent progression")
"""Complaints of libjpeg after which it still shows the whole picture, as every viewer does."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What the markers before the first scan say."""

    width: int
    height: int
    components: int
    precision: int
    process: int
    adobe: bool
    orientation: str | None
    end: int
    """Where the frame header's segment ends."""


def read_header(data: bytes) -> JpegHeader:
    """The header of a JPEG. Raises ``PictureFault`` where there is none."""
    at, end = 2, len(data)
    adobe, orientation = False, None
    while at + 4 <= end:
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xFF or marker in _ALONE or marker == 0:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in {_SCAN, _END}:
            break
        length = int.from_bytes(data[at + 2 : at + 4])
        body = at + 4
        if marker in _FRAMES and body + 6 <= end:
            return JpegHeader(
                precision=data[body],
                height=int.from_bytes(data[body + 1 : body + 3]),
                width=int.from_bytes(data[body + 3 : body + 5]),
                components=data[body + 5],
                process=marker,
                adobe=adobe,
                orientation=orientation,
                end=at + 2 + max(length, 2),
            )
        if marker == 0xE1 and orientation is None and data[body : body + 5] == b"Exif\x00":
            orientation = orientation_of(data[body : at + 2 + length])
        elif marker == 0xEE and data[body : body + 5] == b"Adobe":
            adobe = True
        at += 2 + max(length, 2)
    raise PictureFault(FaultKind.TRUNCATED, "The JPEG ends before it says how large it is.")


def open_jpeg(data: bytes, mode: HashMode, limits: PictureLimits) -> Iterator[Canvas]:
    """The picture in a JPEG. Raises ``PictureFault``, after what could be decoded."""
    header = read_header(data)
    if header.precision != 8:
        raise PictureFault(
            FaultKind.UNSUPPORTED,
            f"It is a {header.precision}-bit JPEG; only 8-bit ones can be decoded.",
        )
    if header.process in _LOSSLESS or header.process in _HIERARCHICAL:
        raise PictureFault(
            FaultKind.UNSUPPORTED, "It is a lossless or hierarchical JPEG, which is not supported."
        )
    limits.check(header.width, header.height)
    _check_scans(data, header)
    if header.components == 4:
        inks, fault = _decode(data, "CMYK")
        if inks is not None:
            # Only Adobe's marker says which way round the inks are; without it, both count.
            yield Canvas(plane=luma_of_inks(inks, True), orientation=header.orientation)
            if not header.adobe:
                yield Canvas(
                    plane=luma_of_inks(inks, False), ground="inks", orientation=header.orientation
                )
    elif header.components == 3 and mode is HashMode.IDENTICAL:
        rgb, fault = _decode(data, "RGB")
        if rgb is not None:
            yield Canvas(rgb=rgb, orientation=header.orientation)
    else:
        large = header.width * header.height >= FAST_PIXELS
        grey, fault = _decode(data, "GRAY", fast=large and mode is HashMode.LUMA)
        if grey is not None:
            yield Canvas(plane=grey[:, :, 0], orientation=header.orientation)
    if PROFILE in data:
        yield from _by_profile(data, mode, header.orientation)
    if fault is not None:
        raise fault


def _check_scans(data: bytes, header: JpegHeader) -> None:
    """Raises ``PictureFault`` where a picture has more scans than are worth decoding.

    Bytes after the picture can look like scans, so markers are followed from one to the next where
    the quick count is too high. A picture whose one scan holds everything is not looked at.
    """
    if header.process not in _PROGRESSIVE and _first_is_whole(data, header):
        return
    pixels = max(1, header.width * header.height)
    most = min(MAX_SCANS, max(USUAL_SCANS, MAX_SCANNED_PIXELS // pixels))
    if data.count(_SCAN_MARKER, header.end) <= most:
        return
    count = 0
    for at in _segments(data, header.end):
        count += data[at - 1] == _SCAN
        if count > most:
            raise PictureFault(FaultKind.OVER_LIMIT, "The JPEG has too many scans.")


def _first_is_whole(data: bytes, header: JpegHeader) -> bool:
    """Whether the first scan holds all components; libjpeg then decodes that one only."""
    for at in _segments(data, header.end):
        if data[at - 1] == _SCAN:
            return data[at + 2 : at + 3] == bytes([header.components])
    return True


def _segments(data: bytes, at: int) -> Iterator[int]:
    """Where each segment's length stands, after its marker, up to the end of the picture."""
    while (found := _MARKER.search(data, at)) is not None:
        at = found.end()
        marker = data[at - 1]
        if marker == _END:
            return
        if marker not in _ALONE:
            yield at
            at += max(2, int.from_bytes(data[at : at + 2]))


def _by_profile(data: bytes, mode: HashMode, orientation: str | None) -> Iterator[Canvas]:
    """The picture as viewers show it that heed its colour profile, where that is unusual."""
    from .canonical import canvases
    from .pillow import open_image, partial_load
    from .profile import shown_by_profile

    try:
        image = open_image("jpeg", data)
        for shown in shown_by_profile(image, load=partial_load):
            for canvas in canvases(shown, mode, frame=None, orientation=orientation):
                yield replace(canvas, ground="profile")
    except PictureFault:
        return  # what is wrong with it was found when its pixels were decoded


def _decode(
    data: bytes, space: str, *, fast: bool = False
) -> tuple[NDArray[np.uint8] | None, PictureFault | None]:
    """The pixels as far as they go, and what is wrong with them."""
    try:
        return simplejpeg.decode_jpeg(data, space, fastdct=fast), None
    except ValueError as error:
        complaint = str(error)
    try:
        pixels = simplejpeg.decode_jpeg(data, space, strict=False)
    except ValueError:
        return _decode_slowly(data, space)
    if any(harmless in complaint for harmless in _HARMLESS):
        return pixels, None
    if "Premature end" in complaint:
        return pixels, PictureFault(FaultKind.TRUNCATED, "The JPEG ends before its picture does.")
    return pixels, PictureFault(FaultKind.DAMAGED, "The JPEG's picture data is damaged.")


def _decode_slowly(data: bytes, space: str) -> tuple[NDArray[np.uint8] | None, PictureFault | None]:
    from .pillow import open_image, partial_load

    image = open_image("jpeg", data)
    fault = partial_load(image)
    if space == "CMYK":
        # Pillow turns Adobe's inks round on loading; here they are wanted as stored.
        pixels = 255 - np.asarray(image.convert("CMYK"))
    else:
        pixels = np.asarray(image.convert("RGB" if space == "RGB" else "L"))
    return pixels.reshape(image.height, image.width, -1), fault
