"""What a factorisation learned: the arrays P, Q, b_u, b_i and mu of the documents, in the caller's own scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.errors import FitDivergedError
from app.algorithms.rating_uncertainty import RatingUncertainty

_PAIRS_PER_BLOCK = 65_536  # keeps the gathered rows of both sides in the cache


@dataclass(frozen=True)
class RatingVectors:
    """r^_ui = mean + user_biases[u] + item_biases[i] + user_factors[u] . item_factors[i]

    `user_biases`: (n_users,), `item_biases`: (n_items,), `user_factors`: (n_users, k), `item_factors`: (n_items, k),
    all float32 and finite, k >= 0. Rows nobody rated are zeros: such a user is predicted mean + b_i, such an item
    mean + b_u. `biased` False: mean and biases are 0 and stay 0 when a user is folded in; what has no ratings is then
    predicted `fallback`, since 0 may not even be a rating.

    The penalty of `fold_in` is either `regularization`, that of one rating, or where it is not None `precision`:
    (2, k + 1, k + 1) float64, symmetric, the first positive definite, the second positive semidefinite, in units of
    the noise. precision[0] is that of (p_u, b_u) among users; precision[1] is added for each rating of a user, since
    item vectors are not known exactly either. The mean of (p_u, b_u) is 0: what all users share belongs to mean and
    item biases, p_u . q_i = (p_u - p) . q_i + p . q_i.
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
    spread: RatingUncertainty | None = None

    @property
    def n_factors(self) -> int:
        return int(self.item_factors.shape[1])

    def predict(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The predicted rating of each pair: (n,) rows -> (n,) float32, not clipped to the scale."""
        predicted = np.empty(len(user_rows), np.float32)
        for start in range(0, len(user_rows), _PAIRS_PER_BLOCK):
            pairs = slice(start, start + _PAIRS_PER_BLOCK)
            users, items = user_rows[pairs], item_rows[pairs]
            p, q = self.user_factors[users], self.item_factors[items]
            # r^_ui = mu + b_u + b_i + p_u . q_i
            biases = np.float32(self.mean) + self.user_biases[users] + self.item_biases[items]
            predicted[pairs] = biases + np.einsum("nk,nk->n", p, q)
            if not self.biased:
                predicted[pairs][~(p.any(axis=1) & q.any(axis=1))] = self.fallback
        return predicted

    def deviation(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> NDArray[np.float32] | None:
        """The standard deviation of the rating of each pair around `predict`: (n,) float32. None: not learned."""
        return None if self.spread is None else self.spread.deviation(user_rows, item_rows)

    def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """What ranks all items for some users, b_i + p_u . q_i: (b,) rows -> (b, n_items). mu + b_u moves none."""
        scores: NDArray[np.float32] = self.user_factors[user_rows] @ self.item_factors.T
        scores += self.item_biases
        return scores

    def checked(self) -> "RatingVectors":
        """Itself; raises `FitDivergedError` where anything is not finite."""
        arrays = (self.user_biases, self.item_biases, self.user_factors, self.item_factors, self.precision)
        if not np.isfinite(self.mean) or not all(np.isfinite(array).all() for array in arrays if array is not None):
            raise FitDivergedError("the fit left the finite numbers; try a smaller learning_rate")
        return self
