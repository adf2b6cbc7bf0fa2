"""Pictures for the views: packaged photographs, a generated scene, and the reference's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

PHOTOGRAPHS = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"]
SHARED = ROOT / ".." / "shared" / "data" / "pdq" / "dihedral" / "bridge-1-original.jpg"


def _photographs() -> list[Path]:
    folder = Path(skimage.__file__).parent / "data"
    return [folder / name for name in PHOTOGRAPHS] + ([SHARED] if SHARED.is_file() else [])


@pytest.fixture(params=_photographs(), ids=lambda path: path.stem)
def photograph(request: pytest.FixtureRequest) -> Image.Image:
    """Real pictures, RGB, at most 720 pixels a side."""
    with Image.open(request.param) as picture:
        opaque = picture.convert("RGB")
    opaque.thumbnail((720, 720))
    return opaque


@pytest.fixture
def luma() -> Callable[[Image.Image], np.ndarray]:
    """The luma plane of a picture after it was saved as JPEG, quality 80."""
    from bench.robustness.recall import opened

    def of(picture: Image.Image) -> np.ndarray:
        import io

        out = io.BytesIO()
        picture.convert("RGB").save(out, "JPEG", quality=80)
        return opened(out.getvalue())

    return of
