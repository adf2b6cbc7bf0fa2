"""What a file really is, from its first bytes. Names, extensions and media types count for nothing.

The signatures are those of the formats' own specifications; ISO base media files (HEIC, AVIF,
MP4, MOV) are told apart by their brands (ISO/IEC 14496-12, 23008-12).
"""

from __future__ import annotations

from dataclasses import dataclass

from tutela.core import MediaKind

HEAD_BYTES = 4096
"""How many first bytes suffice."""

_PICTURE = MediaKind.PICTURE
_ANIMATION = MediaKind.ANIMATION
_VIDEO = MediaKind.VIDEO
_CONTAINER = MediaKind.CONTAINER
_OTHER = MediaKind.OTHER


@dataclass(frozen=True, slots=True)
class Format:
    """A sniffed format: its short ``name``, its ``kind``, its IANA ``media_type``.

    ``kind`` is ``ANIMATION`` where the head already shows it; a GIF may turn out to be one later.
    ``OTHER`` is text and audio, which hold no pictures; ``UNREADABLE`` is what nobody knows.
    """

    name: str
    kind: MediaKind
    media_type: str


UNKNOWN = Format("unknown", MediaKind.UNREADABLE, "application/octet-stream")
EMPTY = Format("empty", _OTHER, "application/x-empty")
TEXT = Format("text", _OTHER, "text/plain")
SVG = Format("svg", _CONTAINER, "image/svg+xml")
HTML = Format("html", _CONTAINER, "text/html")
PNG = Format("png", _PICTURE, "image/png")
APNG = Format("png", _ANIMATION, "image/apng")
WEBP = Format("webp", _PICTURE, "image/webp")
WEBP_ANIMATED = Format("webp", _ANIMATION, "image/webp")
GIF = Format("gif", _PICTURE, "image/gif")
GIF_ANIMATED = Format("gif", _ANIMATION, "image/gif")
AVIF = Format("avif", _PICTURE, "image/avif")
AVIF_SEQUENCE = Format("avif", _ANIMATION, "image/avif")
HEIC = Format("heic", _PICTURE, "image/heic")
BMP = Format("bmp", _PICTURE, "image/bmp")
MP4 = Format("mp4", _VIDEO, "video/mp4")
MOV = Format("mov", _VIDEO, "video/quicktime")
WEBM = Format("webm", _VIDEO, "video/webm")
MKV = Format("mkv", _VIDEO, "video/matroska")
MPEGTS = Format("mpegts", _VIDEO, "video/mp2t")
OGG_VIDEO = Format("ogv", _VIDEO, "video/ogg")
OGG = Format("ogg", _OTHER, "audio/ogg")
MP3 = Format("mp3", _OTHER, "audio/mpeg")
AAC = Format("aac", _OTHER, "audio/aac")
M4A = Format("m4a", _OTHER, "audio/mp4")
TAR = Format("tar", _CONTAINER, "application/x-tar")
PDF = Format("pdf", _CONTAINER, "application/pdf")
PNM = Format("pnm", _PICTURE, "image/x-portable-anymap")
ICO = Format("ico", _PICTURE, "image/vnd.microsoft.icon")

