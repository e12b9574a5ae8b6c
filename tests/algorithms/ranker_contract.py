"""What every learner promises, whether or not it learns vectors. Its tests inherit one of these classes."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from app.algorithms.by_name import LEARNERS
from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.learner import Learner, Predictor, Ranker
from app.algorithms.rating_matrix import RatingMatrix
from app.evaluation.metrics import rmse
from tests.algorithms.contract import DEGENERATE
from tests.support.known_ratings import checkerboard, ratings_of_rank


def all_scores(learned: Ranker, ratings: RatingMatrix) -> NDArray[np.float32]:
    return learned.scores(np.arange(ratings.n_users))


class RankerContract(ABC):
    """A learner that at least orders the items of a user."""

    name: ClassVar[str]
    """In `LEARNERS`."""

    board_pairs_right: ClassVar[float] = 0.99
    """Share of pairs, one hidden loved cell and one hidden hated cell of a checkerboard's user, that it orders."""

    @abstractmethod
    def learner(self, **hyperparameters: Any) -> Learner: ...

    def of_board(self, ratings: RatingMatrix) -> RatingMatrix:
        """What it learns from of a board of 1 and 5."""
        return ratings

    def fit(self, ratings: RatingMatrix, seed: int = 0, **hyperparameters: Any) -> Ranker:
        return self.learner(**hyperparameters).fit(ratings, np.random.default_rng(seed))

    def test_is_listed(self) -> None:
        assert LEARNERS[self.name] is type(self.learner())

    def test_checkerboard_order(self) -> None:
        known = checkerboard()
        scores = all_scores(self.fit(self.of_board(known.train)), known.train)
        right = []
        for user in range(known.test.n_users):
            own = known.test.user_rows == user
            of_user = scores[user, known.test.item_rows[own]]
            is_loved = known.test.values[own] == 5
            right.append((of_user[is_loved][:, None] > of_user[~is_loved]).ravel())
        assert np.concatenate(right).mean() >= self.board_pairs_right

    @pytest.mark.parametrize("name", DEGENERATE)
    def test_degenerate_ratings(self, name: str) -> None:
        ratings = DEGENERATE[name]
        learned = self.fit(ratings)
        scores = all_scores(learned, ratings)
        assert scores.shape == (ratings.n_users, ratings.n_items)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        if isinstance(learned, Predictor):
            users, items = np.indices(scores.shape).reshape(2, -1)
            predicted = learned.predict(users, items)
            assert predicted.shape == users.shape
            assert predicted.dtype == np.float32
            assert np.isfinite(predicted).all()

    def test_users_in_any_order(self) -> None:
        ratings = ratings_of_rank(n_users=60, n_items=50).train
        learned = self.fit(ratings)
        rows = np.array([7, 3, 3, 59])
        np.testing.assert_allclose(learned.scores(rows), all_scores(learned, ratings)[rows], atol=1e-4)
        assert learned.scores(rows[:0]).shape == (0, 50)

    def test_same_seed_same_bits(self) -> None:
        ratings = ratings_of_rank().train
        first, second = (all_scores(self.fit(ratings, seed=3), ratings) for _ in range(2))
        assert first.tobytes() == second.tobytes()

    def test_ratings_stay_untouched(self) -> None:
        ratings = ratings_of_rank().train
        before = ratings.values.copy(), ratings.by_user.data.copy()
        all_scores(self.fit(ratings), ratings)
        np.testing.assert_array_equal(ratings.values, before[0])
        np.testing.assert_array_equal(ratings.by_user.data, before[1])

    def test_progress_ends_at_one(self) -> None:
        told: list[float] = []
        self.learner().fit(ratings_of_rank().train, np.random.default_rng(0), lambda done, _stage: told.append(done))
        assert told == sorted(told)
        assert told[-1] == 1.0

    def test_unknown_hyperparameter(self) -> None:
        with pytest.raises((InvalidHyperparameterError, TypeError)):
            self.learner(n_factor=3)


class PredictorContract(RankerContract):
    """A learner that also predicts ratings, in any scale."""

    checkerboard_rmse: ClassVar[tuple[float, float]]
    """From, to: on the hidden cells of a board of 1 and 5."""

    rank_four_rmse: ClassVar[tuple[float, float]]
    """From, to: on held-out ratings of rank 4 with noise 0.5; the mean of all ratings has 1.01, the truth 0.5."""

    def predictor(self, ratings: RatingMatrix, seed: int = 0, **hyperparameters: Any) -> Predictor:
        learned = self.fit(ratings, seed, **hyperparameters)
        assert isinstance(learned, Predictor)
        return learned

    def test_checkerboard_error(self) -> None:
        known = checkerboard()
        predicted = self.predictor(known.train).predict(known.test.user_rows, known.test.item_rows)
        low, high = self.checkerboard_rmse
        assert low <= rmse(predicted, known.test.values) <= high

    def test_quality_band(self) -> None:
        known = ratings_of_rank()
        predicted = self.predictor(known.train).predict(known.test.user_rows, known.test.item_rows)
        low, high = self.rank_four_rmse
        assert low <= rmse(predicted, known.test.values) <= high

    def test_constant_is_predicted(self) -> None:
        learned = self.predictor(DEGENERATE["constant"])
        np.testing.assert_allclose(learned.predict(np.arange(20), np.arange(20)), 3.0, atol=0.1)

    def test_scale_changes_nothing(self) -> None:
        known = ratings_of_rank(n_users=100, n_items=80)
        train, test = known.train, known.test
        other = RatingMatrix(train.n_users, train.n_items, train.user_rows, train.item_rows, train.values * 4 - 7)
        plain, rescaled = (
            self.predictor(ratings).predict(test.user_rows, test.item_rows) for ratings in (train, other)
        )
        np.testing.assert_allclose(rescaled, plain * 4 - 7, atol=0.05)
