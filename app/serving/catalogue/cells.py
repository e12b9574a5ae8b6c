"""One value per row, in an array that grows."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.serving.rows import Rows

Mask = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)


class Cells(Generic[Scalar]):
    """A buffer with room for more rows than there are; unwritten cells hold `missing`.

    Writers hold the catalogue's lock. Growing replaces `buffer`, so a reader that took it before keeps the old one.
    """

    def __init__(self, buffer: NDArray[Scalar], missing: Scalar) -> None:
        self.buffer = buffer
        self.missing = missing

    @classmethod
    def all_missing(cls, dtype: type[Scalar], missing: float, n_rows: int) -> "Cells[Scalar]":
        return cls(np.full(n_rows, missing, dtype), dtype(missing))

    def grow(self, n_rows: int) -> None:
        """Makes room for `n_rows` and an eighth of the present size, so that single additions seldom copy the array."""
        n_held = len(self.buffer)
        if n_rows > n_held:
            grown = np.full(n_rows + (n_held >> 3), self.missing)
            grown[:n_held] = self.buffer
            self.buffer = grown

    def taken(self, rows: Rows) -> "Cells[Scalar]":
        """The cells of (n,) rows, in their order; `missing` for a row of -1."""
        taken = self.buffer[rows] if len(self.buffer) else np.full(len(rows), self.missing)
        taken[rows < 0] = self.missing
        return Cells(taken, self.missing)
