"""Warming up: every codec loaded and every kernel compiled before workers are forked."""

from __future__ import annotations

import contextlib
import encodings.cp437  # noqa: F401  # names in ZIP archives; a worker should import nothing
import io
import zipfile
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tutela.core import HashMode

from . import pdq
from .media import hash_media
from .options import HashOptions, VideoMode
from .views import view_hashes

Luma = NDArray[np.uint8]
PICTURE_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
SIDES = ((320, 240), (240, 320), (64, 64))


def warm_up() -> None:
    """Hash one small file of every format in both modes. Takes about a second once compiled."""
    pdq.warm_up()
    for luma in _altered():
        view_hashes(luma, pdq.spectrum_from_luma(luma))
    files = [*_pictures(), _pdf(), *_film()]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, file in enumerate(files):
            archive.writestr(str(number), file)
    for mode in HashMode:
        options = HashOptions(mode=mode, video=VideoMode.EVERY)
        hash_media(io.BytesIO(packed.getvalue()), options)


def _altered() -> Iterator[Luma]:
    """Pictures in which each sort of view finds something to undo: framed, captioned, with a badge,
    put beside another, small, wide and tall."""
    for width, height in SIDES:
        yield _noise(width, height)
    plain = _noise(640, 480)
    yield np.pad(plain, 40, constant_values=255)
    yield np.pad(plain, ((60, 0), (0, 0)), constant_values=0)
    caption = np.pad(plain, ((0, 110), (0, 0)), constant_values=255)
    caption[510:560, 60:580:9] = 0
    yield caption
    badge = plain.copy()
    badge[:120, :120] = 250
    yield badge
    yield np.hstack([plain, plain[::-1] // 2])
    yield np.ascontiguousarray(np.pad(plain, ((0, 0), (200, 200)), mode="edge"))


def _noise(width: int, height: int) -> Luma:
    """A smooth picture with some texture, the same each time."""
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 255, (12, 16), np.uint8).astype(np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _pictures() -> list[bytes]:
    picture = Image.fromarray(_noise(320, 240)).convert("RGB")
    found = []
    Image.init()
    for name in PICTURE_FORMATS:
        if name in Image.SAVE:
            out = io.BytesIO()
            picture.save(out, name)
            found.append(out.getvalue())
    return found


def _pdf() -> bytes:
    import pypdfium2 as pdfium

    document = pdfium.PdfDocument.new()
    document.new_page(100, 100)
    out = io.BytesIO()
    document.save(out)
    document.close()
    return out.getvalue()


def _film() -> list[bytes]:
    """A tiny film by the encoder that is FFmpeg's own; none where PyAV is not installed."""
    with contextlib.suppress(ImportError):
        import av

        out = io.BytesIO()
        with av.open(out, "w", format="matroska") as container:
            stream = container.add_stream("mpeg4", rate=2)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            picture = np.ascontiguousarray(np.dstack([_noise(64, 64)] * 3))
            for _ in range(2):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return [out.getvalue()]
    return []
