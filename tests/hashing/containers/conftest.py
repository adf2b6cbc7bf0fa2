"""Small pictures to put into containers."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tutela.core import Media
from tutela.hashing.media import hash_media
from tutela.hashing.options import HashOptions


def _draw(number: int) -> Image.Image:
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8))
    return coarse.resize((240, 180), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def draw() -> Callable[[int], Image.Image]:
    """A picture of its own for each number."""
    return _draw


@pytest.fixture(scope="session")
def jpeg() -> Callable[[int], bytes]:
    """The same as a JPEG file."""

    def make(number: int) -> bytes:
        out = io.BytesIO()
        _draw(number).save(out, "JPEG", quality=90)
        return out.getvalue()

    return make


@pytest.fixture(scope="session")
def examine() -> Callable[..., Media]:
    """Hash bytes in this process, without views."""

    def run(data: bytes, **options: object) -> Media:
        return hash_media(io.BytesIO(data), HashOptions(views=False, **options))

    return run
