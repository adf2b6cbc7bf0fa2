"""Arithmetic on whole planes that both hashing and canonicalising need, at memory speed."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


@njit(cache=True, nogil=True, error_model="numpy")
def luma_of_rgb(rgb: U8) -> U8:
    """HxW uint8 luma of HxWx3 RGB or HxWx4 RGBA, rounded (ITU-R BT.601, as JPEG's Y)."""
    height, width = rgb.shape[:2]
    luma = np.empty((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            luma[y, x] = np.uint8(
                (
                    np.uint32(19595) * rgb[y, x, 0]
                    + np.uint32(38470) * rgb[y, x, 1]
                    + np.uint32(7471) * rgb[y, x, 2]
                    + np.uint32(32768)
                )
                >> np.uint32(16)
            )
    return luma


@njit(cache=True, nogil=True, error_model="numpy")
def over_ground(luma: U8, alpha: U8, ground: int) -> U8:
    """A plane seen through its alpha (0 clear, 255 solid) on an even ground of 0 to 255."""
    height, width = luma.shape
    out = np.empty((height, width), np.uint8)
    behind = np.uint32(ground)
    for y in range(height):
        for x in range(width):
            solid = np.uint32(alpha[y, x])
            mixed = solid * luma[y, x] + (np.uint32(255) - solid) * behind
            out[y, x] = np.uint8((mixed + np.uint32(127)) // np.uint32(255))
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def luma_of_inks(inks: U8, inverted: bool) -> U8:
    """HxW uint8 luma of HxWx4 CMYK; ``inverted`` where 255 means no ink, as Adobe writes it."""
    height, width = inks.shape[:2]
    luma = np.empty((height, width), np.uint8)
    turn = np.uint32(0 if inverted else 255)
    for y in range(height):
        for x in range(width):
            colour = (
                np.uint32(19595) * (turn ^ np.uint32(inks[y, x, 0]))
                + np.uint32(38470) * (turn ^ np.uint32(inks[y, x, 1]))
                + np.uint32(7471) * (turn ^ np.uint32(inks[y, x, 2]))
            ) >> np.uint32(8)
            light = colour * (turn ^ np.uint32(inks[y, x, 3]))
            luma[y, x] = np.uint8(((light >> np.uint32(8)) + np.uint32(127)) // np.uint32(255))
    return luma


def warm_planes() -> None:
    """Compiles or loads these kernels."""
    tiny = np.zeros((2, 2, 4), np.uint8)
    plane = luma_of_rgb(tiny[:, :, :3].copy())
    luma_of_rgb(tiny)
    over_ground(plane, plane, 255)
    luma_of_inks(tiny, True)
