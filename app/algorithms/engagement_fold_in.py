"""The fold-in of the engagement segment: one user's vector from labels and fixed item vectors. No numba.

A ridge-penalised logistic regression, the user half-step of `logistic.py` solved to convergence:

    P(positive) = sigmoid(b + b_u + b_i + p_u . x_i)

Training computes the published user side in the same way, so a published user and the same user folded in later have
the same vector. Complexity: O(m k^2 + k^3) per Newton step for m labels, four to six steps.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.special import expit

from app.algorithms.fold_in import PRIOR_RATINGS

# Newton steps at most. Four to six are usual; more are needed where labels are separable and the penalty is tiny.
MAX_STEPS = 100

# The iteration ends after a step that changes no coordinate by more than this.
TOLERANCE = 1e-6

# Relative rise of the objective that still counts as no rise: near the minimum a good step gains less than the rounding
# error of the sum.
ROUNDING = 1e-12

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class EngagementFoldIn:
    """Computes the user part [p_u | 1]; its product with the item part [x_i | b_i] orders items by log-odds.

    b + b_u is left out: it is the same for all items of a user.

    `intercept`: b. `regularization`: of `Logistic`. `liked_from`: ratings from this value on are positive labels.
    """

    intercept: float
    regularization: float
    liked_from: float

    @property
    def numbers(self) -> dict[str, float]:
        """The fields by name, as a snapshot stores them."""
        return asdict(self)

    @classmethod
    def from_state(cls, numbers: Mapping[str, float]) -> "EngagementFoldIn":
        """The inverse of `numbers`. Raises `KeyError` where one is missing."""
        return cls(**{each.name: numbers[each.name] for each in fields(cls)})

    def part(self, columns: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float32]:
        """The user part (k + 1,) float32 from m observed items, m >= 0.

        `columns`: (m, k + 1), their item parts. `values`: (m,), their ratings; for items without a rating, inf stands
        for a positive label and -inf for a negative one.
        """
        part = self._row(columns, self._labels(values)).astype(np.float32)
        part[-1] = 1.0  # multiplies b_i
        return part

    def influences(
        self, columns: NDArray[np.floating], values: NDArray[np.floating], shown: NDArray[np.floating]
    ) -> Float64Array:
        """The contribution of every label to p_u . x_i, for n items with parts `shown` (n, k + 1): (n, m) float64.

        At the minimum the gradient is 0: regularization (m + 60) p_u = sum_j (y_j - s_j) x_j, with s_j the predicted
        probability of label j. Label j thus contributes (y_j - s_j) x_j . x_i / (regularization (m + 60)), and the sum
        over j is p_u . x_i (C.-K. Yeh et al., "Representer Point Selection for Explaining Deep Neural Networks", 2018).
        Labels that were predicted well contribute little.
        """
        are_positive = self._labels(values)
        # (p_u, b_u) at the minimum; the identity of the docstring holds only there.
        row = self._row(columns, are_positive)
        factors = columns[:, :-1].astype(np.float64)
        log_odds = self.intercept + columns[:, -1] + factors @ row[:-1] + row[-1]
        # y_j - s_j
        residuals = are_positive - expit(log_odds)
        penalty = self.regularization * (len(residuals) + PRIOR_RATINGS)
        contributions: Float64Array = (shown[:, :-1] @ factors.T) * residuals / penalty
        return contributions

    def _labels(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        # float32 on both sides, as in training: a rating of 0.7 is not below a threshold of 0.7.
        labels: NDArray[np.bool_] = values.astype(np.float32) >= np.float32(self.liked_from)
        return labels

    def _row(self, columns: NDArray[np.floating], are_positive: NDArray[np.bool_]) -> Float64Array:
        """(p_u, b_u), (k + 1,) float64."""
        features = columns.astype(np.float64)
        # The known part of the log-odds is b + b_i; the column of b_i becomes the constant feature of b_u.
        offsets = self.intercept + features[:, -1]
        features[:, -1] = 1.0
        # regularization (m + 60) for p_u and 60 regularization for b_u, as in training
        penalties = np.full(features.shape[1], self.regularization * (len(features) + PRIOR_RATINGS))
        penalties[-1] = self.regularization * PRIOR_RATINGS
        return logistic_regression(features, offsets, are_positive, penalties)


def logistic_regression(
    features: Float64Array, offsets: Float64Array, are_positive: NDArray[np.bool_], penalties: Float64Array
) -> Float64Array:
    """The x (c,) that minimises, with l = offset + f . x the log-odds of each label y,

        sum log(1 + exp(l)) - y l  +  1/2 sum_c penalty_c x_c^2

    `features`: (m, c) rows f. `offsets`, `are_positive`: (m,). `penalties`: (c,), all above 0.

    Newton's method with step halving. The objective is convex, so the Newton direction always descends and a short
    enough step lowers the objective.
    """
    signs = np.where(are_positive, -1.0, 1.0)

    def objective(x: Float64Array) -> tuple[Float64Array, float]:
        """The log-odds, and the value of the objective."""
        log_odds = offsets + features @ x
        # log(1 + exp(l)) - y l = log(1 + exp(-l)) for y = 1 and log(1 + exp(l)) for y = 0; `logaddexp` cannot overflow.
        losses = np.logaddexp(0, signs * log_odds)
        return log_odds, float(losses.sum() + 0.5 * penalties @ x**2)

    x: Float64Array = np.zeros(features.shape[1])
    log_odds, least = objective(x)
    for _ in range(MAX_STEPS):
        # s = sigmoid(l) = (1 + tanh(l / 2)) / 2, which cannot overflow;  s (1 - s) = (1 - tanh^2(l / 2)) / 4
        half = np.tanh(0.5 * log_odds)
        # gradient = sum (s - y) f + penalties x;    H = sum s (1 - s) f f' + diag(penalties)
        gradient = (0.5 + 0.5 * half - are_positive) @ features + penalties * x
        curvature = (features * (0.25 * (1 - half**2))[:, None]).T @ features
        curvature.ravel()[:: len(x) + 1] += penalties
        # H step = gradient, by Cholesky; the transpose of a symmetric matrix has LAPACK's order without a copy.
        _, step, info = lapack.dposv(curvature.T, gradient, lower=1, overwrite_a=1)
        if info:  # not positive definite: the penalties are lost in the rounding of the curvature
            break
        candidate = x - step
        while np.abs(step).max() >= TOLERANCE:
            log_odds, value = objective(candidate)
            if value <= least * (1 + ROUNDING):
                break
            step *= 0.5
            candidate = x - step
        else:  # the step is below the tolerance: converged
            x = candidate
            break
        x, least = candidate, value
    return x
