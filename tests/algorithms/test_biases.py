from typing import Any

import numpy as np
import pytest

from app.algorithms.biases import Biases
from app.algorithms.rating_matrix import RatingMatrix
from tests.algorithms.contract import LearnerContract
from tests.support.known_ratings import ratings_of_rank


class TestBiases(LearnerContract):
    checkerboard_rmse = (1.95, 2.1)  # no biases describe it: the standard deviation itself
    rank_four_rmse = (0.75, 0.85)

    def learner(self, **hyperparameters: Any) -> Biases:
        return Biases(**hyperparameters)


def test_is_least_squares() -> None:
    ratings = ratings_of_rank(n_users=12, n_items=9).train
    learned = Biases(n_epochs=500).fit(ratings, np.random.default_rng(0))
    design = np.zeros((len(ratings), 21))
    design[np.arange(len(ratings)), ratings.user_rows] = 1
    design[np.arange(len(ratings)), 12 + ratings.item_rows] = 1
    targets = ratings.values - ratings.values.mean(dtype=np.float64)
    expected = np.linalg.solve(design.T @ design + 60 * 0.08 * np.eye(21), design.T @ targets)
    np.testing.assert_allclose(np.append(learned.user_biases, learned.item_biases), expected, atol=1e-5)


def test_new_user_gets_item_mean() -> None:
    # The fourth user of the mean normalisation of the documents: no ratings, so w.x + b = 0 and mu_i is left.
    films = np.array([[5, 5, 0, 0], [5, np.nan, np.nan, 0], [np.nan, 4, 0, np.nan], [0, 0, 5, 4], [0, 0, 5, np.nan]])
    items, users = np.nonzero(np.isfinite(films))
    ratings = RatingMatrix(5, 5, users, items, films[items, users])
    learned = Biases(mean_normalisation=True).fit(ratings, np.random.default_rng(0))
    predicted = learned.predict(np.full(5, 4), np.arange(5))
    np.testing.assert_allclose(predicted, [2.5, 2.5, 2.0, 2.25, 5 / 3], rtol=1e-6)


def test_penalty_shrinks_small_rows() -> None:
    ratings = RatingMatrix(2, 1, [0, 1], [0, 0], [5.0, 1.0])
    learned = Biases().fit(ratings, np.random.default_rng(0))
    assert learned.user_biases[0] == pytest.approx(2 / (1 + 4.8), rel=1e-3)
