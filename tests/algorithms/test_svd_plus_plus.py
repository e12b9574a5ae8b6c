from typing import Any

import numpy as np
import pytest

from app.algorithms.errors import FitDivergedError, InvalidHyperparameterError
from app.algorithms.funk_svd import FunkSVD
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.sgd_kernel import StepSizes, Weights
from app.algorithms.svd_plus_plus import SVDPlusPlus, SVDPlusPlusVectors
from app.algorithms.svd_plus_plus_kernel import UserRatings, update_users
from app.evaluation.metrics import rmse
from tests.algorithms.contract import DEGENERATE
from tests.algorithms.ranker_contract import PredictorContract
from tests.support.known_ratings import ratings_of_rank


class TestSVDPlusPlus(PredictorContract):
    name = "svd_plus_plus"
    checkerboard_rmse = (0.0, 0.1)
    rank_four_rmse = (0.5, 0.6)

    def learner(self, **hyperparameters: Any) -> SVDPlusPlus:
        return SVDPlusPlus(**hyperparameters)


def fit(ratings: RatingMatrix, **hyperparameters: Any) -> SVDPlusPlusVectors:
    return SVDPlusPlus(**hyperparameters).fit(ratings, np.random.default_rng(0))


def one_by_one(order: list[int], ratings: UserRatings, weights: Weights, y: Any, steps: StepSizes) -> float:
    """The definition: after every rating all y_j of the user move, and z is summed anew."""
    p, q, b_u, b_i = weights
    rate, _, penalty = (float(each) for each in steps)
    loss = 0.0
    for u in order:
        own = slice(ratings.starts[u], ratings.starts[u + 1])
        rated, before = ratings.item_rows[own], y[ratings.item_rows[own]].copy()
        for i, target in zip(rated, ratings.targets[own], strict=True):
            z = y[rated].sum(axis=0) / np.sqrt(len(rated))
            error = target - b_u[u] - b_i[i] - (p[u] + z) @ q[i]
            loss += error**2
            b_u[u] += rate * (error - penalty * ratings.user_priors[u] * b_u[u])
            b_i[i] += rate * (error - penalty * ratings.item_priors[i] * b_i[i])
            p_step = error * q[i] - penalty * (1 + ratings.user_priors[u]) * p[u]
            q_step = error * (p[u] + z) - penalty * (1 + ratings.item_priors[i]) * q[i]
            y[rated] += rate * error * q[i] / np.sqrt(len(rated))
            p[u] += rate * p_step
            q[i] += rate * q_step
        kept = np.exp(-rate * penalty * (1 + ratings.item_priors[rated]) * np.sqrt(len(rated)))
        y[rated] -= (1 - kept)[:, None] * before
    return loss


def test_slow_reference() -> None:
    rng = np.random.default_rng(0)
    matrix = ratings_of_rank(n_users=12, n_items=9).train.by_user
    ratings = UserRatings(
        starts=matrix.indptr.astype(np.int64),
        item_rows=matrix.indices.astype(np.int32),
        targets=matrix.data - np.float32(3.5),
        user_priors=rng.random(12, np.float32),
        item_priors=rng.random(9, np.float32),
    )
    drawn = [rng.normal(0, 0.3, shape).astype(np.float32) for shape in ((12, 5), (9, 5), 12, 9, (9, 5))]
    fast: list[Any] = [each.copy() for each in drawn]
    slow: list[Any] = [each.astype(np.float64) for each in drawn]
    steps = StepSizes(np.float32(0.05), np.float32(0.05), np.float32(0.2))
    order = rng.permutation(12).astype(np.int32)
    loss = update_users(order, ratings, Weights(*fast[:4]), fast[4], steps)
    assert loss == pytest.approx(one_by_one(order.tolist(), ratings, Weights(*slow[:4]), slow[4], steps), rel=1e-4)
    for quick, careful in zip(fast, slow, strict=True):
        np.testing.assert_allclose(quick, careful, atol=1e-5)


def telling_sets(n_users: int = 1000, n_items: int = 60) -> tuple[RatingMatrix, RatingMatrix]:
    """Two kinds of users meet two kinds of items, four in five their own, and rate the other kind 2 lower."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(2, size=n_users)
    is_own = kinds[:, None] == np.arange(n_items) % 2
    is_met = rng.random(is_own.shape) < np.where(is_own, 0.32, 0.08)
    users, items = np.nonzero(is_met)
    values = 4 - 2 * ~is_own[users, items] + rng.normal(0, 1, len(users))
    ratings = RatingMatrix(n_users, n_items, users, items, values)
    is_test = rng.random(len(users)) < 0.3
    return ratings.subset(~is_test), ratings.subset(is_test)


def test_sets_tell_tastes() -> None:
    train, test = telling_sets()
    plain = FunkSVD().fit(train, np.random.default_rng(0)).predict(test.user_rows, test.item_rows)
    assert rmse(fit(train).predict(test.user_rows, test.item_rows), test.values) < 0.97 * rmse(plain, test.values)


def test_is_not_published() -> None:
    assert not isinstance(fit(ratings_of_rank(n_users=40).train), RatingVectors)


def test_unrated_rows_are_zero() -> None:
    learned = fit(DEGENERATE["rows without ratings"])
    np.testing.assert_array_equal(learned.set_factors[3:], 0)
    np.testing.assert_array_equal(learned.effective.user_factors[20:], 0)
    np.testing.assert_array_equal(learned.effective.item_factors[3:], 0)


def test_outlier_is_learned() -> None:
    rng, ratings = np.random.default_rng(0), ratings_of_rank().train
    values = np.append(ratings.values[:-1], np.float32(500))
    SVDPlusPlus().fit(RatingMatrix(ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows, values), rng)


def test_divergence_is_an_error() -> None:
    with pytest.raises(FitDivergedError, match="learning_rate"):
        fit(ratings_of_rank(n_users=60).train, learning_rate=1e6)


def test_order_of_file_matters_little() -> None:
    known = ratings_of_rank()
    by_value = known.train.subset(np.argsort(known.train.values, kind="stable"))
    predicted = fit(by_value).predict(known.test.user_rows, known.test.item_rows)
    assert rmse(predicted, known.test.values) < 0.6


@pytest.mark.parametrize("hyperparameters", [{"n_factors": 0}, {"n_epochs": 1.5}, {"learning_rate": float("nan")}])
def test_impossible_hyperparameters(hyperparameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidHyperparameterError, match=next(iter(hyperparameters))):
        SVDPlusPlus(**hyperparameters)
