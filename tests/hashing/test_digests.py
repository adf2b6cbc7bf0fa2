"""The three digests of a file, however it comes in."""

from __future__ import annotations

import hashlib
import io

from hypothesis import given
from hypothesis import strategies as st

from tutela.hashing import digests
from tutela.hashing.digests import Digester, digest_stream


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_digests_do_not_depend_on_how_the_bytes_are_cut(chunks: list[bytes]) -> None:
    digester = Digester()
    for chunk in chunks:
        digester.update(memoryview(chunk))
    whole = b"".join(chunks)
    found = digester.result()
    assert found.md5 == hashlib.md5(whole).digest()
    assert found.sha1 == hashlib.sha1(whole).digest()
    assert found.sha256 == hashlib.sha256(whole).digest()
    assert digester.size == len(whole)
    assert digest_stream(io.BytesIO(whole)) == found


def test_a_result_may_be_taken_before_the_end() -> None:
    digester = Digester()
    digester.update(b"abc")
    early = digester.result()
    digester.update(b"def")
    assert early.sha256 == hashlib.sha256(b"abc").digest()
    assert digester.result().sha256 == hashlib.sha256(b"abcdef").digest()


def test_a_long_stream_is_read_in_pieces() -> None:
    largest = 0

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal largest
            assert size is not None
            assert size > 0
            largest = max(largest, size)
            return super().read(size)

    content = bytes(range(256)) * 20_000
    assert digest_stream(Watched(content)).md5 == hashlib.md5(content).digest()
    assert largest == digests.CHUNK_BYTES < len(content)
