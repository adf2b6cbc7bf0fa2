"""What is kept beside a file's own content is found, or the file has a fault: never silence."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tutela.core import FaultKind, Media, MediaKind
from tutela.hashing.pdq import distance

Examine = Callable[..., Media]
Jpeg = Callable[[int], bytes]
Draw = Callable[[int], Image.Image]


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    """One member, without the zeros at the end."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()[: 512 + (len(data) + 511) // 512 * 512]


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def document(objects: list[bytes]) -> bytes:
    data, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % at for at in places)
    return (
        data
        + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
        + table
        + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, len(data))
    )


def stream(head: bytes, body: bytes) -> bytes:
    return b"<<" + head + b"/Length %d>>stream\n" % len(body) + body + b"\nendstream"


def kinds(media: Media) -> set[FaultKind]:
    return {fault.kind for fault in media.all_faults()}


def holds(media: Media, data: bytes) -> bool:
    wanted = hashlib.sha256(data).digest()
    return any(part.digests.sha256 == wanted for part in media.walk())


def nearest(media: Media, picture: bytes, examine: Examine) -> int:
    wanted = examine(picture).pictures[0].pdq
    return min(distance(wanted, one.pdq) for part in media.walk() for one in part.pictures)


def test_text_in_front_of_a_zip_hides_nothing(examine: Examine, jpeg: Jpeg) -> None:
    media = examine(b"Read me first. " * 400 + zipped({"1.jpg": jpeg(1)}))
    assert holds(media, jpeg(1))
    assert FaultKind.UNKNOWN_FORMAT in kinds(media)


def test_text_that_turns_into_bytes_is_no_text(examine: Examine) -> None:
    assert examine(b"word " * 2000).all_faults() == ()
    media = examine(b"word " * 2000 + bytes(range(256)))
    assert (media.kind, kinds(media)) == (MediaKind.UNREADABLE, {FaultKind.UNKNOWN_FORMAT})
    line = b"<\x0304ada\x03> good morning, how is everybody, and has anyone seen the cat?\r\n"
    coloured = b"word " * 2000 + line * 300
    assert examine(coloured).all_faults() == (), "chat logs have some control characters"


def test_a_zip_behind_a_document_or_tar_is_opened(examine: Examine, jpeg: Jpeg, draw: Draw) -> None:
    archive = zipped({"1.jpg": jpeg(1)})
    assert holds(examine(saved(draw(2), "PDF") + archive), jpeg(1))
    assert holds(examine(tarred("a", b"hello") + bytes(1024) + archive), jpeg(1))


def test_a_tar_or_sealed_archive_behind_a_picture_is_noticed(examine: Examine, jpeg: Jpeg) -> None:
    assert holds(examine(jpeg(2) + tarred("1.jpg", jpeg(1)) + bytes(1024)), jpeg(1))
    for head in (b"Rar!\x1a\x07\x01\x00", b"7z\xbc\xaf\x27\x1c"):
        assert kinds(examine(jpeg(2) + head + os.urandom(3000))) == {FaultKind.UNSUPPORTED}


def test_what_is_hidden_too_deeply_is_a_fault(examine: Examine, jpeg: Jpeg) -> None:
    data = jpeg(2) + zipped({"1.jpg": jpeg(1)})
    assert kinds(examine(data)) == set()
    for _ in range(3):
        data = zipped({"in": data})
    assert kinds(examine(data)) == {FaultKind.OVER_LIMIT}


def test_every_picture_behind_another_is_hashed(examine: Examine, jpeg: Jpeg, draw: Draw) -> None:
    pages = saved(draw(1), "MPO", save_all=True, append_images=[draw(2), draw(3)])
    for number in (2, 3):
        assert nearest(examine(pages), jpeg(number), examine) <= 12
    both = examine(jpeg(1) + jpeg(2) + saved(draw(3), "PNG"))
    assert holds(both, jpeg(2))
    assert nearest(both, jpeg(3), examine) <= 12
    two = saved(draw(1), "PPM") + saved(draw(2), "PPM")
    assert nearest(examine(two), jpeg(2), examine) <= 12


