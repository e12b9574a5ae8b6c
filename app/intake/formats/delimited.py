"""Reads CSV, TSV and the delimited formats of MovieLens as blocks.

A chunk is parsed in one of two ways. Where it has no quotes and every line has the same number of separators, which is
true of nearly all chunks, it is split once, and every n-th field forms a column (3 M rows/s). Any other chunk is parsed
by the csv module (0.8 M rows/s). From the first quote on, the rest of the file is parsed by the csv module, because a
quoted field may span chunks.

Blanks around fields are removed, also within quotes. The first lines may be blank, comments, or the `sep=;` of Excel.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInputError
from app.intake.blocks import ROWS_PER_BLOCK, Block, RawTable, RejectedRow, to_csv_line
from app.intake.column_names.columns import IGNORED_NAMES, Naming
from app.intake.files.chunks import read_chunks, unify_line_breaks
from app.intake.files.encodings import decode_utf8, is_not_utf8, not_utf8_reason
from app.intake.files.listing import InputFile
from app.intake.hints import FileHints
from app.intake.recognition.header import is_header

if TYPE_CHECKING:
    import _csv

MAX_COLUMNS = 65_536
"""Largest accepted number of columns; a matrix has one per item."""

SEPARATORS = (",", "\t", ";", "|")
_MAX_CELLS_PER_BLOCK = 1 << 20
_MAX_HEADER_LINES = 50

_ROWS_TO_COMPARE = 50
"""So many rows are compared with the first, to tell whether it is a header."""

# Stands for separators of several characters while a file is parsed, because it does not occur in ordinary text.
_UNIT_SEPARATOR = b"\x1f"
_LINE_BREAK = ord("\n")
# Follows the last line that the csv module parses. Where a quote is still open there, it becomes part of a field.
_END = "\x1eend\x1e"

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")
# Excel reads the separator of a file from such a first line.
_STATED_SEPARATOR = re.compile(r'"?sep=(\\t|[^"\r\n\x1f]+)"?', re.IGNORECASE)
_ID_WITH_HASH = re.compile(r"#[^\s#]")


@dataclass(frozen=True, slots=True)
class DelimitedDialect:
    """The format of the lines of a file.

    `separator`: the text between two fields, of one or more characters.
    `is_quoted`: whether fields may be quoted as in CSV; otherwise a quote is an ordinary character.
    `is_latin1`: whether a line that is not UTF-8 is Latin-1, as in the older MovieLens files.
    `is_trimmed`: whether blanks around a field are removed.
    """

    separator: str = ","
    is_quoted: bool = True
    is_latin1: bool = False
    is_trimmed: bool = True

    @property
    def character(self) -> str:
        """The ASCII character that separates fields for the parsers; it replaces another separator such as `::`."""
        is_ascii_character = len(self.separator) == 1 and self.separator.isascii()
        return self.separator if is_ascii_character else _UNIT_SEPARATOR.decode()

    @property
    def blanks(self) -> str:
        """The characters that are removed around fields: blanks and tabs, without the separator."""
        return " \t".replace(self.separator, "") if self.is_trimmed else ""

    def to_text(self, chunk: bytes) -> str:
        """Decode a chunk; bytes that are not text in this dialect become lone surrogates."""
        text = decode_utf8(chunk)
        if self.is_latin1 and not text.isascii():
            text = "".join(_repair_latin1(line) for line in io.StringIO(text, newline=""))
        # Each of several concatenated files may begin with a byte order mark, which would become part of an id.
        return text if text.isascii() else text.replace("\n\ufeff", "\n")

    def normalise(self, chunk: bytes) -> bytes:
        """Replace other separators by `character`, and other line breaks by LF."""
        # A line break inside a quoted field belongs to its text and is kept.
        if b'"' not in chunk or not self.is_quoted:
            chunk = unify_line_breaks(chunk)
        return chunk if self.character == self.separator else chunk.replace(self.separator.encode(), _UNIT_SEPARATOR)

    def rows(self, lines: Iterator[str]) -> "_csv.Reader":
        """Parse lines into lists of fields."""
        if not self.is_quoted:
            return csv.reader(lines, delimiter=self.character, quoting=csv.QUOTE_NONE)
        # Without `skipinitialspace`, the quotes of `a, "b"` would belong to the text.
        return csv.reader(lines, delimiter=self.character, skipinitialspace=" " in self.blanks)

    def may_have_blanks(self, chunk: bytes) -> bool:
        """Whether a field in `chunk` may begin or end with a blank."""
        blanks = [blank for blank in self.blanks.encode() if blank in chunk]
        if not blanks:
            return False
        # A quote may be the end of a field or belong to its text; removing blanks in vain does no harm.
        edges = f'{self.character}\n\r"' if self.is_quoted and b'"' in chunk else f"{self.character}\n"
        characters = np.frombuffer(chunk, dtype=np.uint8)
        is_blank, is_edge = _is_any(characters, blanks), _is_any(characters, edges.encode())
        return bool(is_blank[0] or (is_blank[1:] & is_edge[:-1]).any() or (is_blank[:-1] & is_edge[1:]).any())


def _is_any(characters: NDArray[np.uint8], wanted: Iterable[int]) -> NDArray[np.bool_]:
    """Return the (n,) mask of the characters that are among `wanted`; faster than `np.isin` for a few."""
    return reduce(np.bitwise_or, (characters == each for each in wanted))


def _repair_latin1(line: str) -> str:
    # Surrogates cannot be encoded, so this fails exactly for lines that were not UTF-8.
    try:
        line.encode()
    except UnicodeEncodeError:
        return line.encode("utf-8", "surrogateescape").decode("latin-1")
    return line


def _dialect_of(separator: str) -> DelimitedDialect:
    # A longer separator is replaced before the lines are parsed, which would change it within quotes too.
    return DelimitedDialect(separator, is_quoted=len(separator) == 1)


def split_line(line: str, dialect: DelimitedDialect) -> list[str]:
    """Return the fields of one line, for recognising a layout; a line that cannot be parsed is one field."""
    line = line.replace(dialect.separator, dialect.character)
    try:
        return next(dialect.rows(iter([line])), [])
    except csv.Error:
        return [line]


@dataclass(frozen=True, slots=True)
class _Opening:
    """What a file begins with.

    `text`: the header or first row, without its line break; empty where the file has none.
    `n_before`: number of lines before `text`: blank lines, comments that begin with `#`, and a stated separator.
    `separator`: the stated separator; None where none is stated.
    `comments`: each comment before `text`, with the number of lines before it.
    """

    text: str
    n_before: int
    separator: str | None
    comments: list[tuple[str, int]]


def _opening(chunk: bytes) -> _Opening:
    """Return what the first chunk of a file begins with."""
    separator, comments, n_before = None, [], 0
    for match in _LINE.finditer(chunk):
        line = decode_utf8(match[0]).rstrip("\r\n")
        stated = _STATED_SEPARATOR.fullmatch(line)
        if stated and separator is None:
            separator = "\t" if stated[1] == r"\t" else stated[1]
        elif line.startswith("#"):
            comments.append((line, n_before))
        elif line.strip():
            record = chunk[match.start() : _end_of_record(chunk, match.start())]
            return _Opening(decode_utf8(record).rstrip("\r\n"), n_before, separator, comments)
        n_before += 1
    return _Opening("", n_before, separator, comments)


def _end_of_record(chunk: bytes, start: int) -> int:
    """Return the position behind the record that begins at `start`; its quoted fields may contain line breaks."""
    lines = list(islice(_LINE.finditer(chunk, start), _MAX_HEADER_LINES))
    n_quotes = accumulate(line[0].count(b'"') for line in lines)
    end = next((line.end() for line, n in zip(lines, n_quotes, strict=True) if n % 2 == 0), start)
    # A quote may also be an inch sign in the first line.
    is_one = any(_is_one_record(decode_utf8(chunk[start:end]), _dialect_of(each)) for each in SEPARATORS)
    return end if is_one else lines[0].end()


def _is_one_record(text: str, dialect: DelimitedDialect) -> bool:
    try:
        return len(list(dialect.rows(iter([text])))) == 1
    except csv.Error:
        return False


def open_delimited(file: InputFile, _siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable:
    """Open a text file as delimited; see `registry.Open`. Every text file is accepted, so this format comes last.

    Raises `InvalidInputError` where the file is not text, has not as many columns as are named, has two columns of one
    name, or has more than `MAX_COLUMNS`.
    """
    opening = _opening(next(read_chunks(file)))
    # Control characters in the first line mean binary content, which must not reach the terminal in a message.
    if any(category(character) == "Cc" and character not in "\t\r\n" for character in opening.text):
        raise InvalidInputError(f"{file.display_name} is not text, so it cannot be read as a table", field="path")
    if hints.columns.names:
        return _in_given_order(file, opening, hints.columns.names)
    separators = SEPARATORS if opening.separator is None else (opening.separator,)
    naming, n_before = hints.columns.naming, opening.n_before
    separator, names = _header(opening.text, separators, naming)
    if len(names) == 1 and opening.separator is None:
        separator, names = _header(opening.text, (separator, " "), naming)
    if opening.comments and not _is_known(names, naming):
        # Some files have their header in the last comment.
        comment, n_before_comment = opening.comments[-1]
        of_comment, names_in_comment = _header(comment.lstrip("# "), separators, naming)
        n_columns = len(split_line(opening.text, _dialect_of(of_comment)))
        if len(names_in_comment) == n_columns and _is_known(names_in_comment, naming):
            separator, names, n_before = of_comment, names_in_comment, n_before_comment
    if is_not_utf8(opening.text) and not _is_known(names, naming):
        raise InvalidInputError(f"the header of {file.display_name} {not_utf8_reason(opening.text)}", field="encoding")
    _check_names(file, names)
    dialect = replace(_dialect_of(separator), is_trimmed=not hints.is_export)
    return RawTable(file, names, partial(read_delimited, file, names, dialect, has_header=True, n_before=n_before))


def _header(line: str, separators: Sequence[str], naming: Naming) -> tuple[str, list[str]]:
    """Return the separator and the names of a header.

    The separator whose header names known columns wins; among several, the one with the most columns.
    """
    headers = {each: [name.strip() for name in split_line(line, _dialect_of(each))] for each in separators}
    best = max(headers, key=lambda each: (naming.n_known(headers[each]), len(headers[each])))
    return best, headers[best]


def _is_known(names: list[str], naming: Naming) -> bool:
    return naming.kind_of(names) is not None


def _check_names(file: InputFile, names: list[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise InvalidInputError(
            f"{file.display_name} has {len(names):,} columns; at most {MAX_COLUMNS:,} are read", field="path"
        )
    repeated = [name for name, count in Counter(names).items() if count > 1 and name not in IGNORED_NAMES]
    if repeated:
        raise InvalidInputError(
            f"{file.display_name} has two columns of the name {repeated[0][:100]!r}: name all columns in their order"
            " with --columns, and write - for each one to leave out",
            field="columns",
        )


def _in_given_order(file: InputFile, opening: _Opening, names: list[str]) -> RawTable:
    """Open a file whose columns the user named in order; a header, if there is one, is skipped."""
    separators = (*SEPARATORS, " ", "::") if opening.separator is None else (opening.separator,)
    dialects = list(map(_dialect_of, separators))
    # An id may begin with #: a line that does, without a blank behind it, is a row where its columns fit.
    starts = [(text, n_before) for text, n_before in opening.comments if _ID_WITH_HASH.match(text)]
    starts.append((opening.text, opening.n_before))
    candidates = ((dialect, text, n_before) for text, n_before in starts for dialect in dialects)
    fitting = next((each for each in candidates if len(split_line(each[1], each[0])) == len(names)), None)
    if fitting is None:
        n_columns = max(len(split_line(opening.text, dialect)) for dialect in dialects)
        raise InvalidInputError(
            f"{file.display_name} has {n_columns} columns, but --columns names {len(names)}"
            " (write - for a column to leave out)",
            field="columns",
        )
    dialect, _, n_before = fitting
    sample = next(read_delimited(file, names, dialect, has_header=False, n_before=n_before))
    rows = list(islice(zip(*sample.columns.values(), strict=True), _ROWS_TO_COMPARE))
    blocks = partial(read_delimited, file, names, dialect, has_header=is_header(rows, names), n_before=n_before)
    return RawTable(file, names, blocks)


def read_delimited(
    file: InputFile, names: Sequence[str], dialect: DelimitedDialect, *, has_header: bool, n_before: int = 0
) -> Iterator[Block]:
    """Yield blocks with the columns `names`, given in the order of the fields.

    `has_header`: whether the first line is a header, which is skipped; so is every row that repeats it.
    `n_before`: number of lines before the header or first row, which are skipped.

    Blank lines are skipped too. A row with more or fewer fields than `names` is rejected.

    Raises `InvalidInputError` where the file cannot be read, and where a quote is not closed.
    """
    chunks = read_chunks(file)
    first = next(chunks)
    start = max((line.end() for line in islice(_LINE.finditer(first), n_before)), default=0)
    start, end = _header_span(first, start, dialect) if has_header else (start, start)
    parser = _ChunkParser(file.display_name, list(names), dialect, dialect.normalise(first[start:end]))
    line = 1 + unify_line_breaks(first[:end]).count(b"\n")
    chunks = chain([first[end:]] if end < len(first) else [], chunks)
    for chunk in map(dialect.normalise, chunks):
        if dialect.is_quoted and b'"' in chunk:
            # This call consumes all remaining chunks, so the loop ends after it.
            yield from parser.parse(chain([chunk], map(dialect.normalise, chunks)), line)
        elif parser.is_regular(chunk):
            yield from parser.split(chunk, line)
        else:
            yield from parser.parse(iter([chunk]), line)
        line += chunk.count(b"\n")


def _header_span(chunk: bytes, start: int, dialect: DelimitedDialect) -> tuple[int, int]:
    """Return the start and end of the first record at or behind `start` that is not blank."""
    for line in _LINE.finditer(chunk, start):
        if line[0].strip():
            return line.start(), _end_of_record(chunk, line.start()) if dialect.is_quoted else line.end()
    return len(chunk), len(chunk)


class _ChunkParser:
    """Parses the chunks of one file into blocks.

    `file`: name of the file, as shown to users. `names`: the expected columns.
    `header_line`: the normalised header with its line break; empty for a file without a header.
    """

    def __init__(self, file: str, names: list[str], dialect: DelimitedDialect, header_line: bytes) -> None:
        self._file = file
        self._names = names
        self._dialect = dialect
        self._header_line = header_line
        fields = split_line(decode_utf8(header_line).rstrip("\r\n"), dialect)
        self._header = [part.strip() for part in fields] if header_line else None
        # A block of a wide table has fewer rows, so that its size stays bounded.
        self._rows_per_block = max(1, min(ROWS_PER_BLOCK, _MAX_CELLS_PER_BLOCK // len(names)))

    def is_regular(self, chunk: bytes) -> bool:
        """Whether every line of `chunk` is a row with exactly as many separators as a row of this table."""
        characters = np.frombuffer(chunk, dtype=np.uint8)
        separator = ord(self._dialect.character)
        marks = characters[(characters == separator) | (characters == _LINE_BREAK)]
        if b"\r" in chunk or len(marks) % len(self._names):
            return False
        if self._header_line and self._header_line in chunk:
            return False
        # Of n columns, a row is n - 1 separators followed by a line break.
        expected = np.full(len(self._names), separator, dtype=np.uint8)
        expected[-1] = _LINE_BREAK
        # With one column a blank line matches the pattern too, but blank lines are not rows.
        return bool((marks.reshape(-1, len(self._names)) == expected).all()) and b"\n\n" not in b"\n" + chunk

    def split(self, chunk: bytes, line: int) -> Iterator[Block]:
        """Parse a regular chunk that begins at `line`, by splitting it."""
        character = self._dialect.character
        text = self._dialect.to_text(chunk)
        fields = text.replace("\n", character).split(character)
        # The chunk ends with a line break, so the last field is empty and belongs to no row.
        fields.pop()
        if self._dialect.may_have_blanks(chunk):
            fields = [part.strip(self._dialect.blanks) for part in fields]
        columns = [fields[index :: len(self._names)] for index in range(len(self._names))]
        n_rows = len(columns[0])
        for start in range(0, n_rows, ROWS_PER_BLOCK):
            stop = min(start + ROWS_PER_BLOCK, n_rows)
            parts = {name: column[start:stop] for name, column in zip(self._names, columns, strict=True)}
            yield Block(self._file, parts, range(line + start, line + stop))

    def parse(self, chunks: Iterator[bytes], line: int) -> Iterator[Block]:
        """Parse any chunks, of which the first begins at `line`, with the csv module.

        Raises `InvalidInputError` where a quote is not closed.
        """
        may_have_blanks = False

        def lines() -> Iterator[str]:
            nonlocal may_have_blanks
            for chunk in chunks:
                may_have_blanks = may_have_blanks or self._dialect.may_have_blanks(chunk)
                yield from io.StringIO(self._dialect.to_text(chunk), newline="")
            yield _END

        reader = self._dialect.rows(lines())
        is_at_end = False
        while not is_at_end:
            rows: list[list[str]] = []
            broken = ""
            started_at = line + reader.line_num
            try:
                rows.extend(islice(reader, self._rows_per_block))
            # `extend` has stored the rows before the broken one, and the reader continues after it.
            except csv.Error as error:
                broken = str(error)
            starts = _line_numbers(rows, started_at, line + reader.line_num)
            is_at_end = bool(rows and rows[-1]) and rows[-1][-1].endswith(_END)
            if is_at_end and rows.pop() != [_END]:
                raise self._unclosed(starts[len(rows)])
            # Behind a broken row of several lines, text within quotes would be taken for rows.
            if broken and line + reader.line_num - starts[-1] > 1:
                raise self._unclosed(starts[-1])
            if may_have_blanks:
                rows = [[part.strip(self._dialect.blanks) for part in row] for row in rows]
            yield self._block(rows, starts, broken)

    def _unclosed(self, line: int) -> InvalidInputError:
        return InvalidInputError(
            f"the row in line {line:,} of {self._file} has a quote that is not closed: correct that line. A quote in"
            f' quoted text is doubled (""), and a field has at most {csv.field_size_limit():,} characters',
            field="path",
        )

    def _block(self, rows: list[list[str]], starts: Sequence[int], broken: str) -> Block:
        """Return the block of `rows`; `starts`: the lines at which they begin, followed by the line after the last."""
        repeated: list[int] = []
        rejected: list[RejectedRow] = []
        if broken:
            rejected.append(RejectedRow(self._file, starts[len(rows)], f"cannot be parsed as CSV: {broken}", row=""))
        if set(map(len, rows)) - {len(self._names)} or self._header in rows:
            kept: list[tuple[list[str], int]] = []
            for row, start, end in zip(rows, starts, starts[1:], strict=False):
                if row == self._header:
                    repeated.append(start)
                elif len(row) == len(self._names):
                    kept.append((row, start))
                elif any(part.strip() for part in row):
                    rejected.append(self._reject_misshapen(row, start, end - 1))
            rows, starts = [row for row, _ in kept], [start for _, start in kept]
        columns = zip(*rows, strict=True) if rows else [()] * len(self._names)
        named = dict(zip(self._names, columns, strict=True))
        return Block(self._file, named, starts[: len(rows)], rejected, repeated)

    def _reject_misshapen(self, row: list[str], first: int, last: int) -> RejectedRow:
        reason = f"has {len(row)} fields instead of {len(self._names)}"
        if last > first:
            reason += f" and spans the lines {first} to {last}, so a quote may not be closed"
        return RejectedRow(self._file, first, reason, to_csv_line(row))


def _line_numbers(rows: list[list[str]], started_at: int, ended_at: int) -> Sequence[int]:
    """Return the (len(rows) + 1,) lines at which the rows begin, and the line after the last row."""
    if ended_at - started_at == len(rows):
        return range(started_at, ended_at + 1)
    # A quoted field may contain line breaks: a row with b breaks takes 1 + b lines.
    breaks = [sum(part.count("\n") + part.count("\r") - part.count("\r\n") for part in row) for row in rows]
    return [int(at) for at in started_at + np.cumsum([0, *(1 + count for count in breaks)])]
