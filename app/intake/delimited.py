"""Reads CSV, TSV and the delimited formats of MovieLens as blocks.

A chunk is parsed in one of two ways. Where it has no quotes and every line has the same number of separators, which is
true of nearly all chunks, it is split once, and every n-th field forms a column (3 M rows/s). Any other chunk is parsed
by the csv module (0.8 M rows/s). From the first quote on, the rest of the file is parsed by the csv module, because a
quoted field may span chunks.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from app.intake.blocks import ROWS_PER_BLOCK, Block, RejectedRow, to_csv_line
from app.intake.chunks import decode_utf8, read_chunks
from app.intake.files import InputFile

if TYPE_CHECKING:
    import _csv

# Stands for separators of several characters while a file is parsed, because it does not occur in ordinary text.
_UNIT_SEPARATOR = b"\x1f"
_LINE_BREAK = ord("\n")


@dataclass(frozen=True, slots=True)
class DelimitedDialect:
    """The format of the lines of a file.

    `separator`: the text between two fields, of one or more characters.
    `is_quoted`: whether fields may be quoted as in CSV; otherwise a quote is an ordinary character.
    `is_latin1`: whether a line that is not UTF-8 is Latin-1, as in the older MovieLens files.
    """

    separator: str = ","
    is_quoted: bool = True
    is_latin1: bool = False

    @property
    def character(self) -> str:
        """The single character that separates fields for the parsers; it replaces a longer separator such as `::`."""
        return self.separator if len(self.separator) == 1 else _UNIT_SEPARATOR.decode()

    def to_text(self, chunk: bytes) -> str:
        """Decode a chunk; bytes that are not text in this dialect become lone surrogates."""
        text = decode_utf8(chunk)
        if self.is_latin1 and not text.isascii():
            text = "".join(_repair_latin1(line) for line in io.StringIO(text, newline=""))
        return text

    def rows(self, lines: Iterator[str]) -> "_csv.Reader":
        """Parse lines into lists of fields."""
        if self.is_quoted:
            return csv.reader(lines, delimiter=self.character)
        return csv.reader(lines, delimiter=self.character, quoting=csv.QUOTE_NONE)


def _repair_latin1(line: str) -> str:
    # Surrogates cannot be encoded, so this fails exactly for lines that were not UTF-8.
    try:
        line.encode()
    except UnicodeEncodeError:
        return line.encode("utf-8", "surrogateescape").decode("latin-1")
    return line


def split_line(line: str, dialect: DelimitedDialect) -> list[str]:
    """Return the fields of one line, for recognising a layout; a line that cannot be parsed is one field."""
    line = line.replace(dialect.separator, dialect.character)
    try:
        return next(dialect.rows(iter([line])), [])
    except csv.Error:
        return [line]


def read_delimited(
    file: InputFile, names: Sequence[str], dialect: DelimitedDialect, *, has_header: bool
) -> Iterator[Block]:
    """Yield blocks with the columns `names`, given in the order of the fields.

    `has_header`: whether the first line is a header, which is skipped. Blank lines are skipped too. A row with more or
    fewer fields than `names` is rejected.

    Raises `InvalidInputError` where the file cannot be read.
    """
    parser = _ChunkParser(file.display_name, list(names), dialect)
    chunks = _normalise(read_chunks(file), dialect)
    line = 1
    if has_header:
        _, _, rest = next(chunks).partition(b"\n")
        chunks = chain([rest] if rest else [], chunks)
        line += 1
    for chunk in chunks:
        if dialect.is_quoted and b'"' in chunk:
            # This call consumes all remaining chunks, so the loop ends after it.
            yield from parser.parse(chain([chunk], chunks), line)
        elif parser.is_regular(chunk):
            yield from parser.split(chunk, line)
        else:
            yield from parser.parse(iter([chunk]), line)
        line += chunk.count(b"\n")


def _normalise(chunks: Iterator[bytes], dialect: DelimitedDialect) -> Iterator[bytes]:
    """Replace separators of several characters by one character, and CRLF by LF."""
    for chunk in chunks:
        # A CRLF inside a quoted field belongs to its text and is kept.
        if b'"' not in chunk or not dialect.is_quoted:
            chunk = chunk.replace(b"\r\n", b"\n")  # noqa: PLW2901  the name still means the same chunk
        yield chunk if len(dialect.separator) == 1 else chunk.replace(dialect.separator.encode(), _UNIT_SEPARATOR)


@dataclass(frozen=True, slots=True)
class _ChunkParser:
    """Parses the chunks of one file into blocks.

    `file`: name of the file, as shown to users. `names`: the expected columns.
    """

    file: str
    names: list[str]
    dialect: DelimitedDialect

    def is_regular(self, chunk: bytes) -> bool:
        """Whether every line of `chunk` has exactly as many separators as a row of this table."""
        characters = np.frombuffer(chunk, dtype=np.uint8)
        separator = ord(self.dialect.character)
        marks = characters[(characters == separator) | (characters == _LINE_BREAK)]
        if b"\r" in chunk or len(marks) % len(self.names):
            return False
        # Of n columns, a row is n - 1 separators followed by a line break.
        expected = np.full(len(self.names), separator, dtype=np.uint8)
        expected[-1] = _LINE_BREAK
        # With one column a blank line matches the pattern too, but blank lines are not rows.
        return bool((marks.reshape(-1, len(self.names)) == expected).all()) and b"\n\n" not in b"\n" + chunk

    def split(self, chunk: bytes, line: int) -> Iterator[Block]:
        """Parse a regular chunk that begins at `line`, by splitting it."""
        character = self.dialect.character
        fields = self.dialect.to_text(chunk).replace("\n", character).split(character)
        # The chunk ends with a line break, so the last field is empty and belongs to no row.
        fields.pop()
        columns = [fields[index :: len(self.names)] for index in range(len(self.names))]
        n_rows = len(columns[0])
        for start in range(0, n_rows, ROWS_PER_BLOCK):
            stop = min(start + ROWS_PER_BLOCK, n_rows)
            parts = {name: column[start:stop] for name, column in zip(self.names, columns, strict=True)}
            yield Block(self.file, parts, range(line + start, line + stop))

    def parse(self, chunks: Iterator[bytes], line: int) -> Iterator[Block]:
        """Parse any chunks, of which the first begins at `line`, with the csv module."""
        lines = (text for chunk in chunks for text in io.StringIO(self.dialect.to_text(chunk), newline=""))
        reader = self.dialect.rows(lines)
        while True:
            rows: list[list[str]] = []
            started_at = line + reader.line_num
            try:
                rows.extend(islice(reader, ROWS_PER_BLOCK))
            # `extend` has stored the rows before the broken one, and the reader continues after it.
            except csv.Error as error:
                yield self._block(rows, started_at, line + reader.line_num, broken=str(error))
                continue
            if not rows:
                return
            yield self._block(rows, started_at, line + reader.line_num)

    def _block(self, rows: list[list[str]], started_at: int, ended_at: int, broken: str = "") -> Block:
        lines = _line_numbers(rows, started_at, ended_at)
        rejected = []
        if broken:
            reason = f"cannot be parsed as CSV up to line {ended_at - 1}: {broken}"
            rejected.append(RejectedRow(self.file, lines[len(rows)], reason, row=""))
        if set(map(len, rows)) - {len(self.names)}:
            # `lines` has one entry more than `rows`. The csv module returns a blank line as a row without fields.
            misshapen = [
                (row, at) for row, at in zip(rows, lines, strict=False) if len(row) not in {0, len(self.names)}
            ]
            rejected += [self._reject_misshapen(row, at) for row, at in misshapen]
            fitting = [(row, at) for row, at in zip(rows, lines, strict=False) if len(row) == len(self.names)]
            rows, lines = [row for row, _ in fitting], [at for _, at in fitting]
        columns = zip(*rows, strict=True) if rows else [()] * len(self.names)
        return Block(self.file, dict(zip(self.names, columns, strict=True)), lines[: len(rows)], rejected)

    def _reject_misshapen(self, row: list[str], line: int) -> RejectedRow:
        reason = f"has {len(row)} fields instead of {len(self.names)}"
        return RejectedRow(self.file, line, reason, to_csv_line(row))


def _line_numbers(rows: list[list[str]], started_at: int, ended_at: int) -> Sequence[int]:
    """Return the (len(rows) + 1,) lines at which the rows begin, and the line after the last row."""
    if ended_at - started_at == len(rows):
        return range(started_at, ended_at + 1)
    # A quoted field may contain line breaks: a row with b breaks takes 1 + b lines.
    breaks = [sum(part.count("\n") + part.count("\r") - part.count("\r\n") for part in row) for row in rows]
    return [int(at) for at in started_at + np.cumsum([0, *(1 + count for count in breaks)])]
