"""Forms are taken apart while they stream, whatever the cuts between the parts."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutela.errors import InvalidInput, TooLarge, UnsupportedMedia
from tutela.uploads.forms import MAX_FIELD_BYTES, MAX_FIELDS, Form, boundary_of

BOUNDARY = b"frontier"


class Taken:
    def __init__(self, **options: object) -> None:
        self.files: list[tuple[str, str, bytes]] = []
        self.ended = 0
        self.form = Form(
            BOUNDARY,
            on_file=lambda name, file_name: self.files.append((name, file_name, b"")),
            on_chunk=self._chunk,
            on_file_end=self._end,
            **options,  # type: ignore[arg-type]
        )

    def _chunk(self, chunk: bytes) -> None:
        name, file_name, so_far = self.files[-1]
        self.files[-1] = (name, file_name, so_far + chunk)

    def _end(self) -> None:
        self.ended += 1


def part(name: str, value: bytes, file_name: str | None = None) -> bytes:
    extra = f'; filename="{file_name}"' if file_name is not None else ""
    return (
        b"--"
        + BOUNDARY
        + b'\r\nContent-Disposition: form-data; name="'
        + name.encode()
        + b'"'
        + extra.encode()
        + b"\r\n\r\n"
        + value
        + b"\r\n"
    )


END = b"--" + BOUNDARY + b"--\r\n"


def feed(taken: Taken, body: bytes, cuts: list[int] | None = None) -> Taken:
    at = 0
    for cut in sorted({c % (len(body) + 1) for c in cuts or []}):
        taken.form.feed(body[at:cut])
        at = cut
    taken.form.feed(body[at:])
    taken.form.finish()
    return taken


@settings(max_examples=60)
@given(
    content=st.binary(max_size=300) | st.just(b"\r\n--frontie") | st.just(b"\r\n\r\n--"),
    account=st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
)
def test_a_form_is_the_same_however_it_is_cut(
    content: bytes, account: str, cuts: list[int]
) -> None:
    body = part("account", account.encode()) + part("file", content, "a.jpg") + END
    taken = feed(Taken(), body, cuts)
    assert taken.files == [("file", "a.jpg", content)]
    assert taken.form.fields == {"account": account}
    assert taken.ended == 1


@settings(max_examples=100)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_form_or_one_of_our_errors(body: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        feed(Taken(), part("a", b"1") + body)


def test_fields_may_come_after_the_file() -> None:
    taken = feed(Taken(), part("file", b"x", "a") + part("surface", b"avatar") + END)
    assert taken.form.fields == {"surface": "avatar"}


def test_a_form_that_is_cut_off_is_refused() -> None:
    with pytest.raises(InvalidInput, match="ends before"):
        feed(Taken(), part("file", b"half", "a"))


def test_a_second_file_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too many files"):
        feed(Taken(), part("a", b"1", "a") + part("b", b"2", "b") + END)


def test_a_repeated_field_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        feed(Taken(), part("a", b"1") + part("a", b"2") + END)


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more than"):
        feed(Taken(), b"".join(part(f"f{n}", b"") for n in range(MAX_FIELDS + 1)) + END)


def test_a_long_field_is_refused_and_its_content_not_shown() -> None:
    with pytest.raises(TooLarge) as caught:
        feed(Taken(), part("a", b"Z" * (MAX_FIELD_BYTES + 1)) + END)
    assert "ZZ" not in caught.value.spoken()


def test_a_long_field_is_examined_as_a_file_where_asked() -> None:
    """A guard must not be passed by leaving the file name away."""
    long = b"Z" * (MAX_FIELD_BYTES * 2)
    taken = feed(
        Taken(max_files=4, long_fields_are_files=True),
        part("note", b"short") + part("hidden", long) + part("b", b"2", "b") + END,
        [100, 9000],
    )
    assert taken.files == [("hidden", "", long), ("b", "b", b"2")]
    assert taken.form.fields == {"note": "short"}
    assert taken.ended == 2


def test_long_part_headers_are_refused() -> None:
    with pytest.raises(InvalidInput):
        feed(Taken(), part("n" * 20_000, b"1") + END)


@pytest.mark.parametrize("value", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_boundary_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput):
        boundary_of(value)


def test_names_that_are_not_utf8_are_refused() -> None:
    body = part("file", b"x", "@@").replace(b"@@", b"\xff\xfe") + END
    with pytest.raises(InvalidInput, match="UTF-8"):
        feed(Taken(), body)


@pytest.mark.parametrize("cuts", [[], [5], list(range(0, 600, 7)), list(range(400))])
def test_what_follows_the_closing_boundary_is_refused(cuts: list[int]) -> None:
    """Some frameworks read a second file there."""
    body = part("file", b"x", "a") + END + part("file", b"y", "b") + END
    with pytest.raises(InvalidInput, match="goes on after"):
        feed(Taken(), body, cuts)


@pytest.mark.parametrize("end", [END, END[:-2], END + b"\r\n", END + b" \r\n\n"])
def test_blank_lines_after_the_closing_boundary_are_let_be(end: bytes) -> None:
    for cuts in ([], list(range(300))):
        assert feed(Taken(), part("file", b"x", "a") + end, cuts).files == [("file", "a", b"x")]


def with_header(line: bytes) -> bytes:
    return part("file", b"eA==", "a").replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1) + END


@pytest.mark.parametrize(
    "line", [b"Content-Transfer-Encoding: base64", b"CONTENT-TRANSFER-ENCODING:Quoted-Printable"]
)
def test_an_encoded_part_is_refused(line: bytes) -> None:
    """Some frameworks decode it, and would get bytes that nobody examined."""
    with pytest.raises(UnsupportedMedia, match="encoded"):
        feed(Taken(), with_header(line))


@pytest.mark.parametrize("value", [b"7bit", b"8BIT", b" binary "])
def test_a_part_that_says_it_is_not_encoded_is_taken(value: bytes) -> None:
    taken = feed(Taken(), with_header(b"Content-Transfer-Encoding: " + value))
    assert taken.files == [("file", "a", b"eA==")]


def test_a_header_that_comes_twice_in_a_part_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        feed(Taken(), with_header(b'Content-Disposition: form-data; name="other"'))
