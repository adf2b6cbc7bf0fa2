"""Opening a video or sound file: its films, its cover pictures, its sound.

Only the demuxer that the sniffed format calls for and a list of common decoders may be used, in
one thread, from the file's own bytes: playlists, network protocols and exotic codecs are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from tutela.core import Fault, FaultKind, FrameHash
from tutela.hashing.containers.budget import OverLimit

from .film import DECODERS, Film
from .sound import SOUND_DECODERS, Sound

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
    "wav": "wav",
    "aac": "aac",
    "aiff": "aiff",
    "amr": "amr",
    "avif": "mov",
    "heic": "mov",
}
SOUND_FORMATS = frozenset({"m4a", "ogg", "mp3", "flac", "wav", "aac", "aiff", "amr"})
"""Formats for sound that can hold a film or a cover picture all the same."""
PICTURE_SUBTITLES = frozenset({"pgssub", "hdmv_pgs_subtitle", "dvdsub", "dvd_subtitle"})
PICTURE_SUBTITLES |= {"dvbsub", "dvb_subtitle", "xsub"}
"""Subtitles that are pictures, and may fill the screen: nothing here decodes them."""
MAX_STREAMS = 8
"""Video streams of one file that are hashed; a second one is a place to hide in."""
BUFFER_BYTES = 256 * 1024
MAX_COVER_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class VideoStream:
    """The hashes of one video stream, in the order of time."""

    frames: list[FrameHash] = field(default_factory=list)


@dataclass(slots=True)
class VideoContent:
    """What a video file holds: its video streams, its cover pictures, what was wrong with it.
    ``sound`` says that it holds sound, read to its end."""

    streams: list[VideoStream] = field(default_factory=list)
    covers: list[bytes] = field(default_factory=list)
    sound: bool = False
    faults: list[Fault] = field(default_factory=list)


def hash_video(reader: BinaryIO, name: str, budget: Budget) -> VideoContent:
    """Hash the frames of a video of the sniffed format ``name``. Never raises for what it holds.
    Sound is decoded in parts, to see that it is sound: what claims to be and is not is a fault.

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
            options={"codec_whitelist": ",".join(sorted(DECODERS | SOUND_DECODERS))},
            metadata_errors="ignore",
            buffer_size=BUFFER_BYTES,
        )
    except (av.FFmpegError, ValueError, OSError):
        content.faults.append(
            Fault(kind=FaultKind.DAMAGED, detail="The video or sound cannot be opened.")
        )
        return content
    with opened as container:
        _hash_container(container, budget, content)
    return content


def _hash_container(container: Any, budget: Budget, content: VideoContent) -> None:
    films: dict[int, Film] = {}
    sounds = {stream.index: Sound(stream) for stream in container.streams.audio[:MAX_STREAMS]}
    wanted = list(container.streams.audio[:MAX_STREAMS])
    for stream in container.streams.video:
        if not stream.disposition & _disposition().attached_pic:
            if len(films) >= MAX_STREAMS:
                _add_fault(content, FaultKind.OVER_LIMIT, "The video has too many streams.")
                break
            films[stream.index] = Film(stream, budget)
        wanted.append(stream)
    _look_at_subtitles(container, content)
    if films:
        budget.video()
    elif not sounds:
        _add_fault(content, FaultKind.DAMAGED, "It holds neither pictures nor sound.")
    whole = True
    try:
        for packet in _packets(container, wanted, content):
            if packet.stream_index in films:
                films[packet.stream_index].take(packet)
            elif packet.stream_index in sounds:
                sounds[packet.stream_index].take(packet)
            else:
                _take_cover(packet, content)
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
    heard = [sound.is_sound() for sound in sounds.values()]
    content.sound = whole and any(heard)
    if heard and not films and whole and not all(heard):
        _add_fault(content, FaultKind.DAMAGED, "What it says is sound cannot be decoded as such.")


def _disposition() -> Any:
    import av

    return av.stream.Disposition


def _look_at_subtitles(container: Any, content: VideoContent) -> None:
    """A fault where players show subtitles that are pictures without being asked to.

    Those that a viewer must switch on are left alone: nearly every disc copied to a file has them.
    """
    shown = _disposition().default | _disposition().forced
    for stream in container.streams.subtitles:
        name = stream.codec_context.name if stream.codec_context is not None else ""
        if name in PICTURE_SUBTITLES and stream.disposition & shown:
            _add_fault(
                content,
                FaultKind.UNSUPPORTED,
                "It shows subtitles made of pictures, which cannot be examined.",
            )


def _take_cover(packet: Any, content: VideoContent) -> None:
    if packet.size > MAX_COVER_BYTES:
        _add_fault(content, FaultKind.OVER_LIMIT, "Its cover picture is too large to examine.")
    elif packet.size:
        content.covers.append(bytes(packet))


def _packets(container: Any, streams: list[Any], content: VideoContent) -> Iterator[Any]:
    import av

    if not streams:
        return
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
