"""Reads the files of the Netflix Prize.

- `combined_data_1.txt` to `combined_data_4.txt`, and `mv_0000001.txt` and so on: a line `movie:`, then a line
  `user,rating,date` for each rating of the movie.
- `movie_titles.csv` or `.txt`: `movie,year,title` without quotes, so that a title may contain commas; Latin-1.

`probe.txt` and `qualifying.txt` have no ratings, so they are refused.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from app.errors import InvalidInputError
from app.intake.blocks import MAX_ROW_CHARACTERS, Block, RawTable, RejectedRow
from app.intake.column_names.columns import Kind
from app.intake.files.chunks import first_lines, read_chunks, split_lines
from app.intake.files.listing import InputFile
from app.intake.formats.delimited import DelimitedDialect
from app.intake.hints import FileHints

_RATING_NAMES = ("user_id", "item_id", "value", "rated_at")
_TITLE_NAMES = ("item_id", "year", "title")
_DIALECT = DelimitedDialect(",", is_quoted=False, is_latin1=True)
_MOVIE = re.compile(r"\d+:", re.ASCII)
_RATING = re.compile(r"\d+,\d+,\d{4}-\d\d-\d\d", re.ASCII)
_TITLE = re.compile(r"\d+,(\d{4}|NULL),.+", re.ASCII)


def open_netflix(file: InputFile, _siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable | None:
    """Open a file of the Netflix Prize; see `registry.Open`.

    Raises `InvalidInputError` for a file of pairs whose ratings are not in it.
    """
    if hints.columns.is_given or hints.shape or hints.kind not in {None, Kind.RATINGS, Kind.ITEMS}:
        return None
    lines = [line.strip() for line in first_lines(file) if line.strip()]
    if not lines:
        return None
    if _MOVIE.fullmatch(lines[0]):
        first = next((line for line in lines if not _MOVIE.fullmatch(line)), "")
        if not _RATING.fullmatch(first):
            raise InvalidInputError(
                f"{file.display_name} names movies and users as the Netflix Prize does, but no ratings", field="path"
            )
        return RawTable(file, _RATING_NAMES, partial(_read_ratings, file), Kind.RATINGS)
    if file.name.startswith("movie_titles.") and _TITLE.fullmatch(lines[0]):
        return RawTable(file, _TITLE_NAMES, partial(_read_titles, file), Kind.ITEMS)
    return None


def _read_ratings(file: InputFile) -> Iterator[Block]:
    """Yield blocks of ratings; raises `InvalidInputError` where the file cannot be read."""
    movie = ""
    for first_line, lines in _chunks_of_lines(file):
        rows, numbers, rejected = [], [], []
        for number, text in enumerate(lines, start=first_line):
            if text.endswith(":"):
                movie = text.removesuffix(":")
                continue
            fields = text.split(",")
            if len(fields) == 3:  # noqa: PLR2004  user,rating,date
                rows.append((fields[0], movie, fields[1], fields[2]))
                numbers.append(number)
            elif text:
                rejected.append(_misshapen(file, number, text))
        yield from _block(file, _RATING_NAMES, rows, numbers, rejected).parts()


def _read_titles(file: InputFile) -> Iterator[Block]:
    """Yield blocks of items; raises `InvalidInputError` where the file cannot be read."""
    for first_line, lines in _chunks_of_lines(file):
        rows, numbers, rejected = [], [], []
        for number, text in enumerate(lines, start=first_line):
            fields = text.split(",", maxsplit=2)
            if len(fields) == len(_TITLE_NAMES):
                rows.append((fields[0], None if fields[1] == "NULL" else fields[1], fields[2]))
                numbers.append(number)
            elif text:
                rejected.append(_misshapen(file, number, text))
        yield from _block(file, _TITLE_NAMES, rows, numbers, rejected).parts()


def _chunks_of_lines(file: InputFile) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of each chunk without blanks at their ends, after the number of the first of them."""
    line = 1
    for chunk in read_chunks(file):
        lines = [text.strip() for text in split_lines(_DIALECT.to_text(chunk))]
        yield line, lines
        line += len(lines)


def _misshapen(file: InputFile, line: int, text: str) -> RejectedRow:
    reason = f"has {text.count(',') + 1} fields instead of 3"
    return RejectedRow(file.display_name, line, reason, text[:MAX_ROW_CHARACTERS])


def _block(
    file: InputFile,
    names: tuple[str, ...],
    rows: Sequence[tuple[str | None, ...]],
    lines: list[int],
    rejected: list[RejectedRow],
) -> Block:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return Block(file.display_name, dict(zip(names, columns, strict=True)), lines, rejected)
