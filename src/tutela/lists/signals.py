"""Signals made from files and bare hashes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from tutela.core import HashType, Media, Signal, SignalHash, SignalState
from tutela.core.hashes import parse_digest, parse_pdq
from tutela.errors import InvalidHash, InvalidInput


def derived_id(hashes: Sequence[SignalHash]) -> str:
    """An upstream id for a signal whose source gives none: the same for the same strongest hash.

    It is a digest of the hash and so does not show it: ids appear in answers and records.
    """
    order = (HashType.SHA256, HashType.SHA1, HashType.MD5, HashType.PDQ, HashType.VPDQ)
    first = min(hashes, key=lambda part: order.index(part.type))
    value = first.value or b"".join(frame.pdq for frame in first.frames)
    return "h-" + sha256(f"{first.type.value}:".encode() + value).hexdigest()[:24]


def signal_of_media(
    media: Media,
    *,
    upstream_id: str | None = None,
    classification: str | None = None,
    tags: Sequence[str] = (),
    note: str | None = None,
    expires_at: datetime | None = None,
    redistribute: bool = False,
    min_quality: int = 0,
) -> Signal:
    """The signal of one file: its digests, the PDQ of its picture (or of each sampled frame of an
    animation, each ground of a transparent one) and the frames of its video.

    Hashes under ``min_quality`` are left out: they would match by chance. Members of containers
    are not part of it; add them by themselves.
    """
    hashes = [
        SignalHash(type=HashType.MD5, value=media.digests.md5),
        SignalHash(type=HashType.SHA1, value=media.digests.sha1),
        SignalHash(type=HashType.SHA256, value=media.digests.sha256),
    ]
    seen: set[bytes] = set()
    for picture in media.pictures:
        if picture.quality >= min_quality and picture.pdq not in seen:
            seen.add(picture.pdq)
            hashes.append(SignalHash(type=HashType.PDQ, value=picture.pdq, quality=picture.quality))
    frames = tuple(frame for frame in media.frames if frame.quality >= min_quality)
    if frames:
        hashes.append(SignalHash(type=HashType.VPDQ, frames=frames))
    return Signal(
        upstream_id=upstream_id or derived_id(hashes),
        hashes=tuple(hashes),
        state=SignalState.ACTIVE,
        classification=classification,
        tags=tuple(tags),
        note=note,
        expires_at=expires_at,
        redistribute=redistribute,
    )


def parse_hash(text: str, kind: HashType | None = None) -> SignalHash:
    """A hash from text: ``pdq:…``, ``sha256:…``, or bare hexadecimal where the length says what.

    64 bare digits are a SHA-256 or a PDQ, so they need a prefix or ``kind``. Raises
    ``InvalidHash``, without repeating the value.
    """
    word, colon, rest = text.strip().partition(":")
    if colon:
        try:
            named = HashType(word.strip().lower().replace("-", "").replace("_", ""))
        except ValueError:
            raise InvalidHash(
                "The hash type is not known.",
                next_step="Known: md5, sha1, sha256, pdq.",
            ) from None
        if kind is not None and named is not kind:
            raise InvalidHash(f"The hash says {named.value} where {kind.value} is expected.")
        kind, text = named, rest
    text = text.strip().lower()
    if kind is None:
        kind = {32: HashType.MD5, 40: HashType.SHA1}.get(len(text))
        if kind is None:
            raise InvalidHash(
                "The hash does not say what it is.",
                next_step="Write sha256:… or pdq:…",
            )
    if kind is HashType.PDQ:
        return SignalHash(type=kind, value=parse_pdq(text))
    if kind is HashType.VPDQ:
        raise InvalidInput("A video's frames cannot be given as one hash.")
    return SignalHash(type=kind, value=parse_digest(kind, text))
