"""Small films, written by encoders that are FFmpeg's own or libvpx."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tutela.core import Media
from tutela.hashing.media import hash_media
from tutela.hashing.options import HashOptions, VideoMode


def picture(number: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def write_film(
    form: str = "mp4",
    codec: str = "mpeg4",
    *,
    seconds: float = 3,
    rate: int = 10,
    gop: int = 10,
    b_frames: int = 0,
    streams: int = 1,
    shot: int = 10,
    size: tuple[int, int] = (160, 120),
    options: dict[str, str] | None = None,
) -> bytes:
    """A film whose picture changes every ``shot`` frames and drifts between."""
    out = io.BytesIO()
    fast = Path(tempfile.mkdtemp()) / "film" if options else None  # moving the table needs a file
    with av.open(str(fast or "") or out, "w", format=form, container_options=options or {}) as file:
        made: list[Any] = []
        for _ in range(streams):
            stream: Any = file.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt = (
                *size,
                "yuvj420p" if codec == "mjpeg" else "yuv420p",
            )
            stream.codec_context.gop_size = gop
            stream.codec_context.max_b_frames = b_frames
            stream.codec_context.thread_count = 1
            stream.codec_context.bit_rate = 2_000_000
            made.append(stream)
        for number in range(int(seconds * rate)):
            for which, stream in enumerate(made):
                large = picture(number // shot + 100 * which, (size[0] + 40, size[1] + 40))
                left = number % shot
                view = large.crop((left, left, left + size[0], left + size[1]))
                file.mux(stream.encode(av.VideoFrame.from_image(view)))
        for stream in made:
            file.mux(stream.encode(None))
    if fast is None:
        return out.getvalue()
    data = fast.read_bytes()
    shutil.rmtree(fast.parent)
    return data


@pytest.fixture(scope="session")
def film() -> Callable[..., bytes]:
    return write_film


@pytest.fixture(scope="session")
def watch() -> Callable[..., Media]:
    """Hash bytes in this process; every frame unless told otherwise."""

    def run(data: bytes, mode: str = "every", **options: Any) -> Media:
        return hash_media(
            io.BytesIO(data), HashOptions(views=False, video=VideoMode(mode), **options)
        )

    return run
