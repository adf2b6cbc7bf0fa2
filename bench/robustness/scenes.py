"""Photograph-like pictures made from a seed: occluding things under one light.

The statistics follow the dead-leaves model (Lee, Mumford and Huang 2001): things of power-law
size cover one another, each with its own colour, shading and 1/f texture, over a ground of sky
and land or wall; then light falling off, depth blur and grain. No two seeds share anything but
the laws they are drawn from.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from PIL import Image, ImageFilter

TILE = 512
"""Side of the 1/f noise tile that textures are read from; a power of two."""


def _noise_tile(rng: np.random.Generator, slope: float) -> np.ndarray:
    frequencies = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None, :])
    frequencies[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=(TILE, TILE))) / frequencies**slope
    spectrum[0, 0] = 0
    tile = np.fft.irfft2(spectrum, s=(TILE, TILE))
    return (tile / tile.std()).astype(np.float32)


_TILES = np.stack([_noise_tile(np.random.default_rng(77 + k), 0.7 + 0.3 * k) for k in range(4)])


@numba.njit(cache=True, nogil=True)
def _paint(canvas: np.ndarray, tiles: np.ndarray, things: np.ndarray) -> None:
    """Things in order, back to front. Columns: x, y, half width, half height, angle, shape,
    red, green, blue, shade along, shade across, texture amount, texture scale, tile, tile x, y."""
    height, width = canvas.shape[:2]
    for index in range(things.shape[0]):
        x, y, half_width, half_height, angle, shape = things[index, :6]
        cosine, sine = math.cos(angle), math.sin(angle)
        reach = math.hypot(half_width, half_height)
        amount, scale = things[index, 11], things[index, 12]
        tile = tiles[int(things[index, 13])]
        for row in range(max(0, int(y - reach)), min(height, int(y + reach) + 1)):
            for column in range(max(0, int(x - reach)), min(width, int(x + reach) + 1)):
                along = ((column - x) * cosine + (row - y) * sine) / half_width
                across = (-(column - x) * sine + (row - y) * cosine) / half_height
                if shape < 0.55:
                    inside = along * along + across * across <= 1.0
                elif shape < 0.85:
                    inside = abs(along) <= 1.0 and abs(across) <= 1.0
                else:
                    inside = abs(along) <= 1.0 and abs(across) <= 0.5 * (1.0 - along)
                if not inside:
                    continue
                u = int(
                    (column - x) * cosine * scale + (row - y) * sine * scale + things[index, 14]
                )
                v = int(
                    (row - y) * cosine * scale - (column - x) * sine * scale + things[index, 15]
                )
                value = 1.0 + things[index, 9] * along + things[index, 10] * across
                value += amount * tile[v & 511, u & 511]
                for channel in range(3):
                    canvas[row, column, channel] = things[index, 6 + channel] * value


def scene(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """One picture, RGB, the same for the same seed and size."""
    rng = np.random.default_rng([seed, 20_25])
    longest = max(width, height)
    count = int(rng.integers(12, 160))
    hues = rng.uniform(30, 225, (int(rng.integers(2, 7)), 3))
    grey = hues.mean(axis=1, keepdims=True)
    hues = grey + (hues - grey) * rng.uniform(0.2, 0.9)
    sizes = longest * 0.5 * (rng.pareto(1.6, count) * 0.06 + 0.015)
    sizes = np.sort(np.minimum(sizes, longest * rng.uniform(0.15, 0.45)))[::-1]
    if rng.random() < 0.5:
        rng.shuffle(sizes)
    things = np.empty((count + 2, 16))
    horizon = rng.uniform(0.25, 0.8) * height
    things[:, 0] = rng.uniform(-0.05, 1.05, count + 2) * width
    things[:, 1] = rng.uniform(-0.05, 1.05, count + 2) * height
    if rng.random() < 0.4:  # a subject in the middle
        middle = rng.integers(2, count + 2, max(1, count // 4))
        things[middle, 0] = rng.normal(0.5, 0.12, len(middle)) * width
        things[middle, 1] = rng.normal(0.5, 0.12, len(middle)) * height
    things[2:, 2] = sizes
    things[2:, 3] = sizes * rng.uniform(0.3, 1.0, count)
    upright = rng.random() < 0.5
    things[:, 4] = rng.normal(0, 0.06, count + 2) if upright else rng.uniform(0, 6.3, count + 2)
    things[:, 5] = rng.random(count + 2)
    things[:, 6:9] = hues[rng.integers(0, len(hues), count + 2)] * rng.uniform(
        0.6, 1.3, (count + 2, 1)
    )
    things[:, 9:11] = rng.normal(0, 0.18, (count + 2, 2))
    things[:, 11] = rng.uniform(0, 0.22, count + 2)
    things[:, 12] = rng.uniform(0.3, 2.5, count + 2) * 640 / longest
    things[:, 13] = rng.integers(0, 4, count + 2)
    things[:, 14:16] = rng.integers(0, TILE, (count + 2, 2))
    # The ground: everything, and the part below the horizon.
    things[0, :6] = (width / 2, height / 2, width, height, 0, 0.7)
    things[1, :6] = (width / 2, horizon + height, width, height, rng.normal(0, 0.05), 0.7)
    canvas = np.empty((height, width, 3))
    _paint(canvas, _TILES, things)
    rows, columns = np.mgrid[0:height, 0:width]
    angle = rng.uniform(0, 2 * math.pi)
    slope = (columns / width - 0.5) * math.cos(angle) + (rows / height - 0.5) * math.sin(angle)
    light = 1 + rng.uniform(0, 0.7) * slope
    canvas *= light[:, :, None]
    picture = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6) * longest / 640))
    grain = rng.normal(0, rng.uniform(0, 5), (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
