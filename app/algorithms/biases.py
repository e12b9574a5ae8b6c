"""The rating a user gives an item, before any taste: mu + b_u + b_i. What every other algorithm must beat.

Y. Koren, "Factor in the Neighbors" (2010), section 2.1: minimise, over observed ratings only,

    sum_ui (r_ui - mu - b_u - b_i)^2 + 60 regularization (sum_u b_u^2 + sum_i b_i^2)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import Progress, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Biases:
    """Alternates the exact solutions for users and for items; nothing is random.

    `mean_normalisation`: b_i is simply how far the item's own mean mu_i lies from mu (an item without ratings: 0), and
    only users are regularised; a user without ratings is then predicted exactly mu_i.
    """

    n_epochs: int = hyperparameter(15, low=1, high=100_000)
    regularization: float = hyperparameter(0.08, low=0.0, high=1e6)
    mean_normalisation: bool = hyperparameter(default=False)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(self, ratings: RatingMatrix, _rng: np.random.Generator, progress: Progress = ignore) -> RatingVectors:
        """The biases, with factors of width 0; users last, so that their side is the fold-in of every user."""
        values = ratings.values.astype(np.float64)
        mean = float(values.mean()) if len(values) else 0.0
        deviations = values - mean
        prior = PRIOR_RATINGS * self.regularization
        user_biases, item_biases = np.zeros(ratings.n_users), np.zeros(ratings.n_items)
        for epoch in range(1 if self.mean_normalisation else self.n_epochs):
            # b_i = sum_u (r_ui - mu - b_u) / (m_i + 60 regularization)
            of_items = _sums(ratings.item_rows, deviations - user_biases[ratings.user_rows], ratings.n_items)
            item_biases = _shares(of_items, ratings.item_counts, 0.0 if self.mean_normalisation else prior)
            of_users = _sums(ratings.user_rows, deviations - item_biases[ratings.item_rows], ratings.n_users)
            user_biases = _shares(of_users, ratings.user_counts, prior)
            progress((epoch + 1) / self.n_epochs, f"epoch {epoch + 1} of {self.n_epochs}")
        return RatingVectors(
            mean=mean,
            user_biases=user_biases.astype(np.float32),
            item_biases=item_biases.astype(np.float32),
            user_factors=np.zeros((ratings.n_users, 0), np.float32),
            item_factors=np.zeros((ratings.n_items, 0), np.float32),
            regularization=self.regularization,
        ).checked()


def _sums(rows: NDArray[np.int32], values: Wide, n_rows: int) -> Wide:
    return np.bincount(rows, values, n_rows).astype(np.float64)


def _shares(sums: Wide, counts: NDArray[np.int64], prior: float) -> Wide:
    """Every sum / (count + prior); 0 for rows without ratings."""
    shares = np.zeros_like(sums)
    np.divide(sums, counts + prior, out=shares, where=counts > 0)
    return shares
