"""One small, whole file of every kind that is decoded, to be damaged."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pypdfium2 as pdfium
import pytest
from PIL import Image

from tutela.hashing.decoder import DecoderPool
from tutela.hashing.options import HashOptions, VideoMode

MAX_SAMPLE = 300_000


def _picture(number: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def _saved(form: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (picture or _picture(1)).save(out, form, **options)
    return out.getvalue()


def _film(form: str, codec: str, rate: int = 10, pix: str = "yuv420p") -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=form) as file:
        stream: Any = file.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix
        stream.codec_context.thread_count = 1
        for number in range(8):
            file.mux(stream.encode(av.VideoFrame.from_image(_picture(number // 3, (96, 64)))))
        file.mux(stream.encode(None))
    return out.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _pdf(picture: bytes) -> bytes:
    made = pdfium.PdfDocument.new()
    page = made.new_page(200, 200)
    image = pdfium.PdfImage.new(made)
    image.load_jpeg(io.BytesIO(picture), inline=True)
    image.set_matrix(pdfium.PdfMatrix().scale(120, 90))
    page.insert_obj(image)
    page.gen_content()
    out = io.BytesIO()
    made.save(out)
    made.close()
    return out.getvalue()


def _samples() -> dict[str, bytes]:
    jpeg = _saved("JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [_picture(n) for n in range(3)]
    files = {"a.jpg": jpeg, "b.png": _saved("PNG"), "c.txt": b"hello"}
    found = {
        "jpeg": jpeg,
        "jpeg_progressive": _saved("JPEG", progressive=True, exif=exif),
        "jpeg_cmyk": _saved("JPEG", _picture(1).convert("CMYK")),
        "png": _saved("PNG"),
        "png_alpha": _saved("PNG", _picture(1).convert("RGBA")),
        "png_palette": _saved("PNG", _picture(1).convert("P")),
        "apng": _saved("PNG", frames[0], save_all=True, append_images=frames[1:]),
        "gif": _saved("GIF", frames[0], save_all=True, append_images=frames[1:]),
        "webp": _saved("WEBP"),
        "webp_animated": _saved("WEBP", frames[0], save_all=True, append_images=frames[1:]),
        "avif": _saved("AVIF"),
        "tiff": _saved("TIFF", compression="tiff_lzw"),
        "bmp": _saved("BMP"),
        "ico": _saved("ICO"),
        "mp4": _film("mp4", "mpeg4"),
        "mkv_vp8": _film("matroska", "libvpx"),
        "webm_vp9": _film("webm", "libvpx-vp9"),
        "avi": _film("avi", "mjpeg", pix="yuvj420p"),
        "mpegts": _film("mpegts", "mpeg2video", rate=25),
        "flv": _film("flv", "flv"),
        "zip": _zip(files),
        "zip_in_zip": _zip({"in.zip": _zip(files)}),
        "tar": _tar(files),
        "tar_gz": gzip.compress(_tar(files)),
        "tar_bz2": bz2.compress(_tar(files)),
        "tar_xz": lzma.compress(_tar(files)),
        "pdf": _pdf(jpeg),
        "text": b"<html><img src='data:image/jpeg;base64," + base64.b64encode(jpeg) + b"'></html>",
        "jpeg_and_zip": jpeg + _zip(files),
    }
    folder = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    if folder.is_dir():
        for path in sorted(folder.rglob("*.*")):
            if path.stat().st_size <= MAX_SAMPLE and path.suffix not in {".txt", ".md", ".csv"}:
                found[f"sample_{path.name}"] = path.read_bytes()
    return found


@pytest.fixture(scope="session")
def samples() -> dict[str, bytes]:
    return _samples()


@pytest.fixture(scope="session")
def damage() -> Callable[[bytes, int], bytes]:
    """A damaged copy, the same for the same seed."""

    def make(data: bytes, seed: int) -> bytes:
        rng = random.Random(seed)
        out = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 5, 20])):
            at = rng.randrange(len(out))
            # headers matter most: half of all damage goes into the first 300 bytes
            at = at if rng.random() < 0.5 else at % min(len(out), 300)
            match rng.randrange(7):
                case 0:
                    out[at] ^= 1 << rng.randrange(8)
                case 1:
                    out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
                case 2:
                    out[at : at + 4] = rng.choice(
                        [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"]
                    )
                case 3:
                    del out[at : at + rng.randrange(1, 64)]
                case 4:
                    out[at:at] = rng.randbytes(rng.randrange(1, 64))
                case 5:
                    start = rng.randrange(len(out))
                    out[at:at] = out[start : start + rng.randrange(1, 200)]
                case 6:
                    del out[max(1, at) :]
            if not out:
                return b""
        return bytes(out)

    return make


@pytest.fixture(scope="session")
def pool() -> Iterator[DecoderPool]:
    """Two workers that examine everything there is to examine."""
    options = HashOptions(video=VideoMode.EVERY, views=True, cpu_seconds=10, video_cpu_seconds=10)
    with DecoderPool(options, 2) as shared:
        yield shared
