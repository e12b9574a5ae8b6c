"""The draws of a Gibbs sweep, compiled: the rows of one side given the other side."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled
from app.algorithms.ridge_kernel import add_four

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]
Positions = NDArray[np.integer]


class Side(NamedTuple):
    """n ratings by row of the side to draw, against the other side, which is fixed.

    `starts`: (n_rows + 1,), where each row's ratings begin. `columns`, `targets`: (n,). `fixed`: (n_columns, k + 1),
    factors and bias of the other side. `row_roots`, `column_roots`: (n_rows,) and (n_columns,); a rating has the noise
    precision (row_root column_root)^2. `prior_precision`: (k + 1, k + 1). `pull`: (k + 1,), that precision x the mean.
    """

    starts: Positions
    columns: Positions
    targets: Floats
    fixed: Floats
    row_roots: Wide
    column_roots: Wide
    prior_precision: Wide
    pull: Wide


@compiled
def draw_rows(first_row: int, past_row: int, side: Side, rows: Floats, means: Floats) -> None:
    """Draw x = (factors, bias) for some rows of `rows`, (n_rows, k + 1), which holds standard normals when called.

    With f = (the other side's factors, 1), t what its bias leaves of a target, and w the precision of the noise:

        x ~ N(A^-1 c, A^-1),   A = prior_precision + sum w f f',   c = pull + sum w f t

    `means` takes A^-1 c. Rows without ratings are drawn from the prior.
    """
    width = rows.shape[1]
    features, gram, right = np.empty((4, width)), np.empty((width, width)), np.empty(width)
    for row in range(first_row, past_row):
        for a in range(width):
            right[a] = side.pull[a]
            for c in range(a + 1):
                gram[a, c] = side.prior_precision[a, c]
        for start in range(side.starts[row], side.starts[row + 1], 4):
            gather_four(start, side.starts[row + 1], side, side.row_roots[row], features, right)
            add_four(features, gram)
        draw_row(gram, right, rows[row], means[row])


@compiled
def gather_four(start: int, past: int, side: Side, row_root: float, features: Wide, right: Wide) -> None:
    """Four ratings' w^1/2 f, zeros beyond `past`; adds w f t to `right`."""
    last = right.shape[0] - 1
    for place in range(4):
        if start + place >= past:
            for f in range(last + 1):
                features[place, f] = 0.0
            continue
        column = side.columns[start + place]
        root = row_root * side.column_roots[column]
        target = root * (side.targets[start + place] - side.fixed[column, last])
        for f in range(last):
            features[place, f] = root * side.fixed[column, f]
            right[f] += features[place, f] * target
        features[place, last] = root
        right[last] += root * target


@compiled
def draw_row(gram: Wide, right: Wide, row: Floats, mean: Floats) -> None:
    """Turn the normals in `row` into a draw of N(gram^-1 right, gram^-1): L' (x - mean) = normals, gram = L L'."""
    n = right.shape[0]
    for a in range(n):
        for c in range(a + 1):
            total = gram[a, c]
            for f in range(c):
                total -= gram[a, f] * gram[c, f]
            gram[a, c] = total / gram[c, c] if a > c else np.sqrt(total)
        total = right[a]
        for f in range(a):
            total -= gram[a, f] * right[f]
        right[a] = total / gram[a, a]  # L y = right
    for a in range(n - 1, -1, -1):
        of_mean, of_draw = right[a], right[a] + row[a]
        for f in range(a + 1, n):
            of_mean -= gram[f, a] * mean[f]
            of_draw -= gram[f, a] * row[f]
        mean[a] = of_mean / gram[a, a]
        row[a] = of_draw / gram[a, a]


@compiled
def sum_squared_errors(first_row: int, past_row: int, side: Side, rows: Floats, totals: Wide) -> None:
    """Set some rows of `totals`, (n_rows,), to their sum (target - b_u - b_i - p_u . q_i)^2."""
    last = rows.shape[1] - 1
    for row in range(first_row, past_row):
        total = 0.0
        for at in range(side.starts[row], side.starts[row + 1]):
            column = side.columns[at]
            error = side.targets[at] - rows[row, last] - side.fixed[column, last]
            for f in range(last):
                error -= rows[row, f] * side.fixed[column, f]
            total += error * error
        totals[row] = total
