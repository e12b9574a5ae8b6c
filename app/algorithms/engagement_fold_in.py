"""One user's engagement from labels and the items' fixed vectors: a logistic regression. No numba.

What `logistic.py` learns of all users, for one of them and to the end: as every published user side is made so, a user
learned yesterday and a user folded in now are the same arithmetic.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.special import expit

from app.algorithms.fold_in import PRIOR_RATINGS

MAX_STEPS = 100
"""Newton's method takes four to six; more only where labels can be told apart and hardly any penalty holds them."""

TOLERANCE = 1e-6
"""A step that moves nothing by more is the last."""

ROUNDING = 1e-12
"""Of what is minimised: as much more is no more, near the minimum a good step gains less than a sum is exact to."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EngagementFoldIn:
    """[p_u | 1] meets [x_i | b_i]: together the log-odds that u is engaged by i, but for b + b_u, which moves no item.

    `intercept`: b. `regularization`: that of `Logistic`. `liked_from`: a rating is the label 1 from here on, else 0.
    """

    intercept: float
    regularization: float
    liked_from: float

    @property
    def numbers(self) -> dict[str, float]:
        """All of it, by name."""
        return asdict(self)

    @classmethod
    def read(cls, numbers: Mapping[str, float]) -> "EngagementFoldIn":
        """From `numbers`. Raises `KeyError` where one is missing."""
        return cls(**{each.name: numbers[each.name] for each in fields(cls)})

    def part(self, columns: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float32]:
        """The user part (k + 1,) float32, from the item part (m, k + 1) of what was met, and what it was rated.

        `values`: (m,), m >= 0; of what was not rated, inf where it engaged and -inf where it was declined.
        """
        part = self._row(columns, self._labels(values)).astype(np.float32)
        part[-1] = 1.0
        return part

    def influences(
        self, columns: NDArray[np.floating], values: NDArray[np.floating], shown: NDArray[np.floating]
    ) -> Floats:
        """How much of p_u . x_i every label carries, for n items of parts `shown` (n, k + 1): (n, m) float64.

        At the minimum the penalty balances what the labels pull, regularization (m + 60) p_u = sum_j (y_j - s_j) x_j
        with s_j the probability of label j. So each carries (y_j - s_j) x_j . x_i / (regularization (m + 60)), and over
        j that adds up to p_u . x_i (C.-K. Yeh et al., "Representer Point Selection for Explaining Deep Neural
        Networks", 2018). What was to be expected carries little.
        """
        are_positive = self._labels(values)
        row = self._row(columns, are_positive)
        factors = columns[:, :-1].astype(np.float64)
        log_odds = self.intercept + columns[:, -1] + factors @ row[:-1] + row[-1]
        left = are_positive - expit(log_odds)
        carried: Floats = (shown[:, :-1] @ factors.T) * left / (self.regularization * (len(left) + PRIOR_RATINGS))
        return carried

    def _labels(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        labels: NDArray[np.bool_] = values.astype(np.float32) >= np.float32(self.liked_from)  # as exact as in training
        return labels

    def _row(self, columns: NDArray[np.floating], are_positive: NDArray[np.bool_]) -> Floats:
        """(p_u, b_u), (k + 1,)."""
        features = columns.astype(np.float64)
        offsets = self.intercept + features[:, -1]
        features[:, -1] = 1.0
        penalties = np.full(features.shape[1], self.regularization * (len(features) + PRIOR_RATINGS))
        penalties[-1] = self.regularization * PRIOR_RATINGS
        return fold_in(features, offsets, are_positive, penalties)


def fold_in(features: Floats, offsets: Floats, are_one: NDArray[np.bool_], penalties: Floats) -> Floats:
    """The x (c,) that minimises, with l = offset + f . x the log-odds of each label y,

        sum log(1 + exp(l)) - y l  +  1/2 sum_c penalty_c x_c^2

    `features`: (m, c) rows f. `offsets`, `are_one`: (m,). `penalties`: (c,), all above 0.

    Newton's method, x - H^-1 gradient with the curvature w = s (1 - s) of each label, s = sigmoid(l), in
    H = sum w f f' + penalties. A step that goes too far, so that nothing is gained, is halved until something is: what
    is minimised is convex, so every step begins downhill.
    """
    signs = np.where(are_one, -1.0, 1.0)

    def at(x: Floats) -> tuple[Floats, float]:
        """The log-odds, and what is minimised."""
        log_odds = offsets + features @ x
        losses = np.logaddexp(0, signs * log_odds)
        return log_odds, float(losses.sum() + 0.5 * penalties @ x**2)

    x: Floats = np.zeros(features.shape[1])
    log_odds, least = at(x)
    for _ in range(MAX_STEPS):
        half = np.tanh(0.5 * log_odds)  # 2 s - 1
        gradient = (0.5 + 0.5 * half - are_one) @ features + penalties * x
        curvature = (features * (0.25 * (1 - half**2))[:, None]).T @ features
        curvature.ravel()[:: len(x) + 1] += penalties
        # The transpose of what is symmetric is the same, and lies in memory as LAPACK wants it: no copy.
        _, step, info = lapack.dposv(curvature.T, gradient, lower=1, overwrite_a=1)
        if info:  # beside this curvature the penalties are lost in rounding
            break
        reached = x - step
        while np.abs(step).max() >= TOLERANCE:
            log_odds, minimised = at(reached)
            if minimised <= least * (1 + ROUNDING):
                break
            step *= 0.5
            reached = x - step
        else:
            x = reached
            break
        x, least = reached, minimised
    return x
