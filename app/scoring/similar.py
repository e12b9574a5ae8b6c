"""Similar items and similar users: the cosine of learned vectors, shrunk where they come of few ratings.

    similarity(i, j) = cos(q_i, q_j) * n_j / (n_j + 10)

The vector of an item j with few ratings is mostly noise, and shrinking keeps chance neighbours out of the list. The
same holds for users. `Segment.likeness` names the columns of the vectors that are compared.
"""

import numpy as np
from numpy.typing import NDArray

from app.scoring.index import Neighbours
from app.scoring.index_build import search_many
from app.snapshots.arrays import N_SIMILAR

SHRINKAGE = 10.0
STORED_UP_TO = 50_000
"""Items up to which every list is stored at publish; above, a list is computed on demand."""

USERS_PER_BLOCK = 16_384
"""Rows of users compared at a time: 10 MB of vectors at most, of which a part is read."""


def similar_items(
    factors: NDArray[np.float32], item_counts: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `N_SIMILAR` most similar of every item, rows and scores, (n_items, N_SIMILAR) each; row -1 where fewer.

    `factors`: (n_items, k) float32, zeros for unrated items, which are similar to nothing. Above `STORED_UP_TO` items
    the answer has no rows.
    """
    n_items, n_factors = factors.shape
    n_stored = n_items if n_items <= STORED_UP_TO else 0
    rows = np.full((n_stored, N_SIMILAR), -1, np.int32)
    scores = np.zeros((n_stored, N_SIMILAR), np.float32)
    if not n_stored or not n_factors:
        return rows, scores
    # cos(q_i, q_j) * n_j / (n_j + 10): the trust of j scales the side that is searched.
    directions = unit_directions(factors)
    # One more than wanted, since every item is among its own neighbours.
    neighbours, similarity = search_many(directions * trust(item_counts)[:, None], directions, N_SIMILAR + 1)
    is_neighbour = (neighbours != np.arange(n_items)[:, None]) & (neighbours >= 0) & (similarity > 0)
    # A stable sort moves rows that are no neighbours to the end and keeps the order of the others.
    order = np.argsort(~is_neighbour, axis=1, kind="stable")[:, :N_SIMILAR]
    is_kept = np.take_along_axis(is_neighbour, order, axis=1)
    rows[is_kept] = np.take_along_axis(neighbours, order, axis=1)[is_kept]
    scores[is_kept] = np.take_along_axis(similarity, order, axis=1)[is_kept]
    return rows, scores


def similar_to(item_row: int, directions: NDArray[np.float32], item_counts: NDArray[np.int32], n: int) -> Neighbours:
    """The `n` items most similar to `item_row`, by a scan of all `directions` (n_items, k): see `unit_directions`."""
    scores = (directions @ directions[item_row]) * trust(item_counts)
    # An item is not similar to itself in any list.
    scores[item_row] = 0.0
    return _best(scores, n)


def similar_users(
    taste: NDArray[np.float32],
    user_vectors: NDArray[np.float32],
    columns: slice,
    counts: NDArray[np.integer],
    n: int,
    left_out: int | None = None,
) -> Neighbours:
    """The `n` users whose `columns` are most similar to `taste` (k,): rows and similarities, best first, ties by row.

    `user_vectors`: (n_users, d), read in blocks and never copied as a whole. `counts`: (n_users,) ratings; a user
    without ratings has a taste from events, and counts as having one. `left_out`: a row, such as the user's own. Only
    similarities above 0.
    """
    length = float(np.linalg.norm(taste))
    scores = np.zeros(len(user_vectors), np.float32)
    for start in range(0, len(scores), USERS_PER_BLOCK):
        users = slice(start, start + USERS_PER_BLOCK)
        block = user_vectors[users, columns]
        # A block at a time: a copy of all columns would double the memory of the user side.
        lengths = np.sqrt(np.einsum("uk,uk->u", block, block)) * length
        cosines = np.divide(block @ taste, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        scores[users] = cosines * trust(np.maximum(counts[users], 1))
    if left_out is not None:
        scores[left_out] = 0.0
    return _best(scores, n)


def _best(scores: NDArray[np.float32], n: int) -> Neighbours:
    """The `n` highest scores above 0, rows and scores, best first, ties by row."""
    n = min(n, len(scores))
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


def trust(counts: NDArray[np.integer]) -> NDArray[np.float32]:
    """The factor n / (n + 10) of items or users with `counts` (m,) ratings."""
    return (counts / (counts + SHRINKAGE)).astype(np.float32)
