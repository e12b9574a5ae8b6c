"""The fold-in of many users, compiled: the ridge regression that `fold_in` solves with LAPACK for one user.

    x = argmin sum (t - x . f)^2 + sum_c penalty_c x_c^2  =  (F'F + D)^-1 F't,    D = diag(penalties)

with the rows of F the features f of the items that the user rated. All sums are float64: F'F has condition numbers at
which float32 Cholesky would fail for users with many similar items. The code is plain loops, because expressions on
array slices take numba seconds longer to compile.

Complexity: O(m k min(m, k)) to set up and O(min(m, k)^3) to solve, for a user of m ratings.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Positions = NDArray[np.integer]


class Regressions(NamedTuple):
    """n ratings by user, and the fixed features of the items.

    `starts`: (n_users + 1,), where the ratings of each user begin. `item_rows`, `targets`: (n,).
    `features`: (n_items, k), or (n_items, k - 1) where the last feature, the bias, is 1 for all items.
    `prior`, `each_rating`: (k,); a user of m ratings has the penalties prior + m each_rating.
    """

    starts: Positions
    item_rows: Positions
    targets: Float32Array
    features: Float32Array
    prior: Float64Array
    each_rating: Float64Array


@compiled
def solve_users(first_user: int, past_user: int, regressions: Regressions, solutions: Float32Array) -> bool:
    """Write the vectors of users `first_user` to `past_user` - 1 into their rows of `solutions`, (n_users, k).

    Rows of users without ratings stay unchanged. Returns False where a user has no unique solution, which can happen
    only without a penalty.
    """
    width = solutions.shape[1]
    gram, right, penalties = np.empty((width, width)), np.empty(width), np.empty(width)
    features = np.empty((max(width, 4), width))
    # Users are independent: tasks solve disjoint ranges, and no result depends on how they are cut.
    for user in range(first_user, past_user):
        first, past = regressions.starts[user], regressions.starts[user + 1]
        if first == past:
            continue
        # D of this user: prior + m each_rating
        least = np.inf
        for f in range(width):
            penalties[f] = regressions.prior[f] + regressions.each_rating[f] * (past - first)
            least = min(least, penalties[f])
        # The dual has m equations, the primal k; both have the same solution, and with few ratings the dual is less
        # work. It divides by the penalties, so all of them must be positive.
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
    first: int,
    past: int,
    regressions: Regressions,
    penalties: Float64Array,
    features: Float64Array,
    gram: Float64Array,
    right: Float64Array,
) -> bool:
    """Solve (F'F + D) x = F't for a user of ratings `first` to `past` - 1; x is written into `right`."""
    # F'F and F't are summed in one pass over the user's ratings.
    gram.fill(0.0)
    right.fill(0.0)
    # Ratings are added four at a time (see `add_four`); the last group is filled up with rows of 0.
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
    first: int,
    past: int,
    regressions: Regressions,
    penalties: Float64Array,
    features: Float64Array,
    kernel: Float64Array,
    right: Float64Array,
) -> bool:
    """Solve (G G' + I) a = t with G = F D^-1/2; then x = D^-1/2 G'a is written into `right`.

    By the identity (F'F + D)^-1 F' = D^-1 F' (F D^-1 F' + I)^-1.
    """
    n_rated, width = past - first, right.shape[0]
    # All rows of F at once, because every pair of ratings is multiplied.
    gather(first, n_rated, regressions, features)
    dual, scales = np.empty(n_rated), np.empty(width)
    # The scales are D^-1/2, so that G = F D^-1/2.
    for f in range(width):
        scales[f] = 1.0 / np.sqrt(penalties[f])
    for row in range(n_rated):
        dual[row] = regressions.targets[first + row]
        for f in range(width):
            features[row, f] *= scales[f]
        # Only the lower triangle of G G': the matrix is symmetric, and Cholesky reads one triangle.
        for column in range(row + 1):
            total = 0.0
            for f in range(width):
                total += features[row, f] * features[column, f]
            kernel[row, column] = total
        kernel[row, row] += 1.0
    # (G G' + I) a = t; a overwrites `dual`
    is_solved = solve_in_place(kernel, dual, n_rated)
    # x = D^-1/2 G'a, with the rows of G still in `features`
    right.fill(0.0)
    for row in range(n_rated):
        for f in range(width):
            right[f] += dual[row] * features[row, f]
    for f in range(width):
        right[f] *= scales[f]
    return is_solved


@compiled
def gather(start: int, n_rows: int, regressions: Regressions, features: Float64Array) -> None:
    """Copy the features of `n_rows` ratings into the rows of `features`, in float64; the bias column is 1."""
    n_known = regressions.features.shape[1]
    for row in range(n_rows):
        item = regressions.item_rows[start + row]
        for f in range(n_known):
            features[row, f] = regressions.features[item, f]
        for f in range(n_known, features.shape[1]):
            features[row, f] = 1.0


@compiled
def add_four(features: Float64Array, gram: Float64Array) -> None:
    """Add F'F of the first four rows of `features` to the lower triangle of `gram`; above the diagonal is undefined."""
    n = gram.shape[0]
    # A block of 2 x 4 products per inner step: every loaded number is used several times, and gram is written once per
    # four ratings. This loop takes most of the time of a fold-in of all users.
    for a in range(0, n, 2):
        b = min(a + 1, n - 1)
        # w, x, y, z are the four rows; a and b the two columns of F'F that are being filled.
        w_a, x_a, y_a, z_a = features[0, a], features[1, a], features[2, a], features[3, a]
        w_b, x_b, y_b, z_b = features[0, b], features[1, b], features[2, b], features[3, b]
        for c in range(b + 1):
            w, x, y, z = features[0, c], features[1, c], features[2, c], features[3, c]
            gram[a, c] += w_a * w + x_a * x + y_a * y + z_a * z
            if b > a:
                gram[b, c] += w_b * w + x_b * x + y_b * y + z_b * z


@compiled
def solve_in_place(gram: Float64Array, right: Float64Array, n: int) -> bool:
    """Solve gram x = right for the leading n rows by Cholesky, gram = L L'; x overwrites `right`, L the lower triangle.

    Returns False where gram is not positive definite.
    """
    # L_ac = (gram_ac - sum_f L_af L_cf) / L_cc,    L_aa = sqrt(gram_aa - sum_f L_af^2)
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
