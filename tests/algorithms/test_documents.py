"""What the source documents compute, recomputed by the code that serves."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.batch_gradient_descent import Factors, batch_step
from app.algorithms.biases import Biases
from app.algorithms.content_linear import ContentLinear, ContentLinearDual
from app.algorithms.fold_in import fold_in
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.evaluation.metrics import mse

UNKNOWN = np.nan
ALBUMS = np.array(  # Ommazh, Melt-Banana, BTS, Zhou Shen, Sanam; only which cells are known matters
    [[5, 5, 0, 1, 1], [4, 5, UNKNOWN, 1, 1], [UNKNOWN, 2, 4, 5, 5], [2, UNKNOWN, 5, UNKNOWN, 4]]
)
FILMS = np.array(  # Love at last, Romance forever, Cute puppies of love, Nonstop car chases, Swords vs. karate
    [[5, 5, UNKNOWN, 0, 0], [5, UNKNOWN, 4, 0, 0], [0, UNKNOWN, 0, 5, 5], [0, 0, UNKNOWN, 4, UNKNOWN]]
)
FILM_FEATURES = np.array([[0.9, 0], [1.0, 0.01], [0.99, 0], [0.1, 1.0], [0, 0.9]])  # romance, action


def observed(table: NDArray[np.float64]) -> RatingMatrix:
    users, items = np.nonzero(np.isfinite(table))
    n_users, n_items = table.shape
    return RatingMatrix(n_users, n_items, users, items, table[users, items])


def features_of(items: NDArray[np.float64], users: NDArray[np.float64]) -> Features:
    return Features(*(sparse.csr_array(each.astype(np.float32)) for each in (items, users)))


def plain(user_factors: list[list[float]], item_factors: list[list[float]]) -> RatingVectors:
    p, q = np.array(user_factors, np.float32), np.array(item_factors, np.float32)
    return RatingVectors(0.0, np.zeros(len(p), np.float32), np.zeros(len(q), np.float32), p, q, 0.0, biased=False)


@pytest.mark.parametrize(
    ("user", "item", "rating"),
    [
        ([-1.53, 1.77], [-1.52, 1.35], 4.72),  # An, Ommazh
        ([1.15, 2.16], [-1.77, 1.88], 2.02),  # Cordelia, Melt-Banana
        ([-1.6, -1.08], [-1.44, -2.32], 4.8),  # An, Ommazh, as Surprise learned them
    ],
)
def test_prediction_is_dot_product(user: list[float], item: list[float], rating: float) -> None:
    assert plain([user], [item]).predict(np.array([0]), np.array([0]))[0] == pytest.approx(rating, abs=0.011)


def test_squared_errors() -> None:
    assert mse(np.array([2.02]), np.array([2.0])) == pytest.approx(0.0004)  # Cordelia, Melt-Banana
    assert mse(np.array([4.88]), np.array([5.0])) == pytest.approx((5 - 4.88) ** 2)  # An, Ommazh by features


def test_sixteen_of_twenty_cells() -> None:
    ratings = observed(ALBUMS)
    assert len(ratings) == 16
    assert ratings.by_user.nnz == ratings.by_item.nnz == 16
    assert ratings.by_user[[3]].indices.tolist() == [0, 2, 4]  # R_4


def test_batch_step_of_diego() -> None:
    # P[4,1] = 1.19 - 0.1 (-0.02 Q[1,1] - 0.5 Q[1,3] - 0.5 Q[1,5]) = 1.19 + 0.0914; Q[1,1] is given, the other two
    # and the second factors are what makes the errors -0.02, -0.5 and -0.5 of the text.
    p = np.array([1.19, 2.806])
    first = np.array([-1.52, 0.9444, 0.9444])
    wanted = np.array([1.98, 4.5, 4.5])
    q = np.stack([first, (wanted - p[0] * first) / p[1]], axis=1)
    factors = Factors(p[None], q, np.zeros(1), np.zeros(3))
    ratings = RatingMatrix(1, 3, [0, 0, 0], [0, 1, 2], [2, 5, 5])
    stepped = batch_step(factors, ratings, mean=0.0, learning_rate=0.1)
    assert stepped.user_factors[0, 0] == pytest.approx(1.19 + 0.0914, abs=5e-4)
    assert round(float(stepped.user_factors[0, 0]), 2) == 1.28


def test_step_with_the_factor_of_two() -> None:
    # U - eta 2 V (U V - M) and V - eta 2 U (U V - M), eta 0.1: U V - M = 1 x 3 + 2 x 0.5 - 5 = -1.
    factors = Factors(np.array([[1.0, 2]]), np.array([[3.0, 0.5]]), np.zeros(1), np.zeros(1))
    stepped = batch_step(factors, RatingMatrix(1, 1, [0], [0], [5]), mean=0.0, learning_rate=2 * 0.1)
    np.testing.assert_allclose(stepped.user_factors, [[1.6, 2.1]])
    np.testing.assert_allclose(stepped.item_factors, [[3.2, 0.9]])


def test_thirty_steps_of_one_weight() -> None:
    # w = 3, x = y = 1, alpha 0.01 and J = (w x - 1)^2: w - 1 shrinks by 1 - 2 alpha at every step.
    item, ratings, w = np.ones((1, 1)), RatingMatrix(1, 1, [0], [0], [1]), np.array([[3.0]])
    for step in range(30):
        w = batch_step(Factors(w, item, np.zeros(1), np.zeros(1)), ratings, 0.0, 2 * 0.01).user_factors
        assert w.item() == pytest.approx(1 + 2 * 0.98 ** (step + 1))


def test_unknown_cells_pull_nothing() -> None:
    rng = np.random.default_rng(0)
    factors = Factors(rng.normal(size=(4, 2)), rng.normal(size=(5, 2)), np.zeros(4), np.zeros(5))
    stepped = batch_step(factors, observed(ALBUMS), mean=0.0, learning_rate=0.1)
    errors = np.nan_to_num(factors.user_factors @ factors.item_factors.T - ALBUMS, nan=0.0)  # e_ij = 0 outside R
    np.testing.assert_allclose(stepped.user_factors, factors.user_factors - 0.1 * errors @ factors.item_factors)
    np.testing.assert_allclose(stepped.item_factors, factors.item_factors - 0.1 * errors.T @ factors.user_factors)


def test_regression_of_ommazh() -> None:
    # An, Bhavana, Diego by lo-fi and slick pop; intercept 0, theta 1 and 0, so Cordelia's (2, 5) gives 2.0.
    preferences = np.array([[5, 1], [4, 0], [2, 4]])
    theta, intercept = fold_in(preferences, np.array([5, 4, 2]), regularization=0.0)
    np.testing.assert_allclose([*theta, intercept], [1, 0, 0], atol=1e-6)
    assert theta @ np.array([2, 5]) + intercept == pytest.approx(2.0)


def test_dual_of_ommazh() -> None:
    preferences = np.array([[5.0, 1], [4, 0], [2, 5], [2, 4]])  # An, Bhavana, Cordelia, Diego
    ratings = RatingMatrix(4, 1, [0, 1, 3], [0, 0, 0], [5, 4, 2]).with_features(
        features_of(np.zeros((1, 0)), preferences)
    )
    learned = ContentLinearDual(regularization=0.0, biased=False).fit(ratings, np.random.default_rng(0))
    np.testing.assert_allclose(learned.item_factors, [[1, 0]], atol=1e-5)
    assert learned.mean + learned.item_biases[0] == pytest.approx(0, abs=1e-5)
    predicted = learned.predict(np.arange(4), np.zeros(4, np.int64))
    np.testing.assert_allclose(predicted, [5, 4, 2, 2], atol=1e-5)


def test_regression_of_bts() -> None:
    # An, Cordelia, Diego, without an intercept: theta -0.19 and 1.06, An 0.1.
    preferences = np.array([[5, 1], [2, 5], [2, 4]])
    theta, intercept = fold_in(preferences, np.array([0, 4, 5]), regularization=0.0, biased=False)
    np.testing.assert_allclose(theta, [-0.19, 1.06], atol=0.005)
    assert intercept == 0
    assert theta @ preferences[0] == pytest.approx(0.1, abs=0.01)
    assert theta @ np.array([4, 0]) < 0  # Bhavana, whom the text then gives a 0


@pytest.mark.parametrize(
    ("theta", "intercept", "album", "rating"),
    [
        ([-2.63, -7.2], 7.7, [0.80, 0.10], 4.88),  # An, Ommazh
        ([0.74, -3.4], 4.05, [0.05, 0.99], 0.724),  # Bhavana, BTS
    ],
)
def test_content_prediction(theta: list[float], intercept: float, album: list[float], rating: float) -> None:
    vectors = RatingVectors(
        mean=0.0,
        user_biases=np.array([intercept], np.float32),
        item_biases=np.zeros(1, np.float32),
        user_factors=np.array([theta], np.float32),
        item_factors=np.array([album], np.float32),
        regularization=0.0,
    )
    assert vectors.predict(np.array([0]), np.array([0]))[0] == pytest.approx(rating, abs=0.005)


def test_film_table() -> None:
    ratings = observed(FILMS)
    assert (ratings.n_users, ratings.n_items) == (4, 5)
    assert 2 not in ratings.by_user[[0]].indices  # r(3, 1) = 0
    assert ratings.by_user[[1], [2]] == 4  # y(3, 2) = 4
    np.testing.assert_array_equal(ratings.user_counts, [4, 4, 4, 3])  # m(j)


def test_film_regressions() -> None:
    # w . x + b for each user: Alice would give the puppies a 5, Bob romance for ever too, Dave the puppies nothing.
    ratings = observed(FILMS).with_features(features_of(FILM_FEATURES, np.zeros((4, 0))))
    learned = ContentLinear(regularization=0.0, biased=False).fit(ratings, np.random.default_rng(0))
    predicted = learned.predict(np.array([0, 1, 2, 3, 3]), np.array([2, 1, 1, 2, 4]))
    np.testing.assert_allclose(predicted, [5, 4.5, 0, 0, 4], atol=0.6)
    for user in range(4):
        is_known = np.isfinite(FILMS[user])
        w, b = fold_in(FILM_FEATURES[is_known], FILMS[user, is_known] - learned.mean, regularization=0.0)
        np.testing.assert_allclose(learned.user_factors[user], w, atol=0.01)
        assert learned.user_biases[user] == pytest.approx(b, abs=0.01)


def test_mean_normalisation() -> None:
    ratings = observed(np.vstack([FILMS, np.full(5, UNKNOWN)]))  # and Eve, who rated nothing
    learned = Biases(mean_normalisation=True).fit(ratings, np.random.default_rng(0))
    mu = [2.5, 2.5, 2, 9 / 4, 5 / 3]
    np.testing.assert_allclose(learned.predict(np.full(5, 4), np.arange(5)), mu, rtol=1e-6)
