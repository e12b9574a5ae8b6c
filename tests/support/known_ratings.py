"""Ratings whose right answer is known beforehand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.learner import RatingLearner
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.evaluation.metrics import rmse


@dataclass(frozen=True)
class Known:
    """`train` to learn from, `test` to predict. `least_rmse`: the RMSE of the noise, which no prediction can beat."""

    train: RatingMatrix
    test: RatingMatrix
    least_rmse: float

    def rmse_of(self, learner: RatingLearner, seed: int = 0) -> float:
        learned = learner.fit(self.train, np.random.default_rng(seed))
        return rmse(learned.predict(self.test.user_rows, self.test.item_rows), self.test.values)


def checkerboard(n_users: int = 60, n_items: int = 40, low: float = 1.0, high: float = 5.0) -> Known:
    """Even users love even items and hate odd ones, odd users the reverse; 60 % of the cells are known."""
    users, items = _all_cells(n_users, n_items)
    values = np.where((users + items) % 2 == 0, high, low)
    return _split(RatingMatrix(n_users, n_items, users, items, values), 0.6, least_rmse=0.0)


def ratings_of_rank(
    rank: int = 4, n_users: int = 300, n_items: int = 200, noise: float = 0.5, density: float = 0.3, seed: int = 0
) -> Known:
    """3.5 + b_u + b_i + p_u . q_i + noise; the biases have variances 0.16 and 0.25, the taste 0.36."""
    rng = np.random.default_rng(seed)
    user_states = rng.normal(0, np.sqrt(0.6), (n_users, rank)) / np.sqrt(rank)
    items_of_rank = rng.normal(0, np.sqrt(0.6), (n_items, rank))
    users, items = _all_cells(n_users, n_items)
    values = (
        3.5
        + rng.normal(0, 0.4, n_users)[users]
        + rng.normal(0, 0.5, n_items)[items]
        + np.sum(user_states[users] * items_of_rank[items], axis=1)
        + rng.normal(0, noise, len(users))
    )
    known = rng.random(len(users)) < density
    return _split(RatingMatrix(n_users, n_items, users[known], items[known], values[known]), 0.8, least_rmse=noise)


def only_items(features: NDArray[np.floating], n_users: int) -> Features:
    """Features of items (n_items, f); nothing is known of the users."""
    return Features(sparse.csr_array(features.astype(np.float32)), sparse.csr_array(np.zeros((n_users, 0), np.float32)))


def of_known_features(noise: float, n_users: int = 300, n_items: int = 120, seed: int = 0) -> Known:
    """15 ratings for each user, by the user's preference for six flags of items; a seventh flag has no effect."""
    rng = np.random.default_rng(seed)
    flags = (rng.random((n_items, 7)) < 0.4).astype(np.float64)
    user_states = rng.normal(0, [1.0, 1.0, 0.5, 0.5, 0.2, 0.2, 0.0], (n_users, 7))
    users, items = np.divmod(np.arange(n_users * n_items), n_items)
    values = 3 + rng.normal(0, 0.5, n_users)[users] + np.sum(user_states[users] * flags[items], axis=1)
    values += rng.normal(0, noise, len(values))
    is_train = rng.random(len(values)) < 15 / n_items
    ratings = RatingMatrix(n_users, n_items, users, items, values).with_features(only_items(flags, n_users))
    return Known(ratings.subset(is_train), ratings.subset(~is_train), noise)


def _all_cells(n_users: int, n_items: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.repeat(np.arange(n_users), n_items), np.tile(np.arange(n_items), n_users)


def _split(ratings: RatingMatrix, learned_share: float, least_rmse: float) -> Known:
    is_learned = np.random.default_rng(7).random(len(ratings)) < learned_share
    return Known(ratings.subset(is_learned), ratings.subset(~is_learned), least_rmse)
