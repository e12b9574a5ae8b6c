from typing import Any

import numpy as np
import pytest
from scipy import sparse

from app.algorithms.history_features import PRIOR_RATINGS, HistoryFeatures, UserHistory
from app.algorithms.rating_matrix import RatingMatrix
from tests.support.known_ratings import ratings_of_rank

# Item 0 is a drama, 1 a comedy, 2 both, 3 nothing known. User 2 rated nothing.
CATEGORIES = sparse.csr_array(np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32))
RATINGS = RatingMatrix(3, 4, [0, 0, 0, 1], [0, 1, 2, 0], [5, 1, 3, 3])


def test_users() -> None:
    history = HistoryFeatures.from_ratings(RATINGS, CATEGORIES)
    assert history.mean == 3
    scale, typical = np.sqrt(2), np.log1p(2)  # of 5, 1, 3, 3; two ratings a user
    mean, count, drama, comedy, *rest = history.users(RATINGS).toarray().T
    np.testing.assert_allclose(mean, 0, atol=1e-6)
    np.testing.assert_allclose(count, [np.log1p(3) / typical, np.log1p(1) / typical, 0], rtol=1e-6)
    # The first user gave dramas 5 and 3, comedies 1 and 3, and 3 on average.
    np.testing.assert_allclose(drama, [2 / scale / (2 + PRIOR_RATINGS), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(comedy, [-2 / scale / (2 + PRIOR_RATINGS), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(rest[:2], [[2 / 3, 1, 0], [2 / 3, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(rest[2:], [[3**-0.5, 1, 0], [3**-0.5, 0, 0], [3**-0.5, 0, 0]], rtol=1e-6)


def test_items() -> None:
    history = HistoryFeatures.from_ratings(RATINGS, CATEGORIES)
    mean, count = history.items(RATINGS).toarray().T
    np.testing.assert_allclose(mean, np.array([2, -2, 0, 0]) / np.sqrt(2) / ([2 + 5, 1 + 5, 1, 1]), rtol=1e-6)
    np.testing.assert_allclose(count, np.log1p([2, 1, 1, 0]) / np.log1p(4 / 3), rtol=1e-6)


def test_no_ratings_no_entries() -> None:
    history = HistoryFeatures.from_ratings(RATINGS, CATEGORIES)
    assert history.users(RATINGS)[[2]].count_nonzero() == 0
    assert history.items(RATINGS)[[3]].count_nonzero() == 0


def test_most_rated_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.algorithms.history_features.MAX_ITEMS", 1)
    monkeypatch.setattr("app.algorithms.history_features.MAX_CATEGORIES", 1)
    history = HistoryFeatures.from_ratings(RATINGS, CATEGORIES)
    assert history.top_items.tolist() == [0]
    np.testing.assert_array_equal(history.categories.toarray()[:, 0], [1, 0, 1, 0])
    assert history.users(RATINGS).shape == (3, history.n_user_columns) == (3, 5)


def test_own_rating_is_left_out() -> None:
    ratings = ratings_of_rank(n_users=30, n_items=20).train
    history = HistoryFeatures.from_ratings(ratings, sparse.csr_array(np.ones((20, 1), np.float32)))
    seen: list[Any] = []
    for positions, users, items in history.leaving_out(ratings, 5, np.random.default_rng(0)):
        changed = ratings.values.copy()
        changed[positions] += 1000
        others = RatingMatrix(30, 20, ratings.user_rows, ratings.item_rows, changed)
        again = list(history.leaving_out(others, 5, np.random.default_rng(0)))[len(seen)]
        np.testing.assert_array_equal(users.toarray(), again[1].toarray())
        np.testing.assert_array_equal(items.toarray(), again[2].toarray())
        seen.append(positions)
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(len(ratings)))


@pytest.mark.parametrize(
    "ratings",
    [RatingMatrix(2, 3, [], [], []), RatingMatrix(2, 3, [0], [1], [4]), RatingMatrix(2, 3, [0, 1], [1, 1], [4, 4])],
)
def test_degenerate(ratings: RatingMatrix) -> None:
    history = HistoryFeatures.from_ratings(ratings, sparse.csr_array(np.zeros((3, 0), np.float32)))
    users, items = history.users(ratings), history.items(ratings)
    assert users.shape == (2, history.n_user_columns)
    assert users.dtype == items.dtype == np.float32
    assert np.isfinite(users.data).all()
    assert np.isfinite(items.data).all()


def test_one_user_at_a_time() -> None:
    ratings = ratings_of_rank(n_users=30, n_items=20).train
    ratings = ratings.subset(ratings.user_rows > 0)
    categories = sparse.csr_array(np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32))
    history = HistoryFeatures.from_ratings(
        ratings.subset(ratings.item_rows > 3), categories
    )  # four are not among the top items
    alone = UserHistory.from_history_features(history)
    for user, expected in enumerate(history.users(ratings).toarray()):
        own = ratings.user_rows == user
        found = alone.features(ratings.item_rows[own], ratings.values[own])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert alone.n_columns == history.n_user_columns
