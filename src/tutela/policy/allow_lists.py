"""Allow lists: harmless pictures that a signal over-matches, let through from then on.

An entry is the SHA-256 of one file, or a PDQ hash with a small distance. It never reaches past an
exact digest of a blocking list, nor past anything that could not be examined; and a picture is let
through by likeness only where it lies nearer to the entry than to the signal it matched, so that an
entry beside a listed picture opens no gap around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tutela.core import Finding, FindingKind, HashType, ListMode, Media, Purpose
from tutela.errors import InvalidInput

from .context import Context
from .limits import MATCHES

MAX_DISTANCE = 10
"""Farthest that a PDQ entry reaches, in bits."""
MAX_DAYS = 366
"""Longest life of an entry; it can be given again."""
MAX_REASON = 500
"""Longest owner or reason in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowEntry:
    """One harmless file or picture.

    ``type`` is ``sha256`` (``value`` 32 bytes, ``distance`` 0) or ``pdq`` (32 bytes, ``distance``
    0–10 bits). MD5 and SHA-1 are refused: two files, one harmless, can be made to share them.
    ``owner`` answers for it, ``reason`` says why, ``expires_at`` ends it by itself.
    """

    id: str
    type: HashType
    value: bytes
    distance: int = 0
    owner: str
    reason: str
    created_at: datetime
    expires_at: datetime

    def __post_init__(self) -> None:
        if self.type not in {HashType.SHA256, HashType.PDQ} or len(self.value) != 32:
            raise InvalidInput(
                "An allow-list entry is a SHA-256 or a PDQ hash of 32 bytes.",
                next_step="MD5 and SHA-1 can be forged: give the file's SHA-256.",
            )
        farthest = MAX_DISTANCE if self.type is HashType.PDQ else 0
        if not 0 <= self.distance <= farthest:
            raise InvalidInput(
                f"The distance of a {self.type.value} entry is 0 to {farthest} bits.",
                next_step="A larger distance would let listed pictures through.",
            )
        for name in ("owner", "reason"):
            text = getattr(self, name).strip()
            if not text or len(text) > MAX_REASON or not text.isprintable():
                raise InvalidInput(f"An allow-list entry needs its {name} in 1 to 500 characters.")
        if not self.created_at < self.expires_at <= self.created_at + timedelta(days=MAX_DAYS):
            raise InvalidInput(
                f"An allow-list entry expires after it was made, within {MAX_DAYS} days.",
                next_step="Give it again when it ends, if it is still needed.",
            )


@dataclass(frozen=True, slots=True)
class _Near:
    bits: int
    distance: int
    entry: AllowEntry


class AllowList:
    """The entries in force at one time, ready to be asked. Immutable."""

    def __init__(self, entries: Iterable[AllowEntry] = ()) -> None:
        self.entries = tuple(entries)
        self._digests: dict[bytes, list[AllowEntry]] = {}
        self._near: list[_Near] = []
        for entry in self.entries:
            if entry.type is HashType.SHA256:
                self._digests.setdefault(entry.value, []).append(entry)
            else:
                bits = int.from_bytes(entry.value, "big")
                self._near.append(_Near(bits, entry.distance, entry))

    def waves(self, findings: Sequence[Finding], context: Context) -> Mapping[int, str]:
        """Which findings are let through: their positions, with the id of the entry."""
        if not self.entries:
            return {}
        files = _Files(context)
        waved: dict[int, str] = {}
        for position, finding in enumerate(findings):
            if not _may_wave(finding):
                continue
            entry = self._by_digest(finding, files, context.now)
            if entry is None and finding.kind is FindingKind.NEAR:
                entry = self._by_likeness(finding, files, context.now)
            if entry is not None:
                waved[position] = entry.id
        return waved

    def _by_digest(self, finding: Finding, files: _Files, now: datetime) -> AllowEntry | None:
        """The entry of the file at the finding's place or of a container around it. Where several
        members share that place, each must have one."""
        chains = files.chains(finding.where)
        found = [self._of_chain(chain, now) for chain in chains]
        return found[0] if found and all(entry is not None for entry in found) else None

    def _of_chain(self, chain: Sequence[bytes], now: datetime) -> AllowEntry | None:
        for digest in chain:
            for entry in self._digests.get(digest, ()):
                if now < entry.expires_at:
                    return entry
        return None

    def _by_likeness(self, finding: Finding, files: _Files, now: datetime) -> AllowEntry | None:
        """The entry that is near every picture at the finding's place (all frames, all grounds,
        all members of that name: one finding can stand for several), and nearer than the signal."""
        if not self._near or finding.distance is None:
            return None
        pictures = list(files.pictures(finding.where))
        found = [self._nearest(bits, finding.distance, now) for bits in pictures]
        return found[0] if found and all(entry is not None for entry in found) else None

    def _nearest(self, pdq: bytes, signal_distance: int, now: datetime) -> AllowEntry | None:
        bits = int.from_bytes(pdq, "big")
        best: tuple[int, AllowEntry] | None = None
        for near in self._near:
            away = (near.bits ^ bits).bit_count()
            if away > near.distance or away >= signal_distance or now >= near.entry.expires_at:
                continue
            if best is None or away < best[0]:
                best = (away, near.entry)
        return best[1] if best is not None else None


def _may_wave(finding: Finding) -> bool:
    """Never an exact digest of a blocking list, never what is no match, never the self-test."""
    if finding.kind not in MATCHES or finding.list is None:
        return False
    if finding.list.purpose is Purpose.SELFTEST:
        return False
    return not (finding.kind is FindingKind.EXACT and finding.list.mode is ListMode.BLOCK)


class _Files:
    """The files of one upload by their place; made only where an allow list has entries."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._found: dict[str, list[tuple[tuple[bytes, ...], Media]]] = {}
        if context.media is not None:
            self._add(context.media, ())

    def _add(self, media: Media, around: tuple[bytes, ...]) -> None:
        chain = (media.digests.sha256, *around)
        self._found.setdefault(media.where, []).append((chain, media))
        for member in media.members:
            self._add(member, chain)

    def chains(self, where: str) -> list[tuple[bytes, ...]]:
        """For each file at this place: its SHA-256 and those of the containers around it."""
        if self._context.media is not None:
            return [chain for chain, _ in self._found.get(where, ())]
        sent = [h.value for h in self._context.hashes if h.type is HashType.SHA256]
        return [tuple(sent)] if len(sent) == 1 else []

    def pictures(self, where: str) -> Iterator[bytes]:
        """The PDQ of every picture and frame that a finding at this place can rest on."""
        if self._context.media is None:
            yield from (h.value for h in self._context.hashes if h.type is HashType.PDQ)
            return
        for _, media in self._found.get(where, ()):
            yield from (picture.pdq for picture in media.pictures)
            yield from (frame.pdq for frame in media.frames)
