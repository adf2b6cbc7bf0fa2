"""What an upload hashed to, held against every list: probes out, findings back.

The first half of the work asks the index once for the whole upload (all pictures, views, frames
and members together); where nothing is hit, nothing else happens: no database is asked. The
second half reads the signals behind the hits as they stand at that moment, so that a withdrawn,
expired or switched-off one never becomes a finding even while an index still holds it, and folds
thousands of hits into one finding for each list, place and state.

Everything in this file is a pure function; ``service.Lists.match`` supplies index and database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tutela import __version__
from tutela.core import (
    Digests,
    Finding,
    FindingKind,
    HashMode,
    HashType,
    ListRef,
    Media,
    SignalRef,
    SignalState,
)
from tutela.settings import ListSettings

from .queries import Known
from .rows import signal_id

STILL = "still-of-video"
"""View of a picture that was compared with the frames of listed videos. Naming it a view keeps it
from counting as the listed picture itself: frames may be titles or dark rooms that many share."""

_EXACT_ORDER = (HashType.SHA256, HashType.SHA1, HashType.MD5)


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to the index of near hashes, and where it came from."""

    bits: bytes
    radius: int
    where: str = ""
    view: str | None = None
    frame: int | None = None
    time: float | None = None
    quality: int | None = None
    mode: HashMode | None = None
    video: bool = False


@dataclass(frozen=True, slots=True)
class Exact:
    """One question to the table of digests."""

    type: HashType
    value: bytes
    where: str = ""


@dataclass(slots=True)
class Probes:
    """All questions of one upload. ``frames`` counts, by place, the frames of each video that
    passed the quality gate, each different hash once."""

    near: list[Probe] = field(default_factory=list)
    exact: list[Exact] = field(default_factory=list)
    frames: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HashQuery:
    """Hashes of one file that the platform computed itself. ``quality`` belongs to ``pdq``; a
    picture whose quality is not given is taken to be good enough."""

    md5: bytes | None = None
    sha1: bytes | None = None
    sha256: bytes | None = None
    pdq: bytes | None = None
    quality: int | None = None


Hits = Sequence[Sequence[tuple[int, int]]]
"""For each probe the (ref, distance) pairs within its radius."""


def probes_of_media(media: Media, settings: ListSettings) -> Probes:
    """Every question that a file and its members raise."""
    probes = Probes()
    for part in media.walk():
        probes.exact += _exact(part.digests, part.where)
        for picture in part.pictures:
            if picture.quality >= settings.min_quality:
                probes.near.append(
                    Probe(
                        picture.pdq,
                        settings.radius,
                        part.where,
                        None,
                        picture.frame,
                        None,
                        picture.quality,
                        picture.mode,
                    )
                )
            for view in picture.views:
                if view.quality >= settings.min_quality:
                    probes.near.append(
                        Probe(
                            view.pdq,
                            min(view.radius, settings.radius),
                            part.where,
                            view.view,
                            picture.frame,
                            None,
                            view.quality,
                            picture.mode,
                        )
                    )
        seen: set[bytes] = set()
        for frame in part.frames:
            if frame.quality >= settings.min_quality and frame.pdq not in seen:
                seen.add(frame.pdq)
                probes.near.append(
                    Probe(
                        frame.pdq,
                        settings.radius,
                        part.where,
                        None,
                        frame.number,
                        frame.time,
                        frame.quality,
                        HashMode.LUMA,
                        True,
                    )
                )
        if seen:
            probes.frames[part.where] = len(seen)
    return probes


def probes_of_hashes(query: HashQuery, settings: ListSettings) -> Probes:
    """Every question that hashes computed by the platform raise."""
    probes = Probes()
    for kind, value in (
        (HashType.SHA256, query.sha256),
        (HashType.SHA1, query.sha1),
        (HashType.MD5, query.md5),
    ):
        if value is not None:
            probes.exact.append(Exact(kind, value))
    if query.pdq is not None and (query.quality is None or query.quality >= settings.min_quality):
        probes.near.append(Probe(query.pdq, settings.radius, quality=query.quality))
    return probes


def _exact(digests: Digests, where: str) -> Iterable[Exact]:
    return (
        Exact(HashType.SHA256, digests.sha256, where),
        Exact(HashType.SHA1, digests.sha1, where),
        Exact(HashType.MD5, digests.md5, where),
    )


