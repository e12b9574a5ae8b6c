"""The draws of a Gibbs sweep, compiled: the rows of one side given the other side.

R. Salakhutdinov, A. Mnih (2008), equations 11 to 13, with the bias as a last coordinate: given the other side, a row is
a Bayesian linear regression with a normal prior, and its conditional distribution is normal.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled
from app.algorithms.ridge_kernel import add_four

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Positions = NDArray[np.integer]


class RowConditionals(NamedTuple):
    """What the conditional distributions of the rows of one side depend on: n ratings, the other side and the prior.

    `starts`: (n_rows + 1,), where the ratings of each row begin. `columns`, `targets`: (n,).
    `fixed`: (n_columns, k + 1), factors and bias of the other side.
    `row_roots`, `column_roots`: (n_rows,), (n_columns,); a rating has the noise precision (row_root column_root)^2.
    `prior_precision`: (k + 1, k + 1), L. `pull`: (k + 1,), L m with the prior mean m.
    """

    starts: Positions
    columns: Positions
    targets: Float32Array
    fixed: Float32Array
    row_roots: Float64Array
    column_roots: Float64Array
    prior_precision: Float64Array
    pull: Float64Array


@compiled
def draw_rows(first_row: int, past_row: int, side: RowConditionals, rows: Float32Array, means: Float32Array) -> None:
    """Draw x = (factors, bias) for rows `first_row` to `past_row` - 1 of `rows`, (n_rows, k + 1).

    `rows` holds standard normals on entry and the draws on return; `means` takes A^-1 c. With f = (factors of the other
    side, 1), t the target minus the bias of the other side, and w the noise precision:

        x ~ N(A^-1 c, A^-1),   A = prior_precision + sum w f f',   c = pull + sum w f t

    Rows without ratings are drawn from the prior.
    """
    width = rows.shape[1]
    # Scratch space of this task; tasks draw disjoint rows.
    features, gram, right = np.empty((4, width)), np.empty((width, width)), np.empty(width)
    for row in range(first_row, past_row):
        # Start from the prior: A = L, c = L m. Only the lower triangle of A is used.
        for a in range(width):
            right[a] = side.pull[a]
            for c in range(a + 1):
                gram[a, c] = side.prior_precision[a, c]
        for start in range(side.starts[row], side.starts[row + 1], 4):
            gather_four(start, side.starts[row + 1], side, side.row_roots[row], features, right)
            add_four(features, gram)
        draw_row(gram, right, rows[row], means[row])


@compiled
def gather_four(
    start: int, past: int, side: RowConditionals, row_root: float, features: Float64Array, right: Float64Array
) -> None:
    """Write w^1/2 f of four ratings into `features`, 0 from `past` on, and add their w f t to `right`.

    Four at a time, because `add_four` adds the products of four rows in one pass.
    """
    last = right.shape[0] - 1
    for place in range(4):
        if start + place >= past:
            for f in range(last + 1):
                features[place, f] = 0.0
            continue
        column = side.columns[start + place]
        # w^1/2 on both f and t, so that the sum of products is weighted by w.
        root = row_root * side.column_roots[column]
        target = root * (side.targets[start + place] - side.fixed[column, last])
        for f in range(last):
            features[place, f] = root * side.fixed[column, f]
            right[f] += features[place, f] * target
        features[place, last] = root
        right[last] += root * target


@compiled
def draw_row(gram: Float64Array, right: Float64Array, row: Float32Array, mean: Float32Array) -> None:
    """Turn the standard normals z in `row` into a draw of N(A^-1 c, A^-1), A = gram = L L', c = right.

        L y = c,    L' mean = y,    L' x = y + z

    so that x - mean = L'^-1 z has the covariance A^-1. `gram` and `right` are overwritten.
    """
    n = right.shape[0]
    # Cholesky and forward substitution in one loop: row a of L is complete before y_a is needed. A is positive definite
    # by its prior, so unlike `solve_in_place` no test of the diagonal is needed.
    for a in range(n):
        for c in range(a + 1):
            total = gram[a, c]
            for f in range(c):
                total -= gram[a, f] * gram[c, f]
            gram[a, c] = total / gram[c, c] if a > c else np.sqrt(total)
        total = right[a]
        for f in range(a):
            total -= gram[a, f] * right[f]
        right[a] = total / gram[a, a]
    # Backward substitution for the mean and the draw together.
    for a in range(n - 1, -1, -1):
        # `right` holds y, `row` holds z until x replaces it from the last coordinate on.
        of_mean, of_draw = right[a], right[a] + row[a]
        for f in range(a + 1, n):
            of_mean -= gram[f, a] * mean[f]
            of_draw -= gram[f, a] * row[f]
        mean[a] = of_mean / gram[a, a]
        row[a] = of_draw / gram[a, a]


@compiled
def sum_squared_errors(
    first_row: int, past_row: int, side: RowConditionals, rows: Float32Array, totals: Float64Array
) -> None:
    """Set rows `first_row` to `past_row` - 1 of `totals`, (n_rows,), to sum (t - b_u - b_i - p_u . q_i)^2."""
    last = rows.shape[1] - 1
    for row in range(first_row, past_row):
        total = 0.0  # float64: long rows add up thousands of terms
        for at in range(side.starts[row], side.starts[row + 1]):
            column = side.columns[at]
            # t - b_u - b_i - p_u . q_i, with the biases as last coordinates
            error = side.targets[at] - rows[row, last] - side.fixed[column, last]
            for f in range(last):
                error -= rows[row, f] * side.fixed[column, f]
            total += error * error
        totals[row] = total
