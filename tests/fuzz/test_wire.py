"""What a worker in an attacker's hands may say: nothing but a sound result gets through."""

from __future__ import annotations

import os
import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tutela.core import Digests, FrameHash, HashMode, Media, MediaKind, PictureHash, ViewHash
from tutela.hashing.decoder import wire
from tutela.hashing.options import HashOptions
from tutela.hashing.source import new_memfd

view = st.builds(
    ViewHash,
    view=st.text(max_size=8),
    pdq=st.binary(min_size=32, max_size=32),
    quality=st.integers(0, 100),
    radius=st.integers(0, 31),
)
picture = st.builds(
    PictureHash,
    pdq=st.binary(min_size=32, max_size=32),
    quality=st.integers(0, 100),
    mode=st.sampled_from(HashMode),
    width=st.integers(1, 9999),
    height=st.integers(1, 9999),
    views=st.lists(view, max_size=3).map(tuple),
)
digests = st.builds(
    Digests,
    md5=st.binary(min_size=16, max_size=16),
    sha1=st.binary(min_size=20, max_size=20),
    sha256=st.binary(min_size=32, max_size=32),
)
media = st.builds(
    Media,
    kind=st.sampled_from(MediaKind),
    format=st.text(max_size=8),
    size=st.integers(0, 1 << 40),
    digests=digests,
    pictures=st.lists(picture, max_size=3).map(tuple),
)


@given(result=media, parts=st.lists(st.integers(1, 60), max_size=8))
def test_results_travel_whole_in_any_pieces(result: Media, parts: list[int]) -> None:
    body = wire.encode_media(result)
    message = wire.HEADER.pack(wire.Word.DONE.value, len(body)) + body
    buffer = wire.ReplyBuffer()
    said = []
    for size in [*parts, len(message)]:
        buffer.feed(message[:size])
        message = message[size:]
        while (found := buffer.next()) is not None:
            said.append(found)
    ((word, received),) = said
    assert word is wire.Word.DONE
    assert wire.decode_media(received) == result


@given(result=media, at=st.integers(0, 10_000), value=st.integers(0, 255))
@hypothesis_settings(max_examples=200)
def test_a_changed_result_is_sound_or_refused(result: Media, at: int, value: int) -> None:
    body = bytearray(wire.encode_media(result))
    body[at % len(body)] = value
    try:
        received = wire.decode_media(body)
    except wire.BrokenTalk:
        return
    assert all(len(p.pdq) == 32 for p in received.pictures)
    assert len(received.digests.sha256) == 32


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_or_wait_for_more(data: bytes) -> None:
    buffer = wire.ReplyBuffer()
    buffer.feed(data)
    try:
        while (found := buffer.next()) is not None:
            wire.decode_media(found[1])
    except wire.BrokenTalk:
        pass


def test_hashes_of_the_wrong_length_are_refused() -> None:
    known = Digests(md5=b"m" * 16, sha1=b"s" * 20, sha256=b"h" * 32)
    good = Media(kind=MediaKind.OTHER, format="text", size=1, digests=known)
    short = PictureHash(pdq=b"x" * 31, quality=1, mode=HashMode.LUMA, width=1, height=1)
    bad_view = ViewHash(view="mirror", pdq=b"", quality=1, radius=1)
    wrong = [
        Media(
            kind=MediaKind.OTHER,
            format="text",
            size=1,
            digests=Digests(md5=b"m", sha1=b"s" * 20, sha256=b"h" * 32),
        ),
        Media(kind=MediaKind.PICTURE, format="x", size=1, digests=known, pictures=(short,)),
        Media(
            kind=MediaKind.PICTURE,
            format="x",
            size=1,
            digests=known,
            pictures=(
                PictureHash(
                    pdq=b"x" * 32,
                    quality=1,
                    mode=HashMode.LUMA,
                    width=1,
                    height=1,
                    views=(bad_view,),
                ),
            ),
        ),
        Media(
            kind=MediaKind.VIDEO,
            format="x",
            size=1,
            digests=known,
            frames=(FrameHash(number=0, time=0.0, pdq=b"", quality=1),),
        ),
        Media(
            kind=MediaKind.CONTAINER,
            format="x",
            size=1,
            digests=known,
            members=(
                Media(kind=MediaKind.PICTURE, format="x", size=1, digests=known, pictures=(short,)),
            ),
        ),
    ]
    assert wire.decode_media(wire.encode_media(good)) == good
    for media in wrong:
        with pytest.raises(wire.BrokenTalk):
            wire.decode_media(wire.encode_media(media))


def test_members_nested_without_end_are_refused() -> None:
    known = {"md5": b"m" * 16, "sha1": b"s" * 20, "sha256": b"h" * 32}
    head = msgspec.msgpack.encode({"kind": "other", "format": "x", "size": 1, "digests": known})
    one = (
        head[:1].replace(b"\x84", b"\x85") + head[1:] + msgspec.msgpack.encode("members") + b"\x91"
    )
    packed = one * 100_000 + head
    with pytest.raises(wire.BrokenTalk):
        wire.decode_media(packed)


def test_requests_travel_with_their_descriptor() -> None:
    ours, theirs = socket.socketpair()
    request = wire.Request(HashOptions(), 5, b"k" * 32, b"n" * 16, None)
    fd = new_memfd()
    with ours, theirs:
        wire.send_request(ours, request, fd)
        received = wire.receive_request(theirs)
        assert received is not None
        assert received[0] == request
        assert received[1] != fd
        ours.close()
        assert wire.receive_request(theirs) is None
        with pytest.raises(wire.BrokenTalk):
            wire.send_request(ours, request, fd)
    for number in (fd, received[1]):
        os.close(number)
