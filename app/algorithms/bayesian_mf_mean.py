"""The mean of the draws, as rating vectors."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.bayesian_mf_prior import learn_precision
from app.algorithms.bayesian_mf_uncertainty import SampleUncertainty
from app.algorithms.gibbs_mean import MeanProduct
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

if TYPE_CHECKING:
    from app.algorithms.gibbs import Chain

PRODUCT_EVERY = 4
"""Neighbouring draws are alike: the products of every fourth say as much as those of all."""

Wide = NDArray[np.float64]


class PosteriorMean:
    """What is kept of the draws from these ratings. `targets`: (n,) float32, the ratings with mean 0 and variance 1."""

    def __init__(self, ratings: RatingMatrix, n_factors: int) -> None:
        self.ratings = ratings
        values = ratings.values.astype(np.float64)
        self.centre = float(values.mean()) if len(values) else 0.0
        self.scale = (float(values.std()) if len(values) else 0.0) or 1.0  # where all are equal, nothing is to scale
        self.targets = ((values - self.centre) / self.scale).astype(np.float32)
        self.product = MeanProduct(n_factors)
        self.n_draws = 0
        self.user_biases, self.item_biases = np.zeros(ratings.n_users), np.zeros(ratings.n_items + 1)
        self.noise = 0.0
        self.spread = SampleUncertainty(ratings)

    def add(self, chain: "Chain") -> None:
        """One more draw. Given the users, the items' expectation is known: their own draws would only add noise."""
        if self.n_draws % PRODUCT_EVERY == 0:
            self.product.add(chain.users[:, :-1], chain.item_means[:, :-1])
        self.user_biases += chain.users[:, -1]
        self.item_biases += chain.item_means[:, -1]
        self.noise += chain.noise
        self.spread.add(chain)
        self.n_draws += 1

    def vectors(self) -> RatingVectors:
        """The rating vectors, their user side still zeros."""
        if not self.n_draws:
            return self._vectors(0.0, np.zeros(self.ratings.n_items), np.zeros((self.ratings.n_items, 0)), None)
        p, q = (side.astype(np.float64) for side in self.product.sides())
        x = np.hstack([p, self.user_biases[:, None] / self.n_draws])
        mean, x, item_biases, q = _centred(x, self.item_biases / self.n_draws, q, self.ratings.user_counts > 0)
        precision = self._precision(mean, x, item_biases, q)
        return self._vectors(mean, item_biases, q, precision)

    def _precision(self, mean: float, x: Wide, item_biases: Wide, q: Wide) -> Wide:
        """What folds users in to about x, (n_users, k + 1)."""
        users, items = self.ratings.user_rows, self.ratings.item_rows
        f = np.hstack([q, np.ones((len(q), 1))])
        errors = self.targets - mean - item_biases[items] - sum(x[users, k] * f[items, k] for k in range(x.shape[1]))
        # g_u = sum f (t - x . f)
        gradients = sparse.csr_array((errors, (users, items)), shape=(len(x), len(f))) @ f
        rated = np.flatnonzero(self.ratings.user_counts)
        return learn_precision(x[rated], gradients[rated], self.ratings.user_counts[rated], self.noise / self.n_draws)

    def _vectors(self, mean: float, item_biases: Wide, q: Wide, precision: Wide | None) -> RatingVectors:
        is_rated = self.ratings.item_counts > 0
        n_users = self.ratings.n_users
        return RatingVectors(
            mean=self.centre + self.scale * mean,
            user_biases=np.zeros(n_users, np.float32),
            item_biases=(self.scale * item_biases * is_rated).astype(np.float32),
            user_factors=np.zeros((n_users, q.shape[1]), np.float32),
            item_factors=(q * is_rated[:, None]).astype(np.float32),
            regularization=0.0,
            precision=precision,
        )


def _centred(x: Wide, item_biases: Wide, q: Wide, is_user_rated: NDArray[np.bool_]) -> tuple[float, Wide, Wide, Wide]:
    """The same predictions where the mean user is 0, and so is an item yet to come, the last one given.

    x: (n_users, k + 1), (p_u, b_u). Returns the mean, x, and without the last item b_i and q_i.

        b_u + b_i + p_u . q_i = (b_u + p_u . q) + b_i + p_u . (q_i - q)
    """
    x = x.copy()
    x[:, -1] += x[:, :-1] @ q[-1]
    q = q[:-1] - q[-1]
    middle = x[is_user_rated].mean(axis=0)
    return item_biases[-1] + middle[-1], x - middle, item_biases[:-1] - item_biases[-1] + q @ middle[:-1], q
