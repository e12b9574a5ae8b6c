from typing import Any

import numpy as np
import pytest

from app.algorithms import als
from app.algorithms.als import ALS, Alternation
from app.algorithms.errors import FitDivergedError, InvalidHyperparameterError
from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from tests.algorithms.contract import LearnerContract, bits
from tests.support.known_ratings import ratings_of_rank


class TestALS(LearnerContract):
    checkerboard_rmse = (0.0, 0.1)
    rank_four_rmse = (0.5, 0.62)

    def learner(self, **hyperparameters: Any) -> ALS:
        return ALS(**hyperparameters)


def objective(ratings: RatingMatrix, vectors: RatingVectors) -> float:
    """As the head of `funk_svd.py` has it."""
    errors = ratings.values - vectors.predict(ratings.user_rows, ratings.item_rows).astype(np.float64)
    penalty = sum(
        (counts + PRIOR_RATINGS) @ (factors.astype(np.float64) ** 2).sum(axis=1)
        + PRIOR_RATINGS * (biases.astype(np.float64) ** 2).sum()
        for counts, factors, biases in (
            (ratings.user_counts, vectors.user_factors, vectors.user_biases),
            (ratings.item_counts, vectors.item_factors, vectors.item_biases),
        )
    )
    return float(errors @ errors + vectors.regularization * penalty)


def test_objective_falls() -> None:
    known = ratings_of_rank().train
    ratings = RatingMatrix(300, 200, known.user_rows, known.item_rows, known.values - known.values.mean())
    vectors = ALS(n_factors=4)._initial(ratings, np.random.default_rng(0))
    alternation, losses = Alternation(ratings, None), []
    for _ in range(8):
        vectors = alternation.step(vectors)
        losses.append(objective(ratings, vectors))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]


def test_items_are_regressions() -> None:
    known = ratings_of_rank(n_users=50, n_items=30).train
    ratings = RatingMatrix(50, 30, known.user_rows, known.item_rows, known.values - known.values.mean())
    vectors = Alternation(ratings, None).step(ALS(n_factors=3)._initial(ratings, np.random.default_rng(0)))
    for item_row in range(30):
        own = ratings.item_rows == item_row
        users = ratings.user_rows[own]
        features = np.column_stack([vectors.user_factors[users], np.ones(len(users))]).astype(np.float64)
        penalties = 0.08 * np.array([own.sum() + PRIOR_RATINGS] * 3 + [PRIOR_RATINGS])
        targets = ratings.values[own] - vectors.user_biases[users]
        exact = np.linalg.solve(features.T @ features + np.diag(penalties), features.T @ targets)
        np.testing.assert_allclose(vectors.item_factors[item_row], exact[:3], atol=1e-5)
        assert vectors.item_biases[item_row] == pytest.approx(exact[3], abs=1e-5)


def test_threads_change_no_bit() -> None:
    ratings = ratings_of_rank().train
    one, two, eight = (ALS(n_epochs=4).fit(ratings, np.random.default_rng(5), n_threads=n) for n in (1, 2, 8))
    assert bits(one) == bits(two) == bits(eight)


def test_noise_sets_the_penalty() -> None:
    clean, noisy = (
        ALS().fit(ratings_of_rank(noise=noise).train, np.random.default_rng(0)).regularization for noise in (0.1, 1.0)
    )
    assert clean < 0.25 * noisy


def test_held_out_error_stops_it() -> None:
    stages: list[str] = []
    ALS(n_epochs=60).fit(ratings_of_rank().train, np.random.default_rng(0), lambda _done, stage: stages.append(stage))
    assert len(stages) < 60
    assert stages[-20:] == [f"als epoch {epoch} of 60" for epoch in range(41, 61)]


def test_divergence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als, "INITIAL_LENGTH", np.nan)
    with pytest.raises(FitDivergedError):
        ALS().fit(ratings_of_rank().train, np.random.default_rng(0))


def test_huge_values_survive() -> None:
    train = ratings_of_rank().train
    huge = RatingMatrix(300, 200, train.user_rows, train.item_rows, train.values * 1e30)
    learned = ALS().fit(huge, np.random.default_rng(0))
    assert np.isfinite(learned.predict(huge.user_rows, huge.item_rows)).all()


def test_one_epoch_works() -> None:
    assert ratings_of_rank().rmse_of(ALS(n_epochs=1)) < 1.1


@pytest.mark.parametrize("wrong", [{"n_factors": 0}, {"n_epochs": 1.5}, {"regularization": -1.0}])
def test_impossible_hyperparameters(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidHyperparameterError, match=next(iter(wrong))):
        ALS(**wrong)
