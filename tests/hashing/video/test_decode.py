"""Films: the frames asked for, by the reference's hashes, from every common container."""

from __future__ import annotations

import io
import itertools
import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests.hashing.video.conftest import picture as coarse

from tutela.core import FaultKind, Media, MediaKind
from tutela.hashing.containers import Budget
from tutela.hashing.media import hash_media
from tutela.hashing.options import HashOptions, VideoMode
from tutela.hashing.pdq import distance, spectrum_from_luma
from tutela.hashing.video import decode, hash_video, planes
from tutela.hashing.video import film as film_module
from tutela.hashing.video.clock import FilmClock
from tutela.settings import HashingSettings

Film = Callable[..., bytes]
Watch = Callable[..., Media]


def kinds(media: Media) -> list[FaultKind]:
    return [fault.kind for fault in media.faults]


@pytest.mark.parametrize(
    ("form", "codec", "name"),
    [
        ("mp4", "mpeg4", "mp4"),
        ("mov", "mpeg4", "mov"),
        ("matroska", "mpeg4", "mkv"),
        ("webm", "libvpx-vp9", "webm"),
        ("webm", "libvpx", "webm"),
        ("avi", "mjpeg", "avi"),
        ("mpegts", "mpeg2video", "mpegts"),
        ("vob", "mpeg2video", "mpegps"),
        ("flv", "flv", "flv"),
        ("asf", "msmpeg4", "asf"),
    ],
)
def test_every_common_container(film: Film, watch: Watch, form: str, codec: str, name: str) -> None:
    rate = 25 if codec == "mpeg2video" else 10
    data = film(form, codec, rate=rate, seconds=2)
    media = watch(data)
    assert (media.kind, media.format, kinds(media)) == (MediaKind.VIDEO, name, [])
    assert [frame.number for frame in media.frames] == list(range(2 * rate))
    times = [frame.time for frame in media.frames]
    assert times[0] == 0
    assert np.allclose(np.diff(times), 1 / rate, atol=2e-3)
    shown = [f.to_image().convert("L") for f in av.open(io.BytesIO(data)).decode(video=0)]
    for ours, picture in zip(media.frames, shown, strict=True):
        theirs = spectrum_from_luma(np.asarray(picture)).pdq()
        assert distance(ours.pdq, theirs.bits) <= 10


