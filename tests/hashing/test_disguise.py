"""What begins as sound, a still picture or text is examined as what players take it for."""

from __future__ import annotations

import io
import struct
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests.hashing.video.conftest import write_film

from tutela.core import FaultKind, Media, MediaKind
from tutela.hashing import id3
from tutela.hashing.media import hash_media
from tutela.hashing.options import HashOptions
from tutela.hashing.pdq import distance
from tutela.hashing.video import decode

ID3 = b"ID3\x03\0\0" + bytes([0, 0, 0x10, 0]) + bytes(2048)


def run(data: bytes) -> Media:
    return hash_media(io.BytesIO(data), HashOptions(views=False))


def kinds(media: Media) -> list[FaultKind]:
    return [fault.kind for part in media.walk() for fault in part.faults]


def sound(form: str, codec: str, rate: int = 44100) -> bytes:
    """Three seconds of a rising tone."""
    out = io.BytesIO()
    with av.open(out, "w", format=form) as file:
        stream: Any = file.add_stream(codec, rate=rate)
        stream.layout = "mono"
        kind = stream.codec_context.codec.audio_formats[0].name
        turned = av.AudioResampler(kind, "mono", rate, stream.codec_context.frame_size or 1024)
        for number in range(3 * rate // 1024):
            tone = np.sin(np.arange(1024) * 0.001 * (number + 1)).astype(np.float32)[None] * 0.3
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, number * 1024
            for piece in turned.resample(frame):
                file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return out.getvalue()


SOUNDS = [
    ("mp3", "libmp3lame", "mp3"),
    ("flac", "flac", "flac"),
    ("ogg", "libopus", "ogg"),
    ("ogg", "flac", "ogg"),
    ("ipod", "aac", "m4a"),
    ("ipod", "alac", "m4a"),
    ("adts", "aac", "aac"),
    ("wav", "pcm_s16le", "wav"),
    ("wav", "adpcm_ms", "wav"),
    ("aiff", "pcm_s16be", "aiff"),
]


@pytest.mark.parametrize(("form", "codec", "name"), SOUNDS)
def test_ordinary_sound_is_no_fault(form: str, codec: str, name: str) -> None:
    data = sound(form, codec, 48000 if codec == "libopus" else 44100)
    for whole in (data, ID3 + data if name in {"mp3", "flac", "aac"} else data):
        media = run(whole)
        assert (media.format, media.kind, kinds(media)) == (name, MediaKind.OTHER, [])


def test_sound_cut_off_is_no_fault() -> None:
    data = sound("mp3", "libmp3lame")
    assert kinds(run(data[: len(data) // 2 + 77])) == []


HEADS = {
    "flac": b"fLaC",
    "ogg": b"OggS",
    "m4a": b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42isom",
    "id3": b"ID3\x03\0\0\0\0\0\0",
    "mp3": b"\xff\xfb\x90\0",
    "aac": b"\xff\xf1\x50\x80",
    "midi": b"MThd\0\0\0\6\0\1\0\1\0\x60",
    "wav": b"RIFF\0\0\0\0WAVEfmt ",
    "aiff": b"FORM\0\0\0\0AIFF",
    "amr": b"#!AMR\n",
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", [3_000, 20_000, 200_000])
def test_anything_behind_the_first_bytes_of_sound_is_a_fault(name: str, size: int) -> None:
    assert kinds(run(HEADS[name] + np.random.default_rng(size).bytes(size)))


def test_a_score_is_no_fault() -> None:
    track = b"\0\xff\x2f\0"
    data = HEADS["midi"] + b"MTrk" + struct.pack(">I", len(track)) + track
    media = run(data)
    assert (media.format, kinds(media)) == ("midi", [])


def test_a_film_behind_a_music_tag_is_a_film() -> None:
    film = write_film("mpegts", "mpeg2video", rate=25, seconds=1)
    media = run(ID3 + film)
    assert (media.kind, len(media.frames), kinds(media)) == (MediaKind.VIDEO, 25, [])
    for other in ("mp4", "matroska"):
        data = ID3 + write_film(other, seconds=1)
        media = run(data)
        assert media.frames or kinds(media)


def test_a_film_under_a_song_s_brand_is_a_film() -> None:
    media = run(write_film(seconds=1).replace(b"isom", b"M4A ", 1))
    assert (media.format, media.kind, len(media.frames)) == ("m4a", MediaKind.VIDEO, 10)


def still(format: str = "PNG") -> bytes:
    rng = np.random.default_rng(3)
    out = io.BytesIO()
    picture = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize((160, 120))
    picture.save(out, format)
    return out.getvalue()


def test_a_film_in_the_file_of_a_still_picture_is_examined() -> None:
    """AVIF's boxes, then a film's: who goes by the table of the film shows the film."""
    picture, film = still("AVIF"), write_film(seconds=1)
    cut = struct.unpack(">I", film[:4])[0]
    moved = len(picture) - cut
    body = bytearray(film[cut:])
    at = body.find(b"stco")
    for number in range(struct.unpack_from(">I", body, at + 8)[0]):
        place = at + 12 + 4 * number
        struct.pack_into(">I", body, place, struct.unpack_from(">I", body, place)[0] + moved)
    media = run(picture + bytes(body))
    frames = [frame.pdq for part in media.walk() for frame in part.frames]
    wanted = run(film).frames[0].pdq
    assert media.format == "avif"
    assert len(media.pictures) == 1
    assert min(distance(bits, wanted) for bits in frames) == 0


def test_an_animated_avif_is_no_fault() -> None:
    frames = [Image.open(io.BytesIO(still())).rotate(10 * k) for k in range(3)]
    out = io.BytesIO()
    frames[0].save(out, "AVIF", save_all=True, append_images=frames[1:], speed=10)
    media = run(out.getvalue())
    assert ({picture.frame for picture in media.pictures}, kinds(media)) == ({0, 1, 2}, [])


def seven(number: int) -> bytes:
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def tag(version: int, picture: bytes) -> bytes:
    if version == 2:
        frame = b"PIC" + (len(picture) + 6).to_bytes(3) + b"\0PNG\3\0" + picture
    else:
        body = b"\1image/png\0\3" + "front".encode("utf-16") + b"\0\0" + picture
        size = seven(len(body)) if version == 4 else struct.pack(">I", len(body))
        frame = b"APIC" + size + b"\0\0" + body
    return b"ID3" + bytes([version, 0, 0]) + seven(len(frame) + 50) + frame + bytes(50)


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize(("form", "codec"), [("mp3", "libmp3lame"), ("flac", "flac")])
def test_covers_in_the_tag_before_a_song_are_pictures(version: int, form: str, codec: str) -> None:
    media = run(tag(version, still()) + sound(form, codec))
    assert ("cover-1", 1) in [(part.where, len(part.pictures)) for part in media.members]
    assert kinds(media) == []


@pytest.mark.parametrize("open_ended", [False, True])
@pytest.mark.parametrize(
    ("form", "codec", "name", "order"),
    [("wav", "pcm_s16le", b"id3 ", "<I"), ("aiff", "pcm_s16be", b"ID3 ", ">I")],
)
def test_covers_in_the_chunks_of_a_recording_are_pictures(
    form: str, codec: str, name: bytes, order: str, open_ended: bool
) -> None:
    data, picture = sound(form, codec), tag(3, still())
    if open_ended and form == "wav":
        at = data.find(b"data") + 4
        data = data[:at] + b"\xff" * 4 + data[at + 4 :]
    media = run(data + name + struct.pack(order, len(picture)) + picture)
    assert ("cover-1", 1) in [(part.where, len(part.pictures)) for part in media.members]


def test_a_cover_that_cannot_be_taken_out_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    song = sound("mp3", "libmp3lame")
    packed = bytearray(tag(3, still()))
    packed[packed.find(b"APIC") + 9] = 0x80  # compressed
    assert FaultKind.UNSUPPORTED in kinds(run(bytes(packed) + song))
    assert not id3.pictures(bytes(packed))[1]
    monkeypatch.setattr(decode, "MAX_COVER_BYTES", 100)
    assert FaultKind.OVER_LIMIT in kinds(run(tag(3, still()) + song))


@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
def test_text_that_goes_on_as_something_else_is_a_fault(encoding: str) -> None:
    text = ("hello world, this is a text.\n" * 400).encode(encoding)
    assert kinds(run(text)) == []
    film = write_film("mpegts", "mpeg2video", rate=25, seconds=1)
    assert FaultKind.UNKNOWN_FORMAT in kinds(run(text + film))
    latin = ("Grüße aus Köln, ça va?\n" * 400).encode("latin-1")
    assert kinds(run(b"To whom it may concern\n" * 200 + latin)) == []
