"""One call from bytes to hashes: sniff, digest, and whatever the file turns out to hold.

``hash_media`` runs inside a decoder worker (or in-process where the caller trusts the file). It
never raises for what a file is: everything wrong with it is a ``Fault`` in the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import BinaryIO

import numpy as np

from tutela.core import (
    Digests,
    Fault,
    FaultKind,
    FrameHash,
    HashMode,
    Media,
    MediaKind,
    PictureHash,
    ViewHash,
)
from tutela.settings import MIB

from . import sniff
from .containers import APPENDED, TEXTS, Budget, OverLimit, below, open_members
from .containers.member import Member
from .digests import digest_stream
from .disguise import ISO_PICTURES, behind_tag, holds_film, is_score, tag_pictures
from .options import HashOptions, VideoMode
from .pictures import Canvas, PictureFault, PictureLimits, open_pictures
from .sniff import Format
from .video import SOUND_FORMATS, hash_video
from .views import view_hashes

BESIDE_DEPTH = 2
"""Levels below ``max_depth`` in which what is written into text or hidden behind an end is read."""
READ_AT_ONCE = 16 * MIB
"""Files up to this are read into memory before they are looked at."""


def hash_media(
    source: BinaryIO,
    options: HashOptions,
    *,
    where: str = "",
    digests: Digests | None = None,
    on_video: Callable[[], None] | None = None,
) -> Media:
    """What a file hashes to, with all that it contains.

    ``source`` is seekable; ``digests`` are given where they are known already; ``on_video`` is
    called once if the longer time limit for video comes to hold. Malformed input gives faults,
    never exceptions.
    """
    source.seek(0, 2)
    size = source.tell()
    budget = Budget(options, size, on_video)
    return _Examination(budget).file(source, where, 0, size, digests)


def warm_up() -> None:
    """Load every codec and compile every kernel, in the process that workers are forked from.

    Nothing is imported or compiled in a worker after that: it could read no files for it.
    """
    from .warm import warm_up as warm_all

    warm_all()


class _Examination:
    """The examination of one upload."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._options = budget.options

    def file(
        self, reader: BinaryIO, where: str, depth: int, size: int, digests: Digests | None
    ) -> Media:
        """One file: the upload itself or a member."""
        clock = _Clock()
        reader.seek(0)
        if size <= READ_AT_ONCE and not isinstance(reader, BytesIO):
            reader = BytesIO(reader.read())  # read once, then shared by all that look at it
        form = sniff.sniff(reader.read(sniff.HEAD_BYTES))
        if digests is None:
            reader.seek(0)
            digests = digest_stream(reader)
            clock.lap("digest")
        if form is sniff.MP3:
            form = behind_tag(reader)
        found = _Found(form, where, size, digests)
        try:
            self._content(reader, found, depth)
        except MemoryError:
            found.fault(FaultKind.OVER_LIMIT, "It needs more memory than a file may use.")
        except RecursionError:
            found.fault(FaultKind.DAMAGED, "It is nested too deeply.")
        except OverLimit as over:
            found.fault(FaultKind.OVER_LIMIT, str(over))
        except Exception as error:
            found.fault(FaultKind.DAMAGED, f"It cannot be read ({type(error).__name__}).")
        clock.lap("content")
        return found.media(clock.laps)

    def _content(self, reader: BinaryIO, found: _Found, depth: int) -> None:
        form = found.form
        if form.kind is MediaKind.UNREADABLE:
            found.fault(FaultKind.UNKNOWN_FORMAT, "Its format is not known.")
        elif form.kind in {MediaKind.PICTURE, MediaKind.ANIMATION}:
            self._pictures(reader, found)
            if form.name in ISO_PICTURES and holds_film(reader):
                self._video(reader, found, depth)
        elif form.kind is MediaKind.VIDEO or form.name in SOUND_FORMATS:
            self._video(reader, found, depth)
        elif form.name == "midi" and not is_score(reader):
            found.fault(FaultKind.DAMAGED, "It says that it is a score, and is none.")
        elif form.kind is MediaKind.CONTAINER or form.name in TEXTS:
            self._members(form.name, reader, found, depth)
        self._members(APPENDED, reader, found, depth)

    def _pictures(self, reader: BinaryIO, found: _Found) -> None:
        limits = PictureLimits(
            max_pixels=self._options.max_pixels, max_frames=self._options.max_frames
        )
        reader.seek(0)
        try:
            for canvas in open_pictures(reader, found.form, mode=self._options.mode, limits=limits):
                found.pictures.append(self._picture(canvas))
                self._budget.tick()
        except PictureFault as bad:
            found.faults.append(replace(bad.fault, where=found.where))
        found.pictures = _without_repeats(found.pictures)
        frames = {picture.frame for picture in found.pictures}
        if len(frames) > 1:
            found.kind = MediaKind.ANIMATION
        elif frames:
            found.kind = MediaKind.PICTURE

    def _picture(self, canvas: Canvas) -> PictureHash:
        """One picture as viewers show it, with its views; and, where the file says to turn it,
        as it is stored: lists were made by tools that look at the one or at the other."""
        mode = self._options.mode
        exact = mode is HashMode.IDENTICAL
        spectrum = canvas.spectrum(exact=exact)
        plain = spectrum.pdq()
        stored = canvas.stored_view(exact=exact)
        views: tuple[ViewHash, ...] = (stored,) if stored is not None else ()
        if self._options.views and not canvas.plain:
            views += view_hashes(np.ascontiguousarray(canvas.upright), spectrum)
        return PictureHash(
            pdq=plain.bits,
            quality=plain.quality,
            mode=mode,
            width=canvas.width,
            height=canvas.height,
            frame=canvas.frame,
            ground=canvas.ground,
            views=views,
        )

    def _video(self, reader: BinaryIO, found: _Found, depth: int) -> None:
        if self._options.video is VideoMode.OFF:
            return
        content = hash_video(reader, found.form.name, self._budget)
        if content.streams and found.form.kind is MediaKind.OTHER:
            found.kind = MediaKind.VIDEO
        elif content.sound and found.form.kind is MediaKind.VIDEO and not content.faults:
            found.kind = MediaKind.OTHER if not content.streams else MediaKind.VIDEO
        found.faults += [replace(fault, where=found.where) for fault in content.faults]
        for number, stream in enumerate(content.streams, 1):
            if number == 1:
                found.frames += stream.frames
            else:
                found.members.append(
                    Media(
                        where=below(found.where, f"stream-{number}"),
                        kind=MediaKind.VIDEO,
                        format=found.form.name,
                        size=found.size,
                        digests=found.digests,
                        frames=tuple(stream.frames),
                    )
                )
        covers = content.covers
        if found.form.name in SOUND_FORMATS or found.form.kind is MediaKind.VIDEO:
            tagged, whole = tag_pictures(reader, found.form.name)
            covers = list(dict.fromkeys([*covers, *tagged]))
            if not whole:
                found.fault(FaultKind.UNSUPPORTED, "A picture in its tag cannot be taken out.")
        for number, cover in enumerate(covers, 1):
            self._budget.member()
            self._budget.unpacked(len(cover))
            where = below(found.where, f"cover-{number}")
            found.members.append(self.file(BytesIO(cover), where, depth + 1, len(cover), None))

    def _members(self, name: str, reader: BinaryIO, found: _Found, depth: int) -> None:
        beside = name == APPENDED or name in TEXTS  # a picture in these is as good as a file
        if depth >= self._options.max_depth and not beside:
            found.fault(FaultKind.OVER_LIMIT, "It is a container inside too many others.")
            return
        faults: list[Fault] = []
        members = open_members(name, reader, self._budget, faults, form=found.form.name)
        try:
            for member in members:
                if depth >= self._options.max_depth + BESIDE_DEPTH:
                    found.fault(FaultKind.OVER_LIMIT, "It holds files inside too many others.")
                    return
                found.members.append(self._member(member, below(found.where, member.name), depth))
        finally:
            members.close()
            found.faults += [replace(fault, where=found.where) for fault in faults]

    def _member(self, member: Member, where: str, depth: int) -> Media:
        if member.content is not None and (member.size or member.fault is None):
            media = self.file(member.content, where, depth + 1, member.size, member.digests)
        else:
            media = Media(
                where=where,
                kind=MediaKind.UNREADABLE,
                format="unknown",
                size=member.size,
                digests=member.digests,
            )
        if member.fault is None:
            return media
        return replace(media, faults=(replace(member.fault, where=where), *media.faults))


