"""Decoding a video and hashing its frames: every one, one a second, or keyframes.

Only the demuxer that the sniffed format calls for and a list of common decoders may be used, in
one thread, from the file's own bytes: playlists, network protocols and exotic codecs are refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from tutela.core import Fault, FaultKind, FrameHash
from tutela.hashing.containers.budget import OverLimit
from tutela.hashing.options import VideoMode
from tutela.hashing.pdq import spectrum_from_luma

from .planes import luma, quality

if TYPE_CHECKING:
    from tutela.hashing.containers import Budget

DEMUXERS = {
    "mp4": "mov",
    "mov": "mov",
    "m4a": "mov",
    "webm": "matroska",
    "mkv": "matroska",
    "avi": "avi",
    "mpegts": "mpegts",
    "mpegps": "mpeg",
    "ogv": "ogg",
    "ogg": "ogg",
    "flv": "flv",
    "asf": "asf",
    "mp3": "mp3",
    "flac": "flac",
}
SOUND_FORMATS = frozenset({"m4a", "ogg", "mp3", "flac"})
"""Formats for sound that can hold a film or a cover picture all the same."""
DECODERS = frozenset(
    {
        *("h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d"),
        *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "h263"),
        *("wmv1", "wmv2", "wmv3", "vc1", "flv", "vp6", "vp6f", "theora", "svq1", "svq3"),
        *("mjpeg", "prores", "dvvideo", "dnxhd", "ffv1", "huffyuv", "rawvideo", "cinepak"),
        *("png", "gif", "qtrle"),
    }
)
"""FFmpeg's names of the decoders that may run: what people have, not all that can be opened."""
MAX_STREAMS = 8
"""Video streams of one file that are hashed; a second one is a place to hide in."""
BUFFER_BYTES = 256 * 1024
KEYFRAME_GAP = 10.0
"""Seconds: the longest stretch of a video that the keyframes mode leaves without a hash."""
MAX_HELD_BYTES = 64 * 1024 * 1024
"""Compressed bytes held back while waiting for the next keyframe."""
MAX_COVER_BYTES = 32 * 1024 * 1024
ROTATIONS = {90: "rotate-90", -270: "rotate-90", 180: "rotate-180", -180: "rotate-180"}
ROTATIONS |= {270: "rotate-270", -90: "rotate-270"}


@dataclass(slots=True)
class VideoStream:
    """The hashes of one video stream, in the order of time."""

    frames: list[FrameHash] = field(default_factory=list)


@dataclass(slots=True)
class VideoContent:
    """What a video file holds: its video streams, its cover pictures, what was wrong with it."""

    streams: list[VideoStream] = field(default_factory=list)
    covers: list[bytes] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def hash_video(reader: BinaryIO, name: str, budget: Budget) -> VideoContent:
    """Hash the frames of a video of the sniffed format ``name``. Never raises for what it holds.

    Where the budget's time is used up, the frames up to there and a fault are the result.
    """
    content = VideoContent()
    try:
        import av
    except ImportError:
        content.faults.append(
            Fault(
                kind=FaultKind.MISSING_EXTRA,
                detail="Video needs the extra 'video', which is not installed: "
                "pip install 'tutela[video]'",
            )
        )
        return content
    av.logging.set_level(av.logging.PANIC)
    reader.seek(0)
    try:
        opened = av.open(
            reader,
            format=DEMUXERS[name],
            options={"codec_whitelist": ",".join(sorted(DECODERS))},
            metadata_errors="ignore",
            buffer_size=BUFFER_BYTES,
        )
    except (av.FFmpegError, ValueError, OSError):
        content.faults.append(Fault(kind=FaultKind.DAMAGED, detail="The video cannot be opened."))
        return content
    with opened as container:
        _hash_container(container, budget, content)
    return content


def _hash_container(container: Any, budget: Budget, content: VideoContent) -> None:
    import av

    films: dict[int, _Film] = {}
    wanted = []
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if len(films) >= MAX_STREAMS:
                _add_fault(content, FaultKind.OVER_LIMIT, "The video has too many streams.")
                break
            films[stream.index] = _Film(stream, budget)
        wanted.append(stream)
    if not wanted:
        return
    if films:
        budget.video()
    whole = True
    try:
        for packet in _packets(container, wanted, content):
            film = films.get(packet.stream_index)
            if film is not None:
                film.take(packet)
            elif packet.size and packet.size <= MAX_COVER_BYTES:
                content.covers.append(bytes(packet))
            budget.tick()
        for film in films.values():
            film.finish()
    except OverLimit as over:
        whole = False
        _add_fault(content, FaultKind.OVER_LIMIT, str(over))
    for film in films.values():
        content.streams.append(VideoStream(film.frames))
        for kind, detail in film.wrongs(whole):
            _add_fault(content, kind, detail)


def _packets(container: Any, streams: list[Any], content: VideoContent) -> Iterator[Any]:
    import av

    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, ValueError, OSError):
            _add_fault(content, FaultKind.DAMAGED, "The video is damaged.")
            return
        if packet.dts is not None or packet.size:
            yield packet


def _add_fault(content: VideoContent, kind: FaultKind, detail: str) -> None:
    fault = Fault(kind=kind, detail=detail)
    if fault not in content.faults:
        content.faults.append(fault)


