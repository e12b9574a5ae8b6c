"""What every reader yields: some rows of one file, column by column, and the rows that could not be read."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ROWS_PER_BLOCK = 25_000
"""One block is one transaction: at 60,000 rows/s other writers wait 0.4 s."""

Column = Sequence[Any]
"""Values of one column: text from delimited files, whatever JSON and Parquet hold from those; None where missing."""

MAX_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was set aside. `line` counts from 1; in Parquet files, which have no lines, it counts rows."""

    file: str
    line: int
    reason: str
    row: str


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one file by column name, all columns of equal length n.

    `lines`: (n,) the line each row begins at. `rejected`: rows between these that have no columns.
    """

    file: str
    columns: Mapping[str, Column]
    lines: Sequence[int]
    rejected: list[RejectedRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> Column:
        """The column, or Nones where the file has none of that name."""
        return self.columns.get(name) or [None] * len(self)

    def reject(self, index: int, reason: str) -> RejectedRow:
        """Row `index` as a rejected one."""
        shown = as_line(["" if column[index] is None else column[index] for column in self.columns.values()])
        return RejectedRow(self.file, self.lines[index], reason, shown)


def as_line(fields: Sequence[Any]) -> str:
    """The fields as one line of CSV, cut to a length that a person reads."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([str(part)[:MAX_SHOWN] for part in fields])
    return line.getvalue()[:MAX_SHOWN]
