"""Biases: the baseline mu + b_u + b_i, without any interaction of user and item. Every other learner must beat it.

Y. Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering" (2010), section 2.1. Minimised, over
observed ratings only:

    sum_ui (r_ui - mu - b_u - b_i)^2 + 60 regularization (sum_u b_u^2 + sum_i b_i^2)

by alternating the exact solutions for items and for users. Complexity: O(n_ratings) per epoch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.progress import ProgressCallback, ignore, report_epoch
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.storage import add_rows, total

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class Biases:
    """Learns mu, b_u and b_i; nothing is random.

    `n_epochs`: alternations of items and users.
    `regularization`: penalty of a bias, as 60 ratings with this weight each.
    `mean_normalisation`: b_i is the distance of the item's own mean mu_i from mu (0 for an item without ratings), and
        only users are regularised. A user without ratings is then predicted exactly mu_i.
    """

    n_epochs: int = hyperparameter(15, low=1, high=100_000)
    regularization: float = hyperparameter(0.08, low=0.0, high=1e6)
    mean_normalisation: bool = hyperparameter(default=False)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self, ratings: RatingMatrix, _rng: np.random.Generator, progress: ProgressCallback = ignore
    ) -> RatingVectors:
        """Rating vectors with factors of width 0. Raises `FitDivergedError` where a bias is not finite."""
        # float64: sums over millions of float32 ratings would lose the last digits of the mean.
        n, values, users, items = len(ratings), ratings.values, ratings.user_rows, ratings.item_rows
        storage = ratings.storage
        mean = total(n, lambda span: values[span].astype(np.float64), storage) / n if n else 0.0
        prior = PRIOR_RATINGS * self.regularization
        user_biases, item_biases = np.zeros(ratings.n_users), np.zeros(ratings.n_items)
        # With mean normalisation the b_i do not depend on the b_u, so one pass is exact.
        for epoch in range(1 if self.mean_normalisation else self.n_epochs):
            # b_i = sum_u (r_ui - mu - b_u) / (m_i + 60 regularization)
            def without_users(span: slice, biases: Float64Array = user_biases) -> Float64Array:
                return values[span].astype(np.float64) - mean - biases[users[span]]

            item_sums = add_rows(items, ratings.n_items, without_users, storage)
            item_biases = _shrunk_means(item_sums, ratings.item_counts, 0.0 if self.mean_normalisation else prior)

            # b_u = sum_i (r_ui - mu - b_i) / (m_u + 60 regularization); users come last, so that the published user
            # side is the fold-in of every user against the published item side.
            def without_items(span: slice, biases: Float64Array = item_biases) -> Float64Array:
                return values[span].astype(np.float64) - mean - biases[items[span]]

            user_sums = add_rows(users, ratings.n_users, without_items, storage)
            user_biases = _shrunk_means(user_sums, ratings.user_counts, prior)
            report_epoch(progress, "biases", epoch, self.n_epochs)
        progress(1.0, "biases fitted")
        return RatingVectors(
            mean=mean,
            user_biases=user_biases.astype(np.float32),
            item_biases=item_biases.astype(np.float32),
            user_factors=np.zeros((ratings.n_users, 0), np.float32),
            item_factors=np.zeros((ratings.n_items, 0), np.float32),
            regularization=self.regularization,
        ).checked()


def _shrunk_means(sums: Float64Array, counts: NDArray[np.int64], prior: float) -> Float64Array:
    """Sum / (count + prior) of every row; 0 for rows without ratings, also where the prior is 0."""
    means = np.zeros_like(sums)
    np.divide(sums, counts + prior, out=means, where=counts > 0)
    return means
