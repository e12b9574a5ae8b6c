"""Which rows may be in the answer. Filters act on this mask before retrieval, never on a list that is already cut."""

import numpy as np

from app.serving.catalogue import Mask
from app.serving.rows import Rows


class Eligible:
    """`mask`: (n catalogue rows,) bool, for one request.

    The catalogue may grow while the request runs: rows beyond the mask are not eligible in this answer.
    """

    def __init__(self, n_rows: int) -> None:
        self.mask: Mask = np.ones(n_rows, dtype=np.bool_)

    def drop(self, rows: Rows) -> None:
        if len(rows):
            self.mask[self._within(rows)] = False

    def keep(self, mask: Mask) -> None:
        """Only what `mask` has too."""
        self.mask &= mask[: len(self.mask)]

    def keep_only(self, rows: Rows) -> None:
        """Of these rows those that are eligible, and nothing else."""
        kept = self.among(rows)
        self.mask[:] = False
        self.mask[kept] = True

    def among(self, rows: Rows) -> Rows:
        """Those of `rows` that are eligible, in their order."""
        within = self._within(rows)
        return within[self.mask[within]]

    def has(self, rows: Rows) -> Mask:
        """(n,) which of `rows` are eligible; -1, no row at all, is not."""
        is_within = (rows >= 0) & (rows < len(self.mask))
        return is_within & self.mask[np.where(is_within, rows, 0)] if len(self.mask) else is_within

    def _within(self, rows: Rows) -> Rows:
        return rows if not len(rows) or rows.max() < len(self.mask) else rows[rows < len(self.mask)]
