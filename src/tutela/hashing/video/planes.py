"""From a decoded frame to its luma plane, without going through RGB.

PDQ is linear up to its threshold and RGB to luma undoes YUV to RGB, so the Y plane gives the
reference's bits but for rounding (0.3 to 0.5 bits on average).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutela.hashing.pdq import Spectrum
from tutela.hashing.pdq.planes import over_ground

MAX_QUALITY = 100
GRADIENTS_PER_POINT = 90
"""The reference divides the sum of gradients by this."""
FULL_RANGE = 2
"""``AVCOL_RANGE_JPEG``: luma uses all of 0 to 255."""
STRETCH = 255 / 219
"""From the limited range, 16 to 235, to the full one."""

_EIGHT = re.compile(r"(yuvj?4\d\dp|yuva4\d\dp|nv12|nv21|nv16|nv24|gray)$")
_DEEP = re.compile(r"(?:yuv4\d\dp|yuva4\d\dp|gray)(9|10|12|14|16)(le|be)$")
_THROUGH = re.compile(r"yuva|gbrap|rgba|argb|bgra|abgr|ya8|ya16|pal8|ayuv|vuya")
"""Layouts that hold transparency, by the beginnings of FFmpeg's names for them."""
_SEMI_DEEP = re.compile(r"p0(10|12|16)(le|be)$")


def luma(frame: Any) -> NDArray[np.uint8]:
    """The Y plane of a PyAV frame, HxW uint8, contiguous. Other layouts are converted to grey."""
    name = frame.format.name
    if _EIGHT.match(name):
        return np.ascontiguousarray(_plane(frame, np.dtype(np.uint8)))
    deep = _DEEP.match(name)
    if deep:
        order = "<u2" if deep.group(2) == "le" else ">u2"
        return (_plane(frame, np.dtype(order)) >> (int(deep.group(1)) - 8)).astype(np.uint8)
    semi = _SEMI_DEEP.match(name)
    if semi:  # the bits sit at the top of each word
        return (_plane(frame, np.dtype("<u2" if semi.group(2) == "le" else ">u2")) >> 8).astype(
            np.uint8
        )
    grey: NDArray[np.uint8] = frame.to_ndarray(format="gray")
    return np.ascontiguousarray(grey)


def grounds(frame: Any, plane: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The luma ``plane`` of a frame; where it can be seen through, what is seen on white and on
    black as well, and the transparency itself as a picture."""
    yield plane
    alpha = _alpha(frame)
    if alpha is None or alpha.min() == 255:
        return
    for ground in (235, 16):  # white and black of the limited range
        shown = over_ground(plane, alpha, ground)
        if shown.min() != shown.max():
            yield shown
    if alpha.min() != alpha.max():
        yield alpha


def _alpha(frame: Any) -> NDArray[np.uint8] | None:
    """HxW uint8, 0 clear to 255 solid; None where the frame's layout has no transparency."""
    name = frame.format.name
    if not _THROUGH.match(name):
        return None
    if re.fullmatch(r"yuva4\d\dp", name):
        return np.ascontiguousarray(_plane(frame, np.dtype(np.uint8), 3))
    return np.ascontiguousarray(frame.to_ndarray(format="rgba")[:, :, 3])


def quality(frame: Any, spectrum: Spectrum) -> int:
    """The PDQ quality that the frame has in full range (0 to 255), as RGB has it.

    Most video stores luma in 16 to 235. The hash does not change with such a stretch; the quality,
    a sum of gradients in hundredths cut to whole numbers, does. It is taken again from the 64x64
    samples, which are linear in the luma.
    """
    if spectrum.quality >= MAX_QUALITY or frame.color_range == FULL_RANGE or _full_by_name(frame):
        return spectrum.quality
    stretched = spectrum.samples * np.float32(STRETCH * 100 / 255)
    total = sum(int(np.abs(np.trunc(np.diff(stretched, axis=axis))).sum()) for axis in (0, 1))
    return min(MAX_QUALITY, total // GRADIENTS_PER_POINT)


def _full_by_name(frame: Any) -> bool:
    name: str = frame.format.name
    return not name.startswith(("yuv4", "yuva4", "nv", "p0"))


def _plane(frame: Any, dtype: np.dtype[Any], number: int = 0) -> NDArray[Any]:
    """A plane, the first unless told otherwise, without the padding at the end of its lines."""
    plane = frame.planes[number]
    per_line = plane.line_size // dtype.itemsize
    lines = np.frombuffer(plane, dtype)[: per_line * plane.height]
    return lines.reshape(plane.height, per_line)[:, : plane.width]
