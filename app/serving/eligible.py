"""Which rows may be in the answer. Filters act on this mask before retrieval, never on a list that is already cut."""

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue import Mask
from app.serving.rows import Rows

LOOKED_THROUGH_FIRST = 5
"""Times what is wanted: of popular rows users have seldom consumed more than four in five."""


class Eligible:
    """`mask`: (n catalogue rows,) bool, for one request.

    The catalogue may grow while the request runs: rows beyond the mask are not eligible in this answer.
    """

    def __init__(self, n_rows: int) -> None:
        # One cell more, never eligible, where the look-ups below end up with what lies beyond the mask.
        self._cells: Mask = np.ones(n_rows + 1, dtype=np.bool_)
        self._cells[n_rows] = False
        self.mask: Mask = self._cells[:n_rows]

    def drop(self, rows: Rows) -> None:
        self._cells.put(rows, False, mode="clip")

    def keep(self, mask: Mask) -> None:
        """Only what `mask` has too."""
        self.mask &= mask[: len(self.mask)]

    def keep_only(self, rows: Rows) -> None:
        """Of these rows those that are eligible, and nothing else."""
        kept = self.among(rows)
        self.mask[:] = False
        self.mask[kept] = True

    def among(self, rows: NDArray[np.integer]) -> Rows:
        """Those of `rows` that are eligible, in their order."""
        found: Rows = rows[self._cells.take(rows, mode="clip")].astype(np.int64, copy=False)
        return found

    def first(self, n: int, rows: NDArray[np.integer]) -> Rows:
        """The first `n` of `rows` that are eligible, in their order; it seldom takes all of them to find as many."""
        found = self.among(rows[: LOOKED_THROUGH_FIRST * n])
        return (found if len(found) >= n else self.among(rows))[:n]

    def has(self, rows: Rows) -> Mask:
        """(n,) which of `rows` are eligible; -1, no row at all, is not."""
        return (rows >= 0) & self._cells.take(rows, mode="clip")
