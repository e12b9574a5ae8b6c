"""Which items are like which: the cosine of their learned vectors, without bias and prior, trusted by their ratings.

    similarity(i, j) = cos(q_i, q_j) * n_j / (n_j + 10)

The vector of an item j with few ratings points anywhere; the shrinking keeps chance neighbours out of the list.
"""

import numpy as np
from numpy.typing import NDArray

from app.snapshots.arrays import N_SIMILAR
from app.snapshots.index import Neighbours, search_many
from app.snapshots.manifest import Segment

SHRINKAGE = 10.0
STORED_UP_TO = 50_000
"""Items up to which every list is stored at publish; above, a list is computed when asked for."""


def likeness_columns(rating: Segment, taste: Segment | None) -> slice:
    """The columns of the item side that say what items are like: the taste, or else the rating without its bias."""
    return slice(rating.columns[0], rating.columns[1] - 1) if taste is None else taste.slice


def similar_items(
    factors: NDArray[np.float32], item_counts: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `N_SIMILAR` most similar of every item, rows and scores, (n_items, N_SIMILAR) each; row -1 where fewer.

    `factors`: (n_items, k) float32, zero for items nobody rated: those are like nothing. Above `STORED_UP_TO` items the
    answer has no rows.
    """
    n_items, n_factors = factors.shape
    n_stored = n_items if n_items <= STORED_UP_TO else 0
    rows = np.full((n_stored, N_SIMILAR), -1, np.int32)
    scores = np.zeros((n_stored, N_SIMILAR), np.float32)
    if not n_stored or not n_factors:
        return rows, scores
    directions = unit_directions(factors)
    # One more than wanted, since an item is found among its own neighbours.
    found, similarity = search_many(directions * trust(item_counts)[:, None], directions, N_SIMILAR + 1)
    is_neighbour = (found != np.arange(n_items)[:, None]) & (found >= 0) & (similarity > 0)
    order = np.argsort(~is_neighbour, axis=1, kind="stable")[:, :N_SIMILAR]
    is_kept = np.take_along_axis(is_neighbour, order, axis=1)
    rows[is_kept] = np.take_along_axis(found, order, axis=1)[is_kept]
    scores[is_kept] = np.take_along_axis(similarity, order, axis=1)[is_kept]
    return rows, scores


def similar_to(item_row: int, directions: NDArray[np.float32], item_counts: NDArray[np.int32], n: int) -> Neighbours:
    """The `n` items most similar to `item_row`, by a scan of all `directions` (n_items, k): see `unit_directions`."""
    scores = (directions @ directions[item_row]) * trust(item_counts)
    scores[item_row] = -np.inf
    n = min(n, len(scores) - 1)
    best = np.argpartition(-scores, n - 1)[:n] if n > 0 else np.empty(0, np.int64)
    best = best[scores[best] > 0]
    order = np.lexsort((best, -scores[best]))
    return best[order], scores[best][order]


def unit_directions(factors: NDArray[np.float32]) -> NDArray[np.float32]:
    """`factors` (n, k) with every row at length 1; rows of length 0 stay 0."""
    lengths = np.linalg.norm(factors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1.0
    directions: NDArray[np.float32] = factors / lengths
    return directions


def trust(item_counts: NDArray[np.int32]) -> NDArray[np.float32]:
    """The factor n / (n + 10) of items with `item_counts` (n_items,) ratings."""
    return (item_counts / (item_counts + SHRINKAGE)).astype(np.float32)
