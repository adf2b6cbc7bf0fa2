"""Arithmetic on planes agrees with Pillow's and with plain sums."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tutela.hashing.pdq.planes import luma_of_inks, luma_of_rgb, over_ground

RANDOM = np.random.default_rng(3)
PIXELS = RANDOM.integers(0, 256, (61, 83, 4), dtype=np.uint8)


def test_luma_is_pillows() -> None:
    rgb = PIXELS[:, :, :3].copy()
    assert np.array_equal(luma_of_rgb(rgb), np.asarray(Image.fromarray(rgb).convert("L")))
    assert np.array_equal(luma_of_rgb(PIXELS), luma_of_rgb(rgb))


def test_a_plane_on_a_ground_is_mixed_by_its_alpha() -> None:
    luma, alpha = PIXELS[:, :, 0].copy(), PIXELS[:, :, 3].copy()
    for ground in (0, 90, 255):
        wanted = luma * (alpha / 255) + ground * (1 - alpha / 255)
        assert np.abs(over_ground(luma, alpha, ground) - wanted).max() <= 0.5 + 1e-9


def test_inks_give_the_luma_of_their_colours_whichever_way_round() -> None:
    inks = PIXELS
    light = (255 - inks[:, :, :3].astype(float)) * (255 - inks[:, :, 3:].astype(float)) / 255
    wanted = light @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma_of_inks(inks, False) - wanted).max() <= 1.0
    assert np.array_equal(luma_of_inks(255 - inks, True), luma_of_inks(inks, False))
