"""Reads matrices of users and items, such as spreadsheets of grades and the Jester data, as ratings.

A matrix has users in rows and items in columns, or the reverse. A header names its columns and the first column its
rows; without a header, the ids of rows and columns are their numbers, counted from 1. Empty cells are missing, and so
is a sentinel beyond all other values that fills many cells (99 in Jester), and a 0 below all others that fills most.

A table of users or items with numbers as attributes looks much the same. A matrix is recognised where no such table has
its form; where both are possible, the message names the values of `--kind` that decide.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Literal

from app.entities import ITEM_FIELDS
from app.errors import InvalidInputError
from app.intake.blocks import Block, RawTable
from app.intake.cells.number_texts import rough_number
from app.intake.cells.values import MISSING
from app.intake.column_names.columns import Kind, Naming, kind_of
from app.intake.files.chunks import first_lines
from app.intake.files.listing import InputFile
from app.intake.formats.delimited import SEPARATORS, DelimitedDialect, read_delimited, split_line
from app.intake.hints import FileHints, Shape

SAMPLE_ROWS = 200
"""So many rows show whether a table is a matrix."""

MIN_COLUMNS = 8
"""A table of numbers with fewer columns is rather one of attributes."""

MIN_NUMBERED_COLUMNS = 3
"""The same where the header consists of numbers."""

MISSING_SHARE = 0.2
"""Users rate few of the items; attributes have fewer missing values."""

SENTINEL_SHARE = 0.05
"""A sentinel beyond all other values that fills this share of the cells means that there is no rating."""

ZERO_SHARE = 0.5
"""A 0 below all other values that fills this share of the cells means the same."""

_SENTINELS = frozenset({99, 999, 9_999, -1, -99, -999, -9_999})

RATING_NAMES = ("user_id", "item_id", "value")
"""The columns that a matrix becomes."""

_INTEGER = re.compile(r"\d+", re.ASCII)
_YEAR = re.compile(r"(19|20)\d\d", re.ASCII)
# Case does not matter, because the cells of a matrix are no ids.
_MISSING = frozenset(text.casefold() for text in MISSING)
# The names that a data frame gives to an index.
_UNNAMED = frozenset({"", "index", "unnamed: 0"})
Likeness = Literal["certain", "possible"]

_ROLES = {"user_id": "user", "item_id": "item"}
_CORNERS_OF_BOTH = frozenset({"user by item", "item by user"})
# `user \ item`, `user/item`, `user x item` or `user by item`: the first names the rows.
_CORNER_SEPARATOR = re.compile(r"[\\/|]|\s+(?:x|by|vs\.?)\s+", re.IGNORECASE)
_LOWEST, _HIGHEST = -10.0, 100.0
# Columns of other tables; the last ones are attributes in the range of grades, whose names no item has.
_KNOWN = frozenset(
    {*_ROLES, *ITEM_FIELDS, "country", "age", "price", "weight", "height", "size", "stock", "income", "count"}
)


@dataclass(frozen=True, slots=True)
class Matrix:
    """How the rows of a table hold ratings.

    `header`: ids of the columns of ratings, blank for a column that is left out.
    `has_header`: whether the first row is one.
    `n_leading`: 1 where the first column holds no ratings, 0 otherwise.
    `has_row_ids`: whether the first column names the rows.
    `are_rows_items`: whether a row is an item.
    `missing`: folded texts of missing values.
    `sentinel`: a number that stands for a missing value; None if there is none.
    """

    header: tuple[str, ...]
    has_header: bool
    n_leading: int
    has_row_ids: bool
    are_rows_items: bool
    missing: frozenset[str]
    sentinel: float | None

    @property
    def note(self) -> str:
        """A sentence on how the matrix is read."""
        rows, columns = ("items", "users") if self.are_rows_items else ("users", "items")
        note = f"read as a matrix with {rows} in rows and {columns} in columns"
        if not self.has_row_ids:
            note += f"; {rows} are the numbers of the lines"
        if not self.has_header:
            note += f"; {columns} are the numbers of the columns"
        return note if self.sentinel is None else f"{note}; {self.sentinel:g} was read as missing"

    def ratings(self, file: str, rows: Iterable[Sequence[Any]], lines: Iterable[int]) -> Block:
        """Return the ratings of `rows`, which begin at `lines`."""
        is_missing = _MissingCells(self)
        row_ids: list[Any] = []
        column_ids: list[str] = []
        values: list[Any] = []
        of_lines: list[int] = []
        for row, line in zip(rows, lines, strict=True):
            kept = [
                (column_id, cell)
                for column_id, cell in zip(self.header, row[self.n_leading :], strict=False)
                if column_id and not is_missing[cell]
            ]
            row_ids += [row[0] if self.has_row_ids else str(line)] * len(kept)
            column_ids += [column_id for column_id, _ in kept]
            values += [cell for _, cell in kept]
            of_lines += [line] * len(kept)
        ids = (column_ids, row_ids) if self.are_rows_items else (row_ids, column_ids)
        return Block(file, dict(zip(RATING_NAMES, (*ids, values), strict=True)), of_lines)


class _MissingCells(dict[Any, bool]):
    """Whether a cell is missing, for each distinct cell."""

    def __init__(self, matrix: Matrix) -> None:
        super().__init__()
        self._matrix = matrix

    def __missing__(self, cell: Any) -> bool:
        text = _text(cell)
        number = rough_number(text)
        is_missing = text.casefold() in self._matrix.missing or (number is not None and number == self._matrix.sentinel)
        # Values of ratings repeat; memory stays bounded where they do not.
        if len(self) < 100_000:  # noqa: PLR2004  more than any scale has
            self[cell] = is_missing
        return is_missing


def matrix_of(rows: Sequence[Sequence[Any]], hints: FileHints, file: str) -> Matrix | None:
    """Return how the first rows of a table hold ratings; None where they are no matrix.

    `file`: the name of the file, as shown to users.

    Raises `InvalidInputError` where the table may be a matrix or one of users or items, and where two columns of a
    matrix have one name.
    """
    is_stated = hints.shape in {Shape.MATRIX, Shape.ITEM_MATRIX}
    if hints.columns.is_given or not (is_stated or hints.shape is None) or hints.kind not in {None, Kind.RATINGS}:
        return None
    grid = _Grid.of(rows, frozenset(text.casefold() for text in hints.missing))
    if grid is None:
        return None
    if not is_stated:
        likeness = grid.likeness()
        if likeness is None or (likeness == "possible" and hints.kind is not None):
            return None
        if likeness == "possible":
            raise InvalidInputError(
                f"{file} is a wide table of numbers, which may be a matrix of users and items: use --kind matrix if"
                " users are in rows and items in columns, --kind item-matrix for the reverse, or --kind users or"
                " --kind items if the columns are their attributes",
                field="kind",
            )
    return grid.matrix(are_rows_items=hints.shape is Shape.ITEM_MATRIX if is_stated else grid.are_rows_items, file=file)


@dataclass(frozen=True, slots=True)
class _Grid:
    """The first rows of a table as texts, and what their cells are.

    `header`: the first row where it is a header, with its corner; None without one.
    `cells`: the rows without header and leading column.
    `n_leading`, `has_row_ids`, `missing`, `sentinel`: as in `Matrix`.
    `counts`: how often each number occurs in `cells`, without the sentinel.
    `n_missing`, `n_texts`: number of missing cells, the sentinel included, and of cells that are no numbers.
    """

    header: list[str] | None
    cells: list[list[str]]
    n_leading: int
    has_row_ids: bool
    missing: frozenset[str]
    sentinel: float | None
    counts: Counter[float]
    n_missing: int
    n_texts: int

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]], missing: frozenset[str]) -> "_Grid | None":
        """Return None for rows without ratings."""
        texts = [[_text(cell) for cell in row] for row in rows]
        body = [row for row in texts[1:] if len(row) == len(texts[0])]
        header = texts[0] if _is_header(texts[0]) else None
        if header is None:
            body = texts[:1] + body
        if not body or len(body[0]) < 2:  # noqa: PLR2004  an id and a rating
            return None
        missing |= _MISSING
        leading, rest = [row[0] for row in body], [row[1:] for row in body]
        counts = _count_numbers(rest, missing)
        sentinel = _sentinel_of(counts)
        has_row_ids = header is not None or _are_ids(leading, counts)
        if not has_row_ids and not _are_counts(leading, rest, missing, sentinel):
            rest = body
            counts = _count_numbers(rest, missing)
            sentinel = _sentinel_of(counts)
        n_texts = sum(rough_number(cell) is None and cell.casefold() not in missing for row in rest for cell in row)
        n_numbers = counts.total() - (counts[sentinel] if sentinel is not None else 0)
        n_missing = sum(map(len, rest)) - n_numbers - n_texts
        if sentinel is not None:
            del counts[sentinel]
        return cls(
            header, rest, len(body[0]) - len(rest[0]), has_row_ids, missing, sentinel, counts, n_missing, n_texts
        )

    @property
    def n_columns(self) -> int:
        return len(self.cells[0])

    @property
    def corner(self) -> str | None:
        """What the first cell of the header says of the rows and columns; None where it says nothing known."""
        return None if self.header is None else _corner_of(self.header[0])

    @property
    def are_rows_items(self) -> bool:
        if self.corner == "unnamed" and self.header is not None:
            return all(name.casefold().startswith("user") for name in self.header[1:])
        return self.corner in {"item", "item by user"}

    def likeness(self) -> Likeness | None:
        """Whether this is certainly a matrix, or possibly one of two kinds of table; None where it is no matrix."""
        if self.n_texts or not self.counts or not self._is_on_one_scale() or self._has_known_columns():
            return None
        if self.corner in _CORNERS_OF_BOTH:
            return "certain"
        if self.corner in _ROLES.values() and self.n_missing and self._are_columns_numbered():
            return "certain"
        # One row without a header shows little; few columns are judged where columns are recognised.
        if (self.header is None and len(self.cells) == 1) or self.n_columns < MIN_COLUMNS:
            return None
        has_known_rows = self.header is None or self.corner is not None
        has_counts = self.n_leading == 1 and not self.has_row_ids
        is_sparse = self.n_missing >= MISSING_SHARE * len(self.cells) * self.n_columns
        # Flags of genres have the form of a matrix of purchases.
        is_binary = self.counts.keys() <= {0, 1}
        return "certain" if (has_counts or (has_known_rows and is_sparse)) and not is_binary else "possible"

    def _are_columns_numbered(self) -> bool:
        """Whether several columns have numbers as names; no attribute has, unless the number is a year."""
        names = [] if self.header is None else self.header[1:]
        return len(names) >= MIN_NUMBERED_COLUMNS and all(
            _INTEGER.fullmatch(name) and not _YEAR.fullmatch(name) for name in names
        )

    def _is_on_one_scale(self) -> bool:
        """Whether all columns reach the upper half of one range of grades, and values repeat."""
        low, high = min(self.counts), max(self.counts)
        if low < _LOWEST or high > _HIGHEST:
            return False
        # The numbers of an embedding do not repeat.
        n_numbers = self.counts.total()
        if n_numbers >= 50 and len(self.counts) > 0.9 * n_numbers:  # noqa: PLR2004  fewer may differ by chance
            return False
        columns = [
            [number for number in map(self._grade, column) if number is not None]
            for column in zip(*self.cells, strict=True)
        ]
        filled = [column for column in columns if len(column) > 2]  # noqa: PLR2004  the others show no range
        return sum(max(column) >= (low + high) / 2 for column in filled) >= 0.8 * len(filled)

    def _grade(self, cell: str) -> float | None:
        number = None if cell.casefold() in self.missing else rough_number(cell)
        return None if number == self.sentinel else number

    def _has_known_columns(self) -> bool:
        """Whether the header is that of another table, or has a column with a meaning in one."""
        if self.header is None:
            return False
        ours = Naming().of(self.header)
        if kind_of(set(ours.values())) not in {Kind.ITEMS, Kind.USERS, None}:
            return True
        others = self.header[1:]
        return not _KNOWN.isdisjoint([*(ours[name] for name in others), *(name.casefold() for name in others)])

    def matrix(self, *, are_rows_items: bool, file: str) -> Matrix:
        """Return the matrix; raises `InvalidInputError` where two of its columns have one name."""
        numbers = [str(number) for number in range(1, self.n_columns + 1)]
        header = numbers if self.header is None else self.header[self.n_leading :]
        repeated = next((name for name, count in Counter(header).items() if name and count > 1), None)
        if repeated is not None:
            raise InvalidInputError(f"{file} has two columns named {repeated!r}", field="path")
        return Matrix(
            tuple(header),
            self.header is not None,
            self.n_leading,
            self.has_row_ids,
            are_rows_items,
            self.missing,
            self.sentinel,
        )


def _is_header(first: Sequence[str]) -> bool:
    """Whether the first row names columns: it has texts, or different integers beside a corner that is no number."""
    if any(cell and rough_number(cell) is None and cell.casefold() not in _MISSING for cell in first[1:]):
        return True
    are_integers = all(map(_INTEGER.fullmatch, first[1:])) and len(set(first[1:])) == len(first) - 1
    return are_integers and _corner_of(first[0]) is not None


def _corner_of(cell: str) -> str | None:
    if cell.casefold() in _UNNAMED:
        return "unnamed"
    roles = [_ROLES.get(Naming().of([part])[part]) for part in map(str.strip, _CORNER_SEPARATOR.split(cell))]
    if len(roles) > 2 or None in roles or len(set(roles)) < len(roles):  # noqa: PLR2004  rows and columns
        return None
    return " by ".join(map(str, roles))


def _are_ids(leading: Sequence[str], counts: Counter[float]) -> bool:
    """Whether the first column of a table without header names its rows: texts, or different integers beyond grades."""
    if any(cell and rough_number(cell) is None for cell in leading):
        return True
    are_distinct = len(set(leading)) == len(leading) and all(map(_INTEGER.fullmatch, leading))
    return are_distinct and bool(counts) and max(map(int, leading)) > max(counts)


def _are_counts(
    leading: Sequence[str], rows: Sequence[Sequence[str]], missing: frozenset[str], sentinel: float | None
) -> bool:
    """Whether the first column is the number of ratings in each row."""
    for cell, row in zip(leading, rows, strict=True):
        n_ratings = sum(part.casefold() not in missing and rough_number(part) != sentinel for part in row)
        if rough_number(cell) != n_ratings:
            return False
    return True


def _count_numbers(rows: Sequence[Sequence[str]], missing: frozenset[str]) -> Counter[float]:
    numbers = (rough_number(cell) for row in rows for cell in row if cell.casefold() not in missing)
    return Counter(number for number in numbers if number is not None)


def _sentinel_of(counts: Counter[float]) -> float | None:
    """Return the number that stands for a missing value; None if there is none."""
    if len(counts) < 2:  # noqa: PLR2004  a sentinel and a grade
        return None
    ordered = sorted(counts)
    low, *_, high = ordered
    for end, others in ((high, ordered[:-1]), (low, ordered[1:])):
        is_beyond = end - others[-1] > others[-1] - others[0] or end < 0 <= others[0]
        if end in _SENTINELS and is_beyond and counts[end] >= max(2, SENTINEL_SHARE * counts.total()):
            return end
    return 0.0 if low == 0 and counts[low] >= ZERO_SHARE * counts.total() else None


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def open_matrix(file: InputFile, _siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable | None:
    """Open a text file that is a matrix; see `registry.Open`. Raises as `matrix_of` does."""
    lines = [line for line in islice(first_lines(file), SAMPLE_ROWS + 1) if line.strip()]
    if not lines:
        return None
    dialects = [DelimitedDialect(separator) for separator in (*SEPARATORS, " ")]
    dialect = max(dialects, key=lambda each: len(split_line(lines[0], each)))
    rows = [split_line(line, dialect) for line in lines]
    matrix = matrix_of(rows, hints, file.display_name)
    if matrix is None:
        return None
    note = f"{file.display_name}: {matrix.note}"
    return RawTable(
        file, RATING_NAMES, partial(_read, file, matrix, len(rows[0]), dialect), Kind.RATINGS, notes=(note,)
    )


def _read(file: InputFile, matrix: Matrix, n_columns: int, dialect: DelimitedDialect) -> Iterator[Block]:
    """Yield blocks of ratings; raises `InvalidInputError` where the file cannot be read."""
    # Columns have their places as names, because a header may name two of them alike.
    names = [str(place) for place in range(n_columns)]
    for block in read_delimited(file, names, dialect, has_header=matrix.has_header):
        rows = zip(*block.columns.values(), strict=True)
        ratings = matrix.ratings(block.file, rows, block.lines)
        yield from replace(ratings, rejected=block.rejected).parts()