class _Film:
    """One video stream on its way: takes packets, keeps hashes."""

    def __init__(self, stream: Any, budget: Budget) -> None:
        options = budget.options
        self.frames: list[FrameHash] = []
        self._budget = budget
        self._mode = options.video
        self._most = options.max_video_frames
        self._max_pixels = options.max_pixels
        self._stream = stream
        self._codec = stream.codec_context
        self._rate = float(stream.average_rate or stream.guessed_rate or 0)
        self._expected = stream.frames
        self._packets = self._seen = self._failed = 0
        self._kept = 0
        self._stride = 1
        self._start: float | None = None
        self._due = 0.0
        self._held: list[Any] = []
        self._held_bytes = 0
        self._following = False
        self._wrong: set[tuple[FaultKind, str]] = set()
        self._open = self._prepare()

    def _prepare(self) -> bool:
        if self._codec is None or self._codec.codec.name not in DECODERS:
            self._wrong.add((FaultKind.UNSUPPORTED, "The video's codec cannot be decoded."))
            return False
        if self._codec.width * self._codec.height > self._max_pixels:
            self._wrong.add((FaultKind.OVER_LIMIT, "The video's frames have too many pixels."))
            return False
        self._codec.thread_count = 1
        with contextlib.suppress(Exception):
            self._codec.options = {"max_pixels": str(self._max_pixels)}
        return True

    def wrongs(self, whole: bool) -> list[tuple[FaultKind, str]]:
        """What was wrong with it, once it is finished (``whole``) or given up."""
        if self._open and not self._seen:
            self._wrong.add((FaultKind.DAMAGED, "No frame of the video could be decoded."))
        elif self._failed:
            self._wrong.add((FaultKind.DAMAGED, "Some frames of the video are damaged."))
        if whole and self._expected and self._packets < self._expected - 1:
            self._wrong.add((FaultKind.TRUNCATED, "The video ends too early."))
        return sorted(self._wrong)

    def take(self, packet: Any) -> None:
        """Take the next packet of this stream."""
        self._packets += 1
        if not self._open:
            return
        if self._mode is VideoMode.KEYFRAMES:
            self._take_keyframe(packet)
        else:
            self._see(self._decode(packet))

    def finish(self) -> None:
        """Drain the decoder."""
        if self._open and (self._mode is not VideoMode.KEYFRAMES or self._following):
            self._see(self._decode(None))
        self._held = []

    def _take_keyframe(self, packet: Any) -> None:
        """Decode keyframes alone; where the next one is too far, what lies between as well."""
        if packet.is_keyframe:
            if self._following:
                self._see(self._decode(None))
                self._codec.flush_buffers()
                self._following = False
            self._see(self._decode(packet) + self._decode(None))
            self._codec.flush_buffers()
            self._held, self._held_bytes = [packet], packet.size
        elif self._following:
            self._see(self._decode(packet))
        elif self._held:
            self._held.append(packet)
            self._held_bytes += packet.size
            if self._span() > KEYFRAME_GAP or self._held_bytes > MAX_HELD_BYTES:
                self._following = True
                held, self._held, self._held_bytes = self._held, [], 0
                for earlier in held:
                    self._see(self._decode(earlier))

    def _span(self) -> float:
        first, last = self._held[0], self._held[-1]
        if first.dts is None or last.dts is None or not last.time_base:
            return len(self._held) / (self._rate or 25.0)
        return float((last.dts - first.dts) * last.time_base)

    def _decode(self, packet: Any) -> list[Any]:
        import av

        try:
            return list(self._codec.decode(packet))
        except av.error.EOFError:
            return []
        except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError):
            self._open = False
            self._wrong.add((FaultKind.UNSUPPORTED, "The video's codec cannot be decoded."))
        except (av.FFmpegError, ValueError):
            self._failed += 1
        return []

    def _see(self, frames: list[Any]) -> None:
        for frame in frames:
            number, self._seen = self._seen, self._seen + 1
            self._budget.frame(frame.width * frame.height)
            at = self._time(frame, number)
            if self._wants(number, at):
                self._keep(frame, number, at)
                self._budget.tick()

    def _time(self, frame: Any, number: int) -> float:
        stamp, base = frame.pts, self._stream.time_base  # drained frames have no base of their own
        if stamp is None or not base:
            return number / self._rate if self._rate else float(number)
        at = float(stamp * base)
        if self._start is None:
            self._start = at
        return max(0.0, at - self._start)

    def _wants(self, number: int, at: float) -> bool:
        if self._mode is VideoMode.EVERY:
            return True
        gap = 1.0 if self._mode is VideoMode.SECOND else KEYFRAME_GAP if self._following else 0.0
        slack = 0.5 / self._rate if self._rate else 0.0
        if number and at < self._due - slack:
            return False
        self._due = (
            (int((at + slack) / gap) + 1) * gap if self._mode is VideoMode.SECOND else at + gap
        )
        return True

    def _keep(self, frame: Any, number: int, at: float) -> None:
        """Hash a frame; of very long videos only every second, fourth… so that all is covered."""
        self._kept += 1
        if self._kept % self._stride:
            return
        if frame.width * frame.height > self._max_pixels:
            self._wrong.add((FaultKind.OVER_LIMIT, "The video's frames have too many pixels."))
            return
        if self._mode is VideoMode.KEYFRAMES and self._rate:
            number = round(at * self._rate)
        plane = luma(frame)
        spectrum = spectrum_from_luma(plane)
        hashes = [spectrum.pdq().bits]
        turned = turning(frame)
        if turned is not None:
            hashes.append(spectrum_from_luma(plane, turned=turned).pdq().bits)
        worth = quality(frame, spectrum)
        self.frames += [FrameHash(number=number, time=at, pdq=h, quality=worth) for h in hashes]
        if len(self.frames) >= self._most:
            self.frames = self.frames[::2]
            self._stride *= 2


def turning(frame: Any) -> str | None:
    """How players turn a frame because the file says so, in ``pdq.DIHEDRALS``' words.

    Telephones store films as the sensor lies; a copy made by other software is stored upright.
    Such a frame has two hashes, as stored (the reference's) and as shown.
    """
    return ROTATIONS.get(round(getattr(frame, "rotation", 0) or 0))
