"""Archives: every picture in them is found, however they are made, and bombs end at the limits."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tutela.core import FaultKind, Media, MediaKind
from tutela.hashing.containers import Budget, OverLimit, open_members, zips
from tutela.hashing.containers.compressed import decompress
from tutela.hashing.containers.member import BadMember, below, clean_name
from tutela.hashing.options import HashOptions

Examine = Callable[..., Media]
Jpeg = Callable[[int], bytes]
MIB = 1024 * 1024


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def faults(media: Media) -> list[tuple[str, FaultKind]]:
    return [(fault.where, fault.kind) for fault in media.all_faults()]


def sha256s(media: Media) -> set[bytes]:
    return {part.digests.sha256 for part in media.walk()}


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("method", METHODS)
def test_pictures_in_a_zip_are_hashed(examine: Examine, jpeg: Jpeg, method: int) -> None:
    album = zipped({"a/1.jpg": jpeg(1), "zwölf.txt": jpeg(2), "note.txt": b"hello"}, method)
    media = examine(album)
    assert (media.kind, media.format, faults(media)) == (MediaKind.CONTAINER, "zip", [])
    assert [(m.where, m.kind) for m in media.members] == [
        ("a/1.jpg", MediaKind.PICTURE),
        ("zwölf.txt", MediaKind.PICTURE),  # what it says it is counts for nothing
        ("note.txt", MediaKind.OTHER),
    ]
    alone = examine(jpeg(1))
    assert media.members[0].pictures == alone.pictures
    assert media.members[0].digests == alone.digests
    assert media.digests.sha256 == hashlib.sha256(album).digest()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_pictures_in_a_tar_are_hashed(
    examine: Examine, jpeg: Jpeg, form: int, pack: Callable[[bytes], bytes]
) -> None:
    name = "a" * 90 + "/" + "b" * 90 + ".jpg"
    media = examine(pack(tarred({name: jpeg(1), "2.jpg": jpeg(2)}, form)))
    assert faults(media) == []
    assert {hashlib.sha256(jpeg(n)).digest() for n in (1, 2)} <= sha256s(media)
    assert len([part for part in media.walk() if part.pictures]) == 2


def test_nesting_is_followed_to_the_depth_set(examine: Examine, jpeg: Jpeg) -> None:
    nested = jpeg(1)
    for _ in range(4):
        nested = zipped({"in.zip": nested})
    assert faults(examine(nested, max_depth=4)) == []
    assert any(part.pictures for part in examine(nested, max_depth=4).walk())
    media = examine(nested, max_depth=3)
    assert faults(media) == [("in.zip/in.zip/in.zip", FaultKind.OVER_LIMIT)]
    flat = examine(zipped({"1.jpg": jpeg(1)}), max_depth=0)
    assert (flat.kind, faults(flat)) == (MediaKind.UNREADABLE, [("", FaultKind.OVER_LIMIT)])


def test_members_are_counted_over_all_levels(examine: Examine, jpeg: Jpeg) -> None:
    inner = zipped({f"{n}.txt": b"x" for n in range(10)})
    outer = zipped({f"{n}.zip": inner for n in range(10)})
    media = examine(outer, max_members=25)
    assert sum(1 for _ in media.walk()) == 26
    assert FaultKind.OVER_LIMIT in {kind for _, kind in faults(media)}


def bomb(packed: Callable[[bytes], bytes] = lambda data: zipped({"bomb": data})) -> bytes:
    return packed(bytes(100 * MIB))


def test_a_zip_bomb_ends_at_the_ratio(examine: Examine) -> None:
    data = bomb()
    assert len(data) < MIB
    started = time.process_time()
    media = examine(data)
    assert faults(media) == [("", FaultKind.OVER_LIMIT)]
    assert time.process_time() - started < 5


def test_a_gzip_bomb_ends_at_the_ratio(examine: Examine) -> None:
    assert faults(examine(bomb(gzip.compress))) == [("", FaultKind.OVER_LIMIT)]


def test_nested_bombs_share_one_budget(examine: Examine) -> None:
    layer = zipped({"zeros": bytes(20 * MIB)})
    media = examine(zipped({f"{n}.zip": layer for n in range(50)}))
    assert FaultKind.OVER_LIMIT in {kind for _, kind in faults(media)}
    assert sum(part.size for part in media.walk()) < 130 * MIB


def test_members_that_overlap_share_one_budget(examine: Examine) -> None:
    one = zipped({"a": bytes(30 * MIB)})
    directory = zips.find_directory(io.BytesIO(one))
    assert directory is not None
    central = one[directory.start : directory.start + directory.size]
    end = struct.pack(
        "<4sHHHHIIH", b"PK\5\6", 0, 0, 200, 200, len(central) * 200, directory.start, 0
    )
    media = examine(one[: directory.start] + central * 200 + end)
    assert ("", FaultKind.OVER_LIMIT) in faults(media)
    assert len(media.members) < 5


def test_bytes_unpacked_are_bounded_for_honest_archives_too(examine: Examine) -> None:
    data = zipped({f"{n}": os.urandom(MIB) for n in range(6)}, zipfile.ZIP_STORED)
    media = examine(data, max_unpacked_bytes=4 * MIB)
    assert ("", FaultKind.OVER_LIMIT) in faults(media)
    assert len(media.members) == 4


def test_a_member_too_large_to_decode_is_known_by_its_digests(examine: Examine, jpeg: Jpeg) -> None:
    large = jpeg(1) + os.urandom(3 * MIB)
    media = examine(zipped({"large.jpg": large, "2.jpg": jpeg(2)}), max_member_bytes=2 * MIB)
    first, second = media.members
    assert (first.kind, first.size) == (MediaKind.UNREADABLE, len(large))
    assert first.digests.sha256 == hashlib.sha256(large).digest()
    assert faults(media) == [("large.jpg", FaultKind.OVER_LIMIT)]
    assert second.pictures


def test_members_larger_than_the_heap_share_go_to_memory_files(
    examine: Examine, jpeg: Jpeg
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    large = tarred({"1.jpg": jpeg(1), "noise": os.urandom(6 * MIB)})
    media = examine(zipped({"large.tar": large}))
    assert media.members[0].members[0].pictures
    assert media.members[0].digests.md5 == hashlib.md5(large).digest()
    assert len(os.listdir("/proc/self/fd")) == before


def test_encrypted_members_are_named_and_the_others_read(examine: Examine, jpeg: Jpeg) -> None:
    data = bytearray(zipped({"1.jpg": jpeg(1), "2.jpg": jpeg(2)}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + offset] |= 1
    media = examine(bytes(data))
    assert faults(media) == [("1.jpg", FaultKind.ENCRYPTED)]
    assert media.members[0].kind is MediaKind.UNREADABLE
    assert media.members[1].pictures


def test_unknown_compression_is_unsupported(examine: Examine, jpeg: Jpeg) -> None:
    data = bytearray(zipped({"1.jpg": jpeg(1)}))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.find(signature) + offset, 98)
    assert faults(examine(bytes(data))) == [("1.jpg", FaultKind.UNSUPPORTED)]


def test_a_wrong_checksum_hides_nothing(examine: Examine, jpeg: Jpeg) -> None:
    data = bytearray(zipped({"1.jpg": jpeg(1)}))
    at = data.find(b"PK\x01\x02") + 16
    data[at] ^= 0xFF
    media = examine(bytes(data))
    assert faults(media) == [("1.jpg", FaultKind.DAMAGED)]
    assert media.members[0].pictures == examine(jpeg(1)).pictures


def test_a_zip_without_its_table_of_contents_is_read_all_the_same(
    examine: Examine, jpeg: Jpeg
) -> None:
    whole = zipped({"1.jpg": jpeg(1), "2.jpg": jpeg(2)})
    directory = zips.find_directory(io.BytesIO(whole))
    assert directory is not None
    media = examine(whole[: directory.start])
    assert ("", FaultKind.TRUNCATED) in faults(media)
    assert {hashlib.sha256(jpeg(n)).digest() for n in (1, 2)} <= sha256s(media)


def test_streamed_zips_have_their_sizes_behind_the_data(examine: Examine, jpeg: Jpeg) -> None:
    class NoSeek(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation("seek")

    out = NoSeek()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in (1, 2):
            archive.writestr(f"{number}.jpg", jpeg(number))
    whole = out.getvalue()
    assert faults(examine(whole)) == []
    directory = zips.find_directory(io.BytesIO(whole))
    assert directory is not None
    cut = examine(whole[: directory.start])
    assert {hashlib.sha256(jpeg(n)).digest() for n in (1, 2)} <= sha256s(cut)


def test_zip64_and_data_in_front(examine: Examine, jpeg: Jpeg) -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w") as archive,
        archive.open("1.jpg", "w", force_zip64=True) as member,
    ):
        member.write(jpeg(1))
    # a ZIP64 end record, as archives of more than 65,535 members have
    whole = out.getvalue()
    at = whole.rfind(b"PK\x05\x06")
    _, _, _, count, _, size, offset, _ = struct.unpack("<4sHHHHIIH", whole[at:])
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    narrow = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    for front in (b"", b"\0" * 777):
        media = examine(front + whole[:at] + wide + locator + narrow)
        assert hashlib.sha256(jpeg(1)).digest() in sha256s(media)


def test_folders_are_not_members_unless_something_is_in_them(examine: Examine, jpeg: Jpeg) -> None:
    media = examine(zipped({"folder/": b"", "odd/": jpeg(1)}))
    assert [member.where for member in media.members] == ["odd/"]
    assert media.members[0].pictures


def test_a_truncated_tar_gives_what_is_there(examine: Examine, jpeg: Jpeg) -> None:
    whole = tarred({"1.jpg": jpeg(1), "2.jpg": jpeg(2)})
    media = examine(whole[: len(jpeg(1)) + 512 + 3000])
    assert media.members[0].pictures == examine(jpeg(1)).pictures
    assert {kind for _, kind in faults(media)} & {FaultKind.TRUNCATED, FaultKind.DAMAGED}
    cut = examine(gzip.compress(whole)[:-4000])
    assert ("content", FaultKind.TRUNCATED) in faults(cut)


def test_links_and_devices_in_a_tar_are_no_members(examine: Examine) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    media = examine(out.getvalue())
    assert media.members == ()


def test_what_cannot_be_opened_says_so(examine: Examine) -> None:
    for head in (b"Rar!\x1a\x07\x01\x00", b"7z\xbc\xaf\x27\x1c"):
        media = examine(head + os.urandom(600))
        assert (media.kind, faults(media)) == (MediaKind.UNREADABLE, [("", FaultKind.UNSUPPORTED)])


def test_names_cannot_hurt() -> None:
    assert clean_name("a\x1b[31m\n\u202egpj.exe") == "a\ufffd[31m\ufffd\ufffdgpj.exe"
    assert len(clean_name("x" * 5000)) <= 120
    assert clean_name("") == "unnamed"
    assert below("", "a") == "a"
    assert below("a.zip", "b") == "a.zip/b"
    assert len(below("x" * 2000, "b")) <= 600


@given(st.text(max_size=300))
def test_any_name_becomes_printable(name: str) -> None:
    shown = clean_name(name)
    assert 1 <= len(shown) <= 120
    assert all(c.isprintable() or c == " " or c.isspace() for c in shown)
    assert "\n" not in shown
    assert "\r" not in shown


def drained(form: str, data: bytes, part: int, joined: bool) -> tuple[bytes, FaultKind | None]:
    out, chunks = b"", [data[at : at + part] for at in range(0, len(data), part)]
    try:
        for piece in decompress(form, chunks, joined=joined):
            out += piece
    except BadMember as bad:
        return out, bad.kind
    return out, None


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "deflate": lambda data: zlib.compress(data, wbits=-15),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


@pytest.mark.parametrize("form", PACK)
@given(data=st.binary(max_size=3000), part=st.integers(1, 4000), cut=st.integers(1, 40))
@hypothesis_settings(max_examples=40, deadline=None)
def test_streams_come_out_whole_and_cut_ones_are_noticed(
    form: str, data: bytes, part: int, cut: int
) -> None:
    packed = PACK[form](data)
    assert drained(form, packed, part, False) == (data, None)
    short, kind = drained(form, packed[: max(1, len(packed) - cut)], part, False)
    assert data.startswith(short)
    assert kind is FaultKind.TRUNCATED or short == data
    if form in {"gzip", "bzip2", "xz"}:
        assert drained(form, packed * 3, part, True) == (data * 3, None)
        assert drained(form, packed + b"\0" * 100, part, True) == (data, None)


@pytest.mark.parametrize("form", PACK)
@given(data=st.binary(max_size=600))
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_bytes_decompress_or_are_bad(form: str, data: bytes) -> None:
    drained(form, data, 100, True)


@given(data=st.binary(max_size=400), where=st.integers(0, 400))
@hypothesis_settings(max_examples=150, deadline=None)
def test_any_bytes_as_a_zip_give_members_or_faults(data: bytes, where: int) -> None:
    base = zipped({"a": b"hello", "b": b"x" * 50})
    mixed = base[: where % len(base)] + data + base[where % len(base) :]
    budget = Budget(HashOptions(max_members=50), len(mixed))
    found: list[object] = []
    try:
        for member in open_members("zip", io.BytesIO(mixed), budget, []):
            found.append(member.digests)
    except OverLimit:
        pass
    assert len(found) <= 50


def test_time_is_a_limit_of_the_whole_upload(examine: Examine, jpeg: Jpeg) -> None:
    album = zipped({f"{n}.jpg": jpeg(n) for n in range(300)}, zipfile.ZIP_STORED)
    media = examine(album, cpu_seconds=0.05)
    assert ("", FaultKind.OVER_LIMIT) in faults(media)
    assert 0 < len(media.members) < 300