def test_one_frame_a_second_is_one_that_cannot_be_foreseen(
    film: Film, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = film(seconds=3.5)
    every = {frame.number: frame for frame in watch(data).frames}
    drawn = []
    for part in (0.05, 0.55, 0.75):
        monkeypatch.setattr(film_module, "chance", lambda part=part: part)
        chosen = watch(data, "second").frames
        assert all(every[frame.number] == frame for frame in chosen)
        drawn.append([frame.number for frame in chosen])
    assert drawn == [[0, 10, 20, 30, 34], [0, 5, 15, 25, 34], [0, 7, 17, 27, 34]]


def test_every_frame_is_hashed_unless_told_otherwise() -> None:
    assert HashOptions().video is VideoMode.EVERY
    assert HashOptions.from_settings(HashingSettings()).video is VideoMode.EVERY


@pytest.mark.parametrize("mode", ["every", "second"])
def test_time_goes_on_where_timestamps_go_back(film: Film, watch: Watch, mode: str) -> None:
    """Two pieces of a transport stream, put together as they are; the first stands at 50 s."""
    late = film("mpegts", "mpeg2video", rate=25, seconds=0.2, options={"output_ts_offset": "50"})
    film_after = film("mpegts", "mpeg2video", rate=25, seconds=4, shot=25)
    frames = watch(late + film_after, mode).frames
    times = [frame.time for frame in frames]
    assert times == sorted(set(times))
    shots = {frame.pdq for frame in watch(film_after).frames}
    assert len([frame for frame in frames if frame.pdq in shots]) >= (100 if mode == "every" else 3)


def test_a_clock_without_stamps_counts_frames() -> None:
    assert [FilmClock(10).at(None, None, n) for n in (0, 5)] == [0, 0.5]
    clock = FilmClock(10)
    base = Fraction(1, 10)
    assert [clock.at(stamp, base, 0) for stamp in (500, 501, 3, 3, 7)] == pytest.approx(
        [0, 0.1, 0.2, 0.3, 0.7]
    )


def seen_through(codec: str, shown: np.ndarray) -> bytes:
    """A black film whose transparency is a picture."""
    out = io.BytesIO()
    with av.open(out, "w", format="webm") as file:
        stream: Any = file.add_stream(codec, rate=10, options={"auto-alt-ref": "0"})
        stream.height, stream.width = shown.shape
        stream.pix_fmt = "yuva420p"
        for number in range(3):
            frame = av.VideoFrame(stream.width, stream.height, "yuva420p")
            for plane, value in zip(frame.planes, (16, 128, 128, 0), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            rows = np.zeros((frame.planes[3].height, frame.planes[3].line_size), np.uint8)
            rows[:, : shown.shape[1]] = 255 - shown
            frame.planes[3].update(rows.tobytes())
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_what_shows_through_a_film_is_hashed(watch: Watch, codec: str) -> None:
    shown = np.asarray(coarse(7).convert("L"))
    media = watch(seen_through(codec, shown))
    wanted = spectrum_from_luma(shown).pdq().bits
    assert media.faults == ()
    assert min(distance(frame.pdq, wanted) for frame in media.frames) <= 16


@pytest.mark.parametrize(("flag", "held"), [(0, False), (1, True), (64, True)])
def test_picture_subtitles_are_a_fault_only_where_players_show_them_unasked(
    flag: int, held: bool
) -> None:
    stream = SimpleNamespace(codec_context=SimpleNamespace(name="pgssub"), disposition=flag)
    container = SimpleNamespace(streams=SimpleNamespace(subtitles=[stream]))
    content = decode.VideoContent()
    decode._look_at_subtitles(container, content)
    assert [fault.kind for fault in content.faults] == [FaultKind.UNSUPPORTED] * held


@pytest.mark.parametrize("b_frames", [0, 2])
def test_keyframes_are_decoded_alone_and_right(film: Film, watch: Watch, b_frames: int) -> None:
    data = film("matroska", seconds=4, gop=8, b_frames=b_frames)
    every = {frame.number: frame for frame in watch(data).frames}
    keys = [
        round(float(packet.pts * packet.time_base) * 10)
        for packet in av.open(io.BytesIO(data)).demux(video=0)
        if packet.is_keyframe and packet.pts is not None
    ]
    chosen = watch(data, "keyframes").frames
    assert [frame.number for frame in chosen] == keys
    assert len(keys) >= 4
    assert [every[frame.number].pdq for frame in chosen] == [frame.pdq for frame in chosen]


def test_long_stretches_without_keyframes_are_filled(film: Film, watch: Watch) -> None:
    data = film(seconds=50, rate=5, gop=600, shot=20)
    frames = watch(data, "keyframes").frames
    times = [frame.time for frame in frames]
    assert times[0] == 0
    assert max(np.diff([*times, 50.0])) <= 10.5
    every = {frame.number: frame.pdq for frame in watch(data).frames}
    assert all(every[frame.number] == frame.pdq for frame in frames)


def test_very_long_videos_are_thinned_and_not_cut(
    film: Film, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_module, "chance", lambda: 0.25)
    media = watch(film(seconds=10), max_video_frames=16)
    assert len(media.frames) <= 16
    assert len(media.frames) >= 8
    assert media.frames[-1].number >= 80
    assert media.faults == ()


def test_no_frames_when_switched_off(film: Film, watch: Watch) -> None:
    media = watch(film(), "off")
    assert (media.kind, media.frames, media.faults) == (MediaKind.VIDEO, (), ())


def test_without_the_extra_it_is_named(
    film: Film, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = film()
    monkeypatch.setitem(sys.modules, "av", None)
    media = watch(data)
    assert kinds(media) == [FaultKind.MISSING_EXTRA]
    assert "tutela[video]" in media.faults[0].detail
    assert media.digests.sha256


def test_the_longer_time_is_asked_for_once(film: Film) -> None:
    asked: list[int] = []
    for data, times in ((film(streams=2), 1), (b"hello", 0)):
        asked.clear()
        hash_media(io.BytesIO(data), HashOptions(), on_video=lambda: asked.append(1))
        assert len(asked) == times


def test_when_time_is_up_what_was_hashed_stays(
    film: Film, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = film(seconds=20, size=(320, 240))
    ticks = itertools.count()
    clock = SimpleNamespace(process_time=lambda: 0.001 * next(ticks))
    monkeypatch.setattr("tutela.hashing.containers.budget.time", clock)
    media = watch(data, video_cpu_seconds=0.05)
    assert kinds(media) == [FaultKind.OVER_LIMIT]
    assert 0 < len(media.frames) < 200


def test_a_second_film_in_the_file_is_hashed_too(film: Film, watch: Watch) -> None:
    media = watch(film(streams=3))
    assert [member.where for member in media.members] == ["stream-2", "stream-3"]
    assert [len(member.frames) for member in media.members] == [30, 30]
    assert media.members[0].digests == media.digests
    assert distance(media.frames[5].pdq, media.members[0].frames[5].pdq) > 60


def test_too_many_streams_are_a_fault(film: Film, watch: Watch) -> None:
    media = watch(film("matroska", streams=10, seconds=0.5))
    assert kinds(media) == [FaultKind.OVER_LIMIT]
    assert len(media.members) == decode.MAX_STREAMS - 1


def test_too_many_pixels_are_refused(film: Film, watch: Watch) -> None:
    media = watch(film(), max_pixels=100 * 100)
    assert (media.kind, kinds(media)) == (MediaKind.UNREADABLE, [FaultKind.OVER_LIMIT])


def test_more_decoded_pixels_than_an_upload_may_have_are_over_the_limit(
    film: Film, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutela.hashing.containers.budget.VIDEO_PIXELS", 12 * 160 * 120)
    media = watch(film(streams=2))
    assert kinds(media) == [FaultKind.OVER_LIMIT]
    assert sum(len(part.frames) for part in media.walk()) == 12


def test_a_codec_that_is_not_allowed_is_unsupported(film: Film, watch: Watch) -> None:
    media = watch(film("avi", "snow", seconds=0.5))
    assert (media.kind, kinds(media)) == (MediaKind.UNREADABLE, [FaultKind.UNSUPPORTED])


@pytest.mark.parametrize("form", ["mp4", "matroska", "mpegts", "avi"])
def test_a_film_cut_off_gives_its_beginning_and_a_fault(
    film: Film, watch: Watch, form: str
) -> None:
    codec = "mpeg2video" if form == "mpegts" else "mpeg4"
    rate = 25 if form == "mpegts" else 10
    options = {"movflags": "faststart"} if form == "mp4" else {}
    data = film(form, codec, seconds=4, rate=rate, options=options)
    media = watch(data[: len(data) // 2])
    assert 0 < len(media.frames) < 4 * rate
    if form in {"mp4", "avi"}:  # the others do not say how long they are
        assert set(kinds(media)) & {FaultKind.TRUNCATED, FaultKind.DAMAGED}


def test_an_mp4_without_its_table_cannot_be_opened(film: Film, watch: Watch) -> None:
    data = film()
    media = watch(data[: len(data) // 2])
    assert (media.kind, kinds(media)) == (MediaKind.UNREADABLE, [FaultKind.DAMAGED])


def test_damage_in_the_middle_costs_some_frames(film: Film, watch: Watch) -> None:
    data = bytearray(film("matroska", seconds=4))
    for at in range(len(data) // 2, len(data) // 2 + 3000, 7):
        data[at] ^= 0x5A
    media = watch(bytes(data))
    assert len(media.frames) > 5


def sound(form: str, codec: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=form) as file:
        stream: Any = file.add_stream(codec, rate=48000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 48000
        for number in range(20):
            frame.pts = number * 1024
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def test_sound_in_a_film_container_holds_no_pictures(watch: Watch) -> None:
    media = watch(sound("mp4", "aac"))
    assert (media.kind, media.frames, media.faults) == (MediaKind.OTHER, (), ())


def test_the_cover_of_a_song_is_a_picture() -> None:
    cover = io.BytesIO()
    Image.linear_gradient("L").resize((300, 200)).save(cover, "JPEG")
    body = b"\0image/jpeg\0\x03\0" + cover.getvalue()
    frame = b"APIC" + len(body).to_bytes(4) + b"\0\0" + body
    size = len(frame)
    seven = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    silence = (b"\xff\xfb\x90\x64" + bytes(413)) * 20
    song = b"ID3\x03\0\0" + seven + frame + silence
    media = hash_media(io.BytesIO(song), HashOptions(views=False))
    assert (media.kind, media.format, media.faults) == (MediaKind.OTHER, "mp3", ())
    (member,) = media.members
    assert (member.where, member.kind, member.format) == ("cover-1", MediaKind.PICTURE, "jpeg")
    assert member.pictures


def test_a_film_that_says_it_is_sound_is_a_film(film: Film, watch: Watch) -> None:
    data = film("mp4").replace(b"ftypisom", b"ftypM4A ", 1)
    media = watch(data)
    assert (media.format, media.kind, len(media.frames)) == ("m4a", MediaKind.VIDEO, 30)


@pytest.mark.parametrize(
    "form", ["yuv420p", "yuvj420p", "yuv444p", "nv12", "gray", "yuv420p10le", "p010le", "rgb24"]
)
def test_luma_from_every_layout(form: str) -> None:
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize((322, 242))
    frame = av.VideoFrame.from_image(coarse)
    made = frame.reformat(format=form)
    plane = planes.luma(made)
    assert (plane.shape, plane.dtype, plane.flags.c_contiguous) == ((242, 322), np.uint8, True)
    wanted = spectrum_from_luma(np.asarray(coarse.convert("L"))).pdq()
    found = spectrum_from_luma(plane)
    assert distance(found.pdq().bits, wanted.bits) <= 6
    assert abs(planes.quality(made, found) - wanted.quality) <= 1


def test_quality_is_that_of_the_full_range() -> None:
    ramp = np.tile(np.linspace(90, 140, 256, dtype=np.float32), (256, 1)).astype(np.uint8)
    grey = Image.fromarray(ramp)
    frame = av.VideoFrame.from_image(grey.convert("RGB")).reformat(format="yuv420p")
    spectrum = spectrum_from_luma(planes.luma(frame))
    wanted = spectrum_from_luma(ramp).quality
    assert planes.quality(frame, spectrum) >= spectrum.quality
    assert abs(planes.quality(frame, spectrum) - wanted) <= 2


def test_a_turned_film_is_hashed_as_stored_and_as_shown(
    film: Film, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = film(seconds=1)
    stored = watch(data).frames
    monkeypatch.setattr(film_module, "turning", lambda frame: "rotate-90")
    both = watch(data).frames
    assert both[::2] == stored
    shown = [np.rot90(planes.luma(f)) for f in av.open(io.BytesIO(data)).decode(video=0)]
    for frame, plane in zip(both[1::2], shown, strict=True):
        wanted = spectrum_from_luma(np.ascontiguousarray(plane)).pdq()
        assert distance(frame.pdq, wanted.bits) <= 2
    assert [frame.number for frame in both] == [n for n in range(10) for _ in (0, 1)]


@pytest.mark.parametrize("mode", ["every", "keyframes"])
def test_a_telephone_s_film_is_found_upright(film: Film, watch: Watch, mode: str) -> None:
    """The track's matrix says: turn by 90 degrees clockwise (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(film(seconds=1))
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    at = data.find(b"tkhd") + 44
    data[at : at + 36] = matrix
    stored, shown = watch(bytes(data), mode).frames[:2]
    plane = planes.luma(next(av.open(io.BytesIO(data)).decode(video=0)))
    clockwise = np.ascontiguousarray(np.rot90(plane, -1))
    assert stored.pdq == spectrum_from_luma(plane).pdq().bits
    assert distance(shown.pdq, spectrum_from_luma(clockwise).pdq().bits) <= 2


def references() -> list[Path]:
    folder = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "vpdq"
    return sorted(folder.glob("*.mp4")) if folder.is_dir() else []


@pytest.mark.parametrize("path", [*references(), None])
def test_the_reference_s_own_samples(path: Path | None) -> None:
    if path is None:  # the folder is not part of the repository
        return
    lines = [line.split(",") for line in path.with_suffix(".txt").read_text().split()]
    with path.open("rb") as file:
        content = hash_video(file, "mp4", Budget(HashOptions(video=VideoMode.EVERY), 1 << 20))
    frames = content.streams[0].frames
    assert (len(frames), content.faults) == (len(lines), [])
    apart = []
    for frame, (number, quality, pdq, at) in zip(frames, lines, strict=True):
        assert frame.number == int(number)
        assert abs(frame.quality - int(quality)) <= 1
        assert abs(frame.time - float(at)) < 2e-3
        if int(quality) >= 50:
            apart.append(distance(frame.pdq, bytes.fromhex(pdq)))
    assert np.mean(apart) < 4
    assert max(apart) <= 12
