"""What a file is, is told by its bytes alone."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tutela.core import MediaKind
from tutela.hashing.sniff import EMPTY, HEAD_BYTES, UNKNOWN, Format, sniff


def picture(fmt: str, **options: object) -> bytes:
    pixels = np.arange(40 * 50 * 3, dtype=np.uint32).reshape(40, 50, 3).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, fmt, **options)
    return out.getvalue()


def ftyp(major: bytes, *others: bytes) -> bytes:
    body = major + bytes(4) + b"".join(others)
    return (8 + len(body)).to_bytes(4) + b"ftyp" + body + b"\x00\x00\x00\x08free"


def tar(fmt: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    return out.getvalue()


def old_tar() -> bytes:
    head = bytearray(512)
    head[:5] = b"a.txt"
    head[100:108] = b"0000644\x00"
    head[124:136] = b"00000000000\x00"
    head[148:156] = b" " * 8
    head[148:156] = f"{sum(head):06o}\x00 ".encode()
    return bytes(head) + bytes(1024)


def zip_file() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "a")
    return out.getvalue()


CASES: dict[str, tuple[bytes, str, MediaKind]] = {
    "jpeg": (picture("JPEG"), "jpeg", MediaKind.PICTURE),
    "png": (picture("PNG"), "png", MediaKind.PICTURE),
    "apng": (
        picture("PNG", save_all=True, append_images=[Image.new("RGB", (50, 40))]),
        "png",
        MediaKind.ANIMATION,
    ),
    "gif": (picture("GIF"), "gif", MediaKind.PICTURE),
    "gif, moving": (
        picture("GIF", save_all=True, append_images=[Image.new("RGB", (50, 40))], loop=0),
        "gif",
        MediaKind.ANIMATION,
    ),
    "webp": (picture("WEBP"), "webp", MediaKind.PICTURE),
    "webp, lossless": (picture("WEBP", lossless=True), "webp", MediaKind.PICTURE),
    "webp, moving": (
        picture("WEBP", save_all=True, append_images=[Image.new("RGB", (50, 40))]),
        "webp",
        MediaKind.ANIMATION,
    ),
    "avif": (picture("AVIF"), "avif", MediaKind.PICTURE),
    "avif, moving": (
        picture("AVIF", save_all=True, append_images=[Image.new("RGB", (50, 40))]),
        "avif",
        MediaKind.ANIMATION,
    ),
    "heic": (ftyp(b"heic", b"mif1", b"heic"), "heic", MediaKind.PICTURE),
    "heif": (ftyp(b"mif1", b"heix"), "heic", MediaKind.PICTURE),
    "avif as mif1": (ftyp(b"mif1", b"avif", b"miaf"), "avif", MediaKind.PICTURE),
    "tiff": (picture("TIFF"), "tiff", MediaKind.PICTURE),
    "tiff, big-endian": (b"MM\x00*" + bytes(20), "tiff", MediaKind.PICTURE),
    "bmp": (picture("BMP"), "bmp", MediaKind.PICTURE),
    "ico": (picture("ICO"), "ico", MediaKind.PICTURE),
    "jp2": (picture("JPEG2000"), "jp2", MediaKind.PICTURE),
    "pnm": (picture("PPM"), "pnm", MediaKind.PICTURE),
    "jxl": (b"\xff\x0a" + bytes(20), "jxl", MediaKind.PICTURE),
    "psd": (b"8BPS\x00\x01" + bytes(20), "psd", MediaKind.PICTURE),
    "mp4": (ftyp(b"isom", b"isom", b"iso2", b"avc1", b"mp41"), "mp4", MediaKind.VIDEO),
    "mov": (ftyp(b"qt  ", b"qt  "), "mov", MediaKind.VIDEO),
    "mov, old": (b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat", "mov", MediaKind.VIDEO),
    "m4a": (ftyp(b"M4A ", b"isom"), "m4a", MediaKind.OTHER),
    "webm": (b"\x1a\x45\xdf\xa3\x9fB\x82\x84webm" + bytes(40), "webm", MediaKind.VIDEO),
    "mkv": (b"\x1a\x45\xdf\xa3\xa3B\x82\x88matroska" + bytes(40), "mkv", MediaKind.VIDEO),
    "avi": (b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(40), "avi", MediaKind.VIDEO),
    "mpegts": ((b"\x47" + bytes(187)) * 8, "mpegts", MediaKind.VIDEO),
    "m2ts": ((bytes(4) + b"\x47" + bytes(187)) * 8, "mpegts", MediaKind.VIDEO),
    "mpegps": (b"\x00\x00\x01\xba" + bytes(40), "mpegps", MediaKind.VIDEO),
    "flv": (b"FLV\x01\x05" + bytes(40), "flv", MediaKind.VIDEO),
    "ogv": (b"OggS" + bytes(24) + b"\x80theora" + bytes(40), "ogv", MediaKind.VIDEO),
    "zip": (zip_file(), "zip", MediaKind.CONTAINER),
    "zip, empty": (b"PK\x05\x06" + bytes(18), "zip", MediaKind.CONTAINER),
    "tar, pax": (tar(tarfile.PAX_FORMAT), "tar", MediaKind.CONTAINER),
    "tar, gnu": (tar(tarfile.GNU_FORMAT), "tar", MediaKind.CONTAINER),
    "tar, before posix": (old_tar(), "tar", MediaKind.CONTAINER),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "gzip", MediaKind.CONTAINER),
    "bz2": (b"BZh91AY&SY" + bytes(20), "bz2", MediaKind.CONTAINER),
    "xz": (b"\xfd7zXZ\x00" + bytes(20), "xz", MediaKind.CONTAINER),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(20), "7z", MediaKind.CONTAINER),
    "rar": (b"Rar!\x1a\x07\x01\x00", "rar", MediaKind.CONTAINER),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "pdf", MediaKind.CONTAINER),
    "pdf after junk": (b"\x00\x01junk\n" * 20 + b"%PDF-1.4\n", "pdf", MediaKind.CONTAINER),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "svg", MediaKind.CONTAINER),
    "html": (b"<!DOCTYPE html><title>a</title>", "html", MediaKind.CONTAINER),
    "mp3": (b"\xff\xfb\x90\x44" + bytes(40), "mp3", MediaKind.OTHER),
    "mp3 with a tag": (b"ID3\x04\x00" + bytes(40), "mp3", MediaKind.OTHER),
    "aac": (b"\xff\xf1\x50\x80" + bytes(40), "aac", MediaKind.OTHER),
    "wav": (b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), "wav", MediaKind.OTHER),
    "flac": (b"fLaC" + bytes(40), "flac", MediaKind.OTHER),
    "ogg": (b"OggS" + bytes(24) + b"OpusHead", "ogg", MediaKind.OTHER),
    "aiff": (b"FORM\x00\x00\x00\x20AIFFCOMM", "aiff", MediaKind.OTHER),
    "text": (b"hello\nworld\n", "text", MediaKind.OTHER),
    "utf-8": ("Grüße, 世界".encode(), "text", MediaKind.OTHER),
    "utf-16": ("Grüße".encode("utf-16"), "text", MediaKind.OTHER),
    "json": (b'{"a": 1}', "text", MediaKind.OTHER),
    "program": (b"\x7fELF\x02\x01\x01" + bytes(60), "unknown", MediaKind.UNREADABLE),
    "noise": (bytes(range(128, 256)) * 8, "unknown", MediaKind.UNREADABLE),
    "zeros": (bytes(5000), "unknown", MediaKind.UNREADABLE),
    "nearly a bmp": (b"BM" + bytes(30), "unknown", MediaKind.UNREADABLE),
    "empty": (b"", "empty", MediaKind.OTHER),
}


@pytest.mark.parametrize("name", CASES)
def test_a_format_is_known_by_its_bytes(name: str) -> None:
    head, wanted, kind = CASES[name]
    found = sniff(head[:HEAD_BYTES])
    assert (found.name, found.kind) == (wanted, kind)
    assert found.media_type.count("/") == 1


@given(st.binary(max_size=600))
@example(b"P6")
@example(b"\x00\x00\x00\x18ftyp")
@example(b"RIFF\x00\x00\x00\x00WEBPVP8X")
@example(b"\xff\xfe\x00")
def test_any_bytes_are_some_format(head: bytes) -> None:
    assert isinstance(sniff(head), Format)


@given(st.sampled_from(sorted(CASES)), st.integers(0, HEAD_BYTES))
def test_a_head_cut_short_is_still_some_format(name: str, length: int) -> None:
    found = sniff(CASES[name][0][:length])
    assert (found == EMPTY) == (length == 0 or name == "empty")


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1))
def test_text_in_utf_8_holds_no_picture(text: str) -> None:
    assert sniff(text.encode()).kind in {MediaKind.OTHER, MediaKind.CONTAINER}


@pytest.mark.parametrize("letter", ["é", "世", "𝄞"])
def test_a_letter_cut_by_the_end_of_the_head_is_still_text(letter: str) -> None:
    for shift in range(4):
        head = ("a" * shift + letter * HEAD_BYTES).encode()[:HEAD_BYTES]
        assert sniff(head).name == "text"
    assert sniff(("a" + letter).encode()[:-1]) == UNKNOWN
