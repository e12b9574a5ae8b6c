"""The inner loop of logistic factors, compiled: one row's regression after the other, the other side given."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled
from app.algorithms.engagement_fold_in import MAX_STEPS, ROUNDING, TOLERANCE
from app.algorithms.ridge_kernel import solve_in_place

NEAR_ZERO = 1e-4
"""Of log-odds: there, tanh(l / 2) / (2 l) is 1/4 to 1e-9 and l = 0 would divide by it."""

Wide = NDArray[np.float64]


class LabelRows(NamedTuple):
    """n labels by row of one side. `starts`: (n_rows + 1,). `others`: (n,) rows of the other side. `are_one`: (n,).

    `intercept`: b, the same for all.
    """

    starts: NDArray[np.int64]
    others: NDArray[np.int32]
    are_one: NDArray[np.bool_]
    intercept: float


@compiled
def regress_rows(
    first_row: int, past_row: int, labels: LabelRows, given: Wide, expected: Wide, penalties: Wide, rows: Wide
) -> float:
    """Improve some rows of `rows`, (n_rows, k + 1): each k factors and a bias. `given`: (n_others, k + 1), likewise.

    Of a row x whose label with `given` row g is y, with l = b + g_k + x . (g_0 .. g_(k-1), 1), this minimises

        sum log(1 + exp(l)) - y l  +  1/2 sum_f penalty_f (x_f - expected_f)^2

    or rather the parabola of `equations` that lies above it, so that it never grows and no step is too long, however
    well the labels can be told apart. `expected`, `penalties`: (n_rows, k + 1).

    Returns what is minimised, of the rows before.
    """
    width = rows.shape[1]
    gram, right, features = np.empty((width, width)), np.empty(width), np.ones(width)
    minimised = 0.0
    for row in range(first_row, past_row):
        minimised += equations(row, labels, given, expected, penalties, rows, True, gram, right, features)
        if solve_in_place(gram, right, width):
            for f in range(width):
                rows[row, f] = right[f]
    return minimised


@compiled
def fold_in_rows(
    first_row: int, past_row: int, labels: LabelRows, given: Wide, expected: Wide, penalties: Wide, rows: Wide
) -> None:
    """Lead some rows all the way to the minimum of what `regress_rows` improves by one step.

    The steps are Newton's, halved where one goes too far: what `fold_in` of `engagement_fold_in` computes for one user,
    compiled.
    """
    width = rows.shape[1]
    gram, right, features, before = np.empty((width, width)), np.empty(width), np.ones(width), np.empty(width)
    for row in range(first_row, past_row):
        least = equations(row, labels, given, expected, penalties, rows, False, gram, right, features)
        for _ in range(MAX_STEPS):
            if not solve_in_place(gram, right, width):
                break
            length = 0.0
            for f in range(width):
                length = max(length, abs(right[f] - rows[row, f]))
                before[f] = rows[row, f]
                rows[row, f] = right[f]
            while length >= TOLERANCE:
                minimised = equations(row, labels, given, expected, penalties, rows, False, gram, right, features)
                if minimised <= least * (1.0 + ROUNDING):
                    least = minimised
                    break
                length *= 0.5
                for f in range(width):
                    rows[row, f] = 0.5 * (rows[row, f] + before[f])
            if length < TOLERANCE:
                break


@compiled
def equations(
    row: int,
    labels: LabelRows,
    given: Wide,
    expected: Wide,
    penalties: Wide,
    rows: Wide,
    is_bound: bool,
    gram: Wide,
    right: Wide,
    features: Wide,
) -> float:
    """Make gram x = right, whose solution is the minimum of a parabola that touches, at `row`, what is minimised.

    Its curvature w along each label's log-odds l is Newton's, s (1 - s) with s = sigmoid(l), the true one, or of the
    bound, which nowhere lies below what is minimised (T. Jaakkola, M. Jordan, "Bayesian parameter estimation via
    variational methods", 2000):

        w = tanh(l / 2) / (2 l):    (sum w f f' + penalties) x = sum f (y - s + w f . x_before) + penalties expected

    with f = (g_0 .. g_(k-1), 1), which `features` (k + 1,) holds for each label in turn; its last is 1.

    Returns what is minimised.
    """
    width = rows.shape[1]
    minimised = 0.0
    gram.fill(0.0)
    for f in range(width):
        gram[f, f] = penalties[row, f]
        right[f] = penalties[row, f] * expected[row, f]
        minimised += 0.5 * penalties[row, f] * (rows[row, f] - expected[row, f]) ** 2
    for label in range(labels.starts[row], labels.starts[row + 1]):
        other = labels.others[label]
        own = rows[row, width - 1]
        for f in range(width - 1):
            features[f] = given[other, f]
            own += features[f] * rows[row, f]
        log_odds = labels.intercept + given[other, width - 1] + own
        size = abs(log_odds)
        # log(1 + exp(l)) - y l, where exp cannot overflow
        minimised += np.log1p(np.exp(-size))
        if (log_odds > 0) != labels.are_one[label]:
            minimised += size
        half = np.tanh(0.5 * log_odds)  # 2 s - 1
        if not is_bound:
            weight = 0.25 * (1.0 - half * half)
        elif size > NEAR_ZERO:
            weight = 0.5 * half / log_odds
        else:
            weight = 0.25
        pull = (0.5 if labels.are_one[label] else -0.5) - 0.5 * half + weight * own
        for f in range(width):
            right[f] += pull * features[f]
            for c in range(f + 1):
                gram[f, c] += weight * features[f] * features[c]
    return minimised
