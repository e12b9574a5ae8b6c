import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import check_grad, minimize
from scipy.special import expit

from app.algorithms.engagement_fold_in import EngagementFoldIn, logistic_regression
from app.algorithms.labels import EventLabels
from app.algorithms.logistic import EngagementVectors, Logistic
from app.algorithms.logistic_kernel import LabelRows, fold_in_rows
from app.algorithms.rating_matrix import RatingMatrix
from tests.support.known_ratings import ratings_of_rank

LIKED_FROM = 3.5

Case = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]


def drawn(m: int = 30, c: int = 4, penalty: float = 0.5, seed: int = 0) -> Case:
    """Features whose last column is 1, offsets, labels and penalties."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(m, c))
    features[:, -1] = 1.0
    return features, rng.normal(size=m), rng.random(m) < 0.6, penalty * rng.uniform(0.5, 2, c)


def surprising(penalty: float = 1e-4) -> Case:
    """Items that hardly engage anybody engaged this one: where the curvature is next to nothing, steps are too long."""
    features = np.random.default_rng(1).normal(size=(40, 3))
    return features, np.full(40, -9.0), features[:, 0] > -0.5, np.full(3, penalty)


def spread(seed: int, regularization: float) -> Case:
    """Log-odds far from 0, which a few labels can tell apart, and hardly any penalty to hold them."""
    rng = np.random.default_rng(seed)
    m, c = rng.integers(1, 120), rng.integers(2, 12)
    features = rng.normal(0, rng.choice([1, 5, 20]), (m, c))
    features[:, -1] = 1.0
    penalties = np.full(c, regularization * (m + 60))
    penalties[-1] = regularization * 60
    return features, rng.normal(0, rng.choice([1, 5, 20]), m), rng.random(m) < rng.random(), penalties


def minimised(x: NDArray[np.float64], features: Any, offsets: Any, are_positive: Any, penalties: Any) -> float:
    log_odds = offsets + features @ x
    return float(np.sum(np.logaddexp(0, log_odds) - are_positive * log_odds) + 0.5 * np.sum(penalties * x**2))


def gradient(x: NDArray[np.float64], features: Any, offsets: Any, are_positive: Any, penalties: Any) -> Any:
    probabilities = expit(offsets + features @ x)
    return features.T @ (probabilities - are_positive) + penalties * x


def curvature(x: NDArray[np.float64], features: Any, offsets: Any, _: Any, penalties: Any) -> Any:
    probabilities = expit(offsets + features @ x)
    return (features.T * probabilities * (1 - probabilities)) @ features + np.diag(penalties)


@pytest.mark.parametrize(
    "case", [drawn(), drawn(200, 17), drawn(1, 5), surprising()], ids=["few", "many", "one", "far"]
)
def test_gradient_vanishes(case: Case) -> None:
    assert check_grad(minimised, gradient, np.linspace(-1, 1, len(case[3])) / 8, *case) < 1e-4
    np.testing.assert_allclose(gradient(logistic_regression(*case), *case), 0, atol=1e-5)


def test_minimum_against_scipy() -> None:
    case = drawn()
    np.testing.assert_allclose(
        logistic_regression(*case), minimize(minimised, np.zeros(4), case, tol=1e-10).x, atol=1e-4
    )


def test_long_step_is_shortened() -> None:
    """Newton's first step would lead far up; what is published lies below where it began."""
    case, start = surprising(), np.zeros(3)
    assert minimised(-np.linalg.solve(curvature(start, *case), gradient(start, *case)), *case) > 2 * minimised(
        start, *case
    )
    assert minimised(logistic_regression(*case), *case) < 0.6 * minimised(start, *case)


@given(seed=st.integers(0, 10_000), regularization=st.sampled_from([0.04, 1e-3, 1e-4, 1e-6]))
def test_minimum_wherever_it_lies(seed: int, regularization: float) -> None:
    """No lower than scipy finds, and Newton's next step leads nowhere; compiled, the same."""
    case = spread(seed, regularization)
    x = logistic_regression(*case)
    found = minimize(minimised, np.zeros(len(x)), case, "trust-exact", gradient, curvature)
    assert minimised(x, *case) <= found.fun * (1 + 1e-9) + 1e-9
    np.testing.assert_allclose(np.linalg.solve(curvature(x, *case), gradient(x, *case)), 0, atol=1e-5)
    np.testing.assert_allclose(compiled(case), x, atol=1e-5)


def test_lost_in_rounding() -> None:
    """Where no step can be computed, the best so far is the answer: here, where it began."""
    case = np.full((3, 2), 1e9), np.zeros(3), np.array([True, True, False]), np.full(2, 1e-9)
    np.testing.assert_array_equal(logistic_regression(*case), 0)


@pytest.mark.parametrize("case", [drawn(), drawn(200, 17), surprising()], ids=["few", "many", "far"])
def test_compiled_alike(case: Case) -> None:
    case[0][:, -1] = 1.0
    np.testing.assert_allclose(compiled(case), logistic_regression(*case), atol=1e-5)


