"""Generated landscapes: harmless pictures with the texture of photographs.

Each seed gives one picture, always the same. They are drawn from fractal noise: a sky with clouds,
a sun or moon, ridges of mountains that fade with distance, water or meadow with trees.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

Plane = NDArray[np.float32]


def _noise(
    rng: np.random.Generator, height: int, width: int, octaves: int, falloff: float
) -> Plane:
    """Fractal noise between 0 and 1, shape (height, width)."""
    total = np.zeros((height, width), np.float32)
    strength = 1.0
    for octave in range(octaves):
        cells = 2 ** (octave + 2)
        grid = rng.random((cells + 1, int(cells * width / height) + 2), dtype=np.float32)
        layer = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += strength * np.asarray(layer)
        strength *= falloff
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def _ridge(rng: np.random.Generator, width: int, roughness: float) -> NDArray[np.float32]:
    """A mountain line: midpoint displacement, values around 0, length ``width``."""
    points = rng.normal(0, 0.5, 3)
    spread = 0.5
    while len(points) < width:
        middle = (points[:-1] + points[1:]) / 2 + rng.normal(0, spread, len(points) - 1)
        merged = np.empty(2 * len(points) - 1)
        merged[0::2], merged[1::2] = points, middle
        points, spread = merged, spread * roughness
    at = np.linspace(0, len(points) - 1, width)
    return np.interp(at, np.arange(len(points)), points).astype(np.float32)


def _mix(low: NDArray[np.float32], high: NDArray[np.float32], share: Plane) -> NDArray[np.float32]:
    return low + (high - low) * share[..., None]


def _sky(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    dusk = rng.random()
    top = np.array([40 + 90 * dusk, 80 + 60 * rng.random(), 150 + 70 * rng.random()], np.float32)
    low = np.array(
        [200 + 50 * rng.random(), 160 + 60 * (1 - dusk), 130 + 90 * (1 - dusk)], np.float32
    )
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, 1)
    sky = _mix(top, low, down)
    clouds = np.clip((_noise(rng, height, width, 6, 0.55) - 0.45) * 2.6, 0, 1)
    sky = _mix(sky, np.array([245, 240, 235], np.float32), clouds * (0.4 + 0.5 * rng.random()))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    sun_y, sun_x = height * rng.uniform(0.1, 0.4), width * rng.uniform(0.1, 0.9)
    radius = height * rng.uniform(0.03, 0.08)
    away = np.hypot(y - sun_y, x - sun_x)
    glow = np.exp(-((away / (radius * 5)) ** 2)) * 0.6 + (away < radius)
    return _mix(sky, np.array([255, 244, 214], np.float32), np.clip(glow, 0, 1).astype(np.float32))


def scene(seed: int, width: int = 1600, height: int = 1200) -> Image.Image:
    """The landscape of ``seed``, RGB, ``width`` by ``height`` pixels."""
    rng = np.random.default_rng(seed)
    small_w, small_h = max(width // 2, 64), max(height // 2, 48)
    picture = _sky(rng, small_h, small_w)
    texture = _noise(rng, small_h, small_w, 7, 0.7)
    rows = np.arange(small_h, dtype=np.float32)[:, None]
    horizon = rng.uniform(0.45, 0.65)
    layers = int(rng.integers(2, 5))
    for depth in range(layers):
        near = (depth + 1) / layers
        base = small_h * (horizon - 0.18 + 0.28 * near)
        line = base - _ridge(rng, small_w, 0.55 + 0.1 * rng.random()) * small_h * 0.13
        colour = np.array(
            [rng.uniform(20, 90), rng.uniform(50, 110), rng.uniform(40, 110)], np.float32
        )
        haze = np.array([170, 180, 200], np.float32)
        tone = haze + (colour - haze) * (0.25 + 0.75 * near)
        body = tone[None, None, :] * (0.55 + 0.9 * texture[..., None])
        inside = np.clip((rows - line[None, :]) / 1.5, 0, 1)
        picture = picture * (1 - inside[..., None]) + body * inside[..., None]
    water = rng.random() < 0.5
    shore = int(small_h * rng.uniform(0.72, 0.85))
    if water:
        depth_rows = small_h - shore
        mirror = picture[max(shore - depth_rows, 0) : shore][::-1]
        ripple = _noise(rng, mirror.shape[0], small_w, 7, 0.8)[..., None]
        picture[shore : shore + mirror.shape[0]] = mirror * (0.55 + 0.35 * ripple)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    _trees(rng, image, shore)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.UnsharpMask(2, 60, 2))


def _trees(rng: np.random.Generator, image: Image.Image, shore: int) -> None:
    draw = ImageDraw.Draw(image)
    width, height = image.size
    for _ in range(int(rng.integers(4, 22))):
        x, foot = rng.uniform(0, width), rng.uniform(shore, height)
        tall = (foot - shore + height * 0.08) * rng.uniform(0.5, 1.3)
        shade = tuple(int(v) for v in rng.uniform((10, 30, 15), (50, 90, 45)))
        for tier in range(5):
            top = foot - tall + tier * tall * 0.16
            half = tall * (0.08 + 0.05 * tier)
            draw.polygon(
                [(x, top), (x - half, top + tall * 0.3), (x + half, top + tall * 0.3)], shade
            )


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    """The picture as JPEG bytes."""
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def disguised(image: Image.Image) -> bytes:
    """The same picture as somebody hiding it would send it again.

    Resized to 62 %, mirrored, given a white border of 6 %, and recompressed at quality 45.
    """
    width, height = image.size
    small = ImageOps.mirror(image.resize((int(width * 0.62), int(height * 0.62))))
    return jpeg(ImageOps.expand(small, border=int(small.width * 0.06), fill="white"), 45)
