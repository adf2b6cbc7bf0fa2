"""Each view undoes what its name says, on real pictures, at a bounded number of look-ups."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from bench.robustness.scenes import scene
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps

from bench.robustness import transforms
from tutela.core import ViewHash
from tutela.hashing.pdq import distance, spectrum_from_luma, spectrum_from_rgb
from tutela.hashing.views import MOST_VIEWS, RULES, Kind, view_hashes

Luma = Callable[[Image.Image], np.ndarray]
PARTNER = scene(4_243, 640, 480)


def listed(picture: Image.Image) -> bytes:
    return spectrum_from_rgb(np.asarray(picture)).pdq().bits


def views_of(luma: np.ndarray) -> dict[str, ViewHash]:
    return {view.view: view for view in view_hashes(luma, spectrum_from_luma(luma))}


def matching(luma: np.ndarray, bits: bytes) -> set[str]:
    return {
        name for name, view in views_of(luma).items() if distance(view.pdq, bits) <= view.radius
    }


def plain_distance(luma: np.ndarray, bits: bytes) -> int:
    return distance(spectrum_from_luma(luma).pdq().bits, bits)


def apply(step: transforms.Apply, picture: Image.Image, seed: int = 1) -> Image.Image:
    return step(picture, PARTNER, random.Random(seed))


T = Image.Transpose
UNDONE = {
    "rotate-90": (transforms.transposed(T.ROTATE_270), {"rotate-90"}),
    "rotate-180": (transforms.transposed(T.ROTATE_180), {"rotate-180"}),
    "rotate-270": (transforms.transposed(T.ROTATE_90), {"rotate-270"}),
    "mirror": (transforms.MIRROR, {"mirror"}),
    "flip": (transforms.FLIP, {"flip"}),
    "transpose": (transforms.transposed(T.TRANSPOSE), {"transpose"}),
    "transverse": (transforms.transposed(T.TRANSVERSE), {"transverse"}),
    "invert": (transforms.invert, {"invert"}),
    "white border": (transforms.border(0.06, transforms.WHITE), {"trim", "trim-even"}),
    "black border": (transforms.border(0.06, transforms.BLACK), {"trim", "trim-even"}),
    "letterbox": (transforms.letterbox(0.2), {"trim", "trim-even"}),
    "pillarbox": (transforms.letterbox(0.2, upright=True), {"trim", "trim-even"}),
    "caption above": (transforms.caption(0.2), {"cut"}),
    "caption below": (transforms.caption(0.2, below=True), {"cut"}),
    "screenshot": (transforms.screenshot, {"cut"}),
    "cropped": (transforms.crop(0.02), {"pad-2"}),
    "mirrored, framed": (
        transforms.both(transforms.MIRROR, transforms.border(0.05, transforms.WHITE)),
        {"trim+mirror", "trim-even+mirror", "cut+mirror"},
    ),
    "inverted, mirrored": (
        transforms.both(transforms.invert, transforms.MIRROR),
        {"invert+mirror"},
    ),
}


@pytest.mark.parametrize("change", UNDONE)
def test_a_view_undoes_what_it_is_named_for(
    change: str, photograph: Image.Image, luma: Luma
) -> None:
    step, names = UNDONE[change]
    changed = luma(apply(step, photograph))
    bits = listed(photograph)
    assert plain_distance(changed, bits) > 31, "plain PDQ would do"
    assert matching(changed, bits) & names


@pytest.mark.parametrize("left", [True, False])
def test_halves_of_a_collage_are_found(left: bool, photograph: Image.Image, luma: Luma) -> None:
    changed = luma(apply(transforms.collage(left=left), photograph))
    found = matching(changed, listed(photograph))
    assert any(name.startswith("half-left" if left else "half-right") for name in found)


@pytest.mark.parametrize("degrees", [-4.3, 2.6, 6.0])
def test_the_angle_of_a_turned_picture_is_read_off_its_corners(degrees: float, luma: Luma) -> None:
    picture = scene(31, 640, 480)
    turned = picture.rotate(degrees, Image.Resampling.BICUBIC)
    assert "straighten" in matching(luma(turned), listed(picture))


@pytest.mark.parametrize("degrees", [-1.75, 1.75])
def test_a_turned_and_cropped_picture_is_turned_back(degrees: float, luma: Luma) -> None:
    picture = scene(32, 640, 480)
    left = picture.rotate(degrees, Image.Resampling.BICUBIC).crop((14, 14, 626, 466))
    found = matching(luma(left), listed(picture))
    # Turned anticlockwise by PIL's sign, so undone to the right, and the other way round.
    assert {"turn-right-1.75" if degrees > 0 else "turn-left-1.75"} <= found


@pytest.mark.parametrize("seed", [1, 2, 5, 8])
def test_a_badge_in_any_corner_is_filled_in(seed: int, luma: Luma) -> None:
    picture = scene(33, 640, 480)
    changed = luma(apply(transforms.logo(0.28), picture, seed))
    assert "patch" in matching(changed, listed(picture))


def test_a_picture_with_more_around_it_is_zoomed_into(luma: Luma) -> None:
    whole = scene(34, 1000, 750)
    inside = whole.crop((40, 30, 960, 720))
    assert {"zoom-4"} <= matching(luma(whole), listed(inside))


def test_plain_hash_is_never_among_the_views_and_none_comes_twice(
    photograph: Image.Image, luma: Luma
) -> None:
    for step in (transforms.unchanged, transforms.border(0.1, None), transforms.screenshot):
        plane = luma(apply(step, photograph))
        spectrum = spectrum_from_luma(plane)
        hashes = [view.pdq for view in view_hashes(plane, spectrum)]
        assert spectrum.pdq().bits not in hashes
        assert len(set(hashes)) == len(hashes)


def test_an_ordinary_photograph_costs_few_lookups(photograph: Image.Image, luma: Luma) -> None:
    ordinary = views_of(luma(photograph))
    always = 7 + 2 + 4 + 2 + 4  # dihedral, inverted, padded, zoomed, turned
    assert len(ordinary) <= always + 12


@pytest.mark.parametrize("row", transforms.TRANSFORMS + transforms.EXTRAS, ids=lambda r: r.name)
def test_lookups_are_bounded_whatever_was_done(row: transforms.Transform, luma: Luma) -> None:
    views = views_of(luma(apply(row.apply, scene(35, 480, 360))))
    assert len(views) <= MOST_VIEWS
    assert all(0 < view.radius < 31 for view in views.values())


def test_featureless_and_tiny_pictures_have_no_views() -> None:
    for plane in (
        np.full((300, 400), 128, np.uint8),
        np.zeros((1, 1), np.uint8),
        np.zeros((4, 900), np.uint8),
        np.random.default_rng(1).integers(0, 255, (20, 20)).astype(np.uint8),
    ):
        assert view_hashes(plane, spectrum_from_luma(plane)) == ()


def test_every_kind_matches_less_far_than_the_plain_picture() -> None:
    assert all(rule.radius < 31 and rule.quality >= 50 for rule in RULES.values())
    assert RULES[Kind.NESTED].radius < RULES[Kind.FRAME].radius


def test_views_keep_the_quality_of_what_they_show(luma: Luma) -> None:
    framed = luma(ImageOps.expand(scene(36, 400, 300), 120, (255, 255, 255)))
    views = views_of(framed)
    assert views["mirror"].quality == spectrum_from_luma(framed).quality
    assert views["trim"].quality >= 80


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90))),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_any_luma_plane_is_looked_at_without_error(
    plane: np.ndarray, rows: int, columns: int
) -> None:
    large = np.ascontiguousarray(np.repeat(np.repeat(plane, rows, 0), columns, 1))
    views = view_hashes(large, spectrum_from_luma(large))
    assert len(views) <= MOST_VIEWS
    assert all(len(view.pdq) == 32 for view in views)


@pytest.mark.parametrize("shape", [(24, 3000), (3000, 24), (255, 256), (511, 1023), (2049, 130)])
def test_odd_shapes_are_looked_at(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(3).integers(0, 255, shape).astype(np.uint8)
    names = views_of(plane)
    assert "mirror" in names
