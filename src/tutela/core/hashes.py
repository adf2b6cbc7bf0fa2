"""What bytes hash to: digests, PDQ of pictures and their views, frames of video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from tutela.errors import InvalidHash

PDQ_BYTES = 32
"""A PDQ hash is 256 bits, most significant bit first (facebook/ThreatExchange, ``pdq``)."""


class HashType(StrEnum):
    """The kinds of hash that lists hold."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    PDQ = "pdq"
    VPDQ = "vpdq"

    @property
    def digest_bytes(self) -> int | None:
        """Length in bytes of an exact digest, or None for a perceptual hash."""
        return {"md5": 16, "sha1": 20, "sha256": 32}.get(self.value)


class HashMode(StrEnum):
    """How a picture was brought to luma before PDQ.

    ``luma``: JPEG decoded to its Y plane only (fast; about 1 bit from the reference on average).
    ``identical``: decoded to RGB first; bits equal to the reference implementation's.
    """

    LUMA = "luma"
    IDENTICAL = "identical"


@dataclass(frozen=True, slots=True)
class Pdq:
    """A PDQ hash: ``bits`` are 32 bytes, ``quality`` is 0 (featureless) to 100."""

    bits: bytes
    quality: int

    @property
    def hex(self) -> str:
        """64 hexadecimal digits, most significant bit first."""
        return self.bits.hex()


def parse_pdq(text: str) -> bytes:
    """32 bytes from 64 hexadecimal digits. Raises ``InvalidHash``."""
    try:
        bits = bytes.fromhex(text)
    except ValueError:
        bits = b""
    if len(bits) != PDQ_BYTES or len(text) != 2 * PDQ_BYTES:
        raise InvalidHash(
            "A PDQ hash is 64 hexadecimal digits.",
            next_step="Send the hash as the reference implementation prints it.",
        )
    return bits


def parse_digest(kind: HashType, text: str) -> bytes:
    """The bytes of an MD5, SHA-1 or SHA-256 in hexadecimal. Raises ``InvalidHash``."""
    length = kind.digest_bytes
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if length is None or len(value) != length or len(text) != 2 * length:
        raise InvalidHash(f"A {kind.value} is {2 * (length or 0)} hexadecimal digits.")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """The three exact digests of a file, as raw bytes."""

    md5: bytes
    sha1: bytes
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewHash:
    """PDQ of one view of a picture.

    ``view`` names what was undone, parts joined by ``+`` (``trim+mirror``, ``rotate-90``…);
    ``radius`` is the greatest distance in bits at which this view may match (views are given a
    tighter one than the plain picture, so that they add no false matches).
    """

    view: str
    pdq: bytes
    quality: int
    radius: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHash:
    """PDQ of one picture (or one frame of an animation) and of its views.

    ``width`` and ``height`` are pixels after canonicalisation; ``ground`` names the ground put
    under transparency (``None`` for opaque pictures).
    """

    pdq: bytes
    quality: int
    mode: HashMode
    width: int
    height: int
    frame: int | None = None
    ground: str | None = None
    views: tuple[ViewHash, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHash:
    """PDQ of one frame of a video. ``number`` counts from 0; ``time`` is seconds from the start."""

    number: int
    time: float
    pdq: bytes
    quality: int


class MediaKind(StrEnum):
    """What a file really is, whatever it says."""

    PICTURE = "picture"
    ANIMATION = "animation"
    VIDEO = "video"
    CONTAINER = "container"
    OTHER = "other"
    UNREADABLE = "unreadable"


class FaultKind(StrEnum):
    """Why something could not be examined.

    The first group is about the file (a finding ``unreadable``); the second is about us (a
    deferred hold).
    """

    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    UNSUPPORTED = "unsupported"
    OVER_LIMIT = "over_limit"
    UNKNOWN_FORMAT = "unknown_format"

    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    UNAVAILABLE = "unavailable"
    MISSING_EXTRA = "missing_extra"

    @property
    def ours(self) -> bool:
        """True where the fault is the operator's deployment, not the file."""
        return self in {FaultKind.CRASHED, FaultKind.TIMED_OUT, FaultKind.UNAVAILABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a file, or the part of it at ``where``, could not be (fully) examined."""

    kind: FaultKind
    detail: str
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """What one file, or one member of a container, hashed to.

    ``where`` is empty for the upload itself and a path such as ``album.zip/3.jpg`` for members;
    ``format`` is the sniffed format (``jpeg``, ``mp4``, ``zip``…); ``size`` is bytes.
    """

    where: str = ""
    kind: MediaKind
    format: str
    size: int
    digests: Digests
    pictures: tuple[PictureHash, ...] = ()
    frames: tuple[FrameHash, ...] = ()
    members: tuple[Media, ...] = ()
    faults: tuple[Fault, ...] = ()
    milliseconds: dict[str, float] = field(default_factory=dict)

    def walk(self) -> Iterator[Media]:
        """This file and every member below it, depth first."""
        yield self
        for member in self.members:
            yield from member.walk()

    def all_faults(self) -> tuple[Fault, ...]:
        """Every fault here and below."""
        return tuple(fault for media in self.walk() for fault in media.faults)
