from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.algorithms import als_implicit
from app.algorithms.als_implicit import ImplicitALS
from app.algorithms.als_kernel import HalfStep, solve_rows
from app.algorithms.errors import FitDivergedError, InvalidHyperparameterError
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.taste_vectors import TasteVectors, Weighting
from tests.algorithms.contract import DEGENERATE


def two_clusters(n_users: int = 40, n_items: int = 30) -> RatingMatrix:
    """Even users choose even items, odd users odd ones; 60 % of what they would choose is known."""
    users, items = np.nonzero((np.add.outer(np.arange(n_users), np.arange(n_items)) % 2) == 0)
    known = np.random.default_rng(0).random(len(users)) < 0.6
    return RatingMatrix(n_users, n_items, users[known], items[known], np.ones(known.sum()))


def choices(n_users: int = 300, n_items: int = 200, seed: int = 0) -> RatingMatrix:
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((n_users, n_items)) < rng.random(n_items) * 0.3)
    return RatingMatrix(n_users, n_items, users, items, rng.integers(1, 6, len(users)))


def bits(taste: TasteVectors) -> list[bytes]:
    return [array.tobytes() for array in (taste.user_factors, taste.item_factors, taste.gram)]


def test_defaults_follow_density() -> None:
    """Of half the ratings an unobserved pair weighs half, against observations that weigh half together."""
    ratings = choices()
    half = ratings.subset(np.arange(0, len(ratings), 2))
    (weight, penalty), (of_half, penalty_of_half) = (ImplicitALS().balanced(each, 2.0) for each in (ratings, half))
    assert of_half == pytest.approx(weight / 2, rel=0.05)
    assert penalty_of_half == pytest.approx(penalty)


def test_given_values_stay() -> None:
    given = ImplicitALS(unobserved_weight=0.3, regularization=0.01)
    assert given.balanced(choices()) == (0.3, 0.01)
    assert ImplicitALS(unobserved_weight=0.3).balanced(choices())[0] == 0.3


def objective(ratings: RatingMatrix, taste: TasteVectors, learner: ImplicitALS) -> float:
    """As the head of `als_implicit.py` has it, over dense matrices."""
    weights = np.zeros((ratings.n_users, ratings.n_items))
    weights[ratings.user_rows, ratings.item_rows] = Weighting.from_ratings(
        ratings.user_rows, ratings.values, ratings.n_users, learner.rating_influence
    )[1]
    unobserved_weight, regularization = learner.balanced(ratings)
    targets, weights = weights > 0, np.abs(weights)
    users, items = taste.user_factors.astype(np.float64), taste.item_factors.astype(np.float64)
    scores = users @ items.T
    of_users, of_items = (
        (weights.sum(axis=axis) + unobserved_weight * weights.shape[axis]) ** learner.frequency_exponent
        for axis in (1, 0)
    )
    lengths = of_users @ (users**2).sum(axis=1) + of_items @ (items**2).sum(axis=1)
    return float(
        (weights * (targets - scores) ** 2).sum() + unobserved_weight * (scores**2).sum() + regularization * lengths
    )


def test_clusters_are_found() -> None:
    ratings = two_clusters()
    taste = ImplicitALS(n_factors=2, regularization=0.01, unobserved_weight=0.3).fit(ratings, np.random.default_rng(0))
    scores = taste.scores(np.arange(ratings.n_users))
    right = (np.add.outer(np.arange(40), np.arange(30)) % 2) == 0
    for row in range(ratings.n_users):
        assert scores[row, right[row]].min() > scores[row, ~right[row]].max() + 0.3


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_objective_falls(exponent: float) -> None:
    ratings = choices()
    learners = [ImplicitALS(n_factors=8, n_epochs=n, frequency_exponent=exponent) for n in (1, 2, 3, 5, 9)]
    losses = [objective(ratings, each.fit(ratings, np.random.default_rng(0)), each) for each in learners]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("side", ["user_factors", "item_factors"])
