"""Reads a text file in chunks of whole lines, as UTF-8; the delimited and the JSONL reader build on it."""

import re
from collections.abc import Iterator
from functools import partial
from itertools import islice

from app.errors import InvalidInputError
from app.intake.files.encodings import decode_utf8, to_utf8
from app.intake.files.listing import InputFile

CHUNK_BYTES = 1 << 19
MAX_LINE_BYTES = 4 << 20

_FIRST_LINE = re.compile(rb"(?:[ \t]*(?:\r\n|\r|\n))*+([^\r\n]*)")


class _LongLineError(Exception):
    """A line is longer than `MAX_LINE_BYTES`."""


def read_chunks(file: InputFile) -> Iterator[bytes]:
    """Yield the file in chunks of about half a mebibyte of UTF-8, each of which ends with a line break.

    A line ends with LF, CRLF or CR, and no CRLF is divided between two chunks. A byte order mark is removed, a missing
    final line break is added, and bytes that are not text in the encoding of the file are kept.

    Raises `InvalidInputError` where the file is empty, is not in its encoding, or has a line of more than 4 MiB.
    """
    n_chunks = 0
    try:
        for chunk in _cut_at_lines(file):
            yield chunk
            n_chunks += 1
    except _LongLineError as error:
        # Lines are counted only here, because counting those of every file would cost 2 % of the time.
        line = 1 + sum(unify_line_breaks(chunk).count(b"\n") for chunk in islice(_cut_at_lines(file), n_chunks))
        raise InvalidInputError(
            f"line {line:,} of {file.display_name} has more than 4 MiB, so it is not a row of a table", field="path"
        ) from error


def _cut_at_lines(file: InputFile) -> Iterator[bytes]:
    with file.open() as stream:
        pieces = iter(partial(stream.read, CHUNK_BYTES), b"")
        pending = b""
        for piece in filter(None, to_utf8(pieces, file.encoding, file.display_name)):
            # What is added now may continue a CRLF, so the chunk before it is cut only here.
            end = _end_of_last_line(pending)
            if end:
                yield pending[:end]
            pending = pending[end:] + piece
            # Without this limit a binary file without line breaks would be collected in memory as a whole.
            if len(pending) > MAX_LINE_BYTES and not _end_of_last_line(pending):
                raise _LongLineError
    if not pending:
        raise InvalidInputError(f"{file.display_name} is empty", field="path")
    # The parsers rely on a line break at the end of every chunk.
    yield pending if pending.endswith((b"\n", b"\r")) else pending + b"\n"


def _end_of_last_line(pending: bytes) -> int:
    """Return the position behind the last complete line; 0 where there is none."""
    # A CR at the end may be the first half of a CRLF.
    return pending.rfind(b"\n") + 1 or pending.rfind(b"\r", 0, -1) + 1


def unify_line_breaks(chunk: bytes) -> bytes:
    """Replace CRLF and CR by LF."""
    # Nearly all files have neither, and looking for one byte costs next to nothing.
    return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in chunk else chunk


def first_line(file: InputFile) -> str:
    """Return the first line that is not blank as text, without its line break; raises as `read_chunks` does."""
    match = _FIRST_LINE.match(next(read_chunks(file)))
    return decode_utf8(match[1]) if match else ""


def first_lines(file: InputFile) -> list[str]:
    """Return the lines of the first chunk without their line breaks; raises as `read_chunks` does."""
    return split_lines(decode_utf8(next(read_chunks(file))))


def split_lines(text: str) -> list[str]:
    """Return the lines of a chunk, which ends with a line break, without their line breaks."""
    # `splitlines` would also split at U+2028 and other separators, which texts may contain.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
