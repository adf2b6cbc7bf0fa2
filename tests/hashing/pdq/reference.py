"""PDQ written down plainly in single precision, as the reference implementation does it.

An independent check for tests: slow, no Numba, no shortcuts. Source: facebook/ThreatExchange,
``pdq/cpp`` (box filters, decimation, quality, DCT, Torben's median) and the Python binding
``pdqhash`` (luma in double precision).
"""

from __future__ import annotations

import math

import numpy as np

ORDER = (
    "",
    "rotate-90",
    "rotate-180",
    "rotate-270",
    "flip",
    "mirror",
    "transpose",
    "transverse",
)


def reference_hashes(rgb: np.ndarray) -> tuple[dict[str, str], int]:
    """The eight dihedral hashes in hexadecimal, and the quality."""
    luma = (rgb[:, :, 0] * 0.299 + rgb[:, :, 1] * 0.587 + rgb[:, :, 2] * 0.114).astype("float32")
    height, width = luma.shape
    if height < 5 or width < 5:
        return dict.fromkeys(ORDER, "0" * 64), 0
    if luma.shape != (64, 64):
        for _ in range(2):
            luma = _box(luma.T, (width + 127) // 128).T
            luma = _box(luma, (height + 127) // 128)
        rows = [int(((i + 0.5) * height) / 64) for i in range(64)]
        columns = [int(((j + 0.5) * width) / 64) for j in range(64)]
        luma = luma[np.ix_(rows, columns)]
    dct = _dct(luma)
    i, j = np.mgrid[:16, :16]
    rows, columns, odd = (i % 2 == 0), (j % 2 == 0), ((i + j) % 2 == 1)
    variants = {
        "": dct,
        "rotate-90": np.where(columns, -dct, dct).T,
        "rotate-180": np.where(odd, -dct, dct),
        "rotate-270": np.where(rows, -dct, dct).T,
        "flip": np.where(rows, -dct, dct),
        "mirror": np.where(columns, -dct, dct),
        "transpose": dct.T,
        "transverse": np.where(odd, -dct, dct).T,
    }
    return {name: _bits(values) for name, values in variants.items()}, _quality(luma)


def _box(plane: np.ndarray, window: int) -> np.ndarray:
    """A box filter down the columns, as running sums in single precision."""
    height = plane.shape[0]
    half = (window + 2) // 2
    out = np.empty_like(plane)
    total = np.zeros(plane.shape[1], np.float32)
    size = left = right = write = 0
    for _ in range(half - 1):
        total = total + plane[right]
        size, right = size + 1, right + 1
    for _ in range(window - half + 1):
        total = total + plane[right]
        size, right = size + 1, right + 1
        out[write] = total / np.float32(size)
        write += 1
    for _ in range(height - window):
        total = total + plane[right]
        total = total - plane[left]
        out[write] = total / np.float32(size)
        left, right, write = left + 1, right + 1, write + 1
    for _ in range(half - 1):
        total = total - plane[left]
        size, left = size - 1, left + 1
        out[write] = total / np.float32(size)
        write += 1
    return out


def _dct(samples: np.ndarray) -> np.ndarray:
    scale = float(np.float32(math.sqrt(2.0 / 64)))
    matrix = np.array(
        [
            [scale * math.cos((math.pi / 2 / 64) * (i + 1) * (2 * j + 1)) for j in range(64)]
            for i in range(16)
        ],
        np.float32,
    )
    half = np.zeros((16, 64), np.float32)
    for k in range(64):
        half = half + matrix[:, k : k + 1] * samples[k]
    out = np.zeros((16, 16), np.float32)
    for k in range(64):
        out = out + half[:, k : k + 1] * matrix[:, k]
    return out


def _quality(samples: np.ndarray) -> int:
    down = (samples[:-1] - samples[1:]) * np.float32(100) / np.float32(255)
    across = (samples[:, :-1] - samples[:, 1:]) * np.float32(100) / np.float32(255)
    gradients = np.abs(down.astype(int)).sum() + np.abs(across.astype(int)).sum()
    return min(int(gradients) // 90, 100)


def _bits(dct: np.ndarray) -> str:
    median = np.sort(dct.ravel())[127]
    bits = (dct.ravel() > median)[::-1]
    return np.packbits(bits).tobytes().hex()
