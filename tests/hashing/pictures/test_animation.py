"""Animations and files of several pages: no frame that matters is passed over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.hashing.pictures.samples import hashes, opened, original, photo, save

from tutela.core import FaultKind
from tutela.hashing import pdq
from tutela.hashing.pictures import PictureLimits
from tutela.hashing.pictures.choice import NOVEL_BITS, most_different

SIZE = (300, 200)


def turning(count: int, size: tuple[int, int] = SIZE) -> list[Image.Image]:
    """A film of something that moves all the time."""
    base = photo("astronaut").resize(size)
    return [base.rotate(k) for k in range(count)]


def animation(frames: list[Image.Image], fmt: str) -> bytes:
    if fmt == "GIF":  # grey needs no palette to be found, which takes long
        frames = [frame.convert("L") for frame in frames]
    options = {"AVIF": {"speed": 10}, "WEBP": {"method": 0}}.get(fmt, {})
    return save(frames[0], fmt, save_all=True, append_images=frames[1:], duration=40, **options)


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP", "AVIF"])
def test_every_frame_of_a_short_animation_is_hashed(fmt: str) -> None:
    frames = turning(5)
    canvases, fault = opened(animation(frames, fmt))
    assert fault is None
    assert [c.frame for c in canvases] == [0, 1, 2, 3, 4]
    for bits, frame in zip(hashes(canvases), frames, strict=True):
        listed = pdq.spectrum_from_rgb(np.asarray(frame)).pdq().bits
        assert pdq.distance(bits, listed) <= 16


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP", "AVIF"])
def test_one_frame_slipped_into_a_long_film_is_found(fmt: str) -> None:
    small, place = (120, 80), 41
    frames = turning(60, small)
    frames[place] = photo("coffee").resize(small, Image.Resampling.LANCZOS)
    canvases, fault = opened(animation(frames, fmt), limits=PictureLimits(max_frames=12))
    assert fault is None
    assert {canvas.frame for canvas in canvases} == set(range(60))
    canvases = [canvas for canvas in canvases if not canvas.plain]
    assert len(canvases) == 12
    found = {
        canvas.frame: pdq.distance(bits, original("coffee", small))
        for canvas, bits in zip(canvases, hashes(canvases), strict=True)
    }
    assert found[place] <= 16
    assert 0 in found


@pytest.mark.parametrize("own_palette", [True, False])
def test_a_grey_first_frame_does_not_hide_the_palette_of_the_next(own_palette: bool) -> None:
    """Read as grey values, shuffled palette indices would be noise; viewers show the picture."""
    shuffle = list(np.random.default_rng(1).permutation(256))
    shown = photo("coffee").quantize(256)
    first = photo("astronaut").convert("L").resize(shown.size)
    data = save(first, "GIF", save_all=True, append_images=[shown.remap_palette(shuffle)])
    if not own_palette:
        assert data[10] & 0x87 == 0x87
        data = data[:10] + bytes([data[10] & 0x7F]) + data[11:13] + data[13 + 768 :]
    canvases, fault = opened(data)
    assert fault is None
    assert np.abs(canvases[0].luma.astype(int) - np.asarray(first)).max() <= 1
    assert pdq.distance(hashes(canvases)[1], original("coffee")) <= 12


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=30), st.integers(1, 12))
def test_frames_taken_stand_for_those_that_are_not(found: list[bytes], most: int) -> None:
    taken = most_different(found, most)
    assert taken == sorted(set(taken))
    assert len(taken) <= most
    if not found:
        return
    assert taken[0] == 0
    if len(taken) < most:
        for one in found:
            assert min(pdq.distance(one, found[place]) for place in taken) <= NOVEL_BITS


def test_a_film_that_stands_still_gives_one_frame() -> None:
    frames = [photo("astronaut").resize(SIZE) for _ in range(40)]
    for k, frame in enumerate(frames):
        frame.putpixel((k, 0), (255, 0, 0))
    canvases, fault = opened(animation(frames, "GIF"), limits=PictureLimits(max_frames=10))
    assert fault is None
    assert [c.frame for c in canvases if not c.plain] == [0]
    assert len({c.spectrum(exact=False).pdq().bits for c in canvases}) == len(canvases) - 1


def test_a_long_film_that_breaks_off_gives_what_came_before_and_a_fault() -> None:
    data = animation(turning(30, (120, 80)), "GIF")
    canvases, fault = opened(data[: len(data) // 2], limits=PictureLimits(max_frames=5))
    assert fault is not None
    assert 1 <= len([c for c in canvases if not c.plain]) <= 5
    limits = PictureLimits(max_pixels=2 * 120 * 80, max_frames=4)
    canvases, fault = opened(data, limits=limits)
    assert fault is not None
    assert fault.kind is FaultKind.OVER_LIMIT
    assert {c.frame for c in canvases} <= set(range(8))
    assert len([c for c in canvases if not c.plain]) == 4


def test_frames_beyond_the_budget_of_pixels_are_a_fault() -> None:
    data = animation(turning(10), "GIF")
    limits = PictureLimits(max_pixels=SIZE[0] * SIZE[1])
    canvases, fault = opened(data, limits=limits)
    assert fault is not None
    assert fault.kind is FaultKind.OVER_LIMIT
    assert [c.frame for c in canvases] == [0, 1, 2, 3]


def test_every_page_of_a_document_is_hashed_whatever_their_number() -> None:
    pages = [page.resize((60, 40)) for page in turning(30)]
    pages[23] = photo("coffee").resize((60, 40), Image.Resampling.LANCZOS)
    canvases, fault = opened(animation(pages, "TIFF"), limits=PictureLimits(max_frames=2))
    assert fault is None
    assert [c.frame for c in canvases] == list(range(30))
    assert pdq.distance(hashes(canvases)[23], original("coffee", (60, 40))) <= 12


def test_pages_beyond_the_limit_are_a_fault() -> None:
    pages = [page.resize((60, 40)) for page in turning(20)]
    canvases, fault = opened(animation(pages, "TIFF"), limits=PictureLimits(max_frames=1))
    assert len(canvases) == 16
    assert fault is not None
    assert fault.kind is FaultKind.OVER_LIMIT


def test_an_animation_that_breaks_off_gives_the_frames_before() -> None:
    data = animation(turning(6), "GIF")
    canvases, fault = opened(data[: len(data) // 2])
    assert fault is not None
    assert len(canvases) >= 2
    assert canvases[0].frame == 0


def test_transparent_frames_are_seen_on_each_ground() -> None:
    frames = []
    for k in range(3):
        frame = photo("coffee").resize(SIZE)
        frame.putalpha(Image.linear_gradient("L").resize(SIZE).rotate(90 * k))
        frames.append(frame)
    canvases, fault = opened(
        save(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    )
    assert fault is None
    assert {c.frame for c in canvases} == {0, 1, 2}
    assert {c.ground for c in canvases} >= {"hidden", "white", "black"}


def test_every_frame_of_a_long_animation_is_hashed_whatever_noise_surrounds_it() -> None:
    """Noise differs most, and a variant shown first makes the picture itself look known."""
    size = (96, 96)
    rng = np.random.default_rng(1)
    noise = [
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).resize(size) for _ in range(40)
    ]
    target = photo("coffee").convert("L").resize(size, Image.Resampling.LANCZOS)
    frames = [Image.blend(target, noise[0], 0.5), *noise[1:]]
    frames.insert(20, target)
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=20)
    canvases, fault = opened(data, limits=PictureLimits(max_frames=8))
    assert fault is None
    assert len([c for c in canvases if not c.plain]) == 8
    near = [pdq.distance(bits, original("coffee", size)) for bits in hashes(canvases)]
    assert min(near) <= 16


def test_what_a_long_animation_shows_for_long_gets_views() -> None:
    hashed = [np.random.default_rng(n).bytes(32) for n in range(40)]
    lasts = [20.0] * 40
    lasts[33] = 5000.0
    assert 33 not in most_different(hashed, 4)
    assert 33 in most_different(hashed, 4, lasts)


def test_pictures_in_the_transparency_of_a_long_animation_are_hashed() -> None:
    size = (96, 96)

    def clear(grey: Image.Image) -> Image.Image:
        image = Image.new("RGBA", size, (0, 0, 0, 255))
        image.putalpha(Image.eval(grey, lambda value: 255 - value))
        return image

    frames = [clear(Image.new("L", size, 5 * k)) for k in range(12)]
    frames[7] = clear(photo("coffee").convert("L").resize(size, Image.Resampling.LANCZOS))
    options = {"lossless": True, "exact": True, "method": 0}
    data = save(frames[0], "WEBP", save_all=True, append_images=frames[1:], **options)
    canvases, fault = opened(data, limits=PictureLimits(max_frames=4))
    assert fault is None
    near = [pdq.distance(bits, original("coffee", size)) for bits in hashes(canvases)]
    assert min(near) <= 16
