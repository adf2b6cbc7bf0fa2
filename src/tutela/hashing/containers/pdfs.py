"""PDF documents: the pictures embedded in them, what is attached, and every page as it shows.

Embedded JPEGs are taken out byte for byte, so their digests are those of the file that went in.
Pages are drawn too, at low resolution: vector art, masks and tiled pictures exist only there.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from tutela.core import FaultKind

from .member import BadMember

if TYPE_CHECKING:
    from .budget import Budget

PAGE_SIDE = 1024
"""Longest side of a drawn page, pixels."""
OBJECT_DEPTH = 8
"""Forms inside forms that are looked into."""
AS_THEY_ARE = ("DCTDecode", "JPXDecode")
"""Filters whose data is a picture file by itself."""
ERR_PASSWORD = 4
ERR_SECURITY = 5


def members(reader: BinaryIO, budget: Budget) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Names and contents of pictures, attachments and drawn pages (as BMP).

    Raises ``BadMember`` where the document cannot be opened or read on.
    """
    import pypdfium2 as pdfium

    try:
        document = pdfium.PdfDocument(reader)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) in {ERR_PASSWORD, ERR_SECURITY}:
            raise BadMember(FaultKind.ENCRYPTED, "The document is encrypted.") from error
        raise BadMember(FaultKind.DAMAGED, "The document is damaged.") from error
    try:
        seen: set[bytes] = set()
        for index in range(document.count_attachments()):
            attachment = document.get_attachment(index)
            yield f"attachment-{index + 1}", iter((bytes(attachment.get_data()),))
        for number in range(len(document)):
            budget.tick()
            try:
                page = document[number]
            except pdfium.PdfiumError:
                yield f"page-{number + 1}", _bad("This page is damaged.")
                continue
            try:
                yield from _pictures(page, number + 1, budget, seen)
                yield f"page-{number + 1}", _drawn(page)
            finally:
                page.close()
    except pdfium.PdfiumError as error:
        raise BadMember(FaultKind.DAMAGED, "The document is damaged.") from error
    finally:
        document.close()


def _pictures(
    page: Any, number: int, budget: Budget, seen: set[bytes]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    from pypdfium2 import raw

    found = page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=OBJECT_DEPTH)
    for index, picture in enumerate(found, 1):
        budget.tick()
        name = f"page-{number}/picture-{index}"
        packed = bytes(picture.get_data(decode_simple=False))
        mark = hashlib.sha256(packed).digest()
        if mark in seen:
            continue
        seen.add(mark)
        filters = picture.get_filters()
        if filters and filters[-1] in AS_THEY_ARE:
            data = packed if len(filters) == 1 else bytes(picture.get_data(decode_simple=True))
            yield name, iter((data,))
        else:
            yield name, _bitmap(picture, budget)


def _bitmap(picture: Any, budget: Budget) -> Iterator[bytes]:
    import pypdfium2 as pdfium

    width, height = picture.get_px_size()
    if width * height > budget.options.max_pixels:
        raise BadMember(FaultKind.OVER_LIMIT, "This picture has too many pixels.")
    try:
        bitmap = picture.get_bitmap(render=False)
    except pdfium.PdfiumError as error:
        raise BadMember(FaultKind.DAMAGED, "This picture is damaged.") from error
    yield _as_bmp(bitmap)


def _drawn(page: Any) -> Iterator[bytes]:
    import pypdfium2 as pdfium

    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise BadMember(FaultKind.DAMAGED, "This page has no size.")
    try:
        bitmap = page.render(scale=PAGE_SIDE / max(width, height), may_draw_forms=False)
    except (pdfium.PdfiumError, ValueError) as error:
        raise BadMember(FaultKind.DAMAGED, "This page cannot be drawn.") from error
    yield _as_bmp(bitmap)


def _as_bmp(bitmap: Any) -> bytes:
    out = io.BytesIO()
    bitmap.to_pil().convert("RGB").save(out, "BMP")
    bitmap.close()
    return out.getvalue()


def _bad(detail: str) -> Iterator[bytes]:
    raise BadMember(FaultKind.DAMAGED, detail)
    yield b""
