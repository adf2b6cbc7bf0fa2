"""What cannot be read is a fault with its reason, and what could be read comes before it."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.hashing.pictures.samples import DATA, exif, hashes, opened, original, photo, save

from tutela.core import FaultKind, HashMode
from tutela.hashing import pdq
from tutela.hashing.pictures import PictureFault, PictureLimits
from tutela.hashing.pictures.jpeg import read_header
from tutela.hashing.pictures.pillow import fault_of, webp_size
from tutela.hashing.sniff import HEAD_BYTES, sniff

JPEG = save(photo("coffee"), "JPEG", quality=85)


def test_a_truncated_jpeg_gives_what_is_there_and_a_fault() -> None:
    for mode in HashMode:
        canvases, fault = opened(JPEG[: len(JPEG) * 9 // 10], mode)
        assert fault is not None
        assert fault.kind is FaultKind.TRUNCATED
        assert len(canvases) == 1
        assert pdq.distance(hashes(canvases)[0], original("coffee")) < 100
        upper = np.asarray(photo("coffee").convert("L"))[:300]
        assert np.abs(canvases[0].luma[:300].astype(int) - upper).mean() < 4


def with_scans(data: bytes, more: int) -> bytes:
    """A JPEG with its last scan so many times more."""
    last = data.rindex(b"\xff\xda")
    table = data.rindex(b"\xff\xc4", 0, last)
    return data[:-2] + data[table:-2] * more + data[-2:]


def test_a_jpeg_of_very_many_scans_is_over_the_limit_before_it_is_decoded() -> None:
    blank = save(Image.new("L", (2000, 2000), 128), "JPEG", progressive=True)
    started = time.process_time()
    canvases, fault = opened(with_scans(blank, 6000))
    assert time.process_time() - started < 0.5
    assert (canvases, fault and fault.kind) == ([], FaultKind.OVER_LIMIT)


def test_a_sequential_jpeg_of_very_many_scans_is_over_the_limit_too() -> None:
    frame = JPEG.index(b"\xff\xda")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x00"
    hidden = b"\xff\xfe\x00\x0a\xff\xda\x00\x0c\x03\x01\x00\x02"  # a comment like a whole scan
    canvases, fault = opened(JPEG[:frame] + hidden + scan * 600 + b"\xff\xd9")
    assert (canvases, fault and fault.kind) == ([], FaultKind.OVER_LIMIT)


def test_what_looks_like_scans_in_and_after_a_picture_is_not_counted() -> None:
    plain = save(photo("coffee"), "JPEG", quality=85, progressive=True)
    comment = b"\xff\xfe\x07\xd2" + b"\xff\xda" * 1000
    for data in (plain[:2] + comment + plain[2:] + b"\xff\xda" * 1000, with_scans(plain, 20)):
        canvases, _ = opened(data)
        assert pdq.distance(hashes(canvases)[0], original("coffee")) < 10


@pytest.mark.parametrize("fmt", ["PNG", "GIF", "BMP", "TIFF", "JPEG2000", "PPM"])
def test_truncated_files_give_what_is_there_and_a_fault(fmt: str) -> None:
    data = save(photo("coffee"), fmt)
    if fmt == "TIFF":  # its directory comes last, unless the file says otherwise
        data = save(photo("coffee"), fmt, compression="tiff_lzw")
    _, fault = opened(data[: len(data) * 3 // 4])
    assert fault is not None
    assert fault.kind in {FaultKind.TRUNCATED, FaultKind.DAMAGED}


def test_a_truncated_png_shows_its_upper_part() -> None:
    data = save(photo("coffee"), "PNG")
    (canvas,), fault = opened(data[: len(data) * 3 // 4])
    assert fault is not None
    assert fault.kind is FaultKind.TRUNCATED
    upper = np.asarray(photo("coffee").convert("L"))[:200]
    assert np.array_equal(canvas.luma[:200], upper)


@pytest.mark.parametrize("fmt", ["WEBP", "AVIF"])
def test_truncated_files_of_one_piece_are_a_fault(fmt: str) -> None:
    data = save(photo("coffee"), fmt)
    canvases, fault = opened(data[: len(data) // 2])
    assert canvases == []
    assert fault is not None
    assert fault.kind in {FaultKind.TRUNCATED, FaultKind.DAMAGED}


def test_a_damaged_picture_of_a_heic_does_not_hide_the_others() -> None:
    data = bytearray((DATA / "chelsea-then-coffee.heic").read_bytes())
    start = data.index(b"mdat") + 4
    data[start : start + 4] = b"\xff\xff\xff\xff"
    canvases, fault = opened(bytes(data))
    assert fault is not None
    assert [c.frame for c in canvases] == [1]
    assert pdq.distance(hashes(canvases)[0], original("coffee", (300, 200))) <= 12


def twelve_bit(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[data.index(b"\xff\xc0") + 4] = 12
    return bytes(changed)


def test_a_12_bit_jpeg_is_refused_clearly() -> None:
    canvases, fault = opened(twelve_bit(JPEG))
    assert canvases == []
    assert fault is not None
    assert fault.kind is FaultKind.UNSUPPORTED
    assert "12-bit" in fault.detail


def test_a_lossless_jpeg_is_refused_clearly() -> None:
    changed = JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1)
    _, fault = opened(changed)
    assert fault is not None
    assert fault.kind is FaultKind.UNSUPPORTED


def test_junk_between_a_jpegs_segments_is_no_fault() -> None:
    """Many cameras leave some; every viewer shows the picture, so it is as readable as any."""
    at = JPEG.index(b"\xff\xc0")
    canvases, fault = opened(JPEG[:at] + b"\x00\x00\x00" + JPEG[at:])
    assert fault is None
    assert pdq.distance(hashes(canvases)[0], original("coffee")) <= 12


def test_damage_in_a_jpegs_data_is_a_fault_beside_the_picture() -> None:
    middle = len(JPEG) // 2
    canvases, fault = opened(JPEG[:middle] + b"\xff\xd3" + JPEG[middle:])
    assert len(canvases) == 1
    assert fault is not None
    assert fault.kind is FaultKind.DAMAGED


def test_rare_samplings_of_a_jpeg_are_decoded_too() -> None:
    """simplejpeg refuses samplings that have no name; Pillow takes them."""
    changed = bytearray(save(Image.new("RGB", (64, 64), (200, 30, 40)), "JPEG", subsampling=0))
    at = changed.index(b"\xff\xc0")
    changed[at + 11] = 0x31
    for mode in HashMode:
        canvases, _ = opened(bytes(changed), mode)
        assert len(canvases) == 1


def png_saying(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def jpeg_saying(width: int, height: int) -> bytes:
    changed = bytearray(JPEG)
    at = JPEG.index(b"\xff\xc0")
    changed[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(changed)


def webp_saying(width: int, height: int) -> bytes:
    plain = save(Image.new("RGBA", (8, 8), (1, 2, 3, 4)), "WEBP")
    body = b"VP8X" + struct.pack("<I", 10) + b"\x10\x00\x00\x00"
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body) + len(plain) - 8) + b"WEBP" + body + plain[12:]


@pytest.mark.parametrize(
    "data",
    [
        png_saying(30_000, 30_000),
        jpeg_saying(30_000, 30_000),
        webp_saying(16_000, 16_000),
        b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + save(photo("coffee"), "GIF")[10:],
    ],
    ids=["png", "jpeg", "webp", "gif"],
)
def test_a_picture_that_says_to_be_huge_is_refused_before_decoding(data: bytes) -> None:
    canvases, fault = opened(data)
    assert canvases == []
    assert fault is not None
    assert fault.kind is FaultKind.OVER_LIMIT


def test_the_limit_is_on_pixels_and_counts_the_last_one() -> None:
    image = photo("coffee")
    pixels = image.width * image.height
    for fmt in ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP"):
        data = save(image, fmt)
        assert opened(data, limits=PictureLimits(max_pixels=pixels))[1] is None
        fault = opened(data, limits=PictureLimits(max_pixels=pixels - 1))[1]
        assert fault is not None
        assert fault.kind is FaultKind.OVER_LIMIT
    heic = (DATA / "coffee.heic").read_bytes()
    fault = opened(heic, limits=PictureLimits(max_pixels=59_999))[1]
    assert fault is not None
    assert fault.kind is FaultKind.OVER_LIMIT


@pytest.mark.parametrize(
    "head", [b"\xff\x0a" + bytes(60), b"8BPS\x00\x01" + bytes(60), b"qoif" + bytes(60)]
)
def test_formats_that_are_known_but_not_opened_say_so(head: bytes) -> None:
    canvases, fault = opened(head)
    assert canvases == []
    assert fault is not None
    assert fault.kind is FaultKind.UNSUPPORTED


def test_webp_sizes_are_read_from_each_kind_of_header() -> None:
    image = Image.new("RGB", (123, 45))
    assert webp_size(save(image, "WEBP")) == (123, 45)
    assert webp_size(save(image, "WEBP", lossless=True)) == (123, 45)
    assert webp_size(webp_saying(300, 200)) == (300, 200)


def test_what_a_codec_says_never_reaches_the_fault() -> None:
    for error, kind in (
        (MemoryError(), FaultKind.OVER_LIMIT),
        (Image.DecompressionBombError("secret"), FaultKind.OVER_LIMIT),
        (EOFError("secret"), FaultKind.TRUNCATED),
        (OSError("image file is truncated: secret"), FaultKind.TRUNCATED),
        (NotImplementedError("secret"), FaultKind.UNSUPPORTED),
        (SyntaxError("secret"), FaultKind.DAMAGED),
    ):
        fault = fault_of(error, "png").fault
        assert fault.kind is kind
        assert "secret" not in fault.detail


def test_running_out_of_memory_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("tutela.hashing.pictures.jpeg.simplejpeg.decode_jpeg", none_left)
    _, fault = opened(JPEG)
    assert fault is not None
    assert fault.kind is FaultKind.OVER_LIMIT


@given(st.binary(max_size=400))
def test_any_bytes_after_a_jpegs_start_give_a_header_or_a_fault(body: bytes) -> None:
    try:
        header = read_header(b"\xff\xd8\xff" + body)
    except PictureFault:
        return
    assert header.width >= 0


TINY = photo("coffee").resize((61, 47))
BLANK = Image.new("RGB", TINY.size)
SEEDS = [
    save(TINY, "JPEG"),
    save(TINY, "JPEG", progressive=True, exif=exif(6)),
    save(TINY.convert("CMYK"), "JPEG"),
    save(TINY, "PNG"),
    save(TINY.quantize(16), "PNG"),
    save(TINY, "PNG", save_all=True, append_images=[BLANK]),
    save(TINY, "GIF", save_all=True, append_images=[BLANK]),
    save(TINY, "WEBP"),
    save(TINY, "AVIF"),
    save(TINY, "TIFF", compression="tiff_lzw"),
    save(TINY.convert("F"), "TIFF"),
    save(TINY, "BMP"),
    save(TINY.resize((48, 48)), "ICO"),
    save(TINY, "JPEG2000"),
    save(TINY, "PPM"),
    (DATA / "coffee.heic").read_bytes(),
]
SMALL = PictureLimits(max_pixels=1_000_000, max_frames=8)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mutated_file_gives_pictures_or_a_fault_and_nothing_else(data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS))
    changed = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed) - 1))
        kind = data.draw(st.sampled_from(["byte", "cut", "repeat", "zero"]))
        if kind == "byte":
            changed[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del changed[at : at + data.draw(st.integers(1, 40))]
        elif kind == "repeat":
            changed[at:at] = changed[at : at + data.draw(st.integers(1, 40))]
        else:
            changed[at : at + 4] = bytes(4)
        if not changed:
            return
    mode = data.draw(st.sampled_from(HashMode))
    form = sniff(bytes(changed[:HEAD_BYTES]))
    canvases, _ = opened(bytes(changed), mode, SMALL)
    for canvas in canvases:
        assert form.kind.value in {"picture", "animation"}
        assert canvas.width * canvas.height <= SMALL.max_pixels
        spectrum = canvas.spectrum(exact=mode is HashMode.IDENTICAL)
        assert len(spectrum.pdq().bits) == 32


def test_a_source_is_read_from_its_start() -> None:
    from tutela.hashing.pictures import open_pictures

    source = io.BytesIO(JPEG)
    source.read(100)
    form = sniff(JPEG[:HEAD_BYTES])
    found = list(open_pictures(source, form, mode=HashMode.LUMA, limits=PictureLimits()))
    assert len(found) == 1
