import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from app.algorithms.als_implicit import ImplicitALS
from app.algorithms.errors import FitDivergedError
from app.algorithms.labels import EventLabels
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.taste_vectors import Penalty, TasteFoldIn, TasteVectors, Weighting

WEIGHTING = Weighting(mean=3.0, spread=1.0, influence=1.0, scale=1.0, positive_from=1.0, low_below=1.0)


def learned_from(seed: int = 0) -> tuple[RatingMatrix, TasteVectors]:
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((60, 50)) < 0.2)
    ratings = RatingMatrix(61, 52, users, items, rng.integers(1, 6, len(users)))
    return ratings, ImplicitALS(n_factors=8, n_epochs=4).fit(ratings, rng)


def fold_in_of(taste: TasteVectors) -> TasteFoldIn:
    return TasteFoldIn.from_state(taste.numbers, taste.gram)


def test_fold_in_is_user_side() -> None:
    ratings, taste = learned_from()
    for user_row in range(ratings.n_users):
        own = ratings.user_rows == user_row
        folded = fold_in_of(taste).taste(taste.item_factors[ratings.item_rows[own]], ratings.values[own])
        np.testing.assert_allclose(folded, taste.user_factors[user_row], atol=1e-4)


def with_labels(ratings: RatingMatrix, counts_as: float = 4.0, seed: int = 1) -> RatingMatrix:
    """Half of the unrated pairs have labels, most of them 0; user 60 and item 51, without ratings, among them."""
    rng = np.random.default_rng(seed)
    free = ratings.by_user.toarray() == 0
    users, items = np.nonzero(free & (rng.random(free.shape) < 0.5))
    labels = EventLabels(users, items, rng.random(len(users)) < 0.3, np.zeros(len(users)), counts_as)
    columns = ratings.user_rows, ratings.item_rows, ratings.values
    return RatingMatrix(ratings.n_users, ratings.n_items, *columns, labels=labels)


@pytest.mark.parametrize("values", [(1.0, 2.0, 3.0, 4.0, 5.0), (0.0, 1.0), (5.0,)], ids=str)
def test_fold_in_with_engagements(values: tuple[float, ...]) -> None:
    """Engaged items are folded in beside the rated ones, with the value of an engagement."""
    rng = np.random.default_rng(3)
    ratings, _ = learned_from()
    drawn = rng.choice(values, len(ratings))
    ratings = with_labels(RatingMatrix(61, 52, ratings.user_rows, ratings.item_rows, drawn), 0.75 * max(values))
    taste = ImplicitALS(n_factors=8, n_epochs=4).fit(ratings, rng)
    labels = ratings.labels
    assert labels is not None
    positive = taste.weighting.positive(labels.counts_as)
    for user_row in range(ratings.n_users):
        own, liked = ratings.user_rows == user_row, labels.are_positive & (labels.user_rows == user_row)
        rows = np.append(ratings.item_rows[own], labels.item_rows[liked])
        given = np.append(ratings.values[own], np.full(liked.sum(), positive))
        assert (taste.weighting.of_user(given)[own.sum() :] > 0).all()
        folded = fold_in_of(taste).taste(taste.item_factors[rows], given)
        np.testing.assert_allclose(folded, taste.user_factors[user_row], atol=1e-4)
    assert taste.user_factors[60].any()
    assert taste.item_factors[51].any()


def test_declined_says_nothing() -> None:
    ratings, taste = learned_from()
    negative = EventLabels([60, 0], [51, 51], [0, 0], [0, 0], 4.0)
    columns = ratings.user_rows, ratings.item_rows, ratings.values
    labelled = RatingMatrix(61, 52, *columns, labels=negative)
    again = ImplicitALS(n_factors=8, n_epochs=4).fit(labelled, np.random.default_rng(0))
    plain = ImplicitALS(n_factors=8, n_epochs=4).fit(ratings, np.random.default_rng(0))
    np.testing.assert_array_equal(again.user_factors, plain.user_factors)
    assert again.weighting == taste.weighting