def findings_of(
    probes: Probes,
    near: Hits,
    exact: Sequence[Sequence[int]],
    known: Mapping[int, Known],
    settings: ListSettings,
    frames_of: Callable[[Known], set[bytes]],
) -> tuple[Finding, ...]:
    """Fold hits into findings, strongest first.

    ``near`` and ``exact`` answer the probes in their order; ``known`` are the hashes behind the
    refs that count; ``frames_of`` gives the distinct frames of a listed video.
    """
    findings = _exact_findings(probes.exact, exact, known)
    findings += _near_findings(probes.near, near, known, settings)
    findings += _video_findings(probes, near, known, settings, frames_of)
    findings.sort(key=_strength)
    return tuple(findings)


def _strength(finding: Finding) -> tuple[int, int, int, str, str]:
    kinds = (FindingKind.EXACT, FindingKind.VIDEO, FindingKind.NEAR)
    disputed = finding.signal is not None and finding.signal.state is not SignalState.ACTIVE
    name = finding.list.name if finding.list else ""
    return (disputed, kinds.index(finding.kind), finding.distance or 0, name, finding.where)


def _exact_findings(
    probes: Sequence[Exact], answers: Sequence[Sequence[int]], known: Mapping[int, Known]
) -> list[Finding]:
    """One finding for each list, place and state; the strongest digest is the one named."""
    groups: dict[tuple[str, str, SignalState], list[tuple[int, Exact, Known]]] = defaultdict(list)
    for probe, refs in zip(probes, answers, strict=True):
        for ref in refs:
            entry = known.get(ref)
            if entry is None or entry.type is not probe.type or entry.value != probe.value:
                continue
            rank = _EXACT_ORDER.index(probe.type)
            groups[entry.list.id, probe.where, entry.state].append((rank, probe, entry))
    findings = []
    for group in groups.values():
        _, probe, entry = min(group, key=lambda hit: (hit[0], hit[2].ref))
        others = len({hit[2].signal_row for hit in group}) - 1
        findings.append(
            Finding(
                kind=FindingKind.EXACT,
                detector="digest",
                version=__version__,
                reason=f"{_named(probe.type)} equals a signal's of {_of_list(entry.list)}"
                + _state_words(entry.state)
                + _more(others),
                where=probe.where,
                list=entry.list,
                signal=_signal(entry),
                hash_type=probe.type,
                distance=0,
                radius=0,
            )
        )
    return findings


@dataclass(slots=True)
class _Nearest:
    """The nearest hit of a group so far, and what else hit."""

    best: tuple[bool, int, int, int]
    probe: Probe
    entry: Known
    distance: int
    signals: set[int]
    frames: set[int | None]


def _near_findings(
    probes: Sequence[Probe], answers: Hits, known: Mapping[int, Known], settings: ListSettings
) -> list[Finding]:
    """The nearest hit for each list, place and state; the picture as it is before any view."""
    groups: dict[tuple[str, str, SignalState], _Nearest] = {}
    for probe, hits in zip(probes, answers, strict=True):
        for ref, distance in hits:
            entry = known.get(ref)
            if entry is None or (probe.video and entry.type is HashType.VPDQ):
                continue
            if entry.quality is not None and entry.quality < settings.min_quality:
                continue
            still = entry.type is HashType.VPDQ
            order = (still or probe.view is not None, distance, int(still), ref)
            key = (entry.list.id, probe.where, entry.state)
            group = groups.get(key)
            if group is None:
                groups[key] = _Nearest(
                    order, probe, entry, distance, {entry.signal_row}, {probe.frame}
                )
                continue
            group.signals.add(entry.signal_row)
            group.frames.add(probe.frame)
            if order < group.best:
                group.best, group.probe, group.entry = order, probe, entry
                group.distance = distance
    return [_near_finding(group) for group in groups.values()]


