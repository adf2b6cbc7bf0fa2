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
LARGE_PAGE = 2000
"""Longest side, points, from which on pictures put together are drawn by themselves too."""
MOST_DETAILS = 32
"""Such pictures on one page."""
TOUCH = 2.0
"""Points between pictures that count as touching."""
Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""
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
        document.init_forms()  # buttons and other fields are drawn only then
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
                yield from _annexes(document, page, number + 1)
                yield f"page-{number + 1}", _drawn(page)
                yield from _details(page, number + 1)
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


def _annexes(document: Any, page: Any, number: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Files attached to a place on the page (ISO 32000-1, 12.5.6.15)."""
    import pypdfium2 as pdfium
    from pypdfium2 import raw

    for index in range(raw.FPDFPage_GetAnnotCount(page)):
        note = raw.FPDFPage_GetAnnot(page, index)
        if not note:
            continue
        try:
            if raw.FPDFAnnot_GetSubtype(note) != raw.FPDF_ANNOT_FILEATTACHMENT:
                continue
            held = raw.FPDFAnnot_GetFileAttachment(note)
            name = f"page-{number}/attachment-{index + 1}"
            try:
                data = bytes(pdfium.PdfAttachment(held, document).get_data()) if held else b""
            except pdfium.PdfiumError:
                data = b""
            yield name, iter((data,)) if data else _bad("This attachment cannot be read.")
        finally:
            raw.FPDFPage_CloseAnnot(note)


def _drawn(page: Any) -> Iterator[bytes]:
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise BadMember(FaultKind.DAMAGED, "This page has no size.")
    yield from _rendered(page, PAGE_SIDE / max(width, height))


def _rendered(page: Any, scale: float, crop: Box = (0, 0, 0, 0)) -> Iterator[bytes]:
    import pypdfium2 as pdfium

    try:
        bitmap = page.render(scale=scale, crop=crop)
    except (pdfium.PdfiumError, ValueError) as error:
        raise BadMember(FaultKind.DAMAGED, "This page cannot be drawn.") from error
    yield _as_bmp(bitmap)


def _details(page: Any, number: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Pictures put together from several, where the page as a whole shows them too small."""
    from pypdfium2 import raw

    left, bottom, right, top = page.get_mediabox()
    longest = max(right - left, top - bottom)
    if longest <= LARGE_PAGE or page.get_rotation():
        return
    found = page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM], max_depth=1)
    for index, box in enumerate(_groups([o.get_bounds() for o in found]), 1):
        if index > MOST_DETAILS:
            raise BadMember(FaultKind.OVER_LIMIT, "Too many pictures lie on one large page.")
        side = max(box[2] - box[0], box[3] - box[1])
        if 1 <= side < longest / 2:
            crop = (box[0] - left, box[1] - bottom, right - box[2], top - box[3])
            yield f"page-{number}/detail-{index}", _rendered(page, PAGE_SIDE / side, crop)


def _groups(boxes: list[Box]) -> list[Box]:
    """The boxes around what touches or overlaps; alone, a picture is examined as it is."""
    groups: list[tuple[Box, int]] = []
    for box in boxes:
        around, count = box, 1
        while True:
            near = [one for one in groups if _touch(around, one[0])]
            if not near:
                break
            groups = [one for one in groups if one not in near]
            count += sum(number for _, number in near)
            every = [around, *(other for other, _ in near)]
            around = (
                min(one[0] for one in every),
                min(one[1] for one in every),
                max(one[2] for one in every),
                max(one[3] for one in every),
            )
        groups.append((around, count))
    return [box for box, count in groups if count > 1]


def _touch(one: Box, other: Box) -> bool:
    return (
        one[0] <= other[2] + TOUCH
        and other[0] <= one[2] + TOUCH
        and one[1] <= other[3] + TOUCH
        and other[1] <= one[3] + TOUCH
    )


def _as_bmp(bitmap: Any) -> bytes:
    out = io.BytesIO()
    bitmap.to_pil().convert("RGB").save(out, "BMP")
    bitmap.close()
    return out.getvalue()


def _bad(detail: str) -> Iterator[bytes]:
    raise BadMember(FaultKind.DAMAGED, detail)
    yield b""
