"""The one EXIF field that changes what people see: the orientation.

Source: CIPA DC-008 (EXIF 2.32), TIFF 6.0 for the directory.
"""

from __future__ import annotations

from .canvas import EXIF_DIHEDRALS

_ORIENTATION = 0x0112
_SHORT = 3
_MAX_ENTRIES = 512


def orientation_of(exif: bytes) -> str | None:
    """What a viewer does to the picture (see ``EXIF_DIHEDRALS``), or None for nothing.

    ``exif`` is the TIFF structure, with or without the ``Exif`` prefix. Never raises: what makes
    no sense is no orientation, as viewers take it.
    """
    if exif.startswith(b"Exif\x00"):
        exif = exif[6:]
    if exif[:4] == b"II*\x00":
        order = "little"
    elif exif[:4] == b"MM\x00*":
        order = "big"
    else:
        return None

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], "little" if order == "little" else "big")

    start = number(4, 4)
    for entry in range(min(number(start, 2), _MAX_ENTRIES)):
        at = start + 2 + 12 * entry
        if at + 12 > len(exif):
            return None
        if number(at, 2) == _ORIENTATION:
            value = number(at + 8, 2 if number(at + 2, 2) == _SHORT else 4)
            return EXIF_DIHEDRALS.get(value)
    return None
