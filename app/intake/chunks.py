"""A text file in stretches of whole lines, as bytes: what the delimited and the JSONL reader stand on."""

from collections.abc import Iterator

from app.errors import InvalidInputError
from app.intake.files import InputFile

CHUNK_BYTES = 1 << 19
MAX_LINE_BYTES = 4 << 20
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def read_chunks(file: InputFile) -> Iterator[bytes]:
    """Stretches of about half a mebibyte, each ending with a line break; without a byte order mark.

    Raises `InvalidInputError` for an empty file, UTF-16, and lines that no table has.
    """
    with file.open() as stream:
        rest = stream.read(CHUNK_BYTES).removeprefix(_UTF8_BOM)
        if not rest:
            raise InvalidInputError(f"{file.shown} is empty", field="path")
        if rest.startswith(_UTF16_BOMS):
            advice = "iconv -f utf-16 -t utf-8"
            raise InvalidInputError(f"{file.shown} is UTF-16: make it UTF-8 first ({advice})", field="path")
        while more := stream.read(CHUNK_BYTES):
            cut = rest.rfind(b"\n") + 1
            if cut:
                yield rest[:cut]
            rest = rest[cut:] + more
            if len(rest) > MAX_LINE_BYTES and b"\n" not in rest:
                raise InvalidInputError(f"{file.shown} has a line of more than 4 MiB: not a table", field="path")
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def first_line(file: InputFile) -> str:
    """The first line as text, without its line break."""
    chunk = next(read_chunks(file))
    return as_text(chunk[: chunk.index(b"\n")]).rstrip("\r")


def as_text(chunk: bytes) -> str:
    """UTF-8 as text; bytes that are not UTF-8 become lone surrogates, which no id, title or name may hold."""
    return chunk.decode("utf-8", "surrogateescape")
