"""The fold-in of many users, compiled: what `fold_in` computes with LAPACK for one, without a call for each.

Plain loops throughout: expressions on slices of arrays would take numba seconds more to compile.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]
Positions = NDArray[np.integer]


class Regressions(NamedTuple):
    """n ratings by user, against items with known features.

    `starts`: (n_users + 1,), where each user's ratings begin. `item_rows`, `targets`: (n,). `features`: (n_items, k),
    or (n_items, k - 1) where the last is 1 for all. `prior`, `each_rating`: (k,); a user of m ratings has the penalties
    prior + m each_rating.
    """

    starts: Positions
    item_rows: Positions
    targets: Floats
    features: Floats
    prior: Wide
    each_rating: Wide


@compiled
def solve_users(first_user: int, past_user: int, regressions: Regressions, solutions: Floats) -> bool:
    """Write the vectors of some users into their rows of `solutions`, (n_users, k).

    Rows of users without ratings are left alone. False where a user has no unique solution, which a penalty rules out.
    """
    width = solutions.shape[1]
    gram, right, penalties = np.empty((width, width)), np.empty(width), np.empty(width)
    features = np.empty((max(width, 4), width))
    for user in range(first_user, past_user):
        first, past = regressions.starts[user], regressions.starts[user + 1]
        if first == past:
            continue
        least = np.inf
        for f in range(width):
            penalties[f] = regressions.prior[f] + regressions.each_rating[f] * (past - first)
            least = min(least, penalties[f])
        # With few ratings it is less work to solve for the ratings than for the factors; either gives the same.
        if 4 * (past - first) <= 3 * width and least > 0.0:
            is_solved = solve_dual(first, past, regressions, penalties, features, gram, right)
        else:
            is_solved = solve_primal(first, past, regressions, penalties, features, gram, right)
        if not is_solved:
            return False
        for f in range(width):
            solutions[user, f] = right[f]
    return True


@compiled
def solve_primal(
    first: int, past: int, regressions: Regressions, penalties: Wide, features: Wide, gram: Wide, right: Wide
) -> bool:
    """Solve (F'F + penalties) x = F't, x into `right`."""
    gram.fill(0.0)
    right.fill(0.0)
    for start in range(first, past, 4):
        n_gathered = min(4, past - start)
        gather(start, n_gathered, regressions, features)
        for row in range(n_gathered, 4):
            for f in range(right.shape[0]):
                features[row, f] = 0.0
        for row in range(n_gathered):
            for f in range(right.shape[0]):
                right[f] += features[row, f] * regressions.targets[start + row]
        add_four(features, gram)
    for f in range(right.shape[0]):
        gram[f, f] += penalties[f]
    return solve_in_place(gram, right, right.shape[0])


@compiled
def solve_dual(
    first: int, past: int, regressions: Regressions, penalties: Wide, features: Wide, kernel: Wide, right: Wide
) -> bool:
    """Solve (G G' + I) a = t with G = F penalties^-1/2; then x = penalties^-1/2 G'a, into `right`."""
    n_rated, width = past - first, right.shape[0]
    gather(first, n_rated, regressions, features)
    dual, scales = np.empty(n_rated), np.empty(width)
    for f in range(width):
        scales[f] = 1.0 / np.sqrt(penalties[f])
    for row in range(n_rated):
        dual[row] = regressions.targets[first + row]
        for f in range(width):
            features[row, f] *= scales[f]
        for column in range(row + 1):
            total = 0.0
            for f in range(width):
                total += features[row, f] * features[column, f]
            kernel[row, column] = total
        kernel[row, row] += 1.0
    is_solved = solve_in_place(kernel, dual, n_rated)
    right.fill(0.0)
    for row in range(n_rated):
        for f in range(width):
            right[f] += dual[row] * features[row, f]
    for f in range(width):
        right[f] *= scales[f]
    return is_solved


@compiled
def gather(start: int, n_rows: int, regressions: Regressions, features: Wide) -> None:
    """The features of some ratings, one a row."""
    n_known = regressions.features.shape[1]
    for row in range(n_rows):
        item = regressions.item_rows[start + row]
        for f in range(n_known):
            features[row, f] = regressions.features[item, f]
        for f in range(n_known, features.shape[1]):
            features[row, f] = 1.0


@compiled
def add_four(features: Wide, gram: Wide) -> None:
    """Add F'F of the first four rows to gram, two of its rows at a time; what is above its diagonal is not used."""
    n = gram.shape[0]
    for a in range(0, n, 2):
        b = min(a + 1, n - 1)
        w_a, x_a, y_a, z_a = features[0, a], features[1, a], features[2, a], features[3, a]
        w_b, x_b, y_b, z_b = features[0, b], features[1, b], features[2, b], features[3, b]
        for c in range(b + 1):
            w, x, y, z = features[0, c], features[1, c], features[2, c], features[3, c]
            gram[a, c] += w_a * w + x_a * x + y_a * y + z_a * z
            if b > a:
                gram[b, c] += w_b * w + x_b * x + y_b * y + z_b * z


@compiled
def solve_in_place(gram: Wide, right: Wide, n: int) -> bool:
    """Solve gram x = right, cut to n, by Cholesky, gram = L L'. x goes to `right`, L to gram's lower triangle."""
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
