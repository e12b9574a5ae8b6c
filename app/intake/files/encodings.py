"""Decodes the text of files: UTF-8 unless a byte order mark or the user states another encoding.

Encodings are not guessed, because Latin-1 accepts any bytes and would store wrong ids without a word.
"""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain

from app.errors import InvalidInputError

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # The mark of UTF-16 is the start of that of UTF-32, which therefore comes first.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LABELS = {"latin-1": "Latin-1", "cp1252": "Windows-1252"}
_SAMPLE_BYTES = 4096
# In UTF-16 at least the separators and line breaks have one byte that is zero, always on the same side.
_MIN_ZERO_SHARE = 0.1
_MIN_ZEROS = 3


def check_encoding(encoding: str) -> None:
    """Raise `InvalidInputError` where Python has no text codec of this name."""
    try:
        # The codecs that do not make text of bytes, such as base64, have no incremental decoder to str.
        "".encode(encoding)
        b"".decode(encoding)
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError) as error:
        raise InvalidInputError(
            f"--encoding {encoding!r} is not an encoding of text, such as latin-1, cp1252, utf-16-le or shift_jis",
            field="encoding",
        ) from error


def to_utf8(pieces: Iterable[bytes], encoding: str | None, display_name: str) -> Iterator[bytes]:
    """Convert the pieces of a file from `encoding` to UTF-8, without a byte order mark.

    A byte that is not text in the encoding is kept, so that its row can be rejected; see `decode_utf8`.

    `encoding`: None for UTF-8, or what a byte order mark says.

    Raises `InvalidInputError` where the bytes cannot be text of the encoding, and where they seem to be UTF-16 and
    neither `encoding` nor a byte order mark says so.
    """
    pieces = iter(pieces)
    first = next(pieces, b"")
    if encoding is None:
        encoding = next((each for mark, each in _BYTE_ORDER_MARKS.items() if first.startswith(mark)), None)
        if encoding is None:
            _refuse_utf16(first, display_name)
    if encoding is None or codecs.lookup(encoding).name in {"utf-8", "utf-8-sig"}:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from pieces
        return
    # An encoding that is stated with its byte order leaves the mark in the text.
    decoded = _decoded(chain([first], pieces), encoding, display_name)
    yield next(decoded).removeprefix(codecs.BOM_UTF8)
    yield from decoded


def _decoded(pieces: Iterable[bytes], encoding: str, display_name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    try:
        for piece in pieces:
            yield decoder.decode(piece).encode("utf-8", "surrogateescape")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
    except UnicodeError as error:
        raise InvalidInputError(f"{display_name} is not {encoding}: {error}", field="encoding") from error


def _refuse_utf16(first: bytes, display_name: str) -> None:
    sample = first[:_SAMPLE_BYTES]
    # The zero bytes of ASCII characters come second in little-endian order.
    n_first, n_second = sample[0::2].count(0), sample[1::2].count(0)
    encoding = "utf-16-le" if n_second > n_first else "utf-16-be"
    if max(n_first, n_second) < max(_MIN_ZEROS, _MIN_ZERO_SHARE * len(sample) / 2):
        return
    text = sample[: len(sample) // 2 * 2].decode(encoding, "replace")
    # Binary files have such zero bytes too, but they are not text in UTF-16.
    if all(character.isprintable() or character.isspace() for character in text):
        raise InvalidInputError(
            f"{display_name} seems to be UTF-16 without a byte order mark: add --encoding {encoding}", field="encoding"
        )


def decode_utf8(chunk: bytes) -> str:
    """Decode UTF-8; a byte that is not UTF-8 becomes a lone surrogate."""
    # Ids and texts with surrogates are rejected later, row by row, so one bad byte does not stop the whole import.
    return chunk.decode("utf-8", "surrogateescape")


def is_not_utf8(text: str) -> bool:
    """Whether `text` was decoded from bytes that are not UTF-8, which `decode_utf8` leaves as lone surrogates."""
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def not_utf8_reason(text: str) -> str:
    """Return the reason to reject a row whose `text` is not UTF-8, with the option that may help."""
    # Latin-1 has control characters where Windows-1252 has quotes, dashes and the euro sign.
    encoding = "cp1252" if any("\udc80" <= character <= "\udc9f" for character in text) else "latin-1"
    return f"is not UTF-8: where the file is {_LABELS[encoding]}, add --encoding {encoding}"
