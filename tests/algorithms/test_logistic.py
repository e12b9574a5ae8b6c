from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize

from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.hyperparameters import build
from app.algorithms.learner import Predictor
from app.algorithms.logistic import BinaryRatingVectors, EngagementVectors, Logistic
from app.algorithms.logistic_kernel import LabelRows, regress_rows
from app.algorithms.rating_matrix import Features, RatingMatrix
from tests.algorithms.contract import DEGENERATE
from tests.algorithms.ranker_contract import RankerContract, all_scores
from tests.support.known_ratings import Known, checkerboard, ratings_of_rank


class TestRatings(RankerContract):
    name = "logistic"

    def learner(self, **hyperparameters: Any) -> Logistic:
        return Logistic(**hyperparameters)


class TestLabels(RankerContract):
    name = "logistic"

    def learner(self, **hyperparameters: Any) -> Logistic:
        return Logistic(**hyperparameters)

    def of_board(self, ratings: RatingMatrix) -> RatingMatrix:
        return RatingMatrix(ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows, ratings.values == 5)


def as_labels(known: Known) -> Known:
    train, test = (
        RatingMatrix(each.n_users, each.n_items, each.user_rows, each.item_rows, each.values >= 3.5)
        for each in (known.train, known.test)
    )
    return Known(train, test, least_rmse=0.0)


def fit(ratings: RatingMatrix, **hyperparameters: Any) -> EngagementVectors:
    return Logistic(**hyperparameters).fit(ratings, np.random.default_rng(0))


def log_loss(probabilities: NDArray[np.float32], labels: NDArray[Any]) -> float:
    return float(-np.mean(np.log(np.where(labels, probabilities, 1 - probabilities))))


def test_regression_against_scipy() -> None:
    rng = np.random.default_rng(0)
    given, expected, penalties = rng.normal(size=(30, 4)), rng.normal(size=(1, 4)), rng.uniform(0.1, 1, (1, 4))
    labels = LabelRows(np.array([0, 30]), np.arange(30, dtype=np.int32), rng.random(30) < 0.6, 0.3)

    def minimised(x: NDArray[np.float64]) -> float:
        log_odds = 0.3 + given[:, 3] + given[:, :3] @ x[:3] + x[3]
        loss = np.sum(np.logaddexp(0, log_odds) - labels.are_positive * log_odds)
        return float(loss + 0.5 * np.sum(penalties[0] * (x - expected[0]) ** 2))

    rows = np.zeros((1, 4))
    told = []
    for _ in range(60):
        told.append(minimised(rows[0]))
        assert regress_rows(0, 1, labels, given, expected, penalties, rows) == pytest.approx(told[-1])
    assert (np.diff(told) <= 1e-9).all()
    np.testing.assert_allclose(rows[0], minimize(minimised, np.zeros(4), tol=1e-10).x, atol=1e-4)


def test_no_labels_is_expectation() -> None:
    rows, expected = np.ones((1, 3)), np.array([[0.5, -1.0, 2.0]])
    labels = LabelRows(np.array([0, 0]), np.zeros(0, np.int32), np.zeros(0, np.bool_), 0.0)
    regress_rows(0, 1, labels, np.ones((2, 3)), expected, np.full((1, 3), 2.0), rows)
    np.testing.assert_allclose(rows, expected)


def test_loss_falls() -> None:
    known = as_labels(ratings_of_rank())
    users, items = known.train.user_rows, known.train.item_rows
    losses = [
        log_loss(fit(known.train, n_epochs=n).probabilities(users, items), known.train.values == 1) for n in (1, 3, 9)
    ]
    assert losses[0] > losses[1] > losses[2]


def test_probabilities_are_calibrated() -> None:
    known = as_labels(ratings_of_rank())
    probabilities = fit(known.train).probabilities(known.test.user_rows, known.test.item_rows)
    is_one = known.test.values == 1
    share = known.train.values.mean()
    assert log_loss(probabilities, is_one) < 0.75 * log_loss(np.full(len(is_one), share), is_one)
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8)):
        of_band = (probabilities > low) & (probabilities < high)
        assert abs(is_one[of_band].mean() - probabilities[of_band].mean()) < 0.1


def test_scores_are_log_odds() -> None:
    ratings = as_labels(ratings_of_rank(n_users=60, n_items=50)).train
    learned = fit(ratings)
    users, items = np.indices((60, 50)).reshape(2, -1)
    expected = 1 / (1 + np.exp(-all_scores(learned, ratings).ravel()))
    np.testing.assert_allclose(learned.probabilities(users, items), expected, atol=1e-5)


def test_separable_stays_finite() -> None:
    # One feature of the item, known exactly by the biases, tells every label; without a penalty they would run away.
    users, items = np.indices((40, 30)).reshape(2, -1)
    learned = fit(RatingMatrix(40, 30, users, items, items % 2), n_epochs=500, regularization=1e-6)
    probabilities = learned.probabilities(users, items)
    assert np.isfinite(all_scores(learned, RatingMatrix(40, 30, [], [], []))).all()
    assert (probabilities.round() == items % 2).all()