def _near_finding(group: _Nearest) -> Finding:
    probe, entry = group.probe, group.entry
    still = entry.type is HashType.VPDQ
    view = "+".join(filter(None, (STILL if still else None, probe.view))) or None
    against = "a frame of a listed video" if still else "a signal"
    words = f"PDQ at distance {group.distance} of {probe.radius} from {against} "
    words += f"of {_of_list(entry.list)}"
    if view:
        words += f" (view {view})"
    if probe.video:
        words += f" (frame {probe.frame} of the video"
        words += f" at {probe.time:.1f} s)" if probe.time is not None else ")"
    elif probe.frame is not None:
        words += f" (frame {probe.frame} of the animation)"
    if len(group.frames) > 1:
        words += f"; {len(group.frames)} frames match"
    return Finding(
        kind=FindingKind.NEAR,
        detector="pdq",
        version=__version__,
        reason=words + _state_words(entry.state) + _more(len(group.signals) - 1),
        where=probe.where,
        list=entry.list,
        signal=_signal(entry),
        hash_type=entry.type,
        mode=probe.mode,
        distance=group.distance,
        radius=probe.radius,
        quality=probe.quality,
        view=view,
        frame=probe.frame,
        time=probe.time,
    )


@dataclass(slots=True)
class _Overlap:
    """How an uploaded and a listed video overlap."""

    entry: Known
    nearest: int
    uploaded: set[bytes] = field(default_factory=set)
    listed: set[bytes] = field(default_factory=set)
    first: Probe | None = None


def _video_findings(
    probes: Probes,
    answers: Hits,
    known: Mapping[int, Known],
    settings: ListSettings,
    frames_of: Callable[[Known], set[bytes]],
) -> list[Finding]:
    """The vPDQ rule: enough of the uploaded video's frames match the listed one, and enough of
    the listed one's frames are matched (facebook/ThreatExchange, ``vpdq/README.md``)."""
    overlaps: dict[tuple[str, int], _Overlap] = {}
    for probe, hits in zip(probes.near, answers, strict=True):
        if not probe.video:
            continue
        for ref, distance in hits:
            entry = known.get(ref)
            if entry is None or entry.type is not HashType.VPDQ:
                continue
            if entry.quality is not None and entry.quality < settings.min_quality:
                continue
            overlap = overlaps.get((probe.where, entry.signal_row))
            if overlap is None:
                overlap = overlaps[probe.where, entry.signal_row] = _Overlap(entry, distance)
                overlap.first = probe
            overlap.uploaded.add(probe.bits)
            overlap.listed.add(entry.value)
            if distance < overlap.nearest:
                overlap.nearest, overlap.entry = distance, entry
    groups: dict[tuple[str, str, SignalState], list[tuple[float, float, _Overlap]]] = {}
    for (where, _), overlap in overlaps.items():
        uploaded = len(overlap.uploaded) / probes.frames[where]
        frames = frames_of(overlap.entry)
        listed = len(overlap.listed & frames) / len(frames) if frames else 0.0
        if uploaded >= settings.video_query_share and listed >= settings.video_listed_share:
            key = (overlap.entry.list.id, where, overlap.entry.state)
            groups.setdefault(key, []).append((listed, uploaded, overlap))
    findings = []
    for (_, where, state), group in groups.items():
        listed, uploaded, overlap = max(group, key=lambda part: (part[0], part[1]))
        entry = overlap.entry
        findings.append(
            Finding(
                kind=FindingKind.VIDEO,
                detector="vpdq",
                version=__version__,
                reason=f"{listed:.0%} of the frames of a listed video of {_of_list(entry.list)} "
                f"match {uploaded:.0%} of this one's, the nearest at distance {overlap.nearest}"
                + _state_words(state)
                + _more(len(group) - 1),
                where=where,
                list=entry.list,
                signal=_signal(entry),
                hash_type=HashType.VPDQ,
                mode=HashMode.LUMA,
                distance=overlap.nearest,
                radius=settings.radius,
                frame=overlap.first.frame if overlap.first else None,
                time=overlap.first.time if overlap.first else None,
                share=listed,
            )
        )
    return findings


def _signal(entry: Known) -> SignalRef:
    return SignalRef(
        id=signal_id(entry.signal_row),
        upstream_id=entry.upstream_id,
        state=entry.state,
        ref=entry.ref,
        classification=entry.classification,
    )


def _named(kind: HashType) -> str:
    return {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256"}.get(kind.value, kind.value.upper())


def _of_list(reference: ListRef) -> str:
    return f"list '{reference.name}'"


def _state_words(state: SignalState) -> str:
    return "; the signal is disputed" if state is SignalState.DISPUTED else ""


def _more(others: int) -> str:
    if others <= 0:
        return ""
    if others == 1:
        return "; 1 more signal of the list matches"
    return f"; {others} more signals of the list match"
