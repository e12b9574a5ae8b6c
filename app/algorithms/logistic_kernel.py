"""The inner loop of logistic factors, compiled: one row's regression after the other, the other side given."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled
from app.algorithms.ridge_kernel import solve_in_place

NEAR_ZERO = 1e-4
"""Of log-odds: there, tanh(l / 2) / (2 l) is 1/4 to 1e-9 and l = 0 would divide by it."""

Wide = NDArray[np.float64]


class Labels(NamedTuple):
    """n labels by row of one side. `starts`: (n_rows + 1,). `others`: (n,) rows of the other side. `are_one`: (n,).

    `intercept`: b, the same for all.
    """

    starts: NDArray[np.int64]
    others: NDArray[np.int32]
    are_one: NDArray[np.bool_]
    intercept: float


@compiled
def regress_rows(
    first_row: int, past_row: int, labels: Labels, given: Wide, expected: Wide, penalties: Wide, rows: Wide
) -> float:
    """Improve some rows of `rows`, (n_rows, k + 1): each k factors and a bias. `given`: (n_others, k + 1), likewise.

    Of a row x whose label with `given` row g is y, with l = b + g_k + x . (g_0 .. g_(k-1), 1), this minimises

        sum log(1 + exp(l)) - y l  +  1/2 sum_f penalty_f (x_f - expected_f)^2

    or rather a parabola that lies above it and touches it where x is now, so that it never grows and no step is too
    long, however well the labels can be told apart (T. Jaakkola, M. Jordan, "Bayesian parameter estimation via
    variational methods", 2000):

        w = tanh(l / 2) / (2 l):    (sum w f f' + penalties) x = sum f (y - 1/2 - w (b + g_k)) + penalties expected

    with f = (g_0 .. g_(k-1), 1). `expected`, `penalties`: (n_rows, k + 1).

    Returns what is minimised, of the rows before.
    """
    width = rows.shape[1]
    gram, right, features = np.empty((width, width)), np.empty(width), np.ones(width)
    minimised = 0.0
    for row in range(first_row, past_row):
        gram.fill(0.0)
        for f in range(width):
            gram[f, f] = penalties[row, f]
            right[f] = penalties[row, f] * expected[row, f]
            minimised += 0.5 * penalties[row, f] * (rows[row, f] - expected[row, f]) ** 2
        for label in range(labels.starts[row], labels.starts[row + 1]):
            other = labels.others[label]
            offset = labels.intercept + given[other, width - 1]
            log_odds = offset + rows[row, width - 1]
            for f in range(width - 1):
                features[f] = given[other, f]
                log_odds += features[f] * rows[row, f]
            size = abs(log_odds)
            # log(1 + exp(l)) - y l, where exp cannot overflow
            minimised += np.log1p(np.exp(-size))
            if (log_odds > 0) != labels.are_one[label]:
                minimised += size
            weight = np.tanh(0.5 * size) / (2.0 * size) if size > NEAR_ZERO else 0.25
            pull = (0.5 if labels.are_one[label] else -0.5) - weight * offset
            for f in range(width):
                right[f] += pull * features[f]
                for c in range(f + 1):
                    gram[f, c] += weight * features[f] * features[c]
        if solve_in_place(gram, right, width):
            for f in range(width):
                rows[row, f] = right[f]
    return minimised
