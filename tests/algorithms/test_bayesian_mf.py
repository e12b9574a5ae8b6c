from typing import Any

import numpy as np
import pytest

from app.algorithms.bayesian_mf import BayesianMF, PosteriorMean, _centred
from app.algorithms.errors import InvalidHyperparameterError
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
    told: list[float] = []
    learner = BayesianMF(n_epochs=400)
    learner.fit(ratings_of_rank().train, np.random.default_rng(0), lambda done, _stage: told.append(done))
    assert 100 < len(told) < 380
    assert told[-1] == 1.0


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


@pytest.mark.parametrize(("noise", "density", "rescale"), [(0.5, 0.3, 1.0), (1.0, 0.1, 20.0), (0.3, 0.05, 0.01)])
def test_deviation_is_calibrated(noise: float, density: float, rescale: float) -> None:
    known = ratings_of_rank(n_users=200, noise=noise, density=density)
    train = known.train
    train = RatingMatrix(200, 200, train.user_rows, train.item_rows, train.values * rescale)
    learned = BayesianMF(n_epochs=60).fit(train, np.random.default_rng(0))
    users, items = known.test.user_rows, known.test.item_rows
    deviation = learned.standard_deviation(users, items)
    assert deviation is not None
    errors = np.abs(known.test.values * rescale - learned.predict(users, items)) / deviation
    assert 0.72 < np.mean(errors < 1.2816) < 0.88  # of normal errors, 80 %


def test_few_ratings_deviate_more() -> None:
    known = ratings_of_rank(n_users=100, n_items=100)
    is_kept = (known.train.user_rows >= 2) & (known.train.item_rows >= 1)
    is_kept |= (known.train.user_rows == 1) & (known.train.item_rows < 20) & (known.train.item_rows >= 1)
    learned = BayesianMF(n_epochs=40).fit(known.train.subset(is_kept), np.random.default_rng(0))
    uncertainty = learned.uncertainty
    assert uncertainty is not None
    assert uncertainty.user_std[0] > uncertainty.user_std[1] > np.median(uncertainty.user_std)
    assert uncertainty.item_std[0] == pytest.approx(uncertainty.new_item, rel=0.3)
    assert uncertainty.item_std[0] > 2 * np.median(uncertainty.item_std)


def test_unsteady_user_deviates_more() -> None:
    known = ratings_of_rank(n_users=100, n_items=100, noise=0.3)
    rng = np.random.default_rng(0)
    values = known.train.values + (known.train.user_rows < 10) * rng.normal(0, 1.5, len(known.train))
    train = RatingMatrix(100, 100, known.train.user_rows, known.train.item_rows, values)
    uncertainty = BayesianMF(n_epochs=40).fit(train, np.random.default_rng(0)).uncertainty
    assert uncertainty is not None
    assert uncertainty.user_std[:10].min() > uncertainty.user_std[10:].max()


def test_folded_in_deviates_alike() -> None:
    known = ratings_of_rank(n_users=50)
    learned = BayesianMF(n_epochs=20).fit(known.train, np.random.default_rng(0))
    assert learned.uncertainty is not None
    own = known.train.user_rows == 7
    items, values = known.train.item_rows[own], known.train.values[own]
    targets = values - learned.mean - learned.item_biases[items]
    factors, bias = fold_in(learned.item_factors[items], targets, 0.0, precision=learned.precision)
    error = rmse(learned.item_factors[items] @ factors + bias, targets)
    (deviation,) = learned.uncertainty.of_users.standard_deviations(np.array([error]), np.array([len(items)]))
    assert deviation == pytest.approx(learned.uncertainty.user_std[7], rel=1e-4)


@pytest.mark.parametrize(
    "hyperparameters", [{"n_factors": 0}, {"n_epochs": 1.5}, {"n_epochs": 1}, {"n_dimensions": -1}]
)
def test_impossible_hyperparameters(hyperparameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidHyperparameterError, match=next(iter(hyperparameters))):
        BayesianMF(**hyperparameters)


@needs_movielens
def test_movielens_quality() -> None:
    columns = np.genfromtxt(MOVIELENS / "ratings.csv", delimiter=",", skip_header=1, usecols=(0, 1, 2))
    users, items = (np.unique(columns[:, each], return_inverse=True)[1] for each in (0, 1))
    ratings = RatingMatrix.from_arrays(users, items, columns[:, 2])
    errors = []
    for held_out in (k_folds(len(ratings), 5, 0) == fold for fold in range(2)):
        learned = BayesianMF(n_epochs=100).fit(ratings.subset(~held_out), np.random.default_rng(0))
        test = ratings.subset(held_out)
        errors.append(rmse(learned.predict(test.user_rows, test.item_rows).clip(0.5, 5), test.values))
    assert 0.83 < np.mean(errors) < 0.839


def test_centring_changes_no_prediction() -> None:
    rng = np.random.default_rng(0)
    x, item_biases, q = rng.normal(1, 1, (9, 4)), rng.normal(1, 1, 6), rng.normal(1, 1, (6, 3))
    is_rated = np.arange(9) < 7
    mean, centred, biases, factors = _centred(x, item_biases, q, is_rated)
    predicted = mean + centred[:, -1:] + biases + centred[:, :-1] @ factors.T
    np.testing.assert_allclose(predicted, (x[:, -1:] + item_biases + x[:, :-1] @ q.T)[:, :-1])
    np.testing.assert_allclose(centred[is_rated].mean(axis=0), 0, atol=1e-12)
    # Neither the mean user nor an item yet to come: mean alone.
    user = x[is_rated].mean(axis=0)
    np.testing.assert_allclose(mean, user[-1] + item_biases[-1] + user[:-1] @ q[-1])


def test_targets_are_standardised() -> None:
    mean = PosteriorMean(ratings_of_rank().train, 4)
    np.testing.assert_allclose([mean.targets.mean(), mean.targets.std()], [0, 1], atol=1e-5)


def test_without_draws_the_mean() -> None:
    learned = PosteriorMean(RatingMatrix(3, 2, [0, 1], [0, 0], [2.0, 4.0]), 4).vectors()
    np.testing.assert_allclose(learned.predict(np.arange(3), np.array([0, 1, 1])), 3.0)
