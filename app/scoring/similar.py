"""Similarity by taste: the cosine of learned vectors, shrunk where they come of few ratings; similar users.

    similarity(u, v) = cos(q_u, q_v) * n_v / (n_v + 10)

The vector of a user v with few ratings is mostly noise, and shrinking keeps chance neighbours out of the list. The same
holds for items, whose taste is one part of their similarity (`item_similarity.py`). `Segment.likeness` names the
columns of the vectors that are compared.
"""

import numpy as np
from numpy.typing import NDArray

from app.scoring.index import Neighbours

SHRINKAGE = 10.0

USERS_PER_BLOCK = 16_384
"""Rows of users compared at a time: 10 MB of vectors at most, of which a part is read."""


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
    return best(scores, n)


def best(scores: NDArray[np.float32], n: int) -> Neighbours:
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