def _without_repeats(pictures: list[PictureHash]) -> list[PictureHash]:
    """Without the frames that are there a second time in full."""
    full = {(p.frame, p.ground, p.pdq) for p in pictures if p.views}
    return [p for p in pictures if p.views or (p.frame, p.ground, p.pdq) not in full]


@dataclass(slots=True)
class _Found:
    """What is found in one file, as it is being found."""

    form: Format
    where: str
    size: int
    digests: Digests
    kind: MediaKind = MediaKind.UNREADABLE
    pictures: list[PictureHash] = field(default_factory=list)
    frames: list[FrameHash] = field(default_factory=list)
    members: list[Media] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind = self.form.kind

    def fault(self, kind: FaultKind, detail: str) -> None:
        self.faults.append(Fault(kind=kind, detail=detail, where=self.where))

    def media(self, milliseconds: dict[str, float]) -> Media:
        """The result. What gave nothing but faults is unreadable, whatever its head says."""
        empty = not (self.pictures or self.frames or self.members)
        ours = MediaKind.UNREADABLE if empty and self.faults else self.kind
        return Media(
            where=self.where,
            kind=ours,
            format=self.form.name,
            size=self.size,
            digests=self.digests,
            pictures=tuple(self.pictures),
            frames=tuple(self.frames),
            members=tuple(self.members),
            faults=tuple(self.faults),
            milliseconds=milliseconds,
        )


class _Clock:
    """Milliseconds of wall time between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round((now - self._last) * 1000, 3)
        self._last = now
