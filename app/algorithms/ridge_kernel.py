"""The fold-in of many users, compiled: what `fold_in` computes with LAPACK for one, without a call for each."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]
Positions = NDArray[np.integer]

RATINGS_AT_ONCE = 4


class Regressions(NamedTuple):
    """n ratings by user, against items with k known factors; `n_biases` is 1, or 0 without biases.

    `starts`: (n_users + 1,), where each user's ratings begin. `item_rows`, `targets`: (n,). `item_factors`:
    (n_items, k). `regularization`, `prior_ratings`: see `fold_in`.
    """

    starts: Positions
    item_rows: Positions
    targets: Floats
    item_factors: Floats
    n_biases: int
    regularization: float
    prior_ratings: float


@compiled
def solve_users(first_user: int, past_user: int, regressions: Regressions, solutions: Floats) -> bool:
    """Write the factors and the bias of some users into their rows of `solutions`, (n_users, k + n_biases).

    Rows of users without ratings are left alone. False where a user has no unique solution, which a penalty rules out.
    """
    width = solutions.shape[1]
    gram, right = np.empty((width, width)), np.empty(width)
    features = np.empty((RATINGS_AT_ONCE, width))
    for user in range(first_user, past_user):
        first, past = regressions.starts[user], regressions.starts[user + 1]
        if first == past:
            continue
        gram[:] = 0.0
        right[:] = 0.0
        for start in range(first, past, RATINGS_AT_ONCE):
            gather(start, past, regressions, features, right)
            add_gram(features, gram)
        for f in range(width):
            weight = regressions.prior_ratings + (past - first if f < width - regressions.n_biases else 0)
            gram[f, f] += regressions.regularization * weight
        if not solve_in_place(gram, right):
            return False
        for f in range(width):
            solutions[user, f] = right[f]
    return True


@compiled
def gather(start: int, past: int, regressions: Regressions, features: Wide, right: Wide) -> None:
    """The next ratings' features, zeros beyond the user's last; right += features' targets."""
    n_factors = regressions.item_factors.shape[1]
    for row in range(features.shape[0]):
        if start + row >= past:
            features[row] = 0.0
            continue
        item, target = regressions.item_rows[start + row], regressions.targets[start + row]
        for f in range(n_factors):
            features[row, f] = regressions.item_factors[item, f]
        for f in range(n_factors, features.shape[1]):
            features[row, f] = 1.0
        for f in range(features.shape[1]):
            right[f] += features[row, f] * target


@compiled
def add_gram(features: Wide, gram: Wide) -> None:
    """Add features' features, the lower triangle; four ratings at once, so that gram is read and written less often."""
    for a in range(gram.shape[0]):
        w, x, y, z = features[0, a], features[1, a], features[2, a], features[3, a]
        for c in range(a + 1):
            gram[a, c] += w * features[0, c] + x * features[1, c] + y * features[2, c] + z * features[3, c]


@compiled
def solve_in_place(gram: Wide, right: Wide) -> bool:
    """Solve gram x = right by Cholesky, gram = L L'. x goes to `right`, L to the lower triangle of `gram`."""
    n = gram.shape[0]
    for a in range(n):
        for c in range(a + 1):
            total = gram[a, c]
            for f in range(c):
                total -= gram[a, f] * gram[c, f]
            if a > c:
                gram[a, c] = total / gram[c, c]
            elif total > 0.0:
                gram[a, a] = np.sqrt(total)
            else:
                return False
    for a in range(n):  # L y = right
        total = right[a]
        for f in range(a):
            total -= gram[a, f] * right[f]
        right[a] = total / gram[a, a]
    for a in range(n - 1, -1, -1):  # L' x = y
        right[a] /= gram[a, a]
        for f in range(a):
            right[f] -= gram[a, f] * right[a]
    return True