def test_engagements_move_no_threshold() -> None:
    """Of ratings 1 and 5 the lower one is no choice, and stays none where engagements count as 4."""
    ratings = RatingMatrix(3, 3, [0, 0, 1], [0, 1, 1], [1, 5, 5], labels=EventLabels([2], [2], [1], [0], 4.0))
    taste = ImplicitALS(n_factors=2).fit(ratings, np.random.default_rng(0))
    assert taste.weighting.positive_from == 5
    np.testing.assert_array_equal(taste.item_factors[0], 0)
    assert taste.item_factors[2].any()


def test_engagements_without_ratings() -> None:
    ratings = RatingMatrix(3, 3, [], [], [], labels=EventLabels([2, 0], [2, 1], [1, 1], [0, 0], 4.0))
    taste = ImplicitALS(n_factors=2).fit(ratings, np.random.default_rng(0))
    assert np.isfinite(taste.user_factors).all()
    assert taste.user_factors[2].any()


def test_normal_equations() -> None:
    rng = np.random.default_rng(1)
    items, values = rng.standard_normal((30, 4)), np.array([1.0, 5.0, 4.0])
    fold = TasteFoldIn(0.3 * items.T @ items, WEIGHTING, Penalty(0.1, 0.5, 0.3 * 30))
    taste = fold.taste(items[:3], values).astype(np.float64)
    own_mean = (5 * 3.0 + 10.0) / 8
    weights = np.exp(values - (own_mean + 3.0) / 2)
    errors = weights * (1 - items[:3] @ taste)
    gradient = 0.3 * items.T @ (items @ taste) - items[:3].T @ errors + 0.1 * (weights.sum() + 9) ** 0.5 * taste
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_dislikes_have_target_zero() -> None:
    rng = np.random.default_rng(1)
    items, values = rng.standard_normal((30, 4)), np.array([1.0, 5.0, 4.0])
    fold = TasteFoldIn(0.3 * items.T @ items, replace(WEIGHTING, low_below=3.0), Penalty(0.1, 0.0, 0.0))
    taste = fold.taste(items[:3], values).astype(np.float64)
    weights, targets = np.abs(fold.weighting.of_user(values)), np.array([0, 1, 1])
    assert weights[0] == 1
    gradient = 0.3 * items.T @ (items @ taste) + items[:3].T @ (weights * (items[:3] @ taste - targets)) + 0.1 * taste
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
    np.testing.assert_array_equal(fold.influences(items[:3], values, items)[:, 0], 0)
    np.testing.assert_array_equal(fold.taste(items[:3], np.ones(3)), 0)


def test_low_is_low_against_everybody() -> None:
    """Nothing but the minimum is disliked, however often; so is a 2 of a user who gives 5 to the rest."""
    weighting = replace(WEIGHTING, low_below=3.0)
    for n in (1, 3, 300):
        assert (weighting.of_user(np.ones(n)) < 0).all()
        assert (weighting.of_user(np.full(n, 5.0)) > 0).all()
    np.testing.assert_array_equal(weighting.of_user(np.array([5.0, 5.0, 5.0, 2.0])) > 0, [True, True, True, False])


def test_in_between_says_nothing() -> None:
    """Neither liked nor low: no choice, no dislike; and what is liked stays so for a user who gives more to others."""
    users, values = np.repeat([0, 1], 5), np.array([5, 4, 3.5, 3, 1, 5, 5, 5, 5, 4])
    weighting, weights = Weighting.from_ratings(users, values, 2, 1.0, liked_from=4.0)
    assert weights[2] == weights[3] == 0
    assert weights[4] == -1
    assert (weights[[0, 1, 5, 6, 7, 8, 9]] > 0).all()
    np.testing.assert_allclose(weighting.of_user(values[:5]), weights[:5], rtol=1e-6)


def test_strict_users_like_something() -> None:
    weighting = replace(WEIGHTING, low_below=3.0)
    values = np.repeat([1.0, 2.5], 20)
    np.testing.assert_array_equal(weighting.of_user(values) > 0, values > 2)