def test_trailers_of_phones_hold_no_picture_up(examine: Examine, jpeg: Jpeg) -> None:
    trailers = [b"\0" * 4096, b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data1612345678901SEFH\0\0SEFT"]
    for trailer in (*trailers, np.random.default_rng(1).bytes(300_000)):
        media = examine(jpeg(1) + trailer)
        assert (media.members, media.all_faults()) == ((), ())


def test_a_film_with_a_long_first_box_is_looked_into(examine: Examine, jpeg: Jpeg) -> None:
    film = struct.pack(">I", 1024) + b"ftypmp42\0\0\0\0" + b"isom" * 252 + b"\0" * 2000
    assert holds(examine(jpeg(1) + film), film)


def test_a_document_in_the_head_of_a_picture_is_opened(
    examine: Examine, jpeg: Jpeg, draw: Draw
) -> None:
    inner = saved(draw(1), "PDF")
    comment = b"\xff\xfe" + struct.pack(">H", len(inner) + 2) + inner
    cover = jpeg(2)
    media = examine(cover[:2] + comment + cover[2:])
    assert nearest(media, jpeg(1), examine) <= 12
    assert examine(zipped({"a.pdf": inner})).all_faults() == ()


# ------------------------------------------------------------------------------------ text


def written_forms(data: bytes) -> dict[str, bytes]:
    digits = base64.b64encode(data).decode()
    uri = f"data:image/jpeg;base64,{digits}"
    page = f'<!doctype html><html><img src="{uri}"></html>'
    folded = base64.encodebytes(data)
    return {
        "utf-16": page.encode("utf-16"),
        "percent": b"<html><img src=data:image/jpeg,%s>" % b"".join(b"%%%02X" % c for c in data),
        "reference": page.replace("data:", "&#100;ata:").encode(),
        "no type": page.replace("image/jpeg", "").encode(),
        "slashes": uri.replace("/", "\\/").encode(),
        "mime": b"Content-Type: image/jpeg\nContent-Transfer-Encoding: base64\n\n" + folded,
        "notebook": b'{"image/jpeg": "' + folded.replace(b"\n", b"\\n") + b'"}',
        "rtf": b"{\\rtf1{\\pict\\jpegblip\\picw9\n" + data.hex().encode() + b"}}",
    }


@pytest.mark.parametrize("form", sorted(written_forms(b"x")))
def test_pictures_are_found_however_they_are_written(
    examine: Examine, jpeg: Jpeg, form: str
) -> None:
    media = examine(written_forms(jpeg(1))[form])
    assert holds(media, jpeg(1))
    assert media.all_faults() == ()


def test_text_too_long_to_be_searched_says_so(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutela.hashing.containers.inline.MAX_TEXT", 5000)
    assert kinds(examine(b"<svg>" + b" " * 4000 + b"</svg>")) == set()
    assert kinds(examine(b"<svg>" + b" " * 9000 + b"</svg>")) == {FaultKind.OVER_LIMIT}


def test_drawings_that_could_be_photographs_are_held(examine: Examine, draw: Draw) -> None:
    shape = b'<rect x="1" y="2" width="8" height="8"/>'
    assert kinds(examine(b"<svg>" + shape * 500 + b"</svg>")) == set()
    assert kinds(examine(b"<svg>" + shape * 2100 + b"</svg>")) == {FaultKind.UNSUPPORTED}
    assert kinds(examine(saved(draw(1), "EPS"))) == {FaultKind.UNSUPPORTED}


def test_fonts_icons_and_words_in_a_page_are_ordinary(examine: Examine) -> None:
    font = base64.b64encode(b"wOF2" + bytes(range(256))).decode()
    page = (
        f"<!doctype html><html><style>src:url(data:font/woff2;base64,{font})"
        "a{background:url(data:image/svg+xml,%3Csvg%20viewBox='0'%3E%3C/svg%3E)}</style></html>"
    )
    assert examine(page.encode()).all_faults() == ()


# -------------------------------------------------------------------- pictures with parts


def test_every_entry_of_an_icon_is_hashed(examine: Examine, jpeg: Jpeg, draw: Draw) -> None:
    parts = [saved(draw(1), "PNG"), saved(draw(2), "PNG")]
    start, table = 6 + 16 * len(parts), b""
    for part in parts:
        table += struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 32, len(part), start)
        start += len(part)
    icon = struct.pack("<HHH", 0, 1, len(parts)) + table + b"".join(parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's word on an untrue size
        media = examine(icon)
    assert media.all_faults() == ()
    assert {nearest(media, jpeg(n), examine) <= 31 for n in (1, 2)} == {True}


def test_pictures_in_subdirectories_of_a_tiff_are_hashed(
    examine: Examine, jpeg: Jpeg, draw: Draw
) -> None:
    def directory(picture: Image.Image, at: int, *more: tuple[int, int, int, int]) -> bytes:
        width, height = picture.size
        rows = [
            *((256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)),
            *((262, 3, 1, 1), (273, 4, 1, at), (277, 3, 1, 1), (278, 3, 1, height)),
            *((279, 4, 1, width * height), *more),
        ]
        body = b"".join(struct.pack("<HHII", *row) for row in rows)
        return struct.pack("<H", len(rows)) + body + bytes(4)

    shown, hidden = draw(2).convert("L"), draw(1).convert("L")
    size = len(shown.tobytes())
    inner = directory(hidden, 8 + size)
    at = 8 + 2 * size
    outer = directory(shown, 8, (330, 4, 1, at))
    data = b"II*\0" + struct.pack("<I", at + len(inner))
    media = examine(data + shown.tobytes() + hidden.tobytes() + inner + outer)
    assert nearest(media, jpeg(1), examine) <= 12
    assert nearest(media, jpeg(2), examine) <= 12


# ------------------------------------------------------------------------------- documents

PAGES = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"


def test_a_button_is_drawn(examine: Examine, jpeg: Jpeg) -> None:
    look = b"/Type/XObject/Subtype/Form/BBox[0 0 500 500]/Resources<</XObject<</I 6 0 R>>>>"
    picture = b"/Type/XObject/Subtype/Image/Width 240/Height 180/ColorSpace/DeviceRGB"
    media = examine(
        document(
            [
                b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R]>>>>",
                PAGES,
                b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 500 500]/Annots[4 0 R]>>",
                b"<</Type/Annot/Subtype/Widget/FT/Btn/Ff 65536/T(a)/F 4/Rect[0 0 500 500]"
                b"/AP<</N 5 0 R>>/P 3 0 R>>",
                stream(look, b"q 500 0 0 500 0 0 cm /I Do Q"),
                stream(picture + b"/BitsPerComponent 8/Filter/DCTDecode", jpeg(1)),
            ]
        )
    )
    assert nearest(media, jpeg(1), examine) <= 31


