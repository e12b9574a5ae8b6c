"""Which rows may be in the answer. Filters act on this mask before retrieval, never on a list that is already cut."""

import numpy as np

from app.serving.catalogue import Mask
from app.serving.query import Rows


class Eligible:
    """`mask`: (n catalogue rows,) bool, for one request.

    The catalogue may grow while the request runs: rows beyond the mask are not eligible in this answer.
    """

    def __init__(self, n_rows: int) -> None:
        self.mask: Mask = np.ones(n_rows, dtype=np.bool_)

    def drop(self, rows: Rows) -> None:
        self.mask[rows[rows < len(self.mask)]] = False

    def keep(self, mask: Mask) -> None:
        """Only what `mask` has too."""
        self.mask &= mask[: len(self.mask)]

    def count_ineligible(self, n_rows: int) -> int:
        """Among the first `n_rows` rows."""
        return n_rows - int(np.count_nonzero(self.mask[:n_rows]))
