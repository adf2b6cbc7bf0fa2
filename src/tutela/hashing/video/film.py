"""One video stream on its way through the decoder: takes packets, keeps the hashes of frames."""

from __future__ import annotations

import contextlib
import random
from typing import Any

from tutela.core import FaultKind, FrameHash
from tutela.hashing.containers.budget import Budget
from tutela.hashing.options import VideoMode
from tutela.hashing.pdq import spectrum_from_luma

from .clock import FilmClock
from .planes import grounds, luma, quality

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
SEE_THROUGH = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these leave out the transparency that WebM keeps beside each frame
(``AlphaMode``, WebM container guidelines); these do not."""
KEYFRAME_GAP = 10.0
"""Seconds: the longest stretch of a video that the keyframes mode leaves without a hash."""
MAX_HELD_BYTES = 64 * 1024 * 1024
"""Compressed bytes held back while waiting for the next keyframe."""
MAX_RATE = 60.0
"""Frames a second: a film that claims more is not believed where time is counted in frames."""
ROTATIONS = {90: "rotate-90", -270: "rotate-90", 180: "rotate-180", -180: "rotate-180"}
ROTATIONS |= {270: "rotate-270", -90: "rotate-270"}

chance = random.SystemRandom().random
"""Draws the instants to look at, 0 to 1: whoever makes a film must not foresee them."""


class Film:
    """One video stream: ``take`` its packets in order, ``finish``, then read ``frames``."""

    def __init__(self, stream: Any, budget: Budget) -> None:
        options = budget.options
        self.frames: list[FrameHash] = []
        self._budget = budget
        self._mode = options.video
        self._most = options.max_video_frames
        self._max_pixels = options.max_pixels
        self._base = stream.time_base  # drained frames have no base of their own
        self._codec = _decoder(stream)
        self._rate = float(stream.average_rate or stream.guessed_rate or 0)
        self._clock = FilmClock(self._rate)
        self._expected = stream.frames
        self._packets = self._seen = self._failed = 0
        self._kept = self._pick = 0
        self._stride = 1
        self._due = 0.0
        self._shown: tuple[Any, int, float] | None = None
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
        if self._shown is not None:
            self._keep(*self._shown)
        self._held, self._shown = [], None

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
                self._clock.again()
                held, self._held, self._held_bytes = self._held, [], 0
                for earlier in held:
                    self._see(self._decode(earlier))

    def _span(self) -> float:
        """Seconds between the packets held back, by their stamps or by their number: stamps may
        stand still."""
        first, last = self._held[0], self._held[-1]
        counted = len(self._held) / min(self._rate or 25.0, MAX_RATE)
        if first.dts is None or last.dts is None or not last.time_base:
            return counted
        return max(counted, float((last.dts - first.dts) * last.time_base))

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
            at = self._clock.at(frame.pts, self._base, number)
            if self._mode is VideoMode.EVERY:
                self._keep(frame, number, at)
            elif self._mode is VideoMode.SECOND:
                self._sample(frame, number, at)
            else:
                self._space(frame, number, at)
            self._budget.tick()

    def _sample(self, frame: Any, number: int, at: float) -> None:
        """The first frame, then of each second the one shown at an instant drawn by chance."""
        if not number:
            self._keep(frame, number, at)
            self._due = chance()
            return
        if at > self._due:
            if self._shown is not None:
                self._keep(*self._shown)
            self._due = max(int(self._due) + 1, int(at)) + chance()
            if self._due < at:  # an instant that belongs to the frame just kept
                self._due = int(at) + 1 + chance()
        self._shown = (frame, number, at)

    def _space(self, frame: Any, number: int, at: float) -> None:
        """Every keyframe; of what lies between far keyframes, one now and then."""
        slack = 0.5 / self._rate if self._rate else 0.0
        if not number or at >= self._due - slack:
            self._due = at + (KEYFRAME_GAP if self._following else 0.0)
            self._keep(frame, number, at)

    def _keep(self, frame: Any, number: int, at: float) -> None:
        """Hash a frame; of very long videos only one of two, four…, so that all is covered. Which
        one is left to chance: a pattern could be built around."""
        place, self._kept = self._kept % self._stride, self._kept + 1
        if not place:
            self._pick = int(chance() * self._stride) if self._stride > 1 else 0
        if place != self._pick:
            return
        if frame.width * frame.height > self._max_pixels:
            self._wrong.add((FaultKind.OVER_LIMIT, "The video's frames have too many pixels."))
            return
        if self._mode is VideoMode.KEYFRAMES and self._rate:
            number = round(at * self._rate)
        for plane in grounds(frame, luma(frame)):
            spectrum = spectrum_from_luma(plane)
            hashes = [spectrum.pdq().bits]
            turned = turning(frame)
            if turned is not None:
                hashes.append(spectrum_from_luma(plane, turned=turned).pdq().bits)
            worth = quality(frame, spectrum)
            self.frames += [FrameHash(number=number, time=at, pdq=h, quality=worth) for h in hashes]
        if len(self.frames) >= self._most:
            self.frames = _thinned(self.frames)
            self._stride *= 2
            self._kept = 0


def _decoder(stream: Any) -> Any:
    """The decoder of a stream; where its frames can be seen through, one that keeps that."""
    codec = stream.codec_context
    name = SEE_THROUGH.get(codec.name) if codec is not None else None
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return codec
    import av

    try:
        through = av.CodecContext.create(name, "r")
    except (av.FFmpegError, ValueError):
        return None
    through.extradata = codec.extradata
    return through


def _thinned(frames: list[FrameHash]) -> list[FrameHash]:
    """One of each two hashes, by chance."""
    return [frames[min(at + (chance() < 0.5), len(frames) - 1)] for at in range(0, len(frames), 2)]


def turning(frame: Any) -> str | None:
    """How players turn a frame because the file says so, in ``pdq.DIHEDRALS``' words.

    Telephones store films as the sensor lies; a copy made by other software is stored upright.
    Such a frame has two hashes, as stored (the reference's) and as shown.
    """
    return ROTATIONS.get(round(getattr(frame, "rotation", 0) or 0))
