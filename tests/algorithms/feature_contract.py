"""What every learner promises that predicts from features. Its tests inherit this class and state how good it is."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.errors import FeaturesNeededError
from app.algorithms.learner import Learner, Predictor
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.evaluation.metrics import rmse
from tests.algorithms.contract import DEGENERATE
from tests.support.known_ratings import Known, checkerboard, ratings_of_rank


def parities(n_rows: int) -> sparse.csr_array:
    """Even rows have the first of two features, odd ones the second."""
    return sparse.csr_array(np.eye(2, dtype=np.float32)[np.arange(n_rows) % 2].reshape(-1, 2))


def described(ratings: RatingMatrix) -> RatingMatrix:
    """`ratings` whose users and items are known to be even or odd."""
    return ratings.with_features(Features(items=parities(ratings.n_items), users=parities(ratings.n_users)))


class FeatureLearnerContract(ABC):
    checkerboard_rmse: ClassVar[tuple[float, float]]
    """From, to: on the hidden cells of a board of 1 and 5, whose fields are known to be even or odd."""

    rank_four_rmse: ClassVar[tuple[float, float]]
    """From, to: where the features say nothing; biases have 0.79, the mean of all ratings 1.01, the truth 0.5."""

    @abstractmethod
    def learner(self, **hyperparameters: Any) -> Learner: ...

    def fit(self, ratings: RatingMatrix, seed: int = 0) -> Predictor:
        learned = self.learner().fit(described(ratings), np.random.default_rng(seed))
        assert isinstance(learned, Predictor)
        return learned

    def rmse_on(self, known: Known) -> float:
        predicted = self.fit(known.train).predict(known.test.user_rows, known.test.item_rows)
        return rmse(predicted, known.test.values)

    def test_checkerboard(self) -> None:
        low, high = self.checkerboard_rmse
        assert low <= self.rmse_on(checkerboard()) <= high

    def test_quality_band(self) -> None:
        low, high = self.rank_four_rmse
        assert low <= self.rmse_on(ratings_of_rank()) <= high

    @pytest.mark.parametrize("name", sorted(DEGENERATE.keys() - {"nobody", "nothing"}))  # who could not have features
    def test_degenerate_ratings(self, name: str) -> None:
        ratings = DEGENERATE[name]
        learned = self.fit(ratings)
        assert np.isfinite(predictions(learned, ratings)).all()
        assert np.isfinite(learned.scores(np.arange(ratings.n_users))).all()

    def test_shapes_and_types(self) -> None:
        ratings = checkerboard().train
        learned = self.fit(ratings)
        assert learned.scores(np.arange(3)).shape == (3, ratings.n_items)
        assert learned.scores(np.arange(3)).dtype == np.float32
        assert learned.predict(np.arange(3), np.arange(3)).dtype == np.float32

    def test_scores_order_as_predictions(self) -> None:
        ratings = ratings_of_rank(n_users=30, n_items=20).train
        learned = self.fit(ratings)
        for user_row, scores in enumerate(learned.scores(np.arange(5))):
            predicted = learned.predict(np.full(20, user_row), np.arange(20))
            np.testing.assert_allclose(np.corrcoef(scores, predicted)[0, 1], 1, atol=1e-4)

    def test_same_seed_same_bits(self) -> None:
        ratings = ratings_of_rank(n_users=60, n_items=40).train
        first, second = (predictions(self.fit(ratings, seed=3), ratings) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_scale_changes_nothing(self) -> None:
        known = ratings_of_rank(n_users=60, n_items=40).train
        columns = (known.user_rows, known.item_rows, known.values * 4 - 7)
        rescaled = RatingMatrix(known.n_users, known.n_items, *columns)
        plain, other = (predictions(self.fit(ratings), ratings) for ratings in (known, rescaled))
        np.testing.assert_allclose(other, plain * 4 - 7, atol=0.05)

    def test_progress_ends_at_one(self) -> None:
        told: list[float] = []
        ratings = described(checkerboard().train)
        self.learner().fit(ratings, np.random.default_rng(0), lambda done, _stage: told.append(done))
        assert told == sorted(told)
        assert told[-1] == 1.0

    def test_features_are_needed(self) -> None:
        ratings = checkerboard().train
        for features in (None, Features(items=sparse.csr_array((40, 0)), users=sparse.csr_array((60, 0)))):
            with pytest.raises(FeaturesNeededError, match="features"):
                self.learner().fit(ratings.with_features(features), np.random.default_rng(0))

    def test_features_of_half(self) -> None:
        ratings = checkerboard().train
        features = described(ratings).features
        assert features is not None
        items, users = features.items.toarray(), features.users.toarray()
        items[:20], users[:30] = 0, 0
        partly = Features(items=sparse.csr_array(items), users=sparse.csr_array(users))
        learned = self.learner().fit(ratings.with_features(partly), np.random.default_rng(0))
        assert isinstance(learned, Predictor)
        assert np.isfinite(predictions(learned, ratings)).all()


def predictions(learned: Predictor, ratings: RatingMatrix) -> NDArray[np.float32]:
    """Of every cell."""
    users, items = np.divmod(np.arange(ratings.n_users * ratings.n_items), ratings.n_items)
    return learned.predict(users, items)
