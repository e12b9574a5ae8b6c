"""The inner loop of logistic matrix factorisation, compiled: the regression of each row given the other side.

Of a row x with labels y on given rows g, with l = b + g_k + x . (g_0 .. g_(k-1), 1) the log-odds of a label:

    minimise  sum log(1 + exp(l)) - y l  +  1/2 sum_f penalty_f (x_f - expected_f)^2

All arithmetic is float64, because the step halving compares objectives that differ in their last digits.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled
from app.algorithms.engagement_fold_in import MAX_STEPS, ROUNDING, TOLERANCE
from app.algorithms.ridge_kernel import solve_in_place

# Log-odds below this: tanh(l / 2) / (2 l) is then 1/4 up to 1e-9, and the quotient is undefined at l = 0.
NEAR_ZERO = 1e-4

Float64Array = NDArray[np.float64]


class LabelRows(NamedTuple):
    """n labels by row of one side.

    `starts`: (n_rows + 1,), where the labels of each row begin. `other_rows`: (n,), the row of the other side.
    `are_positive`: (n,) bool. `intercept`: b, the same for all labels.
    """

    starts: NDArray[np.int64]
    other_rows: NDArray[np.int32]
    are_positive: NDArray[np.bool_]
    intercept: float


@compiled
def regress_rows(
    first_row: int,
    past_row: int,
    labels: LabelRows,
    given: Float64Array,
    expected: Float64Array,
    penalties: Float64Array,
    rows: Float64Array,
) -> float:
    """Improve rows `first_row` to `past_row` - 1 of `rows`, (n_rows, k + 1), factors and bias, by one step each.

    The step minimises the quadratic upper bound of `equations` instead of the objective itself. The objective therefore
    never rises, and no step is too long, even where the labels are separable. `given`: (n_other_rows, k + 1).
    `expected`, `penalties`: (n_rows, k + 1). Returns the objective of these rows before the step.
    """
    width = rows.shape[1]
    gram, right, features = np.empty((width, width)), np.empty(width), np.ones(width)
    objective = 0.0
    # Rows are independent given the other side, so ranges of them may run in parallel.
    for row in range(first_row, past_row):
        objective += equations(row, labels, given, expected, penalties, rows, True, gram, right, features)
        # A row whose system is not positive definite, after an overflow, stays as it was.
        if solve_in_place(gram, right, width):
            for f in range(width):
                rows[row, f] = right[f]
    return objective


@compiled
def fold_in_rows(
    first_row: int,
    past_row: int,
    labels: LabelRows,
    given: Float64Array,
    expected: Float64Array,
    penalties: Float64Array,
    rows: Float64Array,
) -> None:
    """Solve rows `first_row` to `past_row` - 1 to convergence, by Newton's method with step halving.

    Equal to `logistic_regression` of `engagement_fold_in`, which computes one row without numba.
    """
    width = rows.shape[1]
    gram, right, features, before = np.empty((width, width)), np.empty(width), np.ones(width), np.empty(width)
    # `equations` at the current row yields its objective and the next Newton system at once.
    for row in range(first_row, past_row):
        least = equations(row, labels, given, expected, penalties, rows, False, gram, right, features)
        for _ in range(MAX_STEPS):
            if not solve_in_place(gram, right, width):
                break
            # The length of a step is its largest coordinate, the measure of convergence.
            length = 0.0
            for f in range(width):
                length = max(length, abs(right[f] - rows[row, f]))
                before[f] = rows[row, f]
                rows[row, f] = right[f]
            # The step ends at `rows[row]`; halving moves that end towards `before`.
            while length >= TOLERANCE:
                objective = equations(row, labels, given, expected, penalties, rows, False, gram, right, features)
                # A rise within rounding counts as no rise: near the minimum, differences are below it.
                if objective <= least * (1.0 + ROUNDING):
                    least = objective
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
    given: Float64Array,
    expected: Float64Array,
    penalties: Float64Array,
    rows: Float64Array,
    is_bound: bool,
    gram: Float64Array,
    right: Float64Array,
    features: Float64Array,
) -> float:
    """Fill `gram` and `right` of the equation gram x = right.

    Its solution minimises a quadratic that has the value and slope of the objective at `row`.

        (sum w f f' + penalties) x = sum f (y - s + w f . x_before) + penalties expected,    f = (g_0 .. g_(k-1), 1)

    The curvature w along the log-odds l of a label is, with s = sigmoid(l),

        s (1 - s)               without `is_bound`: that of the objective, for a Newton step
        tanh(l / 2) / (2 l)     with `is_bound`: that of a bound which nowhere lies below the objective (T. Jaakkola,
                                M. Jordan, "Bayesian parameter estimation via variational methods", 2000)

    `gram`: (k + 1, k + 1), of which the lower triangle is filled. `features`: (k + 1,) scratch space whose last is 1.
    Returns the objective at `row`.
    """
    width = rows.shape[1]
    objective = 0.0
    # The prior: penalties on the diagonal, penalty times expectation on the right.
    gram.fill(0.0)
    for f in range(width):
        gram[f, f] = penalties[row, f]
        right[f] = penalties[row, f] * expected[row, f]
        objective += 0.5 * penalties[row, f] * (rows[row, f] - expected[row, f]) ** 2
    for label in range(labels.starts[row], labels.starts[row + 1]):
        other = labels.other_rows[label]
        # own = f . x_before, the part of the log-odds that this row contributes
        own = rows[row, width - 1]
        for f in range(width - 1):
            features[f] = given[other, f]
            own += features[f] * rows[row, f]
        # The log-odds l = b + g_k + f . x_before of this label
        log_odds = labels.intercept + given[other, width - 1] + own
        size = abs(log_odds)
        # log(1 + exp(l)) - y l = log(1 + exp(-|l|)) + |l| if the sign of l is wrong; exp cannot overflow
        objective += np.log1p(np.exp(-size))
        if (log_odds > 0) != labels.are_positive[label]:
            objective += size
        # tanh(l / 2) = 2 s - 1, which cannot overflow either
        half = np.tanh(0.5 * log_odds)
        if not is_bound:
            weight = 0.25 * (1.0 - half * half)
        elif size > NEAR_ZERO:
            weight = 0.5 * half / log_odds
        else:
            weight = 0.25
        # y - s + w f . x_before
        pull = (0.5 if labels.are_positive[label] else -0.5) - 0.5 * half + weight * own
        # right += (y - s + w f . x_before) f and gram += w f f', lower triangle
        for f in range(width):
            right[f] += pull * features[f]
            for c in range(f + 1):
                gram[f, c] += weight * features[f] * features[c]
    return objective
