"""What travels between a process and its decoder workers: length-prefixed MessagePack.

A request is one message with one descriptor beside it (``SCM_RIGHTS``). The worker answers with
``VIDEO`` once, if it meets a video and so needs the longer time limit, and then with ``DONE`` or
``SPENT`` (done, and the worker should be replaced: it ran into its memory limit).
"""

from __future__ import annotations

import array
import socket
import struct
from enum import Enum

import msgspec

from tutela.core import Digests, HashType, Media
from tutela.core.hashes import PDQ_BYTES
from tutela.hashing.options import HashOptions

HEADER = struct.Struct("<cI")
MAX_REQUEST = 64 * 1024
MAX_REPLY = 48 * 1024 * 1024
"""A hundred thousand frames of video are 8 MB; more than this is not an answer."""


class Word(Enum):
    """What a message says."""

    HASH = b"H"
    VIDEO = b"V"
    DONE = b"D"
    SPENT = b"S"


class Request(msgspec.Struct, frozen=True, array_like=True):
    """One file to hash. Its descriptor travels beside it; ``key`` is set where it is encrypted."""

    options: HashOptions
    size: int
    key: bytes | None
    nonce: bytes
    digests: Digests | None


class BrokenTalk(Exception):
    """The other side closed the connection or said what it may not say."""


_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Media)
_encoder = msgspec.msgpack.Encoder()


def send_request(to: socket.socket, request: Request, fd: int) -> None:
    """Send a request and its descriptor. Raises ``BrokenTalk`` where nobody listens any more."""
    body = _encoder.encode(request)
    message = HEADER.pack(Word.HASH.value, len(body)) + body
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    try:
        sent = to.sendmsg([message], rights)
    except OSError as error:
        raise BrokenTalk("the worker is gone") from error
    if sent != len(message):
        raise BrokenTalk("the worker takes nothing in")


def receive_request(source: socket.socket) -> tuple[Request, int] | None:
    """The next request and its descriptor, or None when the other side is done (blocking)."""
    data, fds, _, _ = socket.recv_fds(source, MAX_REQUEST, 1, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    while len(data) < HEADER.size or len(data) < HEADER.size + HEADER.unpack_from(data)[1]:
        more = source.recv(MAX_REQUEST)
        if not more:
            return None
        data += more
    return _requests.decode(memoryview(data)[HEADER.size :]), fds[0]


def send_word(to: socket.socket, word: Word, body: bytes = b"") -> None:
    """Send one message of the worker's."""
    to.sendall(HEADER.pack(word.value, len(body)) + body)


def encode_media(media: Media) -> bytes:
    """A result for the wire."""
    return _encoder.encode(media)


def decode_media(body: bytes | bytearray) -> Media:
    """A result from the wire, checked: a worker may be in an attacker's hands, and lengths that
    are wrong must not reach the index. Raises ``BrokenTalk``."""
    try:
        media = _replies.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BrokenTalk("the worker's answer makes no sense") from error
    for part in media.walk():
        _check(part)
    return media


def _check(media: Media) -> None:
    digests = media.digests
    sound = (
        len(digests.md5) == HashType.MD5.digest_bytes
        and len(digests.sha1) == HashType.SHA1.digest_bytes
        and len(digests.sha256) == HashType.SHA256.digest_bytes
        and all(len(frame.pdq) == PDQ_BYTES for frame in media.frames)
    )
    for picture in media.pictures:
        sound = sound and len(picture.pdq) == PDQ_BYTES
        sound = sound and all(len(view.pdq) == PDQ_BYTES for view in picture.views)
    if not sound:
        raise BrokenTalk("the worker's answer holds a hash of the wrong length")


class ReplyBuffer:
    """Puts messages together from what arrives."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        self._data += data

    def next(self) -> tuple[Word, bytearray] | None:
        """The next whole message, if it is there. Raises ``BrokenTalk``."""
        if len(self._data) < HEADER.size:
            return None
        letter, length = HEADER.unpack_from(self._data)
        if length > MAX_REPLY or letter not in {b"V", b"D", b"S"}:
            raise BrokenTalk("the worker said what it may not say")
        end = HEADER.size + length
        if len(self._data) < end:
            return None
        body = self._data[HEADER.size : end]
        del self._data[:end]
        return Word(letter), body
