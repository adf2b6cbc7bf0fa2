"""The question that the robustness table answers stays the one that was frozen."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.robustness import transforms

FROZEN_SHA256 = "d6c8feea1be6e1f1f55a9fd3d68b4bcd9e36f272b3ff2281d5e2b6b772abf248"


def test_transforms_are_the_frozen_ones() -> None:
    source = Path(transforms.__file__).read_bytes()
    assert hashlib.sha256(source).hexdigest() == FROZEN_SHA256, (
        "transforms.py was frozen before views were tuned; add rows in another file"
    )


def test_there_are_42_rows_with_names_of_their_own() -> None:
    names = [row.name for row in transforms.TRANSFORMS + transforms.EXTRAS]
    assert len(transforms.TRANSFORMS) == 42
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", transforms.TRANSFORMS + transforms.EXTRAS, ids=lambda row: row.name)
def test_same_seed_same_picture(row: transforms.Transform) -> None:
    ramp = np.linspace(0, 255, 160 * 120 * 3).reshape(120, 160, 3).astype(np.uint8)
    picture, partner = Image.fromarray(ramp), Image.fromarray(ramp[::-1].copy())
    first = row.apply(picture, partner, random.Random(5))
    again = row.apply(picture, partner, random.Random(5))
    assert first.mode == "RGB"
    assert first.size == again.size
    assert first.tobytes() == again.tobytes()