def compiled(case: Case) -> NDArray[np.float64]:
    """What `fold_in_rows` makes of it; the last feature is 1."""
    features, offsets, are_positive, penalties = case
    items = features.copy()
    items[:, -1] = offsets - 0.3
    labels = LabelRows(np.array([0, len(items)]), np.arange(len(items), dtype=np.int32), are_positive, 0.3)
    rows = np.zeros((1, len(penalties)))
    fold_in_rows(0, 1, labels, items, np.zeros_like(rows), penalties[None], rows)
    return rows.ravel()


def test_worked_by_hand() -> None:
    """One engaged item x = 1, b_i = 0, b = 0: p (1 + 60) = b_u 60 = 1 - s over the regularization."""
    part = EngagementFoldIn(0.0, 0.5, LIKED_FROM).part(np.array([[1.0, 0.0]]), np.array([np.inf]))
    (p, one), ratio = part, 61 / 60
    assert one == 1
    assert p * 0.5 * 61 == pytest.approx(1 / (1 + np.exp(p + p * ratio)), abs=1e-6)


def test_labels_of_ratings() -> None:
    """Ratings from the threshold on are engagements, those below are not, whatever their size."""
    fold, columns = EngagementFoldIn(0.2, 0.04, 4.0), np.random.default_rng(0).normal(size=(4, 3))
    rated, said = fold.part(columns, np.array([4.0, 1.0, 5.0, 3.9])), np.array([np.inf, -np.inf, np.inf, -np.inf])
    np.testing.assert_array_equal(rated, fold.part(columns, said))
    assert np.abs(rated - fold.part(columns, -said)).max() > 0.01


def test_threshold_as_exact_as_ratings() -> None:
    fold = EngagementFoldIn(0.0, 0.04, 0.8)
    assert fold.part(np.array([[1.0, 0.0]]), np.array([0.8], np.float32))[0] > 0


def test_nothing_met_is_zero() -> None:
    np.testing.assert_array_equal(EngagementFoldIn(0.3, 0.04, 4).part(np.empty((0, 4)), np.empty(0)), [0, 0, 0, 1])


@pytest.mark.parametrize("regularization", [1e-4, 0.04, 3.0])
def test_influences_add_up(regularization: float) -> None:
    rng = np.random.default_rng(2)
    columns, shown, values = rng.normal(size=(12, 5)), rng.normal(size=(9, 5)), rng.integers(1, 6, 12).astype(float)
    fold = EngagementFoldIn(0.4, regularization, LIKED_FROM)
    carried = fold.influences(columns, values, shown)
    assert carried.shape == (9, 12)
    expected = shown[:, :-1] @ fold.part(columns, values)[:-1]
    np.testing.assert_allclose(carried.sum(axis=1), expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


def test_liked_speaks_for_its_like() -> None:
    columns = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    carried = EngagementFoldIn(0.0, 0.04, 4).influences(columns, np.array([np.inf, -np.inf]), columns)
    assert carried[0, 0] > 0 > carried[1, 1]
    np.testing.assert_array_equal([carried[0, 1], carried[1, 0]], 0)


def test_read_what_was_written() -> None:
    fold = EngagementFoldIn(0.3, 0.04, 4.0)
    assert EngagementFoldIn.from_state(fold.numbers) == fold
    with pytest.raises(KeyError, match="liked_from"):
        EngagementFoldIn.from_state({"intercept": 0.3, "regularization": 0.04})


def labelled() -> RatingMatrix:
    """Ratings of 50 users and 40 items, and labels of half of the other pairs; the last user and item have labels."""
    rng = np.random.default_rng(3)
    train = ratings_of_rank(n_users=50, n_items=40).train
    is_free = (train.by_user.toarray() == 0) & (rng.random((50, 40)) < 0.5)
    is_free = np.pad(is_free, ((0, 2), (0, 2)))
    is_free[50, 40] = True
    users, items = np.nonzero(is_free)
    labels = EventLabels(users, items, rng.random(len(users)) < 0.3, np.zeros(len(users)), LIKED_FROM)
    return RatingMatrix(52, 42, train.user_rows, train.item_rows, train.values, labels=labels)


def learned_from(ratings: RatingMatrix) -> EngagementVectors:
    return Logistic(n_factors=6).fit(ratings.as_labels(LIKED_FROM), np.random.default_rng(0))


def test_user_side_is_fold_in() -> None:
    ratings = labelled()
    labels, odds = ratings.labels, learned_from(ratings).log_odds
    assert labels is not None
    fold = EngagementFoldIn(odds.mean, odds.regularization, LIKED_FROM)
    columns = np.hstack([odds.item_factors, odds.item_biases[:, None]])
    for user in range(52):
        own, of_events = ratings.user_rows == user, labels.user_rows == user
        rows = np.append(ratings.item_rows[own], labels.item_rows[of_events])
        values = np.append(ratings.values[own], np.where(labels.are_positive[of_events], np.inf, -np.inf))
        np.testing.assert_allclose(fold.part(columns[rows], values)[:-1], odds.user_factors[user], atol=1e-4)
    assert odds.user_factors[50].any()
    assert not odds.user_factors[51].any()


def test_needs_no_numba() -> None:
    modules = "app.algorithms.engagement_fold_in, app.algorithms.logistic"
    command = f"import sys, {modules}; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
