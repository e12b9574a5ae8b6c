"""The result of a matrix factorisation: P, Q, b_u, b_i and mu, in the caller's own rating scale.

Y. Koren, R. Bell, C. Volinsky, "Matrix Factorization Techniques for Recommender Systems" (2009).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.errors import FitDivergedError
from app.algorithms.rating_uncertainty import RatingUncertainty

# Gathered rows of both sides (65,536 x k float32 each) stay in the cache while their products are summed.
_PAIRS_PER_BLOCK = 65_536


@dataclass(frozen=True)
class RatingVectors:
    """r^_ui = mean + user_biases[u] + item_biases[i] + user_factors[u] . item_factors[i]

    `mean`: mu, in the rating scale.
    `user_biases`, `item_biases`: (n_users,), (n_items,) float32, finite, in the rating scale.
    `user_factors`, `item_factors`: (n_users, k), (n_items, k) float32, finite, k >= 0.
    `regularization`: the penalty of `fold_in` where `precision` is None.
    `biased`: False means that mean and biases are 0 and stay 0 when a user is folded in.
    `fallback`: predicted without biases for pairs whose user or item has no ratings; 0 need not be a valid rating.
    `precision`: (2, k + 1, k + 1) float64, symmetric, in units of the noise; None for learners with a plain penalty.
        precision[0], positive definite, is the prior precision of (p_u, b_u) among users. precision[1], positive
        semidefinite, is added once per rating of a user, because item vectors are themselves uncertain.
    `uncertainty`: of predictions; None where the learner does not estimate it.

    Rows without ratings are 0: such a user is predicted mean + b_i, such an item mean + b_u. Under a `precision` the
    prior mean of (p_u, b_u) is 0, because p_u . q_i = (p_u - p) . q_i + p . q_i lets the mean user p move into the
    mean and the item biases.
    """

    mean: float
    user_biases: NDArray[np.float32]
    item_biases: NDArray[np.float32]
    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    regularization: float
    biased: bool = True
    fallback: float = 0.0
    precision: NDArray[np.float64] | None = None
    uncertainty: RatingUncertainty | None = None

    @property
    def n_factors(self) -> int:
        return int(self.item_factors.shape[1])

    def predict(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The predicted rating of each pair: (n,) rows each -> (n,) float32 in the rating scale, not clipped to it."""
        predicted = np.empty(len(user_rows), np.float32)
        for start in range(0, len(user_rows), _PAIRS_PER_BLOCK):
            pairs = slice(start, start + _PAIRS_PER_BLOCK)
            users, items = user_rows[pairs], item_rows[pairs]
            p, q = self.user_factors[users], self.item_factors[items]
            # r^_ui = mu + b_u + b_i + p_u . q_i
            biases = np.float32(self.mean) + self.user_biases[users] + self.item_biases[items]
            predicted[pairs] = biases + np.einsum("nk,nk->n", p, q)
            # Without biases a row of zeros would predict 0, which may lie outside the rating scale.
            if not self.biased:
                predicted[pairs][~(p.any(axis=1) & q.any(axis=1))] = self.fallback
        return predicted

    def standard_deviation(
        self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]
    ) -> NDArray[np.float32] | None:
        """The predictive standard deviation of each pair around `predict`: (n,) float32; None where not estimated."""
        return None if self.uncertainty is None else self.uncertainty.standard_deviation(user_rows, item_rows)

    def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Ranking scores of all items, b_i + p_u . q_i: (b,) user rows -> (b, n_items) float32."""
        # mu + b_u is the same for all items of a user, so it does not change their order.
        scores: NDArray[np.float32] = self.user_factors[user_rows] @ self.item_factors.T
        scores += self.item_biases
        return scores

    def checked(self) -> "RatingVectors":
        """Return self; raises `FitDivergedError` where any value is not finite."""
        # A single NaN would spread to every score of its row, and to sorting.
        arrays = (self.user_biases, self.item_biases, self.user_factors, self.item_factors, self.precision)
        if not np.isfinite(self.mean) or not all(np.isfinite(array).all() for array in arrays if array is not None):
            raise FitDivergedError("the fit produced values that are not finite; try a smaller learning_rate")
        return self
