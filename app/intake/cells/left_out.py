"""Cells that could not be read, while their rows were imported without them."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.intake.blocks import LeftOutCell


@dataclass(slots=True)
class LeftOut:
    """The cells of one column of a file that were left out.

    `n_cells`: their number. `line`, `reason`: those of the first.
    """

    file: str
    column: str
    n_cells: int
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, column {self.column}: {self.n_cells:,}, the first in line {self.line}: {self.reason}"


def count_left_out(counts: list[LeftOut], cells: Iterable[LeftOutCell]) -> None:
    """Add the cells to the counts of their columns."""
    by_column = {(each.file, each.column): each for each in counts}
    for cell in cells:
        known = by_column.get((cell.file, cell.column))
        if known is None:
            known = by_column[cell.file, cell.column] = LeftOut(cell.file, cell.column, 0, cell.line, cell.reason)
            counts.append(known)
        known.n_cells += 1
