import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import sparse

from app.algorithms.fold_in import fold_in
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.segments.base import SegmentRecipe
from app.training.errors import TrainingFailedError
from app.training.fit import Learned, fit
from app.training.recipe import Recipe, complete, rating_recipe
from app.training.sides import join

FROM_RATINGS = ("bayesian_mf", "biases", "funk_svd")


def matrix(n_users: int, n_items: int, users: ArrayLike, items: ArrayLike, values: ArrayLike) -> RatingMatrix:
    rows = (np.asarray(users, np.int32), np.asarray(items, np.int32))
    return RatingMatrix(n_users, n_items, *rows, np.asarray(values, np.float32))


def random_ratings(n_users: int = 30, n_items: int = 20, seed: int = 0) -> RatingMatrix:
    rng = np.random.default_rng(seed)
    user_rows, item_rows = np.nonzero(rng.random((n_users, n_items)) < 0.4)
    return matrix(n_users + 2, n_items + 3, user_rows, item_rows, rng.integers(1, 6, len(user_rows)))


def learn(ratings: RatingMatrix, algorithm: str = "funk_svd") -> Learned:
    return fit(rating_recipe(algorithm), ratings, np.random.default_rng(0))


def rating_of(learned: Learned) -> RatingVectors:
    assert learned.rating is not None
    return learned.rating


@pytest.mark.parametrize("algorithm", FROM_RATINGS)
def test_unrated_items_claim_nothing(algorithm: str) -> None:
    learned = learn(random_ratings(), algorithm)
    rating, prior = learned.dense
    np.testing.assert_array_equal(rating.item_part[-3:], 0)
    np.testing.assert_array_equal(prior.item_part[-3:], np.tile(prior.unrated_item, (3, 1)))
    assert (prior.item_part[:-3] > prior.unrated_item).all()
    np.testing.assert_array_equal(learned.item_counts[-3:], 0)


def test_prior_is_standardised_log_count() -> None:
    ratings = random_ratings()
    prior = learn(ratings).dense[1].item_part[:, 0]
    counts = ratings.item_counts
    expected = np.log1p(counts)
    is_rated = counts > 0
    expected = (expected - expected[is_rated].mean()) / expected[is_rated].std()
    np.testing.assert_allclose(prior, expected, rtol=1e-5)


def test_equal_popularity_says_nothing() -> None:
    ratings = matrix(2, 2, [0, 0, 1, 1], [0, 1, 0, 1], [1, 2, 3, 4])
    np.testing.assert_array_equal(learn(ratings).dense[1].item_part, 0)


@pytest.mark.parametrize("algorithm", FROM_RATINGS)
def test_user_side_is_fold_in(algorithm: str) -> None:
    ratings = random_ratings()
    vectors = rating_of(learn(ratings, algorithm))
    for user_row in range(ratings.n_users):
        own = ratings.user_rows == user_row
        items = ratings.item_rows[own]
        targets = ratings.values[own] - vectors.mean - vectors.item_biases[items]
        factors, bias = fold_in(
            vectors.item_factors[items], targets, vectors.regularization, precision=vectors.precision
        )
        np.testing.assert_allclose(vectors.user_factors[user_row], factors, atol=1e-4)
        assert vectors.user_biases[user_row] == pytest.approx(bias, abs=1e-4)


def test_unbiased_user_side_is_fold_in() -> None:
    ratings = random_ratings()
    vectors = rating_of(fit(rating_recipe("funk_svd", {"biased": False}), ratings, np.random.default_rng(0)))
    own = ratings.user_rows == 3
    factors, bias = fold_in(
        vectors.item_factors[ratings.item_rows[own]], ratings.values[own], vectors.regularization, biased=False
    )
    np.testing.assert_allclose(vectors.user_factors[3], factors, atol=1e-4)
    assert bias == vectors.mean == 0


