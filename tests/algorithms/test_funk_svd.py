from typing import Any

import numpy as np
import pytest

from app.algorithms.errors import FitDivergedError, InvalidHyperparameterError
from app.algorithms.funk_svd import FunkSVD
from app.algorithms.rating_matrix import RatingMatrix
from app.evaluation.metrics import rmse
from app.evaluation.splits import k_folds
from tests.algorithms.contract import LearnerContract, bits
from tests.support.known_ratings import ratings_of_rank
from tests.support.real_data import MOVIELENS, needs_movielens


class TestFunkSVD(LearnerContract):
    checkerboard_rmse = (0.0, 0.1)
    rank_four_rmse = (0.5, 0.62)

    def learner(self, **hyperparameters: Any) -> FunkSVD:
        return FunkSVD(**hyperparameters)


def large_ratings(n_ratings: int = 250_000) -> RatingMatrix:
    """Enough for threads to be started; more users than items, some rows empty."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 3000, n_ratings), rng.integers(0, 700, n_ratings)
    return RatingMatrix(3100, 711, users, items, rng.integers(1, 6, n_ratings))


def test_threads_change_no_bit() -> None:
    ratings = large_ratings()
    learner = FunkSVD(n_epochs=3, n_factors=20)
    one, two, eight = (learner.fit(ratings, np.random.default_rng(5), n_threads=n) for n in (1, 2, 8))
    assert bits(one) == bits(two) == bits(eight)


def test_seed_matters() -> None:
    ratings = ratings_of_rank().train
    first, second = (FunkSVD().fit(ratings, np.random.default_rng(seed)) for seed in (0, 1))
    assert bits(first) != bits(second)


def test_unbiased_is_plain_product() -> None:
    known = ratings_of_rank()
    learned = FunkSVD(biased=False).fit(known.train, np.random.default_rng(0))
    assert learned.mean == 0
    assert not learned.user_biases.any()
    assert not learned.item_biases.any()
    users, items = known.test.user_rows, known.test.item_rows
    product = learned.user_factors @ learned.item_factors.T
    np.testing.assert_allclose(learned.predict(users, items), product[users, items], atol=1e-5)
    assert rmse(learned.predict(users, items), known.test.values) < 0.75


def test_unbiased_unknown_is_mean() -> None:
    ratings = RatingMatrix(21, 21, np.repeat(np.arange(20), 20), np.tile(np.arange(20), 20), np.arange(400) % 5 + 1)
    learned = FunkSVD(biased=False).fit(ratings, np.random.default_rng(0))
    np.testing.assert_allclose(learned.predict(np.array([20, 0, 20]), np.array([0, 20, 20])), 3.0)


def test_heavy_tails_are_learned() -> None:
    rng, ratings = np.random.default_rng(0), ratings_of_rank().train
    counts = 1e4 * rng.pareto(0.9, len(ratings))
    FunkSVD().fit(RatingMatrix(ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows, counts), rng)


def test_divergence_is_an_error() -> None:
    with pytest.raises(FitDivergedError, match="learning_rate"):
        FunkSVD(learning_rate=1e6).fit(ratings_of_rank().train, np.random.default_rng(0))


def test_huge_values_survive() -> None:
    known = ratings_of_rank()
    train = RatingMatrix(300, 200, known.train.user_rows, known.train.item_rows, known.train.values * 1e30)
    learned = FunkSVD().fit(train, np.random.default_rng(0))
    assert np.isfinite(learned.predict(train.user_rows, train.item_rows)).all()


def test_early_stop_saves_weak_penalty() -> None:
    known = ratings_of_rank(noise=1.0)
    short = known.rmse_of(FunkSVD(regularization=0.01, n_epochs=30))
    long = known.rmse_of(FunkSVD(regularization=0.01, n_epochs=300))
    assert long < 1.1 * short


def test_noise_sets_the_penalty() -> None:
    clean, noisy = (
        FunkSVD().fit(ratings_of_rank(noise=noise).train, np.random.default_rng(0)).regularization
        for noise in (0.1, 1.0)
    )
    assert clean < 0.25 * noisy


def test_one_epoch_works() -> None:
    assert ratings_of_rank().rmse_of(FunkSVD(n_epochs=1)) < 1.1


@pytest.mark.parametrize(
    "hyperparameters",
    [{"n_factors": 0}, {"n_epochs": 1.5}, {"learning_rate": float("nan")}, {"regularization": -1.0}, {"biased": 1}],
)
def test_impossible_hyperparameters(hyperparameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidHyperparameterError, match=next(iter(hyperparameters))):
        FunkSVD(**hyperparameters)


@needs_movielens
def test_movielens_quality() -> None:
    columns = np.genfromtxt(MOVIELENS / "ratings.csv", delimiter=",", skip_header=1, usecols=(0, 1, 2))
    users, items = (np.unique(columns[:, each], return_inverse=True)[1] for each in (0, 1))
    ratings = RatingMatrix.from_arrays(users, items, columns[:, 2])
    errors = []
    for held_out in (k_folds(len(ratings), 5, 0) == fold for fold in range(5)):
        learned = FunkSVD().fit(ratings.subset(~held_out), np.random.default_rng(0))
        test = ratings.subset(held_out)
        errors.append(rmse(learned.predict(test.user_rows, test.item_rows).clip(0.5, 5), test.values))
    assert 0.835 < np.mean(errors) < 0.845
