from typing import Any

import numpy as np
import pytest

from app.algorithms.biases import Biases
from app.algorithms.content_linear import ContentLinear, ContentLinearDual
from app.algorithms.fold_in import fold_in
from app.evaluation.metrics import rmse
from tests.algorithms.feature_contract import FeatureLearnerContract, described
from tests.support.known_ratings import checkerboard, of_known_features, only_items, ratings_of_rank


class TestContentLinear(FeatureLearnerContract):
    checkerboard_rmse = (0.0, 0.02)
    rank_four_rmse = (0.78, 0.83)

    def learner(self, **hyperparameters: Any) -> ContentLinear:
        return ContentLinear(**hyperparameters)


class TestContentLinearDual(FeatureLearnerContract):
    checkerboard_rmse = (0.0, 0.02)
    rank_four_rmse = (0.78, 0.83)

    def learner(self, **hyperparameters: Any) -> ContentLinearDual:
        return ContentLinearDual(**hyperparameters)


def test_tastes_are_found() -> None:
    known = of_known_features(noise=0.5)
    assert known.rmse_of(ContentLinear()) < 0.72  # of 300 x 7 weights from 15 ratings each; the truth has 0.5
    assert known.rmse_of(Biases()) > 0.95


@pytest.mark.parametrize(
    ("n_users", "n_items", "density", "most"),
    [(300, 200, 0.3, 1.01), (300, 200, 0.05, 1.02), (20, 200, 0.3, 1.06), (10, 30, 0.8, 1.04)],
)
def test_useless_features_cost_little(n_users: int, n_items: int, density: float, most: float) -> None:
    known = ratings_of_rank(n_users=n_users, n_items=n_items, density=density)
    noise = only_items(np.random.default_rng(1).normal(size=(n_items, 30)), n_users)
    learned = ContentLinear().fit(known.train.with_features(noise), np.random.default_rng(0))
    predicted = learned.predict(known.test.user_rows, known.test.item_rows)
    assert rmse(predicted, known.test.values) < most * known.rmse_of(Biases())


def test_item_without_ratings() -> None:
    known = of_known_features(noise=0.3)
    is_old = known.train.item_rows < 100
    learned = ContentLinear().fit(known.train.subset(is_old), np.random.default_rng(0))
    new = known.test.subset(known.test.item_rows >= 100)
    assert rmse(learned.predict(new.user_rows, new.item_rows), new.values) < 0.65
    mean_of_users = learned.mean + learned.user_biases[new.user_rows]
    assert rmse(mean_of_users, new.values) > 0.9


def test_user_without_ratings() -> None:
    known = of_known_features(noise=0.3)
    learned = ContentLinear().fit(known.train.subset(known.train.user_rows != 7), np.random.default_rng(0))
    assert not learned.user_factors[7].any()
    predicted = learned.predict(np.full(120, 7), np.arange(120))
    np.testing.assert_allclose(predicted, learned.mean + learned.item_biases, rtol=1e-5)


def test_dual_knows_new_users() -> None:
    ratings = described(checkerboard().train)
    old = ratings.subset(ratings.user_rows < 50)
    learned = ContentLinearDual().fit(old, np.random.default_rng(0))
    predicted = learned.predict(np.full(40, 50), np.arange(40))
    np.testing.assert_allclose(predicted, np.where(np.arange(40) % 2 == 0, 5, 1), atol=0.3)


def test_item_factors_are_the_features() -> None:
    ratings = described(checkerboard().train)
    assert ratings.features is not None
    learned = ContentLinear().fit(ratings, np.random.default_rng(0))
    np.testing.assert_array_equal(learned.item_factors, ratings.features.items.toarray())


def test_more_features_than_factors() -> None:
    known = of_known_features(noise=0.5)
    learned = ContentLinear(n_factors=4).fit(known.train, np.random.default_rng(0))
    assert learned.item_factors.shape == (120, 4)
    assert known.rmse_of(ContentLinear(n_factors=4)) < 1.05
    assert known.train.features is not None
    padded = np.pad(known.train.features.items.toarray(), ((0, 0), (0, 60)))
    rotated = known.train.with_features(only_items(padded, 300))
    np.testing.assert_allclose(
        ContentLinear(n_factors=20).fit(rotated, np.random.default_rng(0)).predict(np.arange(100), np.arange(100)),
        ContentLinear().fit(known.train, np.random.default_rng(0)).predict(np.arange(100), np.arange(100)),
        atol=0.1,  # the columns of zeros count among those the users must show a covariance of
    )


def test_user_side_is_fold_in() -> None:
    ratings = of_known_features(noise=0.5, n_users=40).train
    learned = ContentLinear().fit(ratings, np.random.default_rng(0))
    assert learned.precision is not None
    for user_row in range(ratings.n_users):
        own = ratings.user_rows == user_row
        items = ratings.item_rows[own]
        targets = ratings.values[own] - learned.mean - learned.item_biases[items]
        factors, bias = fold_in(learned.item_factors[items], targets, 0.0, precision=learned.precision)
        np.testing.assert_allclose(learned.user_factors[user_row], factors, atol=1e-4)
        assert learned.user_biases[user_row] == pytest.approx(bias, abs=1e-4)


def test_many_users_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    known = of_known_features(noise=0.5)
    monkeypatch.setattr("app.algorithms.content_linear.MAX_USERS", 100)
    assert known.rmse_of(ContentLinear()) < 0.75


def test_no_penalty_is_least_squares() -> None:
    ratings = of_known_features(noise=0.5, n_users=20).train
    learned = ContentLinear(regularization=0.0, biased=False).fit(ratings, np.random.default_rng(0))
    own = ratings.user_rows == 3
    design = np.hstack([learned.item_factors[ratings.item_rows[own]], np.ones((int(own.sum()), 1))])
    expected = np.linalg.lstsq(design, ratings.values[own] - learned.mean)[0]
    np.testing.assert_allclose([*learned.user_factors[3], learned.user_biases[3]], expected, atol=1e-3)
