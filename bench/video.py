"""Frames of 720p video on one core, beside vpdq in the same run, and what each mode finds.

The films are made here: slow pans and zooms over the photos that scikit-image packages, with cuts,
a moving object and grain, as H.264 with B-frames at 30 frames a second. Speed is CPU time from the
file's bytes to the last hash. Recall is over copies edited in the ways people edit films, of films
listed with one frame a second (vpdq's default): a copy is found where half of the listed frames
have a like in it (the rule lists start from), and, beside it, where any frame has.
"""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from tutela.core import FrameHash
from tutela.hashing.containers import Budget
from tutela.hashing.options import HashOptions, VideoMode
from tutela.hashing.pdq import distance
from tutela.hashing.video import compare_videos, hash_video
from tutela.hashing.video import film as film_module

from ._report import QUICK, Report, side_by_side
from .hashing import photos

RATE = 30
SECONDS = 4 if QUICK else 10
FILMS = 1 if QUICK else 3
ROUNDS = 2 if QUICK else 4
SHOT_SECONDS = 2.5
EVERY_BAR = 5.0
KEYFRAMES_BAR = 4.0
LISTED_SHARE = 0.5
MIN_QUALITY = 50
MODES = (VideoMode.EVERY, VideoMode.SECOND, VideoMode.KEYFRAMES)

Edit = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a film is written."""

    size: tuple[int, int] = (1280, 720)
    codec: str = "libx264"
    crf: int = 23
    keyframe_every: int = 60
    step: int = 1
    """Take every so manieth frame (2: 15 frames a second)."""
    skip: float = 0.0
    """Seconds left out at the start."""
    keep: float = 1.0
    """Share of what follows that is kept."""
    edit: Edit | None = None


def shots(number: int) -> Iterator[Image.Image]:
    """The frames of a film, each a 1280x720 picture."""
    pictures = photos()
    rng = np.random.default_rng(number)
    grain = rng.normal(0, 4, (720, 1280, 1)).astype(np.float32)
    length = int(SHOT_SECONDS * RATE)
    for frame in range(SECONDS * RATE):
        shot, at = divmod(frame, length)
        picture = pictures[(shot + number) % len(pictures)]
        width, height = picture.size
        zoom = 0.55 + 0.25 * ((shot * 7 + number * 3) % 5) / 5 + 0.1 * at / length
        wide, high = width * zoom, height * zoom
        left = (width - wide) * ((shot * 13 + number * 5) % 7 / 7 * 0.6 + 0.4 * at / length)
        top = (height - high) * (0.3 + 0.2 * np.sin(at / length * 3))
        view = picture.resize(
            (1280, 720), Image.Resampling.BILINEAR, box=(left, top, left + wide, top + high)
        )
        x = int(1100 * at / length)
        ImageDraw.Draw(view).ellipse((x, 420, x + 160, 580), fill=(200, 60 + 30 * (shot % 5), 40))
        noisy = np.asarray(view, np.float32) + np.roll(grain, frame * 37, axis=1)
        yield Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def written(frames: list[Image.Image], form: Form) -> bytes:
    """A film in a file."""
    out = io.BytesIO()
    first = int(form.skip * RATE)
    chosen = frames[first : first + int((len(frames) - first) * form.keep) : form.step]
    with av.open(out, "w", format="matroska" if form.codec.startswith("libvpx") else "mp4") as file:
        stream: Any = file.add_stream(form.codec, rate=RATE // form.step)
        stream.width, stream.height = form.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = form.keyframe_every
        stream.codec_context.thread_count = 2
        if form.codec == "libx264":
            stream.options = {"crf": str(form.crf), "preset": "veryfast", "bf": "3"}
        elif form.codec == "libvpx-vp9":
            stream.options = {"crf": "38", "b": "0", "deadline": "realtime", "cpu-used": "8"}
        else:
            stream.codec_context.bit_rate = 1_200_000
        for picture in chosen:
            edited = form.edit(picture) if form.edit is not None else picture
            shown = edited if edited.size == form.size else edited.resize(form.size)
            file.mux(stream.encode(av.VideoFrame.from_image(shown)))
        file.mux(stream.encode(None))
    return out.getvalue()


def bordered(picture: Image.Image) -> Image.Image:
    """Black bars, a tenth of the height, above and below."""
    sheet = Image.new("RGB", (1280, 864))
    sheet.paste(picture, (0, 72))
    return sheet


def badge(picture: Image.Image) -> Image.Image:
    """A logo in a corner."""
    marked = picture.copy()
    ImageDraw.Draw(marked).rectangle((1100, 20, 1260, 90), fill=(255, 255, 255))
    return marked


def brightened(picture: Image.Image) -> Image.Image:
    """A quarter brighter."""
    return ImageEnhance.Brightness(picture).enhance(1.25)


def cropped(picture: Image.Image) -> Image.Image:
    """Two per cent cut off each side."""
    return picture.crop((26, 14, 1254, 706))


PLAIN = Form()
EDITS: dict[str, Form] = {
    "recompressed_crf35": replace(PLAIN, crf=35),
    "360p": replace(PLAIN, size=(640, 360), crf=28),
    "180p_crf35": replace(PLAIN, size=(320, 180), crf=35),
    "4to3": replace(PLAIN, size=(640, 480)),
    "15_frames_a_second": replace(PLAIN, step=2),
    "cut_1.3s_at_start": replace(PLAIN, skip=1.3),
    "first_half": replace(PLAIN, keep=0.5),
    "keyframe_each_10s": replace(PLAIN, keyframe_every=300),
    "mpeg4": replace(PLAIN, codec="mpeg4", size=(640, 360)),
    "vp9": replace(PLAIN, codec="libvpx-vp9", size=(640, 360)),
    "brighter": replace(PLAIN, edit=brightened),
    "grey": replace(PLAIN, edit=lambda p: p.convert("L").convert("RGB")),
    "badge": replace(PLAIN, edit=badge),
    "cropped_2": replace(PLAIN, edit=cropped),
    "letterboxed": replace(PLAIN, edit=bordered, size=(1280, 864)),
}
QUICK_EDITS = ("recompressed_crf35", "360p", "15_frames_a_second", "keyframe_each_10s")


def hashed(data: bytes, mode: VideoMode) -> list[FrameHash]:
    """A film's frames by Tutela."""
    name = "webm" if data[:4] == b"\x1a\x45\xdf\xa3" else "mp4"
    film_module.chance = random.Random(1).random  # the same instants in every run
    content = hash_video(io.BytesIO(data), name, Budget(HashOptions(video=mode), len(data)))
    assert not content.faults, content.faults
    return content.streams[0].frames


