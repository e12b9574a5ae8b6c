"""The data passed from file readers to converters: tables, blocks of their rows, and rejected rows."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.intake.columns import Kind
from app.intake.files import InputFile

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
class Block:
    """Consecutive rows of one file, stored by column.

    `file`: name of the file, as shown to users.
    `columns`: column name to n values; all columns have the same length n.
    `lines`: (n,) line of the file at which each row begins, counted from 1.
    `rejected`: rows of this part of the file that could not be parsed; they are not in `columns`.
    """

    file: str
    columns: Mapping[str, Column]
    lines: Sequence[int]
    rejected: list[RejectedRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> Column:
        """Return the (n,) values of a column; all are None where the file has no column of this name."""
        return self.columns.get(name) or [None] * len(self)

    def reject(self, index: int, reason: str) -> RejectedRow:
        """Build the `RejectedRow` for row `index`."""
        row = to_csv_line(["" if column[index] is None else column[index] for column in self.columns.values()])
        return RejectedRow(self.file, self.lines[index], reason, row)


@dataclass(frozen=True, slots=True)
class InputTable:
    """A file whose layout was recognised and that holds rows of one kind.

    `blocks()` reads the file from its start each time it is called. Columns that Reckon knows have its names (user_id,
    item_id, value, rated_at, title, categories, year, ...); all others keep the names they have in the file.
    """

    file: InputFile
    kind: Kind
    blocks: Callable[[], Iterator[Block]]


def to_csv_line(fields: Sequence[Any]) -> str:
    """Format fields as one line of CSV without a line break, cut to `MAX_ROW_CHARACTERS`."""
    line = io.StringIO()
    # Each field is cut before it is formatted: a field can hold megabytes, of which little would be kept.
    csv.writer(line, lineterminator="").writerow([str(value)[:MAX_ROW_CHARACTERS] for value in fields])
    return line.getvalue()[:MAX_ROW_CHARACTERS]
