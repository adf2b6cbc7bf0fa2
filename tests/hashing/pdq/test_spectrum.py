"""PDQ equals the reference implementation: hashes, quality, all eight turns, every picture."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.hashing.pdq.reference import ORDER, reference_hashes

from tutela.hashing import pdq
from tutela.hashing.pdq import _exact, _kernels, _spectrum, _weights

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "pdq"

# What the reference's binding (pdqhash 0.2.8) gives for the photos that scikit-image packages.
PHOTOS = {
    "astronaut": "2d6b1af3a956c529e79ca3d2526fa834d4196c81cedd04de0a26b855fc99b724",
    "coffee": "8c629e779a663698b9a33866c026726c21a679f61eb6e1f8c79ba7e23c8299e0",
    "chelsea": "5feb5321f01da156898e2bf629a5d3438412cdbd23f48942464526315db33ffd",
    "rocket": "8792786c87937064bf1bc0e43f1fc0e03f1cc2e33da4c2537cec821b2ce4f376",
}
# The same for noise: numpy's default_rng(seed).integers(0, 256, (height, width, 3)).
NOISE = {
    (0, 5, 5): "3e0f3c8dc1f0c37269da93263e0f6cd991a46cd93e0f3d8dc1f0c372685a9326",
    (1, 7, 300): "194beaf5c4b41102e2259f8588490356cc18bea533e7fca977be607a194aeafd",
    (2, 64, 64): "7567d3a9215126290d4fcc5cbe37043eabfa3322e507151d2f7e72e1338ab9a0",
    (3, 129, 127): "9d891a16a818525be4b5790c7d957d546d853be8f245b0ed870e9ad10bfc6c6a",
    (4, 200, 333): "9473d6670eea1a21558da4c5022bda56d39929e48a653741cbcfbd4a7d597d09",
}


def photo(name: str) -> np.ndarray:
    return np.ascontiguousarray(getattr(skimage.data, name)())


def as_hex(hashes: dict[str, bytes]) -> dict[str, str]:
    return {name: bits.hex() for name, bits in hashes.items()}


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_has_the_references_hash(name: str) -> None:
    hashed = pdq.spectrum_from_rgb(photo(name)).pdq()
    assert (hashed.hex, hashed.quality) == (PHOTOS[name], 100)


@pytest.mark.parametrize(("seed", "height", "width"), NOISE)
def test_noise_of_odd_sizes_has_the_references_hash(seed: int, height: int, width: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert pdq.spectrum_from_rgb(pixels).pdq().hex == NOISE[seed, height, width]


def test_charts_whose_values_tie_have_the_references_hash() -> None:
    """Where values tie, the bits are decided by rounding: only its very arithmetic gives them."""
    y, x = np.mgrid[:100, :150]
    chess = np.repeat(((x // 8 + y // 8) % 2 * 255)[..., None], 3, 2).astype(np.uint8)
    ramp = np.repeat((x + y)[..., None], 3, 2).astype(np.uint8)
    flat = np.full((90, 70, 3), (12, 200, 99), np.uint8)
    got = [
        (p.hex, p.quality) for p in (pdq.spectrum_from_rgb(a).pdq() for a in (chess, flat, ramp))
    ]
    assert got == [
        ("fbffffffaebeabbb055455041054115541455545445154551555555555555555", 100),
        ("0000113482000000000011342c4b554b2c4b2c4b00002c4b11345e012c4b1134", 0),
        ("ead6a94bae8c144cd27696ed96a2b2d4790e6b4cb350b6aa0c651a5bd2eaac55", 14),
    ]


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """Odd-sized pictures of every sort: parts of photos, noise, flat, stripes, ramps, sparks."""
    height = draw(st.integers(1, 260))
    width = draw(st.integers(1, 260))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    sort = draw(st.sampled_from(["photo", "noise", "flat", "chess", "stripes", "ramp", "sparks"]))
    if sort == "photo":
        source = photo(draw(st.sampled_from(sorted(PHOTOS))))
        top = int(random.integers(0, source.shape[0] - height + 1))
        left = int(random.integers(0, source.shape[1] - width + 1))
        return np.ascontiguousarray(source[top : top + height, left : left + width])
    if sort == "noise":
        return random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    step = int(random.integers(1, 40))
    pattern = {
        "flat": np.zeros_like(x),
        "chess": (x // step + y // step) % 2,
        "stripes": x // step % 2,
        "ramp": (x * step + y) % 256 > 128,
        "sparks": random.random((height, width)) < 0.03,
    }[sort]
    return random.integers(0, 256, (2, 3), dtype=np.uint8)[pattern.astype(int)]


@settings(max_examples=200, deadline=None)
@given(pictures())
def test_every_picture_has_the_references_eight_hashes_and_quality(pixels: np.ndarray) -> None:
    spectrum = pdq.spectrum_from_rgb(pixels)
    hashes, quality = reference_hashes(pixels)
    assert as_hex(spectrum.dihedral()) == hashes
    assert (spectrum.pdq().hex, spectrum.pdq().quality) == (hashes[""], quality)


@settings(max_examples=30, deadline=None)
@given(pictures())
def test_grey_pictures_have_the_references_hash_from_their_luma(pixels: np.ndarray) -> None:
    grey = np.ascontiguousarray(pixels[:, :, 1])
    hashes, quality = reference_hashes(np.repeat(grey[:, :, None], 3, 2))
    for luma in (grey, grey.astype(np.float32), grey.astype(np.float64)):
        hashed = pdq.spectrum_from_luma(luma, exact=True).pdq()
        assert (hashed.hex, hashed.quality) == (hashes[""], quality)


@settings(max_examples=40, deadline=None)
@given(pictures(), st.sampled_from(pdq.DIHEDRALS))
def test_a_picture_hashes_as_if_turned_without_turning_it(pixels: np.ndarray, name: str) -> None:
    """What EXIF asks viewers to do costs no copy: the bands read the stored pixels backwards."""
    turned = np.ascontiguousarray(pdq.turn(pixels, name))
    assert pdq.spectrum_from_rgb(pixels, turned=name).pdq() == pdq.spectrum_from_rgb(turned).pdq()
    stored, shown = pixels[:, :, 0], np.ascontiguousarray(turned[:, :, 0])
    by_bands = pdq.spectrum_from_luma(stored, exact=True, turned=name)
    assert by_bands.pdq() == pdq.spectrum_from_luma(shown, exact=True).pdq()


def test_the_names_say_what_is_done_to_the_picture() -> None:
    pixels = np.asarray(Image.fromarray(photo("coffee")).resize((960, 640)))
    hashes = pdq.spectrum_from_rgb(pixels).dihedral()
    by_hand = {
        "rotate-90": np.rot90(pixels),
        "rotate-180": np.rot90(pixels, 2),
        "rotate-270": np.rot90(pixels, 3),
        "flip": pixels[::-1],
        "mirror": pixels[:, ::-1],
        "transpose": pixels.swapaxes(0, 1),
        "transverse": pixels.swapaxes(0, 1)[::-1, ::-1],
    }
    for name, turned in by_hand.items():
        assert np.array_equal(pdq.turn(pixels, name), turned)
        hashed = pdq.spectrum_from_rgb(np.ascontiguousarray(turned)).pdq().bits
        assert pdq.distance(hashed, hashes[name]) <= 24
        assert pdq.distance(hashed, hashes[""]) > 80


@settings(max_examples=20, deadline=None)
@given(pictures(), st.sampled_from(pdq.DIHEDRALS))
def test_a_spectrum_turns_without_its_picture(pixels: np.ndarray, name: str) -> None:
    spectrum = pdq.spectrum_from_rgb(pixels)
    turned = spectrum.turned(name)
    assert turned.pdq().bits == spectrum.dihedral()[name]
    assert turned.pdq().quality == spectrum.quality


def test_rounded_luma_stays_near_the_references_hash() -> None:
    for name, reference in PHOTOS.items():
        luma = np.asarray(Image.fromarray(photo(name)).convert("L"))
        hashed = pdq.spectrum_from_luma(luma).pdq()
        assert hashed.quality == 100
        assert pdq.distance(hashed.bits, bytes.fromhex(reference)) <= 10


def test_fast_and_exact_arithmetic_agree_within_the_bound() -> None:
    """The bound decides when the exact arithmetic is asked, so it must hold with room to spare."""
    random = np.random.default_rng(5)
    for height, width in ((300, 700), (1100, 40), (33, 1900), (900, 1200)):
        y, x = np.mgrid[:height, :width]
        for luma in (
            random.integers(0, 256, (height, width)).astype(np.float32),
            ((x // 9 + y // 7) % 2 * 251 + 1.1).astype(np.float32),
            (x * 0.13 + y * 0.07).astype(np.float32) % 256,
        ):
            samples = _kernels.samples_from_luma(
                luma, *_weights.tent_band(height), *_weights.tent_band(width)
            )
            fast = _kernels.spectrum_of(samples, _weights.DCT, _weights.DCT_T)
            exact = _exact.exact_spectrum(
                _exact.exact_samples(
                    luma.copy(),
                    _weights.window_size(width),
                    _weights.window_size(height),
                    _weights.sample_positions(height),
                    _weights.sample_positions(width),
                ),
                _weights.DCT,
            )
            assert np.abs(fast - exact).max() < _spectrum.rounding_bound(max(height, width))


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 500), (500, 4)])
def test_pictures_too_small_to_hash_say_so(shape: tuple[int, int]) -> None:
    spectrum = pdq.spectrum_from_luma(np.full(shape, 9, np.uint8))
    assert not spectrum.hashable
    assert (spectrum.pdq().hex, spectrum.pdq().quality) == ("0" * 64, 0)
    assert set(spectrum.dihedral().values()) == {bytes(32)}
    assert spectrum.turned("mirror") is spectrum
    rgb = pdq.spectrum_from_rgb(np.full((*shape, 3), 9, np.uint8))
    assert rgb.pdq() == spectrum.pdq()


def test_pixels_need_not_lie_in_order() -> None:
    pixels = photo("coffee")
    crop = pixels[20:300:1, 31:500:2]
    assert pdq.spectrum_from_rgb(crop).pdq() == pdq.spectrum_from_rgb(crop.copy()).pdq()
    luma = crop[:, :, 0]
    assert pdq.spectrum_from_luma(luma).pdq() == pdq.spectrum_from_luma(luma.copy()).pdq()


def test_threads_do_not_disturb_each_other() -> None:
    parts = [photo(name)[k : 250 + k] for name in sorted(PHOTOS) for k in range(10)]
    alone = [pdq.spectrum_from_rgb(part).pdq() for part in parts]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda part: pdq.spectrum_from_rgb(part).pdq(), parts)) == alone


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_distance_counts_the_bits_that_differ(a: bytes, b: bytes) -> None:
    one_by_one = sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True))
    assert pdq.distance(a, b) == one_by_one == pdq.distance(b, a)
    assert pdq.distance(a, a) == 0


def test_the_published_pictures_have_the_published_hashes() -> None:
    """The pictures that the reference ships, where they are at hand (colour ones only: for the
    others the reference hashes palette indices and inks as if they were colours)."""
    table = SHARED / "expected.csv"
    rows = list(csv.DictReader(table.read_text().splitlines())) if table.exists() else []
    for row in rows:
        if row["mode"] != "RGB":
            continue
        with Image.open(SHARED / row["file"]) as image:
            pixels = np.asarray(image)
        spectrum = pdq.spectrum_from_rgb(pixels)
        assert (spectrum.pdq().hex, spectrum.quality) == (row["pdq"], int(row["quality"]))
        expected = {name: row[f"dihedral_{k}"] for k, name in enumerate(ORDER)}
        assert as_hex(spectrum.dihedral()) == expected


def test_warming_up_leaves_nothing_to_compile() -> None:
    pdq.warm_up()
    kernels = (_kernels.samples_from_luma, _kernels.samples_from_rgb, _exact.exact_samples)
    compiled = [len(kernel.signatures) for kernel in kernels]
    pdq.spectrum_from_rgb(photo("coffee")).dihedral()
    pdq.spectrum_from_luma(photo("coffee")[:, :, 0], exact=True).pdq()
    assert [len(kernel.signatures) for kernel in kernels] == compiled
