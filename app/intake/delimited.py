"""CSV, TSV and the separators of MovieLens, as blocks.

Two ways through a file. A stretch without quotes in which every line has the same number of separators, nearly all of
them, is cut by two calls into C: split once, then every n-th field is a column (3 M rows/s). Anything else goes through
the csv module (0.8 M rows/s), from the first quote to the end of the file, as a quoted field may span stretches.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from app.intake.blocks import ROWS_PER_BLOCK, Block, RejectedRow, as_line
from app.intake.chunks import as_text, read_chunks
from app.intake.files import InputFile

if TYPE_CHECKING:
    import _csv

_UNIT_SEPARATOR = b"\x1f"
_LINE_BREAK = ord("\n")


@dataclass(frozen=True, slots=True)
class DelimitedDialect:
    """How fields stand in a line. `is_latin1`: lines that are not UTF-8 are Latin-1 (the older MovieLens files)."""

    separator: str = ","
    is_quoted: bool = True
    is_latin1: bool = False

    @property
    def character(self) -> str:
        """The separator the parsers see: one character, even for `::`."""
        return self.separator if len(self.separator) == 1 else _UNIT_SEPARATOR.decode()

    def to_text(self, chunk: bytes) -> str:
        text = as_text(chunk)
        if self.is_latin1 and not text.isascii():
            text = "".join(_latin1_where_needed(line) for line in io.StringIO(text, newline=""))
        return text

    def rows(self, lines: Iterator[str]) -> "_csv.Reader":
        if self.is_quoted:
            return csv.reader(lines, delimiter=self.character)
        return csv.reader(lines, delimiter=self.character, quoting=csv.QUOTE_NONE)


def _latin1_where_needed(line: str) -> str:
    try:
        line.encode()
    except UnicodeEncodeError:
        return line.encode("utf-8", "surrogateescape").decode("latin-1")
    return line


def split_line(line: str, dialect: DelimitedDialect) -> list[str]:
    """The fields of one line, for the eyes of whoever recognises layouts."""
    line = line.replace(dialect.separator, dialect.character)
    try:
        return next(dialect.rows(iter([line])), [])
    except csv.Error:
        return [line]


def read_delimited(
    file: InputFile, names: Sequence[str], dialect: DelimitedDialect, *, has_header: bool
) -> Iterator[Block]:
    """Blocks whose columns are `names`, in the order of the fields; blank lines are passed over.

    Rows with more or fewer fields than names are rejected. The line number is the one a row begins at.
    """
    shape = _Shape(file.shown, list(names), dialect)
    chunks = _normalised(read_chunks(file), dialect)
    line = 1
    if has_header:
        _, _, rest = next(chunks).partition(b"\n")
        chunks = _put_back(rest, chunks)
        line += 1
    for chunk in chunks:
        if dialect.is_quoted and b'"' in chunk:
            yield from shape.careful(_put_back(chunk, chunks), line)
        elif shape.is_regular(chunk):
            yield from shape.quick(chunk, line)
        else:
            yield from shape.careful(iter([chunk]), line)
        line += chunk.count(b"\n")


def _normalised(chunks: Iterator[bytes], dialect: DelimitedDialect) -> Iterator[bytes]:
    for chunk in chunks:
        if b'"' not in chunk or not dialect.is_quoted:
            chunk = chunk.replace(b"\r\n", b"\n")  # noqa: PLW2901  the same stretch, its line breaks made plain
        yield chunk if len(dialect.separator) == 1 else chunk.replace(dialect.separator.encode(), _UNIT_SEPARATOR)


def _put_back(chunk: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if chunk:
        yield chunk
    yield from rest


@dataclass(frozen=True, slots=True)
class _Shape:
    """What every row of one file should look like."""

    file: str
    names: list[str]
    dialect: DelimitedDialect

    def is_regular(self, chunk: bytes) -> bool:
        """Whether the separators and line breaks of `chunk` follow each other as in a table of these columns."""
        characters = np.frombuffer(chunk, dtype=np.uint8)
        separator = ord(self.dialect.character)
        marks = characters[(characters == separator) | (characters == _LINE_BREAK)]
        if b"\r" in chunk or len(marks) % len(self.names):
            return False
        expected = np.full(len(self.names), separator, dtype=np.uint8)
        expected[-1] = _LINE_BREAK
        return bool((marks.reshape(-1, len(self.names)) == expected).all()) and b"\n\n" not in b"\n" + chunk

    def quick(self, chunk: bytes, line: int) -> Iterator[Block]:
        character = self.dialect.character
        fields = self.dialect.to_text(chunk).replace("\n", character).split(character)
        fields.pop()  # what follows the last line break
        columns = [fields[index :: len(self.names)] for index in range(len(self.names))]
        n_rows = len(columns[0])
        for start in range(0, n_rows, ROWS_PER_BLOCK):
            stop = min(start + ROWS_PER_BLOCK, n_rows)
            parts = {name: column[start:stop] for name, column in zip(self.names, columns, strict=True)}
            yield Block(self.file, parts, range(line + start, line + stop))

    def careful(self, chunks: Iterator[bytes], line: int) -> Iterator[Block]:
        lines = (text for chunk in chunks for text in io.StringIO(self.dialect.to_text(chunk), newline=""))
        reader = self.dialect.rows(lines)
        while True:
            rows: list[list[str]] = []
            started_at = line + reader.line_num
            try:
                rows.extend(islice(reader, ROWS_PER_BLOCK))
            except csv.Error as error:  # the rows before the broken one are in the list
                yield self._block(rows, started_at, line + reader.line_num, broken=str(error))
                continue
            if not rows:
                return
            yield self._block(rows, started_at, line + reader.line_num)

    def _block(self, rows: list[list[str]], started_at: int, ended_at: int, broken: str = "") -> Block:
        lines = _line_numbers(rows, started_at, ended_at)
        rejected = []
        if broken:
            reason = f"not CSV up to line {ended_at - 1}: {broken}"
            rejected.append(RejectedRow(self.file, lines[len(rows)], reason, row=""))
        if set(map(len, rows)) - {len(self.names)}:
            rejected += [self._misshapen(row, at) for row, at in zip(rows, lines, strict=False) if self._is_odd(row)]
            fitting = [(row, at) for row, at in zip(rows, lines, strict=False) if len(row) == len(self.names)]
            rows, lines = [row for row, _ in fitting], [at for _, at in fitting]
        columns = zip(*rows, strict=True) if rows else [()] * len(self.names)
        return Block(self.file, dict(zip(self.names, columns, strict=True)), lines[: len(rows)], rejected)

    def _is_odd(self, row: list[str]) -> bool:
        return bool(row) and len(row) != len(self.names)

    def _misshapen(self, row: list[str], line: int) -> RejectedRow:
        reason = f"has {len(row)} fields where {len(self.names)} belong"
        return RejectedRow(self.file, line, reason, as_line(row))


def _line_numbers(rows: list[list[str]], started_at: int, ended_at: int) -> Sequence[int]:
    """(len(rows) + 1,) the line each row begins at, and the line after the last."""
    if ended_at - started_at == len(rows):
        return range(started_at, ended_at + 1)
    breaks = [sum(part.count("\n") + part.count("\r") - part.count("\r\n") for part in row) for row in rows]
    return [int(at) for at in started_at + np.cumsum([0, *(1 + count for count in breaks)])]
