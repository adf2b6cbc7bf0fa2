"""The upload gate: bytes are hashed in the decoder and held against the lists. It decides nothing.

Whatever fails on our side becomes a finding of kind ``fault`` and never an empty answer, so that
policy cannot take silence for innocence (invariant 7).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from tutela import __version__
from tutela.core import (
    Digests,
    Fault,
    FaultKind,
    Finding,
    FindingKind,
    HashMode,
    Media,
    MediaKind,
    PictureHash,
)
from tutela.errors import SnapshotDamaged, Unavailable
from tutela.hashing.options import HashOptions
from tutela.hashing.pdq import distance
from tutela.hashing.source import Source
from tutela.lists.matching import STILL, HashQuery
from tutela.settings import ListSettings

CRASHES = frozenset({FaultKind.CRASHED, FaultKind.TIMED_OUT})
"""Faults that a file can bring about by itself; after some tries they are held against it."""
NONE: frozenset[FaultKind] = frozenset()


FEW = 4
"""Hashes that are looked up on the spot: a thread would cost more than that takes."""


class Decoder(Protocol):
    """What the gate needs of ``hashing.decoder.DecoderPool``."""

    async def hash(self, source: Source, options: HashOptions | None = None) -> Media:
        """Hash one file; a bad one never raises."""
        ...


class Lists(Protocol):
    """What the gate needs of ``lists.Lists``."""

    def match(self, media: Media) -> tuple[Finding, ...]:
        """What of the lists a file matches."""
        ...

    def values(self, refs: Sequence[int]) -> Mapping[int, bytes]:
        """The listed hash behind each ref."""
        ...

    def none_match(self, hashes: Sequence[HashQuery]) -> bool:
        """Whether the lists know none of some hashes."""
        ...

    def match_hashes(self, hashes: Sequence[HashQuery]) -> list[tuple[Finding, ...]]:
        """What of the lists hashes match, answer by answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What the gate saw. ``milliseconds`` are the times of its own steps."""

    media: Media | None
    findings: tuple[Finding, ...]
    milliseconds: dict[str, float] = field(default_factory=dict)

    @property
    def faulty(self) -> bool:
        """True where a fault of ours is among the findings."""
        return any(finding.kind is FindingKind.FAULT for finding in self.findings)


class UploadGate:
    """Examines uploads, and hashes that a platform computed itself."""

    def __init__(
        self, decoder: Decoder, lists: Lists, options: HashOptions, settings: ListSettings
    ) -> None:
        self._decoder = decoder
        self._lists = lists
        self._options = options
        self._settings = settings

    async def examine(self, source: Source, *, forgive: frozenset[FaultKind] = CRASHES) -> Examined:
        """Everything seen in one file. Never raises for a bad file or a part that is away.

        ``forgive`` names which of ``CRASHES`` are still taken for our doing (``fault``); the others
        are the file's (``unreadable``). See ``forgiven``.
        """
        started = time.perf_counter()
        media = await self._hash(source)
        hashed = time.perf_counter()
        findings = await self._match(media)
        findings = await self._again_identically(source, findings)
        findings += tuple(_of_fault(fault, forgive) for fault in _faults(media))
        done = time.perf_counter()
        return Examined(
            media=media,
            findings=findings,
            milliseconds={
                "hash": _ms(started, hashed),
                "match": _ms(hashed, done),
                "examine": _ms(started, done),
            },
        )

    async def check(self, queries: Sequence[HashQuery]) -> list[Examined]:
        """Everything that lists know of hashes; one answer for each query, in order."""
        started = time.perf_counter()
        try:
            if len(queries) <= FEW and self._lists.none_match(queries):
                found: list[tuple[Finding, ...]] = [() for _ in queries]
            else:
                found = await asyncio.to_thread(self._lists.match_hashes, queries)
        except (Unavailable, SnapshotDamaged):
            found = [(_lists_away(),) for _ in queries]
        spent = {"examine": _ms(started, time.perf_counter()) / max(1, len(queries))}
        return [Examined(media=None, findings=each, milliseconds=spent) for each in found]

    async def _hash(self, source: Source) -> Media:
        try:
            return await self._decoder.hash(source)
        except Unavailable as error:
            return await asyncio.to_thread(_unhashed, source, error.what)

    async def _match(self, media: Media) -> tuple[Finding, ...]:
        try:
            return await asyncio.to_thread(self._lists.match, media)
        except (Unavailable, SnapshotDamaged):
            return (_lists_away(),)

    async def _again_identically(
        self, source: Source, findings: tuple[Finding, ...]
    ) -> tuple[Finding, ...]:
        """Where the fast mode matched near the edge, hash again with the reference's bits and put
        both distances into the finding."""
        doubtful = [f for f in findings if self._doubtful(f)]
        if not doubtful:
            return findings
        media = await self._hash_identically(source)
        if media is None:
            return findings
        refs = [f.signal.ref for f in doubtful if f.signal is not None]
        try:
            values = await asyncio.to_thread(self._lists.values, refs)
        except Unavailable:
            return findings
        return tuple(
            _with_identical(f, media, values) if self._doubtful(f) else f for f in findings
        )

    async def _hash_identically(self, source: Source) -> Media | None:
        try:
            return await self._decoder.hash(source, self._options.replaced(mode=HashMode.IDENTICAL))
        except Unavailable:
            return None

    def _doubtful(self, finding: Finding) -> bool:
        return (
            finding.kind is FindingKind.NEAR
            and finding.mode is HashMode.LUMA
            and finding.time is None
            and finding.distance is not None
            and finding.distance >= self._settings.exact_again_from
        )


def _with_identical(finding: Finding, media: Media, values: Mapping[int, bytes]) -> Finding:
    listed = values.get(finding.signal.ref) if finding.signal is not None else None
    again = _hash_of(finding, media)
    if listed is None or again is None:
        return finding
    return replace(finding, distance_identical=distance(again, listed))


def _hash_of(finding: Finding, media: Media) -> bytes | None:
    """The hash in ``media`` of the very picture, frame and view that a finding speaks of."""
    view = "+".join(part for part in (finding.view or "").split("+") if part and part != STILL)
    for part in media.walk():
        if part.where != finding.where:
            continue
        for picture in part.pictures:
            if picture.frame == finding.frame:
                found = _view_of(picture, view)
                if found is not None:
                    return found
    return None


def _view_of(picture: PictureHash, view: str) -> bytes | None:
    if not view:
        return picture.pdq
    return next((each.pdq for each in picture.views if each.view == view), None)


def _faults(media: Media) -> tuple[Fault, ...]:
    faults = media.all_faults()
    if not faults and media.kind is MediaKind.UNREADABLE:
        return (Fault(kind=FaultKind.UNKNOWN_FORMAT, detail="The format is not known."),)
    return faults


def forgiven(tries: int, most: int) -> frozenset[FaultKind]:
    """What may still be our doing when a deferred upload is tried again, for the ``tries``-th time
    of ``most``: a second time-out is the file's doing, and at the last try a crash is, too."""
    return frozenset({FaultKind.CRASHED}) if tries < most else NONE


