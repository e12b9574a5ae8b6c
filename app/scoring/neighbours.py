"""Neighbour tables: every item of a history votes for the items that its row of the table lists."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.algorithms.neighbour_table import NeighbourTable
from app.scoring.index import Neighbours
from app.snapshots.arrays import Layout, check_range, require

TABLES = ("knn", "ease")
"""The tables that a snapshot may hold. Row i of `tables.NAME_rows` holds the items that a rating of item i recommends,
best first, -1 where there are no more; `tables.NAME_weights` holds the weight of each."""

MAX_VOTERS = 100
"""The newest rated items that vote: each further one costs as much and changes less."""


def table_layouts() -> dict[str, Layout]:
    """The arrays of all tables, by the names that a snapshot gives them."""
    layouts: dict[str, Layout] = {}
    for name in TABLES:
        # Each table has its own width, so the axes are named after it.
        axes = ("n_items", f"n_{name}_neighbours")
        layouts[f"tables.{name}_rows"] = (np.dtype(np.int32), axes)
        layouts[f"tables.{name}_weights"] = (np.dtype(np.float32), axes)
    return layouts


def table_arrays(tables: Mapping[str, NeighbourTable]) -> dict[str, NDArray[Any]]:
    """The arrays of `tables`, as `open_tables` reads them."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, table in tables.items():
        arrays |= {f"tables.{name}_rows": table.rows, f"tables.{name}_weights": table.weights}
    return arrays


def open_tables(arrays: Mapping[str, NDArray[Any]], n_items: int) -> dict[str, NeighbourTable]:
    """Name -> table, of those that `arrays` hold. Raises `SnapshotDamagedError` for half a table, or rows of no
    item.
    """
    tables = {}
    for name in TABLES:
        rows, weights = arrays.get(f"tables.{name}_rows"), arrays.get(f"tables.{name}_weights")
        require((rows is None) == (weights is None), f"half of the table {name} is missing")
        if rows is not None and weights is not None:
            check_range(f"tables.{name}_rows", rows, -1, n_items)
            tables[name] = NeighbourTable(rows, weights)
    return tables


def voted_for(
    table: NeighbourTable,
    item_rows: NDArray[np.integer],
    weights: NDArray[np.floating] | None,
    n: int,
    allowed: NDArray[np.bool_] | None = None,
) -> Neighbours:
    """The `n` items with the most votes, rows and votes, best first, ties by row; fewer where fewer have any.

    `item_rows`: (m,), newest first. `weights`: (m,), how much each counts; None where all count alike. `allowed`:
    (n_items,) bool, None for all.
    """
    # votes(i) = sum over voters j of weight(j) * table(j, i)
    voters = item_rows[:MAX_VOTERS]
    rows, votes = table.rows[voters], table.weights[voters]
    if weights is not None:
        votes = votes * weights[:MAX_VOTERS, None].astype(np.float32)
    counts = rows >= 0 if allowed is None else (rows >= 0) & allowed[rows]
    candidates, places = np.unique(rows[counts], return_inverse=True)
    sums = np.bincount(places, votes[counts], len(candidates)).astype(np.float32)
    if n < len(sums):
        # Only the best n are sorted.
        best = np.argpartition(-sums, n - 1)[:n] if n > 0 else places[:0]
        candidates, sums = candidates[best], sums[best]
    order = np.lexsort((candidates, -sums))
    return candidates[order].astype(np.int64), sums[order]
