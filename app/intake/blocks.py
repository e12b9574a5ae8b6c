"""The data passed from file readers to converters: tables, blocks of their rows, and rejected rows."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.intake.column_names.columns import Kind
from app.intake.column_names.meanings import Role, meaning_of
from app.intake.files.listing import InputFile

ROWS_PER_BLOCK = 25_000
"""Largest number of rows in a block. One block is one transaction: at 60,000 rows/s other writers wait 0.4 s."""

Column = Sequence[Any]
"""Values of one column, None where missing: text in delimited files, the types of JSON and Parquet in those files."""

MAX_ROW_CHARACTERS = 1_000
"""Length to which the text of a rejected row is cut."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that is not imported.

    `file`: name of the file, as shown to users.
    `line`: line of the file at which the row begins, counted from 1; in a Parquet file the number of the row.
    `reason`: the error message.
    `row`: the row as one line of CSV, at most `MAX_ROW_CHARACTERS` long; empty where it could not be parsed.
    """

    file: str
    line: int
    reason: str
    row: str


@dataclass(frozen=True, slots=True)
class LeftOutCell:
    """A cell that could not be read and is left out of its row, which is imported without it.

    `file`, `line`: as in `RejectedRow`. `column`: the name of the field or attribute. `reason`: the error message.
    """

    file: str
    line: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of one file, stored by column.

    `file`: name of the file, as shown to users.
    `columns`: column name to n values; all columns have the same length n.
    `lines`: (n,) line of the file at which each row begins, counted from 1.
    `rejected`: rows of this part of the file that could not be parsed; they are not in `columns`.
    `repeated_headers`: lines of this part of the file that repeat its header; they are not in `columns`.
    `nulls`: by column, the rows that state a null; in `columns` they are None like missing values. None for formats
    that have no null besides the missing value.
    `original`: the block as it was read, where `columns` holds converted values; rejected rows show these. Row i is its
    row i.
    """

    file: str
    columns: Mapping[str, Column]
    lines: Sequence[int]
    rejected: list[RejectedRow] = field(default_factory=list)
    repeated_headers: list[int] = field(default_factory=list)
    nulls: Mapping[str, Sequence[int]] | None = None
    original: "Block | None" = None

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> Column:
        """Return the (n,) values of a column; all are None where the file has no column of this name."""
        return self.columns.get(name) or [None] * len(self)

    def parts(self) -> Iterator["Block"]:
        """Yield the rows in blocks of at most `ROWS_PER_BLOCK`; the first holds the rejected rows."""
        rejected = self.rejected
        for start in range(0, max(1, len(self)), ROWS_PER_BLOCK):
            rows = range(start, min(start + ROWS_PER_BLOCK, len(self)))
            yield replace(self.select(rows), rejected=rejected)
            rejected = []

    def select(self, rows: Sequence[int]) -> "Block":
        """Return the block with these of its rows alone."""
        columns = {name: [column[row] for row in rows] for name, column in self.columns.items()}
        nulls = self.nulls and {name: self._places(of_column, rows) for name, of_column in self.nulls.items()}
        original = None if self.original is None else self.original.select(rows)
        lines = [self.lines[row] for row in rows]
        return replace(self, columns=columns, lines=lines, nulls=nulls, original=original)

    @staticmethod
    def _places(chosen: Sequence[int], rows: Sequence[int]) -> list[int]:
        """The places in `rows` of those that are chosen."""
        wanted = set(chosen)
        return [place for place, row in enumerate(rows) if row in wanted]

    def reject(self, index: int, reason: str) -> RejectedRow:
        """Build the `RejectedRow` for row `index`."""
        columns = (self.original or self).columns.values()
        row = to_csv_line(["" if column[index] is None else column[index] for column in columns])
        return RejectedRow(self.file, self.lines[index], reason, row)

    def leave_out(self, index: int, column: str, reason: str) -> LeftOutCell:
        """Build the `LeftOutCell` for a cell of row `index`."""
        return LeftOutCell(self.file, self.lines[index], column, reason)


@dataclass(frozen=True, slots=True)
class RawTable:
    """A file that a format can read, under the column names of the file.

    `names`: the names of the columns, in order; in JSONL those of the first row, where later rows may have others.
    `blocks()` reads the file from its start each time it is called.
    `kind`: what the rows are, where the layout of the file says so; the columns then have the names of Reckon. None
    where it follows from the names.
    `notes`: sentences on how the file was read, for the user.
    `format`: what the format is called in messages.
    """

    file: InputFile
    names: Sequence[str]
    blocks: Callable[[], Iterator[Block]]
    kind: Kind | None = None
    notes: tuple[str, ...] = ()
    format: str = ""


@dataclass(frozen=True, slots=True)
class InputTable:
    """A file whose layout was recognised and that holds rows of one kind.

    `blocks()` reads the file from its start each time it is called. Columns that Reckon knows have its names (user_id,
    item_id, value, rated_at, title, categories, year, ...); all others keep the names they have in the file.
    `has_values`: False for ratings without a column of values.
    `notes`: sentences on how the file was read, for the user.
    `names`: the name in Reckon by the name in the file, `-` for a column that is ignored.
    `format`: what the format of the file is called in messages.
    """

    file: InputFile
    kind: Kind
    blocks: Callable[[], Iterator[Block]]
    has_values: bool = True
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    format: str = ""

    @property
    def has_amounts(self) -> bool:
        """Whether the name of the column of values says that they are amounts, such as `quantity` or `plays`."""
        names = [name for name, ours in self.names.items() if ours == "value"]
        return any(meaning_of(name).role in {Role.AMOUNT, Role.MEASURE} for name in names)


def to_csv_line(fields: Sequence[Any]) -> str:
    """Format fields as one line of CSV without a line break, cut to `MAX_ROW_CHARACTERS`."""
    line = io.StringIO()
    # Each field is cut before it is formatted: a field can hold megabytes, of which little would be kept.
    csv.writer(line, lineterminator="").writerow([str(value)[:MAX_ROW_CHARACTERS] for value in fields])
    return line.getvalue()[:MAX_ROW_CHARACTERS]