def test_choices_in_bulk() -> None:
    ratings, taste = learned_from()
    together = taste.weighting.of_users(ratings.user_rows, ratings.values, ratings.n_users)
    assert (together < 0).any()
    own = ratings.user_rows == 3
    np.testing.assert_allclose(taste.weighting.of_user(ratings.values[own]), together[own], rtol=1e-6)


def test_nothing_observed_is_zero() -> None:
    _, taste = learned_from()
    np.testing.assert_array_equal(fold_in_of(taste).taste(np.empty((0, 8)), np.empty(0)), 0)


def test_better_ratings_weigh_more() -> None:
    weights = WEIGHTING.of_user(np.array([1.0, 3.0, 5.0]))
    np.testing.assert_allclose(weights[1:] / weights[:-1], np.exp(2.0))


def test_mean_weight_is_one() -> None:
    ratings, taste = learned_from()
    _, weights = Weighting.from_ratings(ratings.user_rows, ratings.values, ratings.n_users, 1.0)
    assert weights[weights > 0].mean() == pytest.approx(1.0)
    np.testing.assert_array_equal(weights[weights < 0], -1)
    own = ratings.user_rows == 3
    np.testing.assert_allclose(taste.weighting.of_user(ratings.values[own]), weights[own], rtol=1e-6)


@pytest.mark.parametrize("pair", [(0.0, 1.0), (-1.0, 1.0), (1.0, 5.0)])
def test_lower_of_two_is_no_choice(pair: tuple[float, float]) -> None:
    values = np.array([pair[0], pair[1], pair[1], pair[0]], np.float32)
    _, weights = Weighting.from_ratings(np.array([0, 0, 1, 1]), values, 2, 1.0)
    np.testing.assert_array_equal(weights, [0, 1, 1, 0])


def test_chosen_from_a_rating_on() -> None:
    values = np.array([1, 5, 3, 4, 1], np.float32)
    weighting, weights = Weighting.from_ratings(np.array([0, 0, 1, 1, 1]), values, 2, 1.0, chosen_from=4.0)
    np.testing.assert_array_equal(weights, [0, 1, 0, 1, 0])
    assert weighting.positive(3.0) == 4.0
    _, weights = Weighting.from_ratings(np.array([0]), values[:1], 1, 1.0, chosen_from=4.0)
    np.testing.assert_array_equal(weights, [0])


def test_scale_changes_no_weight() -> None:
    ratings, _ = learned_from()
    plain, other = (
        Weighting.from_ratings(ratings.user_rows, values, ratings.n_users, 1.0)[1]
        for values in (ratings.values, ratings.values * 4 - 7)
    )
    np.testing.assert_allclose(other, plain, rtol=1e-4)


def test_outlier_weighs_finitely() -> None:
    values = np.ones(100_000, np.float32)
    values[:3] = 2.0, 3.0, 1e30
    _, weights = Weighting.from_ratings(np.zeros(len(values), np.int64), values, 1, 10.0)
    assert np.isfinite(weights).all()


def test_not_finite_is_refused() -> None:
    _, taste = learned_from()
    with pytest.raises(FitDivergedError):
        replace(taste, gram=np.full((8, 8), np.nan)).checked()


def test_fold_in_needs_no_numba() -> None:
    command = "import sys, app.algorithms.taste_vectors, app.algorithms.als_implicit; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.parametrize("regularization", [0.0, 0.1])
@pytest.mark.parametrize("positive_from", [1.0, 4.0, 6.0])
def test_influences_add_up(regularization: float, positive_from: float) -> None:
    """Also where some ratings, or all, are no observations, and where there is no unique solution."""
    rng = np.random.default_rng(2)
    items, shown, values = rng.standard_normal((3, 6)), rng.standard_normal((9, 6)), np.array([2.0, 5.0, 4.0])
    fold = TasteFoldIn(np.zeros((6, 6)), replace(WEIGHTING, positive_from=positive_from), Penalty(regularization, 0, 0))
    carried = fold.influences(items, values, shown)
    np.testing.assert_allclose(carried.sum(axis=1), shown @ fold.taste(items, values), atol=1e-4)
    np.testing.assert_array_equal(carried[:, values < positive_from], 0)
