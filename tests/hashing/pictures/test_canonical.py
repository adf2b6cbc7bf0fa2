"""The same photo is found however it was saved, at distance 12 or less from the original."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.hashing.pictures.samples import (
    DATA,
    NAMES,
    STORED_FOR,
    exif,
    hashes,
    nearest,
    opened,
    original,
    photo,
    save,
    saved_in_every_way,
)

from tutela.core import HashMode
from tutela.hashing import pdq
from tutela.hashing.pictures.canonical import grey, scaled
from tutela.hashing.pictures.exif import orientation_of

NEAR = 12


@pytest.mark.parametrize("name", NAMES)
def test_the_same_photo_is_found_however_it_was_saved(name: str) -> None:
    missed = {
        (way, mode): apart
        for way, data in saved_in_every_way(name).items()
        for mode in HashMode
        if (apart := nearest(data, name, mode)) > NEAR
    }
    assert missed == {}


@pytest.mark.parametrize("mode", HashMode)
@pytest.mark.parametrize(
    "file", ["coffee.heic", "coffee-10bit.heic", "coffee-turned.heic", "chelsea-then-coffee.heic"]
)
def test_the_same_photo_is_found_in_a_heic(file: str, mode: HashMode) -> None:
    canvases, fault = opened((DATA / file).read_bytes(), mode)
    assert fault is None
    assert [(c.width, c.height) for c in canvases] == [(300, 200)] * len(canvases)
    reference = original("coffee", (300, 200))
    assert pdq.distance(hashes(canvases, mode)[-1], reference) <= NEAR
    several = file.startswith("chelsea")
    assert [c.frame for c in canvases] == ([0, 1] if several else [None])


def test_in_identical_mode_an_rgb_file_has_the_references_very_bits() -> None:
    image = photo("chelsea")
    for fmt in ("JPEG", "PNG", "BMP", "TIFF", "WEBP"):
        data = save(image, fmt)
        (canvas,), fault = opened(data, HashMode.IDENTICAL)
        assert fault is None
        assert canvas.rgb is not None
        with Image.open(io.BytesIO(data)) as again:
            pixels = np.asarray(again.convert("RGB"))
        assert np.array_equal(canvas.rgb, pixels)
        reference = pdq.spectrum_from_rgb(pixels).pdq()
        assert canvas.spectrum(exact=True).pdq() == reference
        assert np.array_equal(canvas.luma, np.asarray(Image.fromarray(pixels).convert("L")))


def test_an_exif_orientation_gives_both_hashes_from_one_decode() -> None:
    image = photo("coffee")
    for orientation, turn in STORED_FOR.items():
        stored = image.transpose(turn)
        data = save(stored, "JPEG", quality=95, exif=exif(orientation))
        for mode in HashMode:
            (canvas,), _ = opened(data, mode)
            exact = mode is HashMode.IDENTICAL
            assert (canvas.width, canvas.height) == image.size
            shown = canvas.spectrum(exact=exact).pdq().bits
            assert pdq.distance(shown, original("coffee")) <= NEAR
            view = canvas.stored_view(exact=exact)
            assert view is not None
            assert (view.view, view.radius, view.quality) == ("stored", 31, 100)
            as_stored = pdq.spectrum_from_rgb(np.asarray(stored)).pdq().bits
            assert pdq.distance(view.pdq, as_stored) <= NEAR
            assert pdq.distance(view.pdq, shown) > 60
            assert canvas.upright.shape == (image.height, image.width)
            lit = np.abs(canvas.upright.astype(int) - np.asarray(image.convert("L"))).mean()
            assert lit < 4


def test_an_upright_picture_has_no_stored_view() -> None:
    (canvas,), _ = opened(save(photo("coffee"), "JPEG", exif=exif(1)))
    assert canvas.orientation is None
    assert canvas.stored_view(exact=False) is None
    assert canvas.upright.base is canvas.luma.base or canvas.upright is canvas.luma


def test_a_transparent_picture_is_seen_on_each_ground_once() -> None:
    image = photo("coffee")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    canvases, _ = opened(save(image, "PNG"))
    assert [c.ground for c in canvases] == ["hidden", "white", "black", "alpha"]
    by_ground = {c.ground: c.luma.astype(int) for c in canvases}
    alpha = np.asarray(image.getchannel("A")) / 255
    hidden = np.asarray(image.convert("RGB").convert("L"))
    assert np.abs(by_ground["hidden"] - hidden).max() <= 1
    assert np.abs(by_ground["white"] - (hidden * alpha + 255 * (1 - alpha))).max() <= 1.5
    assert np.abs(by_ground["black"] - hidden * alpha).max() <= 1.5

    # A cut-out with nothing under its clear pixels is the same on black as with alpha ignored.
    cutout = Image.new("RGBA", image.size)
    cutout.paste(photo("coffee").crop((0, 0, 300, 300)), (0, 0))
    canvases, _ = opened(save(cutout, "PNG"))
    assert [c.ground for c in canvases] == ["hidden", "white", "alpha"]


def test_solid_transparency_is_none() -> None:
    canvases, _ = opened(save(photo("coffee").convert("RGBA"), "PNG"))
    assert [c.ground for c in canvases] == [None]


def test_cmyk_without_adobes_marker_is_read_both_ways() -> None:
    """Without the marker nothing says whether 0 is no ink or full ink."""
    data = save(photo("coffee").convert("CMYK"), "JPEG")
    at = data.index(b"Adobe") - 4
    length = int.from_bytes(data[at + 2 : at + 4])
    bare = data[:at] + data[at + 2 + length :]
    assert b"Adobe" not in bare
    canvases, fault = opened(bare)
    assert fault is None
    assert [c.ground for c in canvases] == [None, "inks"]
    apart = [pdq.distance(bits, original("coffee")) for bits in hashes(canvases)]
    assert min(apart) <= NEAR < max(apart)
    assert len(opened(data)[0]) == 1


def with_gamma(png: bytes, gamma: float) -> bytes:
    body = b"gAMA" + round(gamma * 100_000).to_bytes(4)
    chunk = (4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
    return png[:33] + chunk + png[33:]


def test_a_picture_that_only_its_gamma_shows_is_found() -> None:
    """The known trick: one pixel in four is bright and holds the picture, the others are an
    innocent one, which an extreme gamma turns black."""
    innocent = np.asarray(photo("astronaut").convert("L").resize((600, 400))).astype(float)
    hidden = np.asarray(photo("coffee").convert("L")).astype(float)
    exponent = 1 / (2.2 * 0.02)
    mixed = innocent * 0.7
    lit = (slice(0, None, 2), slice(0, None, 2))
    mixed[lit] = (255 * (hidden / 255) ** (1 / exponent))[lit]
    stored = save(Image.fromarray(mixed.astype(np.uint8)), "PNG")
    plain = hashes(opened(stored)[0])
    assert len(plain) == 1
    assert pdq.distance(plain[0], original("coffee")) > 31
    canvases, fault = opened(with_gamma(stored, 0.02))
    assert fault is None
    assert [c.ground for c in canvases] == [None, "gamma"]
    assert pdq.distance(hashes(canvases)[1], original("coffee")) <= 31
    assert len(opened(with_gamma(stored, 0.45455))[0]) == 1


def test_large_pictures_are_converted_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo("rocket")
    whole = grey(image)
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
    whole_deep = scaled(deep)
    monkeypatch.setattr("tutela.hashing.pictures.canonical._STRIP_PIXELS", 10_000)
    assert np.array_equal(grey(image), whole)
    assert np.array_equal(scaled(deep), whole_deep)


@given(
    st.lists(st.floats(width=32), min_size=1, max_size=60),
    st.sampled_from([np.float32, np.int32, np.uint16]),
)
def test_deep_values_of_any_range_become_eight_bits(values: list[float], kind: type) -> None:
    with np.errstate(invalid="ignore"):
        plane = np.nan_to_num(np.array([values], np.float32))
    array = (
        np.clip(plane, 0, 60_000).astype(kind)
        if kind is not np.float32
        else np.array([values], np.float32)
    )
    found = scaled(array)
    assert found.dtype == np.uint8
    assert found.shape == array.shape
    clean = np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    order = np.argsort(clean[0], kind="stable")
    assert (np.diff(found[0][order].astype(int)) >= 0).all()


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"II*\x00", b"MM\x00*", b"Exif\x00\x00II*\x00"])
)
def test_any_exif_is_some_orientation_or_none(body: bytes, head: bytes) -> None:
    assert orientation_of(head + body) in {None, *pdq.DIHEDRALS[1:]}


@pytest.mark.parametrize("orientation", [0, 1, 9, 200])
def test_orientations_that_ask_for_nothing_are_none(orientation: int) -> None:
    assert orientation_of(exif(orientation).tobytes()) is None
