"""``multipart/form-data`` taken apart while it streams: fields are kept, the file passes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from tutela.errors import InvalidInput, TooLarge, UnsupportedMedia

MAX_FIELDS: Final = 64
MAX_FIELD_BYTES: Final = 8 * 1024
MAX_PART_HEADER_BYTES: Final = 8 * 1024
OVERHEAD: Final = (MAX_FIELDS + 1) * (MAX_FIELD_BYTES + MAX_PART_HEADER_BYTES)
"""How much larger than its file a form may be, in bytes."""
PLAIN_ENCODINGS: Final = frozenset({b"", b"7bit", b"8bit", b"binary"})
"""Values of ``Content-Transfer-Encoding`` that leave a part's bytes as they are. RFC 7578 §4.7
gives up the header in forms; some frameworks still decode by it, and would read what nobody
examined."""
_BLANK: Final = b" \t\r\n"


def boundary_of(content_type: str) -> bytes:
    """The boundary in a Content-Type. Raises ``InvalidInput`` where there is none."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 200:
        raise InvalidInput("The multipart body names no usable boundary.")
    return boundary


class Form:
    """Takes a form apart as its bytes come.

    A part with a file name is announced to ``on_file`` (its field's and file's name), goes chunk
    by chunk to ``on_chunk`` and ends with ``on_file_end``; other parts end up in ``fields``. With
    ``long_fields_are_files`` a field over ``MAX_FIELD_BYTES`` is treated as a file too, and
    repeated fields are let be; ``on_field`` gets each of the others as it was sent.

    What another parser could take for further content is refused: bytes after the closing
    boundary (the epilogue of RFC 2046 §5.1.1), encoded parts, a part's header that comes twice.

    Raises ``InvalidInput`` for a malformed form, more than ``max_files`` files, repeated or too
    many fields; ``TooLarge`` for a long one; ``UnsupportedMedia`` for an encoded part.
    """

    def __init__(
        self,
        boundary: bytes,
        *,
        on_file: Callable[[str, str], None],
        on_chunk: Callable[[bytes], None],
        on_file_end: Callable[[], None] = lambda: None,
        on_field: Callable[[bytes], None] = lambda value: None,
        max_files: int = 1,
        long_fields_are_files: bool = False,
    ) -> None:
        self.fields: dict[str, str] = {}
        self.files = 0
        self._on_file = on_file
        self._on_chunk = on_chunk
        self._on_file_end = on_file_end
        self._on_field = on_field
        self._lenient = long_fields_are_files
        self._max_files = max_files
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._parts = 0
        self._field: str | None = None
        self._value = bytearray()
        self._in_file = False
        self._ended = False
        self._closing = b"--" + boundary + b"--"
        self._tail = b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value_part,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise InvalidInput("The multipart body names no usable boundary.") from None

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the form."""
        if self._ended:
            _must_be_blank(chunk)
            return
        try:
            self._parser.write(chunk)
        except (MultipartParseError, FormParserError):
            raise InvalidInput("The multipart body is malformed.") from None
        if self._ended:
            _must_be_blank((self._tail + chunk).partition(self._closing)[2])
        self._tail = (self._tail + chunk[-len(self._closing) :])[-len(self._closing) :]

    def finish(self) -> None:
        """The end of the body. Raises ``InvalidInput`` where the form was cut off."""
        if not self._ended:
            raise InvalidInput("The multipart body ends before its last boundary.")

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_FIELDS:
            raise InvalidInput(f"The form has more than {MAX_FIELDS} parts.")
        self._headers = {}
        self._header_bytes = 0
        self._field, self._in_file = None, False
        self._value.clear()

    def _count_header(self, length: int) -> None:
        self._header_bytes += length
        if self._header_bytes > MAX_PART_HEADER_BYTES:
            raise InvalidInput("The headers of a part of the form are too long.")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_name += data[start:end]

    def _header_value_part(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        name, value = self._header_name.strip().lower(), self._header_value
        self._header_name = self._header_value = b""
        if name in self._headers:
            raise InvalidInput("A part of the form has the same header twice.")
        if name == b"content-transfer-encoding" and value.strip().lower() not in PLAIN_ENCODINGS:
            raise UnsupportedMedia(
                "A part of the form is encoded (Content-Transfer-Encoding).",
                next_step="Send the part's bytes as they are, without that header.",
            )
        self._headers[name] = value

    def _headers_finished(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = _text(options.get(b"name", b""))
        if disposition != b"form-data" or not name:
            raise InvalidInput("A part of the form has no name.")
        if b"filename" in options:
            self._open_file(name, _text(options[b"filename"]))
            return
        if name in self.fields and not self._lenient:
            raise InvalidInput("A field of the form comes twice.")
        self._field = name

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._on_chunk(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            if self._lenient and self._field is not None:
                self._open_file(self._field, "")
                self._on_chunk(bytes(self._value))
                return
            raise TooLarge(f"A field of the form is longer than {MAX_FIELD_BYTES} bytes.")

    def _open_file(self, name: str, file_name: str) -> None:
        self.files += 1
        if self.files > self._max_files:
            raise InvalidInput(
                "The form carries too many files.", next_step="Send one file a request."
            )
        self._in_file, self._field = True, None
        self._on_file(name, file_name)

    def _part_end(self) -> None:
        if self._in_file:
            self._on_file_end()
        if self._field is not None:
            value = bytes(self._value)
            self.fields[self._field] = _text(value)
            self._on_field(value)

    def _end(self) -> None:
        self._ended = True


async def stream_form(form: Form, parts: AsyncIterator[bytes]) -> None:
    """Feed a whole body to a form."""
    async for part in parts:
        form.feed(part)
    form.finish()


def _must_be_blank(epilogue: bytes) -> None:
    if epilogue.strip(_BLANK):
        raise InvalidInput(
            "The multipart body goes on after its last boundary.",
            next_step="Send all parts before the closing boundary.",
        )


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidInput("A name or field of the form is not UTF-8.") from None
