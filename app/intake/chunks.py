"""Reads a text file in chunks of whole lines, as bytes; the delimited and the JSONL reader build on it."""

from collections.abc import Iterator

from app.errors import InvalidInputError
from app.intake.files import InputFile

CHUNK_BYTES = 1 << 19
MAX_LINE_BYTES = 4 << 20
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def read_chunks(file: InputFile) -> Iterator[bytes]:
    """Yield the file in chunks of about half a mebibyte, each of which ends with a line break.

    A UTF-8 byte order mark is removed, and a missing final line break is added.

    Raises `InvalidInputError` where the file is empty, is UTF-16, or has a line of more than 4 MiB.
    """
    with file.open() as stream:
        pending = stream.read(CHUNK_BYTES).removeprefix(_UTF8_BOM)
        if not pending:
            raise InvalidInputError(f"{file.display_name} is empty", field="path")
        # Otherwise every row would be rejected for the NUL bytes of UTF-16, without a word on the cause.
        if pending.startswith(_UTF16_BOMS):
            raise InvalidInputError(
                f"{file.display_name} is UTF-16: convert it to UTF-8 first (iconv -f utf-16 -t utf-8)", field="path"
            )
        while data := stream.read(CHUNK_BYTES):
            end = pending.rfind(b"\n") + 1
            if end:
                yield pending[:end]
            pending = pending[end:] + data
            # Without this limit a binary file without line breaks would be collected in memory as a whole.
            if len(pending) > MAX_LINE_BYTES and b"\n" not in pending:
                raise InvalidInputError(
                    f"{file.display_name} has a line of more than 4 MiB, so it is not a table", field="path"
                )
        # The parsers rely on a line break at the end of every chunk.
        yield pending if pending.endswith(b"\n") else pending + b"\n"


def first_line(file: InputFile) -> str:
    """Return the first line as text without its line break; raises as `read_chunks` does."""
    chunk = next(read_chunks(file))
    return decode_utf8(chunk[: chunk.index(b"\n")]).rstrip("\r")


def decode_utf8(chunk: bytes) -> str:
    """Decode UTF-8; a byte that is not UTF-8 becomes a lone surrogate."""
    # Ids and texts with surrogates are rejected later, row by row, so one bad byte does not stop the whole import.
    return chunk.decode("utf-8", "surrogateescape")
