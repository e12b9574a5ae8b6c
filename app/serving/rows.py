"""Positions of items in the catalogue."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

NO_ROWS: Rows = np.empty(0, dtype=np.int64)


def within(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) which of `rows` are among `others`; for few of both a fifth of what `np.isin` takes."""
    if not len(others) or not len(rows):
        return np.zeros(len(rows), np.bool_)
    ascending = others.copy()
    ascending.sort()
    places = ascending[:-1].searchsorted(rows)  # without the last: every place is one of a cell
    found: NDArray[np.bool_] = ascending[places] == rows
    return found