def speed(report: Report, data: bytes) -> None:
    """Every mode beside vpdq's every frame and its one a second."""
    works: list[Callable[[], object]] = [partial(hashed, data, mode) for mode in MODES]
    for work in works:
        work()
    try:
        import vpdq
    except ImportError:
        report.figure("video_peer", "missing vpdq is not installed: python -m bench.setup")
        report.ratio("video_every_x_vpdq_every", 0.0, EVERY_BAR)
        report.ratio("video_keyframes_x_vpdq_second", 0.0, KEYFRAMES_BAR)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        path.write_bytes(data)
        works += [
            lambda: vpdq.computeHash(path, seconds_per_hash=0, thread_count=1),
            lambda: vpdq.computeHash(path, seconds_per_hash=1, thread_count=1),
        ]
        every, second, keyframes, their_every, their_second = side_by_side(works, rounds=ROUNDS)
        report.ratio("video_every_x_vpdq_every", their_every / every, EVERY_BAR)
        report.ratio("video_keyframes_x_vpdq_second", their_second / keyframes, KEYFRAMES_BAR)
        report.figure("video_second_x_vpdq_second", f"{their_second / second:.2f}")
        for name, taken in (
            ("every", every),
            ("second", second),
            ("keyframes", keyframes),
            ("vpdq_every", their_every),
            ("vpdq_second", their_second),
        ):
            report.figure(f"video_{name}_x_realtime", f"{SECONDS / taken:.1f} at 720p, one core")
        agreement(report, data, vpdq.computeHash(path, seconds_per_hash=0, thread_count=1))


def agreement(report: Report, data: bytes, theirs: list[Any]) -> None:
    """How far our frames lie from vpdq's."""
    ours = {frame.number: frame for frame in hashed(data, VideoMode.EVERY)}
    apart = [
        distance(ours[f.frame_number].pdq, bytes.fromhex(f.hex))
        for f in theirs
        if f.quality >= MIN_QUALITY and f.frame_number in ours
    ]
    bits: NDArray[np.int64] = np.array(apart)
    detail = f"bits on average over {len(bits)} frames, at most {bits.max()}"
    report.figure("video_bits_from_vpdq", f"{bits.mean():.2f} {detail}")


def recall(report: Report) -> None:
    """What each mode finds of each edit; one film at a time, for its frames fill a gigabyte."""
    names = QUICK_EDITS if QUICK else tuple(EDITS)
    shares: dict[tuple[str, VideoMode], list[float]] = {}
    for film in range(FILMS):
        frames = list(shots(film))
        listed = hashed(written(frames, PLAIN), VideoMode.SECOND)
        for name in names:
            copy = written(frames, EDITS[name])
            for mode in MODES:
                share = compare_videos(hashed(copy, mode), listed).listed
                shares.setdefault((name, mode), []).append(share)
    for name in names:
        text = ", ".join(f"{mode} {np.mean(shares[name, mode]):.2f}" for mode in MODES)
        print(f"  {name:<22} share of listed frames found: {text}", flush=True)
    for mode in MODES:
        every = [share for name in names for share in shares[name, mode]]
        by_rule = np.mean([share >= LISTED_SHARE for share in every])
        by_any = np.mean([share > 0 for share in every])
        detail = f"{by_any:.2f} with any frame, {len(names)} edits of {FILMS} films"
        report.figure(f"video_recall_{mode}", f"{by_rule:.2f} by the rule, {detail}")


def main() -> int:
    """Speed, then recall."""
    report = Report()
    speed(report, written(list(shots(0)), PLAIN))
    recall(report)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