def test_settles_at_a_minimum(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the shrinking by support."""
    monkeypatch.setattr(als_implicit, "SUPPORT", 0.0)
    ratings, learner = choices(600, 30), ImplicitALS(n_factors=4, n_epochs=300)
    taste = learner.fit(ratings, np.random.default_rng(0))
    least = objective(ratings, taste, learner)
    for factor in (0.99, 1.01):
        moved = replace(taste, **{side: getattr(taste, side) * np.float32(factor)})
        assert objective(ratings, moved, learner) > least


def test_shrunk_by_support(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item of n choices keeps n / (n + 3) of its length, and dislikes are no choices."""
    ratings = RatingMatrix(4, 3, [0, 1, 2, 3, 0, 3], [0, 0, 0, 1, 1, 2], [5, 5, 4, 4, 1, 1], liked_from=4.0)
    learner = ImplicitALS(n_factors=3, n_epochs=5)
    shrunk = learner.fit(ratings, np.random.default_rng(0)).item_factors
    monkeypatch.setattr(als_implicit, "SUPPORT", 0.0)
    whole = learner.fit(ratings, np.random.default_rng(0)).item_factors
    lengths = np.linalg.norm(shrunk, axis=1), np.linalg.norm(whole, axis=1)
    np.testing.assert_allclose(lengths[0], lengths[1] * [3 / 6, 1 / 4, 0], rtol=1e-4)


def test_half_step_is_exact() -> None:
    rng = np.random.default_rng(0)
    ratings = choices(50, 40)
    by_user, k = ratings.by_user, 6
    axes = np.linalg.qr(rng.standard_normal((40, k)))[0]
    fixed = (axes * np.arange(1, k + 1)).astype(np.float32)  # columns at right angles: the Gram matrix is diagonal
    weights = by_user.data.astype(np.float32)
    pulls = weights * (weights > 1)  # ratings of 1 have target 0
    penalties = rng.random(50).astype(np.float32) + 1
    diagonal = (0.3 * (fixed**2).sum(axis=0)).astype(np.float32)
    starts, columns = by_user.indptr.astype(np.int64), by_user.indices.astype(np.int32)
    step = HalfStep(starts, columns, np.where(pulls > 0, weights, -weights), fixed, diagonal, penalties)
    factors, fell = np.zeros((50, k), np.float32), 0.0
    gained = solve_rows(0, 50, step, 200, 1e-6, factors)
    for row in range(50):
        own = slice(starts[row], starts[row + 1])
        rated, w = fixed[columns[own]].astype(np.float64), weights[own].astype(np.float64)
        right = rated.T @ pulls[own].astype(np.float64)
        matrix = 0.3 * fixed.T.astype(np.float64) @ fixed + (rated.T * w) @ rated + penalties[row] * np.eye(k)
        exact = np.linalg.solve(matrix, right)
        np.testing.assert_allclose(factors[row], exact, atol=1e-5)
        fell += float(exact @ right)  # from 0 to the minimum of x'Ax - 2b'x
    assert gained == pytest.approx(fell, rel=1e-4)


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als_implicit, "SIZE_WORTH_THREADS", 0)
    ratings = choices(1500, 300)
    one, two, eight = (
        ImplicitALS(n_factors=9, n_epochs=2).fit(ratings, np.random.default_rng(5), n_threads=n) for n in (1, 2, 8)
    )
    assert bits(one) == bits(two) == bits(eight)


def test_seed_decides() -> None:
    first, same, other = (ImplicitALS(n_epochs=2).fit(choices(), np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert bits(first) == bits(same) != bits(other)


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_ratings(name: str) -> None:
    ratings = DEGENERATE[name]
    taste = ImplicitALS().fit(ratings, np.random.default_rng(0))
    scores = taste.scores(np.arange(ratings.n_users))
    assert scores.shape == (ratings.n_users, ratings.n_items)
    assert np.isfinite(scores).all()


def test_unobserved_rows_are_zero() -> None:
    taste = ImplicitALS().fit(DEGENERATE["rows without ratings"], np.random.default_rng(0))
    np.testing.assert_array_equal(taste.user_factors[20:], 0)
    np.testing.assert_array_equal(taste.item_factors[3:], 0)
    # Ratings of 0 and 1 are dislikes, from which alone nothing is learned.
    np.testing.assert_array_equal(taste.user_factors[:20].any(axis=1), DEGENERATE["rows without ratings"].values >= 2)


def test_dislikes_are_no_choices() -> None:
    liked = two_clusters()
    disliked = np.nonzero((np.add.outer(np.arange(40), np.arange(30)) % 2) == 1)
    users, items = (
        np.append(rows, more) for rows, more in zip((liked.user_rows, liked.item_rows), disliked, strict=True)
    )
    both = RatingMatrix(40, 30, users, items, np.append(np.ones(len(liked)), np.zeros(len(disliked[0]))))
    first, second = (ImplicitALS().fit(ratings, np.random.default_rng(0)) for ratings in (liked, both))
    np.testing.assert_allclose(second.scores(np.arange(40)), first.scores(np.arange(40)), atol=1e-4)


def test_settled_fit_stops() -> None:
    told: list[float] = []
    ImplicitALS(n_epochs=1000).fit(two_clusters(), np.random.default_rng(0), lambda done, _stage: told.append(done))
    assert len(told) < 200
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_no_penalty_is_finite() -> None:
    learner = ImplicitALS(regularization=0.0, unobserved_weight=0.0)
    taste = learner.fit(choices(30, 20), np.random.default_rng(0))
    assert np.isfinite(taste.scores(np.arange(30))).all()


def test_divergence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als_implicit, "INITIAL_LENGTH", np.nan)
    with pytest.raises(FitDivergedError, match="regularization"):
        ImplicitALS().fit(choices(30, 20), np.random.default_rng(0))


def test_ratings_stay_untouched() -> None:
    ratings = choices()
    before = ratings.values.copy()
    ImplicitALS(n_epochs=1).fit(ratings, np.random.default_rng(0))
    np.testing.assert_array_equal(ratings.values, before)


@pytest.mark.parametrize("wrong", [{"n_factors": 0}, {"unobserved_weight": -0.1}, {"rating_influence": float("nan")}])
def test_impossible_hyperparameters(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidHyperparameterError, match=next(iter(wrong))):
        ImplicitALS(**wrong)
