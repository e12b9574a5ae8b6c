"""What a history speaks for, by a table of neighbours: every rated item votes for those it is a neighbour of."""

import numpy as np
from numpy.typing import NDArray

from app.algorithms.neighbour_table import NeighbourTable
from app.snapshots.index import Neighbours

MAX_VOTERS = 100
"""Rated items that vote, the newest: more would change little and cost as much each."""


def voted_for(
    table: NeighbourTable,
    item_rows: NDArray[np.integer],
    weights: NDArray[np.floating] | None,
    n: int,
    allowed: NDArray[np.bool_] | None = None,
) -> Neighbours:
    """The `n` items with the most votes, rows and votes, best first, ties by row; fewer where fewer have any.

    `item_rows`: (m,), newest first; `weights`: (m,), how much each counts, None for all alike. `allowed`: (n_items,)
    bool, None for all.
    """
    voters = item_rows[:MAX_VOTERS]
    rows, votes = table.rows[voters], table.weights[voters]
    if weights is not None:
        votes = votes * weights[:MAX_VOTERS, None].astype(np.float32)
    counts = rows >= 0 if allowed is None else (rows >= 0) & allowed[rows]
    found, places = np.unique(rows[counts], return_inverse=True)
    sums = np.bincount(places, votes[counts], len(found)).astype(np.float32)
    if n < len(sums):
        best = np.argpartition(-sums, n - 1)[:n] if n > 0 else places[:0]
        found, sums = found[best], sums[best]
    order = np.lexsort((found, -sums))
    return found[order].astype(np.int64), sums[order]
