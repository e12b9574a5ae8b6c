"""A counting sort by row, compiled; a range of rows at a time, so that what is sorted fits into memory."""

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled


@compiled
def place_by_row(
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    free: NDArray[np.int64],
    first_row: int,
    past_row: int,
    placed_columns: NDArray[np.int32],
    placed_values: NDArray[np.float32],
) -> None:
    """Put the entries of rows `first_row` to `past_row` - 1 where `free`, (past_row - first_row,), says, stable.

    `free` is moved on by the entries of each row. All of `rows`, `columns`, `values`: (n,).
    """
    for at in range(rows.shape[0]):
        row = rows[at]
        if first_row <= row < past_row:
            place = free[row - first_row]
            placed_columns[place] = columns[at]
            placed_values[place] = values[at]
            free[row - first_row] = place + 1