_PREFIXES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", Format("jpeg", _PICTURE, "image/jpeg")),
    (b"II*\x00", Format("tiff", _PICTURE, "image/tiff")),
    (b"MM\x00*", Format("tiff", _PICTURE, "image/tiff")),
    (b"II+\x00", Format("tiff", _PICTURE, "image/tiff")),
    (b"MM\x00+", Format("tiff", _PICTURE, "image/tiff")),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Format("jp2", _PICTURE, "image/jp2")),
    (b"\xff\x4f\xff\x51", Format("jp2", _PICTURE, "image/jp2")),
    (b"\xff\x0a", Format("jxl", _PICTURE, "image/jxl")),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Format("jxl", _PICTURE, "image/jxl")),
    (b"8BPS", Format("psd", _PICTURE, "image/vnd.adobe.photoshop")),
    (b"qoif", Format("qoi", _PICTURE, "image/qoi")),
    (b"DDS ", Format("dds", _PICTURE, "image/vnd.ms-dds")),
    (b"v/1\x01", Format("exr", _PICTURE, "image/x-exr")),
    (b"#?RADIANCE", Format("hdr", _PICTURE, "image/vnd.radiance")),
    (b"FLV\x01", Format("flv", _VIDEO, "video/x-flv")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Format("asf", _VIDEO, "video/x-ms-asf")),
    (b"\x00\x00\x01\xba", Format("mpegps", _VIDEO, "video/mpeg")),
    (b"\x00\x00\x01\xb3", Format("mpegps", _VIDEO, "video/mpeg")),
    (b"PK\x03\x04", Format("zip", _CONTAINER, "application/zip")),
    (b"PK\x05\x06", Format("zip", _CONTAINER, "application/zip")),
    (b"PK\x07\x08", Format("zip", _CONTAINER, "application/zip")),
    (b"\x1f\x8b", Format("gzip", _CONTAINER, "application/gzip")),
    (b"BZh", Format("bz2", _CONTAINER, "application/x-bzip2")),
    (b"\xfd7zXZ\x00", Format("xz", _CONTAINER, "application/x-xz")),
    (b"7z\xbc\xaf\x27\x1c", Format("7z", _CONTAINER, "application/x-7z-compressed")),
    (b"Rar!\x1a\x07", Format("rar", _CONTAINER, "application/vnd.rar")),
    (b"\x28\xb5\x2f\xfd", Format("zstd", _CONTAINER, "application/zstd")),
    (b"MSCF\x00\x00\x00\x00", Format("cab", _CONTAINER, "application/vnd.ms-cab-compressed")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Format("ole", _CONTAINER, "application/x-ole-storage")),
    (b"fLaC", Format("flac", _OTHER, "audio/flac")),
    (b"MThd", Format("midi", _OTHER, "audio/midi")),
    (b"#!AMR", Format("amr", _OTHER, "audio/amr")),
)
_RIFF = {
    b"AVI ": Format("avi", _VIDEO, "video/x-msvideo"),
    b"WAVE": Format("wav", _OTHER, "audio/wav"),
}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIC_BRANDS |= {b"mif1", b"msf1", b"mif2"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "}
_MOV_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_TEXT_CONTROLS = frozenset(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27}


def sniff(head: bytes) -> Format:
    """The format of a file from its first ``HEAD_BYTES`` bytes (or all, if it is shorter)."""
    if not head:
        return EMPTY
    for prefix, known in _PREFIXES:
        if head.startswith(prefix):
            return known
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return APNG if b"acTL" in head.partition(b"IDAT")[0] else PNG
    if head[:6] in {b"GIF87a", b"GIF89a"}:
        return GIF_ANIMATED if b"NETSCAPE2.0" in head or b"ANIMEXTS1.0" in head else GIF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        animated = head[12:16] == b"VP8X" and len(head) > 20 and head[20] & 2
        return WEBP_ANIMATED if animated else WEBP
    return (
        (_RIFF.get(head[8:12]) if head[:4] == b"RIFF" else None)
        or _iso_media(head)
        or _matroska(head)
        or _ogg(head)
        or _small_headers(head)
        or _archive(head)
        or _transport_stream(head)
        or _text(head)  # before sound: a byte order mark looks like an MPEG frame
        or _audio(head)
        or UNKNOWN
    )


def _iso_media(head: bytes) -> Format | None:
    kind = head[4:8]
    if kind != b"ftyp":
        size = int.from_bytes(head[:4])
        return MOV if kind in _MOV_ATOMS and (size >= 8 or size in {0, 1}) else None
    size = min(int.from_bytes(head[:4]), len(head))
    major = head[8:12]
    brands = {major} | {head[at : at + 4] for at in range(16, max(size - 3, 16), 4)}
    if major == b"avis" or (b"avis" in brands and b"avif" not in {major}):
        return AVIF_SEQUENCE
    if b"avif" in brands:
        return AVIF
    if major in _HEIC_BRANDS or (brands & _HEIC_BRANDS and not brands & {b"isom", b"mp42"}):
        return HEIC
    if major == b"qt  ":
        return MOV
    return M4A if major in _AUDIO_BRANDS else MP4


def _matroska(head: bytes) -> Format | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    at = head.find(b"\x42\x82")
    return WEBM if at >= 0 and head[at + 3 : at + 7] == b"webm" else MKV


def _ogg(head: bytes) -> Format | None:
    if not head.startswith(b"OggS"):
        return None
    return OGG_VIDEO if b"theora" in head or b"BBCD" in head else OGG


def _small_headers(head: bytes) -> Format | None:
    """Formats whose signature is so short that more of the header must make sense."""
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return BMP
    if head[:4] in {b"\x00\x00\x01\x00", b"\x00\x00\x02\x00"} and len(head) >= 22:
        entries = int.from_bytes(head[4:6], "little")
        if 0 < entries <= 256 and head[9] == 0:
            return ICO
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return PNM if head[3:4].isdigit() or head[3:4] in {b"#", b" ", b"\n"} else None
    return None


def _archive(head: bytes) -> Format | None:
    if b"%PDF-" in head[:1024]:
        return PDF
    if len(head) < 512:
        return None
    if head[257:262] == b"ustar":
        return TAR
    # Before POSIX a tar had no signature; its header's checksum gives it away.
    field = head[148:156].strip(b" \x00")
    if field and all(c in b"01234567" for c in field) and head[0]:
        total = sum(head[:148]) + 8 * 32 + sum(head[156:512])
        return TAR if int(field, 8) == total else None
    return None


def _transport_stream(head: bytes) -> Format | None:
    for offset, packet in ((0, 188), (4, 192), (0, 204)):
        marks = head[offset::packet][:8]
        if len(marks) >= 3 and set(marks) == {0x47}:
            return MPEGTS
    return None


def _audio(head: bytes) -> Format | None:
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return Format("aiff", _OTHER, "audio/aiff")
    if head[:3] == b"ID3":
        return MP3
    if len(head) >= 4 and head[0] == 0xFF:
        second, third = head[1], head[2]
        if second & 0xF6 == 0xF0 and (third >> 2) & 0xF < 13:
            return AAC
        layer, rate, frequency = (second >> 1) & 3, third >> 4, (third >> 2) & 3
        if second & 0xE0 == 0xE0 and (second >> 3) & 3 != 1 and layer and rate not in {0, 15}:
            return MP3 if frequency != 3 else None
    return None


def _text(head: bytes) -> Format | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        body = head[: len(head) // 2 * 2]
        encoding = "utf-16"
    else:
        body, encoding = head, "utf-8-sig"
        if _TEXT_CONTROLS.intersection(head):
            return None
    try:
        shown = body.decode(encoding)
    except UnicodeDecodeError as error:
        # A character cut off at the end of the head is no fault of the file.
        if error.start < len(body) - 4 or len(head) < HEAD_BYTES:
            return None
        shown = body[: error.start].decode(encoding)
    if any(ord(c) in _TEXT_CONTROLS for c in shown):
        return None
    start = shown.lstrip().lower()
    if start.startswith(("<?xml", "<!--", "<!doctype", "<svg", "<html", "<head", "<body")):
        if "<svg" in start:
            return SVG
        if "<html" in start or "<!doctype html" in start or start.startswith(("<head", "<body")):
            return HTML
    return TEXT
