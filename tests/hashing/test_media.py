"""One call from bytes to hashes: everything wrong is a fault, nothing is an exception."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from tutela.core import Digests, FaultKind, HashMode, Media, MediaKind
from tutela.hashing import media as media_module
from tutela.hashing.decoder import DecoderPool
from tutela.hashing.media import hash_media
from tutela.hashing.options import HashOptions, VideoMode
from tutela.hashing.pdq import distance, spectrum_from_luma
from tutela.hashing.source import Source
from tutela.settings import HashingSettings


def photo(width: int = 320, height: int = 240, seed: int = 1) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def run(data: bytes, **options: object) -> Media:
    return hash_media(io.BytesIO(data), HashOptions(**options))


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(workers=1) as shared:
        yield shared


def test_a_picture_has_digests_a_hash_and_views() -> None:
    data = saved(photo(), "JPEG")
    media = run(data)
    assert (media.kind, media.format, media.size) == (MediaKind.PICTURE, "jpeg", len(data))
    assert media.digests.sha1 == hashlib.sha1(data).digest()
    (picture,) = media.pictures
    assert (picture.width, picture.height, picture.mode) == (320, 240, HashMode.LUMA)
    grey = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert distance(picture.pdq, spectrum_from_luma(grey).pdq().bits) <= 2
    assert {"mirror", "rotate-90"} <= {view.view for view in picture.views}
    assert run(data, views=False).pictures[0].views == ()
    assert {"content", "digest"} == set(media.milliseconds)


def test_the_identical_mode_is_named_in_the_result() -> None:
    media = run(saved(photo(), "JPEG"), mode=HashMode.IDENTICAL, views=False)
    assert media.pictures[0].mode is HashMode.IDENTICAL


def test_a_turned_picture_is_hashed_as_shown_and_as_stored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = photo().transpose(Image.Transpose.ROTATE_90)
    media = run(saved(stored, "JPEG", exif=exif, quality=95), views=False)
    (picture,) = media.pictures
    upright = run(saved(photo(), "JPEG", quality=95), views=False).pictures[0]
    assert (picture.width, picture.height) == (320, 240)
    assert distance(picture.pdq, upright.pdq) <= 12
    (view,) = picture.views
    as_stored = run(saved(stored, "JPEG", quality=95), views=False).pictures[0]
    assert (view.view, view.radius) == ("stored", 31)
    assert distance(view.pdq, as_stored.pdq) <= 2


def test_an_animation_has_a_hash_for_each_frame_and_views_for_some() -> None:
    frames = [photo(seed=n).convert("P") for n in range(5)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    media = run(data, max_frames=3)
    assert media.kind is MediaKind.ANIMATION
    assert sorted(picture.frame or 0 for picture in media.pictures) == [0, 1, 2, 3, 4]
    assert 1 < sum(bool(picture.views) for picture in media.pictures) <= 3
    still = run(saved(frames[0], "GIF"), views=False)
    assert still.kind is MediaKind.PICTURE


def test_known_digests_are_taken_as_they_are() -> None:
    known = Digests(md5=b"m" * 16, sha1=b"s" * 20, sha256=b"h" * 32)
    media = hash_media(io.BytesIO(b"hello"), HashOptions(), digests=known, where="here")
    assert (media.digests, media.where) == (known, "here")


@pytest.mark.parametrize(
    ("data", "kind", "fault"),
    [
        (b"", MediaKind.OTHER, None),
        (b"hello, world", MediaKind.OTHER, None),
        (b"\x93\x01\xf0" * 50, MediaKind.UNREADABLE, FaultKind.UNKNOWN_FORMAT),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, MediaKind.UNREADABLE, FaultKind.TRUNCATED),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, MediaKind.UNREADABLE, None),
        (b"GIF89a", MediaKind.UNREADABLE, None),
        (b"8BPS\0\1" + b"\0" * 50, MediaKind.UNREADABLE, None),
        (b"BZh9" + b"\0" * 50, MediaKind.CONTAINER, FaultKind.DAMAGED),
    ],
)
def test_what_cannot_be_read_says_why(
    data: bytes, kind: MediaKind, fault: FaultKind | None
) -> None:
    media = run(data)
    assert media.kind is kind
    assert bool(media.all_faults()) == (kind is not MediaKind.OTHER)
    if fault is not None:
        assert media.all_faults()[0].kind is fault
    assert media.digests.md5 == hashlib.md5(data).digest()


def test_a_truncated_picture_gives_what_is_there_and_a_fault() -> None:
    whole = saved(photo(640, 480), "JPEG", quality=95)
    media = run(whole[: len(whole) * 2 // 3], views=False)
    assert (media.kind, [f.kind for f in media.faults]) == (
        MediaKind.PICTURE,
        [FaultKind.TRUNCATED],
    )
    assert len(media.pictures) == 1


def test_errors_of_codecs_become_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> Callable[..., object]:
        def open_pictures(*_: object, **__: object) -> object:
            raise error

        return open_pictures

    data = saved(photo(), "JPEG")
    for error, kind in (
        (MemoryError(), FaultKind.OVER_LIMIT),
        (RecursionError(), FaultKind.DAMAGED),
        (ZeroDivisionError("secret"), FaultKind.DAMAGED),
    ):
        monkeypatch.setattr(media_module, "open_pictures", fail(error))
        media = run(data)
        assert (media.kind, media.faults[0].kind) == (MediaKind.UNREADABLE, kind)
        assert "secret" not in media.faults[0].detail


def test_options_come_from_the_settings() -> None:
    hashing = HashingSettings(mode="identical", video="every", max_depth=1, cpu_seconds=3)
    options = HashOptions.from_settings(hashing)
    assert (options.mode, options.video) == (HashMode.IDENTICAL, VideoMode.EVERY)
    assert (options.max_depth, options.cpu_seconds) == (1, 3.0)
    assert options.replaced(mode=HashMode.LUMA).mode is HashMode.LUMA
    assert options.mode is HashMode.IDENTICAL


# ---------------------------------------------------------------------- real files, real workers


def asked(pool: DecoderPool, data: bytes) -> Media:
    with Source.from_bytes(data) as source:
        return pool.hash_blocking(source)


def plain(media: Media) -> tuple[object, ...]:
    return tuple((m.where, m.kind, m.digests, m.pictures, m.frames, m.faults) for m in media.walk())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_a_worker_says_what_this_process_would(pool: DecoderPool, form: str) -> None:
    data = saved(photo(), form)
    assert plain(asked(pool, data)) == plain(run(data))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", data)
    assert plain(asked(pool, packed.getvalue())) == plain(run(packed.getvalue()))


def test_the_samples_where_they_are(pool: DecoderPool) -> None:
    for path in samples():
        with Source.from_path(path) as source:
            media = pool.hash_blocking(source)
        assert media.kind is not MediaKind.UNREADABLE, path.name
        assert media.all_faults() == (), path.name


def samples() -> list[Path]:
    folder = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    return sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else []


def scan_bomb() -> bytes:
    """A progressive JPEG of 16 million pixels with its scans repeated three thousand times."""
    data = saved(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    start = data.rfind(b"\xff\xda")
    return data[:start] + data[start:-2] * 3000 + data[-2:]


def huge_png() -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def huge_jpeg() -> bytes:
    data = bytearray(saved(Image.new("L", (16, 16)), "JPEG"))
    at = data.find(b"\xff\xc0") + 5
    data[at : at + 4] = (60_000).to_bytes(2) * 2
    return bytes(data)


def zip_quine_of_depth(depth: int) -> bytes:
    data = bytes(4 << 20)
    for _ in range(depth):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(8):
                archive.writestr(f"{number}.zip", data)
        data = out.getvalue()
    return data


BOMBS: dict[str, Callable[[], bytes]] = {
    "pixels of a PNG": huge_png,
    "pixels of a JPEG": huge_jpeg,
    "a gzip of zeros": lambda: gzip.compress(bytes(80 << 20)),
    "zips in zips": lambda: zip_quine_of_depth(3),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_over_the_limit_and_the_next_file_works(pool: DecoderPool, name: str) -> None:
    data = BOMBS[name]()
    with Source.from_bytes(data) as source:
        media = pool.hash_blocking(source, HashOptions(cpu_seconds=10))
    assert media.all_faults()
    assert media.all_faults()[0].kind in {FaultKind.OVER_LIMIT, FaultKind.DAMAGED}
    assert asked(pool, saved(photo(), "JPEG")).pictures


def test_a_scan_bomb_costs_no_more_than_its_time(pool: DecoderPool) -> None:
    with Source.from_bytes(scan_bomb()) as source:
        media = pool.hash_blocking(source, HashOptions(cpu_seconds=1))
    assert media.kind is MediaKind.UNREADABLE or media.faults
    assert asked(pool, saved(photo(), "JPEG")).pictures


def test_a_picture_that_needs_more_memory_than_a_worker_has() -> None:
    data = saved(Image.new("RGB", (10_000, 10_000)), "PNG", compress_level=1)
    with DecoderPool(HashOptions(), 1, 1 << 30) as small:
        media = asked(small, data)
        assert [fault.kind for fault in media.faults] == [FaultKind.OVER_LIMIT]
        assert asked(small, saved(photo(), "JPEG")).pictures


@given(st.binary(max_size=400))
@hypothesis_settings(max_examples=150, deadline=None)
def test_any_bytes_give_an_answer(data: bytes) -> None:
    media = run(data, views=False)
    assert media.size == len(data)
    assert media.kind is not MediaKind.UNREADABLE or media.faults


def test_no_descriptor_is_left(pool: DecoderPool) -> None:
    asked(pool, b"warm")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        asked(pool, saved(photo(), "PNG"))
    assert len(os.listdir("/proc/self/fd")) == before
