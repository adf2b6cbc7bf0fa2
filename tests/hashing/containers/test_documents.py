"""PDF documents, pictures in text, and what is hidden behind the end of a picture."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import io
import zipfile
from collections.abc import Callable

import pypdfium2 as pdfium
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from pypdfium2 import raw

from tutela.core import FaultKind, Media, MediaKind
from tutela.hashing.containers.scan import positions
from tutela.hashing.pdq import distance

Examine = Callable[..., Media]
Jpeg = Callable[[int], bytes]
Draw = Callable[[int], Image.Image]


def document(pages: list[bytes | Image.Image]) -> bytes:
    """A PDF with one picture on each page, JPEGs as they are, others as raw pixels."""
    made = pdfium.PdfDocument.new()
    for content in pages:
        page = made.new_page(300, 300)
        picture = pdfium.PdfImage.new(made)
        if isinstance(content, bytes):
            picture.load_jpeg(io.BytesIO(content), inline=True)
        else:
            picture.set_bitmap(pdfium.PdfBitmap.from_pil(content))
        picture.set_matrix(pdfium.PdfMatrix().scale(240, 180).translate(30, 60))
        page.insert_obj(picture)
        page.gen_content()
    out = io.BytesIO()
    made.save(out)
    made.close()
    return out.getvalue()


def with_attachment(data: bytes) -> bytes:
    made = pdfium.PdfDocument.new()
    made.new_page(100, 100)
    attachment = made.new_attachment("hidden.zip")
    attachment.set_data(data)
    out = io.BytesIO()
    made.save(out)
    made.close()
    return out.getvalue()


def near(media: Media, jpeg: bytes, examine: Examine) -> int:
    """The least distance between a picture and any in the file."""
    wanted = examine(jpeg).pictures[0].pdq
    found = [picture.pdq for part in media.walk() for picture in part.pictures]
    return min(distance(wanted, pdq) for pdq in found)


def test_an_embedded_jpeg_keeps_its_digests(examine: Examine, jpeg: Jpeg) -> None:
    media = examine(document([jpeg(1), jpeg(2)]))
    assert (media.kind, media.format, media.all_faults()) == (MediaKind.CONTAINER, "pdf", ())
    wheres = {part.where: part for part in media.members}
    assert set(wheres) == {"page-1/picture-1", "page-1", "page-2/picture-1", "page-2"}
    for number in (1, 2):
        member = wheres[f"page-{number}/picture-1"]
        assert member.digests.sha256 == hashlib.sha256(jpeg(number)).digest()
        assert member.pictures == examine(jpeg(number)).pictures


def test_raw_pixels_and_drawn_pages_are_hashed(examine: Examine, jpeg: Jpeg, draw: Draw) -> None:
    media = examine(document([draw(1)]))
    assert near(media, jpeg(1), examine) <= 12
    page = next(part for part in media.members if part.where == "page-1")
    assert max(page.pictures[0].width, page.pictures[0].height) == 1024


def test_a_picture_used_on_every_page_is_hashed_once(examine: Examine, jpeg: Jpeg) -> None:
    media = examine(document([jpeg(1)] * 4))
    assert [part.where for part in media.members if "picture" in part.where] == ["page-1/picture-1"]


def test_attachments_are_opened(examine: Examine, jpeg: Jpeg) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("1.jpg", jpeg(1))
    media = examine(with_attachment(packed.getvalue()))
    assert hashlib.sha256(jpeg(1)).digest() in {part.digests.sha256 for part in media.walk()}


def test_pages_are_counted_as_members(examine: Examine, jpeg: Jpeg) -> None:
    media = examine(document([jpeg(n) for n in range(6)]), max_members=5)
    assert [fault.kind for fault in media.faults] == [FaultKind.OVER_LIMIT]
    assert len(media.members) == 5


def test_too_many_pixels_are_refused_before_decoding(examine: Examine, draw: Draw) -> None:
    media = examine(document([draw(1)]), max_pixels=1000)
    assert {fault.kind for fault in media.all_faults()} == {FaultKind.OVER_LIMIT}


ENCRYPTED = (
    b"%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n"
    b"2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\n"
    b"3 0 obj\n<</Filter/Standard/V 1/R 2/P -4/O<" + b"ab" * 32 + b">/U<" + b"cd" * 32 + b">>>\n"
    b"endobj\nxref\n0 4\n0000000000 65535 f \n0000000009 00000 n \n0000000054 00000 n \n"
    b"0000000101 00000 n \ntrailer\n<</Size 4/Root 1 0 R/Encrypt 3 0 R/ID[<00><00>]>>\n"
    b"startxref\n300\n%%EOF\n"
)


def test_an_encrypted_document_says_so(examine: Examine) -> None:
    media = examine(ENCRYPTED)
    assert (media.kind, [f.kind for f in media.faults]) == (
        MediaKind.UNREADABLE,
        [FaultKind.ENCRYPTED],
    )


def test_a_damaged_document_says_so(examine: Examine, jpeg: Jpeg) -> None:
    media = examine(b"%PDF-1.7\n" + b"\0" * 500)
    assert [fault.kind for fault in media.faults] == [FaultKind.DAMAGED]
    whole = document([jpeg(1)])
    for at in range(20, len(whole), len(whole) // 12):
        examine(whole[:at])


def test_the_library_is_the_one_expected() -> None:
    assert isinstance(raw.FPDF_PAGEOBJ_IMAGE, int)
    assert ctypes.sizeof(ctypes.c_void_p) == 8


# ---------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    "text",
    [
        '<svg xmlns="http://www.w3.org/2000/svg"><image href="data:image/jpeg;base64,{}"/></svg>',
        '<html><img src="data:image/jpeg;charset=utf-8;base64,{}"></html>',
        "body {{ background: url(DATA:image/png;base64,{}) }}",
        "plain text with (data:image/jpeg;base64,{}) in it",
    ],
)
def test_pictures_written_into_text_are_hashed(examine: Examine, jpeg: Jpeg, text: str) -> None:
    written = base64.b64encode(jpeg(1)).decode()
    folded = "\n".join(written[at : at + 76] for at in range(0, len(written), 76))
    escaped = written.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    url_safe = written.replace("+", "-").replace("/", "_").rstrip("=")
    for form in (written, folded, escaped, url_safe):
        media = examine(text.format(form).encode())
        assert [member.where for member in media.members] == ["data-1"]
        assert media.members[0].digests.sha256 == hashlib.sha256(jpeg(1)).digest()
        assert media.all_faults() == ()


def test_text_without_pictures_is_just_text(examine: Examine) -> None:
    for text in (b"hello", b"data:image/png;base64", b"base64 data: nothing", b"<svg></svg>"):
        media = examine(text)
        assert (media.members, media.faults) == ((), ())


@given(st.binary(max_size=300))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_data_uri_is_harmless(examine: Examine, data: bytes) -> None:
    media = examine(b"<svg>data:image/png;base64," + data.hex().encode() + data)
    assert media.size


# ------------------------------------------------------------------- behind the end of a file


def test_a_zip_behind_a_picture_is_opened(examine: Examine, jpeg: Jpeg) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("2.jpg", jpeg(2))
    media = examine(jpeg(1) + packed.getvalue())
    assert media.kind is MediaKind.PICTURE
    assert media.pictures[0].pdq == examine(jpeg(1)).pictures[0].pdq
    assert [part.where for part in media.walk()] == ["", "appended.zip", "appended.zip/2.jpg"]


def test_a_film_behind_a_jpeg_is_looked_into(examine: Examine, jpeg: Jpeg) -> None:
    film = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 2000
    media = examine(jpeg(1) + film)
    assert [member.where for member in media.members] == ["appended-film"]
    assert media.members[0].digests.sha256 == hashlib.sha256(film).digest()
    assert examine(jpeg(1) + b"ftyp" * 10).members == ()


@given(data=st.text("fty p", max_size=60), word=st.text("ftyp", min_size=1, max_size=4))
def test_positions_are_all_there_are(data: str, word: str) -> None:
    expected = [at for at in range(len(data)) if data.startswith(word, at)]
    assert positions(data.encode(), word.encode()) == expected