def test_labels_predict_probability() -> None:
    learned = fit(as_labels(ratings_of_rank(n_users=50)).train)
    pairs = np.arange(50), np.arange(50)
    assert isinstance(learned, BinaryRatingVectors)
    np.testing.assert_array_equal(learned.predict(*pairs), learned.probabilities(*pairs))


def test_two_values_are_labels() -> None:
    known = checkerboard(low=-3.0, high=2.0)
    learned = fit(known.train)
    assert isinstance(learned, BinaryRatingVectors)
    predicted = learned.predict(known.test.user_rows, known.test.item_rows)
    assert np.abs(predicted - known.test.values).max() < 1.5
    assert predicted.min() > -3
    assert predicted.max() < 2


def test_many_values_predict_none() -> None:
    assert not isinstance(fit(ratings_of_rank(n_users=50).train), Predictor)


@pytest.mark.parametrize(("values", "expected"), [([0.0, 0.0], 0.5), ([1.0, 1.0], 0.5), ([4.0, 4.0], 0.5)])
def test_one_value_only(values: list[float], expected: float) -> None:
    probability = fit(RatingMatrix(2, 2, [0, 1], [0, 1], values)).probabilities(np.array([0]), np.array([0]))[0]
    assert (probability > expected) == (values[0] > 0)


def test_threshold() -> None:
    ratings = RatingMatrix(40, 3, np.repeat(np.arange(40), 3), np.tile(np.arange(3), 40), np.tile([2.0, 3.0, 4.0], 40))
    low, high = (
        fit(ratings, threshold=threshold).probabilities(np.zeros(3, np.int64), np.arange(3)) for threshold in (3.0, 3.5)
    )
    np.testing.assert_array_equal(low.round(), [0, 1, 1])
    np.testing.assert_array_equal(high.round(), [0, 0, 1])


def test_threshold_of_a_command_line() -> None:
    assert build(Logistic, {"threshold": "none"}) == Logistic()
    assert build(Logistic, {"threshold": "3.5"}) == Logistic(threshold=3.5)
    with pytest.raises(InvalidHyperparameterError, match="threshold is a number or none, default None, not 'high'"):
        build(Logistic, {"threshold": "high"})


def test_threads_change_no_bit() -> None:
    ratings = ratings_of_rank().train
    one, two, five = (
        all_scores(Logistic().fit(ratings, np.random.default_rng(0), n_threads=n), ratings).tobytes() for n in (1, 2, 5)
    )
    assert one == two == five


def as_csr(dense: NDArray[np.float64]) -> Any:
    return sparse.csr_array(dense.astype(np.float32))


def described(n_users: int = 200, n_items: int = 120) -> tuple[RatingMatrix, NDArray[np.float64]]:
    """Two genres; a user is engaged by one of them. The last 40 items have no labels. Also P, (n_users, n_items)."""
    rng = np.random.default_rng(0)
    genres = rng.integers(2, size=n_items)
    user_states = rng.integers(2, size=n_users)
    truth = np.where(user_states[:, None] == genres, 0.9, 0.1)
    users, items = np.nonzero(rng.random((n_users, n_items - 40)) < 0.3)
    one_hot = as_csr(np.eye(2)[genres])
    features = Features(one_hot, as_csr(np.zeros((n_users, 0))))
    labels = rng.random(len(users)) < truth[users, items]
    return RatingMatrix(n_users, n_items, users, items, labels, features=features), truth


def test_features_know_new_items() -> None:
    ratings, truth = described()
    scores = all_scores(fit(ratings), ratings)[:, -40:]
    assert np.mean((scores > 0) == (truth[:, -40:] > 0.5)) > 0.95
    without = all_scores(fit(ratings.with_features(None)), ratings)[:, -40:]
    assert np.ptp(without, axis=1).max() == 0


def test_features_of_users() -> None:
    ratings, truth = described()
    assert ratings.features is not None
    turned = RatingMatrix(
        ratings.n_items,
        ratings.n_users,
        ratings.item_rows,
        ratings.user_rows,
        ratings.values,
        features=Features(ratings.features.users, ratings.features.items),
    )
    scores = all_scores(fit(turned), turned)[-40:]
    assert np.mean((scores > 0) == (truth.T[-40:] > 0.5)) > 0.95


def test_useless_features_do_no_harm() -> None:
    known = as_labels(ratings_of_rank())
    noise = sparse.random_array((200, 50), density=0.1, dtype=np.float32, rng=np.random.default_rng(0)).tocsr()
    features = Features(noise, as_csr(np.zeros((300, 0))))
    pairs, is_one = (known.test.user_rows, known.test.item_rows), known.test.values == 1
    plain = log_loss(fit(known.train).probabilities(*pairs), is_one)
    assert log_loss(fit(known.train.with_features(features)).probabilities(*pairs), is_one) < 1.03 * plain


def test_unlabelled_rows_are_zero() -> None:
    learned = fit(DEGENERATE["rows without ratings"])
    np.testing.assert_array_equal(learned.log_odds.user_factors[20:], 0)
    np.testing.assert_array_equal(learned.log_odds.item_factors[3:], 0)