def test_score_is_sum_extra() -> None:
    learned = learn(random_ratings())
    weights = {"rating": 0.7, "popularity": 2.0}
    scores = join(learned, weights).score(np.arange(30))
    is_rated = learned.item_counts > 0
    expected = np.zeros_like(scores)
    for segment in learned.dense:
        alone = segment.user_part[:30] @ segment.item_part.T
        expected += weights[segment.recipe.name] * alone / alone[:, is_rated].std(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, expected, atol=1e-3)


def test_unknown_users_get_popular() -> None:
    learned = learn(random_ratings())
    scores = join(learned, {"rating": 3.0, "popularity": 1.0}).score(np.array([30, 31]))
    assert (np.diff(learned.item_counts[np.argsort(-scores, axis=1, kind="stable")], axis=1) <= 0).all()


@pytest.mark.parametrize("algorithm", FROM_RATINGS)
@pytest.mark.parametrize(
    "ratings",
    [
        matrix(1, 1, [0], [0], [4.0]),
        matrix(1, 9, np.zeros(9), np.arange(9), np.full(9, 3.0)),
        matrix(9, 1, np.arange(9), np.zeros(9), np.arange(9)),
        matrix(5, 5, np.repeat(np.arange(5), 5), np.tile(np.arange(5), 5), np.full(25, 5.0)),
    ],
    ids=["one rating", "one user", "one item", "constant"],
)
def test_degenerate_ratings(algorithm: str, ratings: RatingMatrix) -> None:
    learned = learn(ratings, algorithm)
    assert learned.is_finite
    assert np.isfinite(join(learned, {"rating": 0.1, "popularity": 1.0}).score(np.arange(ratings.n_users))).all()


def test_divergence_fails_cleanly() -> None:
    recipe = rating_recipe("funk_svd", {"learning_rate": 1e6})
    with pytest.raises(TrainingFailedError, match="funk_svd"):
        fit(recipe, random_ratings(), np.random.default_rng(0))


def test_same_seed_same_vectors() -> None:
    first, second = (rating_of(learn(random_ratings())) for _ in range(2))
    np.testing.assert_array_equal(first.item_factors, second.item_factors)
    np.testing.assert_array_equal(first.user_factors, second.user_factors)


def described(ratings: RatingMatrix) -> RatingMatrix:
    """Items in two kinds that are liked by half of the users each; the last three items have no ratings."""
    kinds = sparse.csr_array(np.eye(2, dtype=np.float32)[np.arange(ratings.n_items) % 2])
    groups = sparse.csr_array(np.eye(2, dtype=np.float32)[np.arange(ratings.n_users) % 2])
    return ratings.with_features(Features(kinds, groups))


def divided_ratings() -> RatingMatrix:
    """Even users chose even items and odd users odd ones; the last two users and three items are new."""
    users, items = np.nonzero((np.arange(30)[:, None] + np.arange(20)) % 2 == 0)
    kept = np.random.default_rng(0).random(len(users)) < 0.7
    return matrix(32, 23, users[kept], items[kept], np.full(kept.sum(), 4.0))


def test_features_place_new_items_and_users() -> None:
    segments = (complete("taste", "als_implicit", {"n_factors": 4}), SegmentRecipe("popularity", "popularity"))
    recipe = Recipe((complete("rating", "biases", {}), *segments))
    learned = fit(recipe, described(divided_ratings()), np.random.default_rng(0))
    scores = join(learned, {"rating": 0.1, "taste": 1.0, "popularity": 0.1}).score(np.arange(32))
    for user in (0, 1, 30, 31):  # the last two have no ratings
        assert scores[user, 20 + user % 2] > scores[user, 21 - user % 2]


def test_undescribed_stay_unrated() -> None:
    ratings = divided_ratings()
    nothing = Features(*(sparse.csr_array(np.zeros((n_rows, 0), np.float32)) for n_rows in (23, 32)))
    plain, undescribed = (
        fit(rating_recipe("biases"), each, np.random.default_rng(0))
        for each in (ratings, ratings.with_features(nothing))
    )
    for one, other in zip(plain.dense, undescribed.dense, strict=True):
        np.testing.assert_array_equal(one.item_part, other.item_part)
        np.testing.assert_array_equal(one.user_part, other.user_part)
