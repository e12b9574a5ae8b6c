from typing import Any

import numpy as np
import pytest

from app.algorithms.bayesian_mf import BayesianMF
from app.algorithms.errors import InvalidHyperparameter
from app.algorithms.fold_in import fold_in
from app.algorithms.rating_matrix import RatingMatrix
from app.evaluation.metrics import rmse
from app.evaluation.splits import k_folds
from tests.algorithms.contract import LearnerContract, bits
from tests.support.known_ratings import ratings_of_rank
from tests.support.real_data import MOVIELENS, needs_movielens


class TestBayesianMF(LearnerContract):
    checkerboard_rmse = (0.0, 0.1)
    rank_four_rmse = (0.5, 0.56)

    def learner(self, **hyperparameters: Any) -> BayesianMF:
        return BayesianMF(**({"n_epochs": 80} | hyperparameters))


def test_threads_change_no_bit() -> None:
    ratings = ratings_of_rank().train
    learner = BayesianMF(n_epochs=10)
    one, two, eight = (learner.fit(ratings, np.random.default_rng(5), n_threads=n) for n in (1, 2, 8))
    assert bits(one) == bits(two) == bits(eight)


def test_seed_matters() -> None:
    ratings = ratings_of_rank().train
    first, second = (BayesianMF(n_epochs=10).fit(ratings, np.random.default_rng(seed)) for seed in (0, 1))
    assert bits(first) != bits(second)


def test_huge_values_survive() -> None:
    known = ratings_of_rank()
    train = RatingMatrix(300, 200, known.train.user_rows, known.train.item_rows, known.train.values * 1e30)
    learned = BayesianMF(n_epochs=10).fit(train, np.random.default_rng(0))
    assert np.isfinite(learned.predict(train.user_rows, train.item_rows)).all()


def test_identical_users() -> None:
    users, items = np.repeat(np.arange(30), 20), np.tile(np.arange(20), 30)
    ratings = RatingMatrix(30, 20, users, items, items % 5 + 1)
    learned = BayesianMF(n_epochs=40).fit(ratings, np.random.default_rng(0))
    assert rmse(learned.predict(users, items), ratings.values) < 0.1


def test_stops_when_settled() -> None:
    told: list[str] = []
    learner = BayesianMF(n_epochs=10_000)
    train = ratings_of_rank(n_users=100, n_items=60).train
    learner.fit(train, np.random.default_rng(0), lambda _done, stage: told.append(stage))
    assert 20 < len(told) < 3000


def test_new_user_as_good_as_known() -> None:
    known = ratings_of_rank(n_users=400)
    is_new = np.arange(400) >= 300
    without = known.train.subset(~is_new[known.train.user_rows])
    learned, full = (BayesianMF().fit(train, np.random.default_rng(0)) for train in (without, known.train))
    test = known.test.subset(is_new[known.test.user_rows])
    predicted = np.empty(len(test))
    for user_row in np.flatnonzero(is_new):
        own, asked = known.train.user_rows == user_row, test.user_rows == user_row
        items = known.train.item_rows[own]
        targets = known.train.values[own] - learned.mean - learned.item_biases[items]
        factors, bias = fold_in(learned.item_factors[items], targets, 0.0, precision=learned.precision)
        asked_items = test.item_rows[asked]
        predicted[asked] = (
            learned.mean + bias + learned.item_biases[asked_items] + learned.item_factors[asked_items] @ factors
        )
    assert rmse(predicted, test.values) < 1.02 * rmse(full.predict(test.user_rows, test.item_rows), test.values)


def test_strong_noise_strong_prior() -> None:
    clean, noisy = (
        BayesianMF(n_epochs=40).fit(ratings_of_rank(noise=noise).train, np.random.default_rng(0)).precision
        for noise in (0.1, 1.0)
    )
    assert clean is not None
    assert noisy is not None
    assert clean[0][-1, -1] < 0.25 * noisy[0][-1, -1]


@pytest.mark.parametrize(
    "hyperparameters", [{"n_factors": 0}, {"n_epochs": 1.5}, {"n_epochs": 1}, {"n_dimensions": -1}]
)
def test_impossible_hyperparameters(hyperparameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidHyperparameter, match=next(iter(hyperparameters))):
        BayesianMF(**hyperparameters)


@needs_movielens
def test_movielens_quality() -> None:
    columns = np.genfromtxt(MOVIELENS / "ratings.csv", delimiter=",", skip_header=1, usecols=(0, 1, 2))
    users, items = (np.unique(columns[:, each], return_inverse=True)[1] for each in (0, 1))
    ratings = RatingMatrix.of(users, items, columns[:, 2])
    errors = []
    for held_out in (k_folds(len(ratings), 5, 0) == fold for fold in range(2)):
        learned = BayesianMF(n_epochs=100).fit(ratings.subset(~held_out), np.random.default_rng(0))
        test = ratings.subset(held_out)
        errors.append(rmse(learned.predict(test.user_rows, test.item_rows).clip(0.5, 5), test.values))
    assert 0.83 < np.mean(errors) < 0.839
