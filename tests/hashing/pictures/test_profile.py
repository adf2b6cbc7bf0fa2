"""What viewers apply to a stored picture: colour profiles and the one clear colour of a PNG."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.hashing.pictures.samples import hashes, opened, original, photo, save

from tutela.core import FaultKind, HashMode
from tutela.hashing import pdq

Values = np.ndarray
SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


def profile(curve: Values, primaries: tuple[tuple[float, ...], ...] = SRGB) -> bytes:
    """An RGB profile of primaries (XYZ at D50) and a curve from 0..1 to linear light."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    table = np.rint(curve * 65535).astype(">u2")
    curv = b"curv\0\0\0\0" + struct.pack(">I", len(table)) + table.tobytes()
    white = xyz((0.9642, 1, 0.8249))
    tags = [(b"desc", b"desc\0\0\0\0\0\0\0\2x\0" + bytes(78)), (b"wtpt", white)]
    tags += [(b"cprt", b"text\0\0\0\0x\0")]
    tags += [(name, xyz(p)) for name, p in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)]
    tags += [(name, curv) for name in (b"rTRC", b"gTRC", b"bTRC")]
    at, body, index = 132 + 12 * len(tags), b"", b""
    for name, content in tags:
        body += bytes(-len(body) % 4)
        index += name + struct.pack(">II", at + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ "
    )
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white[8:]
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + index + body


LINES = np.arange(256) / 255
LOW_HALF = profile((np.arange(256) % 16 / 15) ** 2.2)
"""Shows the lower four bits of each value and nothing of the upper ones."""


def two_in_one() -> Image.Image:
    """One picture in the upper four bits, another in the lower ones."""
    upper = np.asarray(photo("astronaut").convert("L").resize((600, 400)))
    lower = np.asarray(photo("coffee").convert("L").resize((600, 400)))
    return Image.fromarray(upper & 0xF0 | lower >> 4).convert("RGB")


@pytest.mark.parametrize("mode", list(HashMode))
@pytest.mark.parametrize(
    ("fmt", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("WEBP", {"lossless": True, "method": 0}),
        ("TIFF", {}),
    ],
)
def test_what_an_unusual_profile_shows_is_hashed(
    fmt: str, options: dict[str, object], mode: HashMode
) -> None:
    data = save(two_in_one(), fmt, icc_profile=LOW_HALF, **options)
    canvases, fault = opened(data, mode)
    assert fault is None
    assert [canvas.ground for canvas in canvases] == [None, "profile"]
    near = [pdq.distance(bits, original("coffee", (600, 400))) for bits in hashes(canvases, mode)]
    assert near[0] > 60
    assert near[1] <= 31


@pytest.mark.parametrize(
    "ordinary",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        profile(LINES**2.2, ADOBE),
        profile(LINES**2.2, P3),
        profile(LINES**2.2),
        LOW_HALF[:300],
        b"no profile" * 40,
    ],
    ids=["sRGB", "Adobe RGB", "Display P3", "gamma 2.2", "cut off", "broken"],
)
def test_an_ordinary_or_broken_profile_costs_no_second_hash(ordinary: bytes) -> None:
    for fmt in ("PNG", "JPEG"):
        canvases, fault = opened(save(photo(), fmt, icc_profile=ordinary))
        assert fault is None
        assert [canvas.ground for canvas in canvases] == [None]


def test_a_profile_made_for_other_colours_is_ignored() -> None:
    canvases, fault = opened(save(two_in_one().convert("L"), "PNG", icc_profile=LOW_HALF))
    assert (fault, [canvas.ground for canvas in canvases]) == (None, [None])


def test_an_unusual_profile_on_a_transparent_picture_keeps_the_transparency() -> None:
    image = two_in_one()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    canvases, _ = opened(save(image, "PNG", icc_profile=LOW_HALF))
    assert {"profile-hidden", "profile-white", "profile-black"} <= {c.ground for c in canvases}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows: Values, depth: int, kind: int, clear: bytes, width: int) -> bytes:
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"tRNS", clear), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def halftone() -> Values:
    return np.asarray(photo("coffee").convert("L").resize((800, 600)).convert("1"))


def test_a_clear_grey_of_16_bits_shows_the_picture_on_white() -> None:
    """The values 0 (clear) and 1 (black) look alike; on a white page they are a picture."""
    white = halftone()
    data = png(np.where(white, 0, 1).astype(">u2"), 16, 0, b"\0\0", 800)
    canvases, fault = opened(data)
    assert fault is None
    near = [pdq.distance(bits, original("coffee", (800, 600))) for bits in hashes(canvases)]
    assert min(near) <= 31


def test_a_clear_grey_of_4_bits_shows_the_picture_on_white() -> None:
    white = halftone()
    values = np.where(white, 5, 0).astype(np.uint8)
    data = png(values[:, ::2] << 4 | values[:, 1::2], 4, 0, b"\0\5", 800)
    canvases, _ = opened(data)
    assert {"white", "alpha"} <= {canvas.ground for canvas in canvases}


def test_a_clear_colour_of_16_bits_among_colours_like_it_is_a_fault() -> None:
    values = np.repeat(np.where(halftone(), 0, 1).astype(">u2"), 3, axis=1)
    _, fault = opened(png(values, 16, 2, bytes(6), 800))
    assert fault is not None
    assert fault.kind is FaultKind.UNSUPPORTED
    _, fault = opened(png(values, 16, 2, b"\x80\0" * 3, 800))
    assert fault is None


def test_an_ordinary_grey_of_16_bits_is_one_picture() -> None:
    deep = np.asarray(photo().convert("L")).astype(np.uint16) * 257
    out = io.BytesIO()
    Image.fromarray(deep).save(out, "PNG")
    canvases, fault = opened(out.getvalue())
    assert (fault, [canvas.ground for canvas in canvases]) == (None, [None])
