"""What every learner of rating vectors promises. Its tests inherit this class and state how good it is."""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import pytest

from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.fold_in import fold_in
from app.algorithms.learner import RatingLearner
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from tests.support.known_ratings import checkerboard, ratings_of_rank

DEGENERATE = {
    "one rating": RatingMatrix(1, 1, [0], [0], [4.0]),
    "one user": RatingMatrix(1, 9, np.zeros(9), np.arange(9), np.arange(9)),
    "one item": RatingMatrix(9, 1, np.arange(9), np.zeros(9), np.arange(9)),
    "constant": RatingMatrix(20, 20, np.repeat(np.arange(20), 20), np.tile(np.arange(20), 20), np.full(400, 3.0)),
    "no ratings": RatingMatrix(3, 2, [], [], []),
    "nobody": RatingMatrix(0, 2, [], [], []),
    "nothing": RatingMatrix(3, 0, [], [], []),
    "rows without ratings": RatingMatrix(50, 40, np.arange(20), np.arange(20) % 3, np.arange(20) % 5),
}


def bits(vectors: RatingVectors) -> list[bytes]:
    return [
        getattr(vectors, each.name).tobytes() for each in fields(vectors) if each.name.endswith(("biases", "factors"))
    ]


class LearnerContract(ABC):
    checkerboard_rmse: ClassVar[tuple[float, float]]
    """From, to: on the hidden cells of a board of 1 and 5."""

    rank_four_rmse: ClassVar[tuple[float, float]]
    """From, to: on held-out ratings of rank 4 with noise 0.5; the mean of all ratings has 1.01, the truth 0.5."""

    @abstractmethod
    def learner(self, **hyperparameters: Any) -> RatingLearner: ...

    def fit(self, ratings: RatingMatrix, seed: int = 0, **hyperparameters: Any) -> RatingVectors:
        return self.learner(**hyperparameters).fit(ratings, np.random.default_rng(seed))

    def test_checkerboard(self) -> None:
        low, high = self.checkerboard_rmse
        assert low <= checkerboard().rmse_of(self.learner()) <= high

    def test_quality_band(self) -> None:
        low, high = self.rank_four_rmse
        assert low <= ratings_of_rank().rmse_of(self.learner()) <= high

    @pytest.mark.parametrize("name", DEGENERATE)
    def test_degenerate_ratings(self, name: str) -> None:
        ratings = DEGENERATE[name]
        learned = self.fit(ratings)
        users, items = (
            np.repeat(np.arange(ratings.n_users), ratings.n_items),
            np.tile(np.arange(ratings.n_items), ratings.n_users),
        )
        predicted = learned.predict(users, items)
        assert np.isfinite(predicted).all()
        assert learned.scores(np.arange(ratings.n_users)).shape == (ratings.n_users, ratings.n_items)
        deviation = learned.standard_deviation(users, items)
        assert deviation is None or (np.isfinite(deviation) & (deviation > 0)).all()

    def test_constant_is_predicted(self) -> None:
        learned = self.fit(DEGENERATE["constant"])
        np.testing.assert_allclose(learned.predict(np.arange(20), np.arange(20)), 3.0, atol=0.1)

    def test_shapes_and_types(self) -> None:
        ratings = ratings_of_rank().train
        learned = self.fit(ratings)
        assert learned.user_biases.shape == (ratings.n_users,)
        assert learned.item_biases.shape == (ratings.n_items,)
        assert learned.user_factors.shape == (ratings.n_users, learned.n_factors)
        assert learned.item_factors.shape == (ratings.n_items, learned.n_factors)
        arrays = (learned.user_biases, learned.item_biases, learned.user_factors, learned.item_factors)
        assert {array.dtype for array in arrays} == {np.dtype(np.float32)}

    def test_same_seed_same_bits(self) -> None:
        ratings = ratings_of_rank().train
        assert bits(self.fit(ratings, seed=3)) == bits(self.fit(ratings, seed=3))

    def test_ratings_stay_untouched(self) -> None:
        ratings = ratings_of_rank().train
        before = ratings.values.copy()
        self.fit(ratings)
        np.testing.assert_array_equal(ratings.values, before)

    def test_unrated_rows_are_zero(self) -> None:
        learned = self.fit(DEGENERATE["rows without ratings"])
        for array in (
            learned.user_biases[20:],
            learned.user_factors[20:],
            learned.item_biases[3:],
            learned.item_factors[3:],
        ):
            np.testing.assert_array_equal(array, 0)

    def test_user_side_is_fold_in(self) -> None:
        ratings = ratings_of_rank(n_users=40).train
        learned = self.fit(ratings)
        for user_row in range(ratings.n_users):
            own = ratings.user_rows == user_row
            items = ratings.item_rows[own]
            targets = ratings.values[own] - learned.mean - learned.item_biases[items]
            how = (learned.regularization, learned.biased, learned.precision)
            factors, bias = fold_in(learned.item_factors[items], targets, how[0], biased=how[1], precision=how[2])
            np.testing.assert_allclose(learned.user_factors[user_row], factors, atol=1e-4)
            assert learned.user_biases[user_row] == pytest.approx(bias, abs=1e-4)

    def test_scale_changes_nothing(self) -> None:
        known = ratings_of_rank(n_users=100, n_items=80)
        rescaled = RatingMatrix(
            known.train.n_users,
            known.train.n_items,
            known.train.user_rows,
            known.train.item_rows,
            known.train.values * 4 - 7,
        )
        plain, other = (
            self.fit(ratings).predict(known.test.user_rows, known.test.item_rows) for ratings in (known.train, rescaled)
        )
        np.testing.assert_allclose(other, plain * 4 - 7, atol=0.05)

    def test_progress_ends_at_one(self) -> None:
        told: list[float] = []
        self.learner().fit(ratings_of_rank().train, np.random.default_rng(0), lambda done, _stage: told.append(done))
        assert told == sorted(told)
        assert told[-1] == 1.0

    def test_unknown_hyperparameter(self) -> None:
        with pytest.raises((InvalidHyperparameterError, TypeError)):
            self.learner(n_factor=3)
