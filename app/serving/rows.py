"""Rows: positions of items in the catalogue, (n,) int64."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

NO_ROWS: Rows = np.empty(0, dtype=np.int64)
"""In int64, unlike `NO_ITEM_ROWS` of the segments: rows share a sort key with 32 bits of proposers."""


def within(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) bool: which of `rows` (n,) are among `others`; for short arrays five times as fast as `np.isin`."""
    if not len(others) or not len(rows):
        return np.zeros(len(rows), np.bool_)
    ascending = others.copy()
    ascending.sort()
    places = ascending[:-1].searchsorted(rows)  # without the last, so that every place is that of a cell
    is_within: NDArray[np.bool_] = ascending[places] == rows
    return is_within