def _of_fault(fault: Fault, forgive: frozenset[FaultKind]) -> Finding:
    ours = fault.kind.ours and (fault.kind in forgive or fault.kind not in CRASHES)
    return Finding(
        kind=FindingKind.FAULT if ours else FindingKind.UNREADABLE,
        detector="decoder",
        version=__version__,
        reason=fault.detail,
        where=fault.where,
        fault=fault.kind,
    )


def _lists_away() -> Finding:
    return Finding(
        kind=FindingKind.FAULT,
        detector="index",
        version=__version__,
        reason="The lists could not be asked.",
        fault=FaultKind.UNAVAILABLE,
    )


def _unhashed(source: Source, why: str) -> Media:
    """What is known of a file that no decoder took: its size and digests."""
    return Media(
        kind=MediaKind.UNREADABLE,
        format="unknown",
        size=source.size,
        digests=source.digests or _digests(source),
        faults=(Fault(kind=FaultKind.UNAVAILABLE, detail=why),),
    )


def _digests(source: Source) -> Digests:
    from tutela.hashing.digests import digest_stream

    with source.open() as stream:
        return digest_stream(stream)


def _ms(start: float, end: float) -> float:
    return round((end - start) * 1000, 3)


__all__ = ["Decoder", "Examined", "Lists", "UploadGate", "forgiven"]
