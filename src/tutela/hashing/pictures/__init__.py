"""Pictures: from a file's bytes to planes of luma, whatever the format and however it is saved.

``open_pictures`` canonicalises first (palette, CMYK, 16 bit, transparency, EXIF, animation), so
that the same photo gives the same hash however it was saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from tutela.core import FaultKind, HashMode
from tutela.hashing.sniff import Format

from .canvas import Canvas, PictureFault, PictureLimits
from .jpeg import open_jpeg


def open_pictures(
    source: BinaryIO, fmt: Format, *, mode: HashMode, limits: PictureLimits
) -> Iterator[Canvas]:
    """The pictures in a file of the sniffed format ``fmt``, one plane at a time.

    ``source`` is read from its start. Raises ``PictureFault`` for what cannot be decoded, after
    yielding what could: a truncated file gives its picture as far as it goes, then the fault.
    Nothing else is raised for what a file is.
    """
    source.seek(0)
    data = source.read()
    try:
        yield from _opened(data, fmt.name, mode, limits)
    except MemoryError:
        raise PictureFault(
            FaultKind.OVER_LIMIT, "It needs more memory than a file may use."
        ) from None
    except PictureFault:
        raise
    except Exception as error:
        raise PictureFault(
            FaultKind.DAMAGED, f"It cannot be read ({type(error).__name__})."
        ) from None


def _opened(data: bytes, name: str, mode: HashMode, limits: PictureLimits) -> Iterator[Canvas]:
    if name == "jpeg":
        return open_jpeg(data, mode, limits)
    if name == "heic":
        from .heif import open_heif

        return open_heif(data, mode, limits)
    from .pillow import FORMATS, open_with_pillow

    if name not in FORMATS:
        raise PictureFault(FaultKind.UNSUPPORTED, f"Pictures in {name.upper()} are not supported.")
    return open_with_pillow(name, data, mode, limits)


__all__ = ["Canvas", "PictureFault", "PictureLimits", "open_pictures"]