def test_a_file_attached_to_a_place_on_a_page_is_opened(examine: Examine, jpeg: Jpeg) -> None:
    note = b"<</Type/Annot/Subtype/FileAttachment/Rect[5 5 9 9]/FS<</Type/Filespec/F(a)/EF"
    media = examine(
        document(
            [
                b"<</Type/Catalog/Pages 2 0 R>>",
                PAGES,
                b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 500 500]/Annots[4 0 R]>>",
                note + b"<</F 5 0 R>>>>>>",
                stream(b"/Type/EmbeddedFile", jpeg(1)),
            ]
        )
    )
    assert holds(media, jpeg(1))


def test_strips_on_a_giant_page_are_drawn_together(
    examine: Examine, jpeg: Jpeg, draw: Draw
) -> None:
    strips, content = [], b""
    for index in range(10):
        strip = draw(1).crop((0, index * 18, 240, index * 18 + 18))
        head = b"/Type/XObject/Subtype/Image/Width 240/Height 18/ColorSpace/DeviceRGB"
        strips.append(stream(head + b"/BitsPerComponent 8", strip.tobytes()))
        content += b"q 240 0 0 18 7000 %d cm /S%d Do Q\n" % (7000 + (9 - index) * 18, index)
    names = b"".join(b"/S%d %d 0 R" % (index, 5 + index) for index in range(10))
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 14400 14400]/Contents 4 0 R/Resources<</XObject"
    media = examine(
        document(
            [
                b"<</Type/Catalog/Pages 2 0 R>>",
                PAGES,
                page + b"<<" + names + b">>>>>>",
                stream(b"", content),
                *strips,
            ]
        )
    )
    assert nearest(media, jpeg(1), examine) <= 31


# -------------------------------------------------------------------------------- archives


def test_a_damaged_header_in_a_tar_is_no_end(examine: Examine, jpeg: Jpeg) -> None:
    first, second = tarred("a", b"hello"), tarred("1.jpg", jpeg(1))
    media = examine(first + b"X" * 512 + second + bytes(1024))
    assert kinds(media) == {FaultKind.DAMAGED}
    assert holds(media, jpeg(1))
    joined = examine(first + bytes(512) + second + bytes(1024))
    assert holds(joined, jpeg(1))
    assert examine(first + bytes(10240)).all_faults() == ()


def test_members_missing_from_the_table_are_found(examine: Examine, jpeg: Jpeg) -> None:
    whole = zipped({"1.jpg": jpeg(1), "d.txt": b"hello"})
    end = whole.rfind(b"PK\x05\x06")
    (start,) = struct.unpack_from("<I", whole, end + 16)
    rest = whole[start + 46 + 5 : end]
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(rest), start, 0)
    media = examine(whole[:start] + rest + tail)
    assert [member.where for member in media.members] == ["d.txt", "1.jpg"]
    assert holds(media, jpeg(1))


def test_a_table_that_breaks_off_is_a_fault(examine: Examine, jpeg: Jpeg) -> None:
    data = bytearray(zipped({"a.txt": b"hello", "1.jpg": jpeg(1)}))
    data[data.rfind(b"PK\x01\x02") + 2] = 9
    media = examine(bytes(data))
    assert kinds(media) == {FaultKind.DAMAGED}
    assert holds(media, jpeg(1))
