import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.algorithms import column_cosines as column_cosines_file
from app.algorithms.column_cosines import ColumnCosines
from app.algorithms.labels import EventLabels
from app.algorithms.rating_matrix import RatingMatrix


def drawn(seed: int, n_users: int = 12, n_items: int = 9) -> RatingMatrix:
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.4)
    return RatingMatrix(n_users, n_items, users, items, rng.integers(1, 6, len(users)))


def test_by_hand() -> None:
    # Users 0 and 1 rate both items: 5 and 5, 1 and 5; user 2 rates item 1 alone, with 5. A 5 counts 1, a 1 counts 0.1.
    ratings = RatingMatrix(3, 2, [0, 0, 1, 1, 2], [0, 1, 0, 1, 1], [5, 5, 1, 5, 5])
    cosines = ColumnCosines.from_ratings(ratings, 1, 5).of(np.array([0, 1]))
    cosine = (1 + 0.1) / (np.sqrt(1 + 0.01) * np.sqrt(3))
    np.testing.assert_allclose(cosines.values.toarray(), [[0, cosine], [cosine, 0]], rtol=1e-6)
    assert cosines.n_common.toarray().tolist() == [[0, 2], [2, 0]]
    np.testing.assert_allclose(cosines.shrunk(6).toarray()[0, 1], cosine * 2 / 8, rtol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([0.0, 3.0, 10.0]))
def test_equals_dense(seed: int, n_entries: int, shrinkage: float) -> None:
    ratings = drawn(seed)
    columns = np.zeros((9, 12))
    columns[ratings.item_rows, ratings.user_rows] = 0.1 + 0.9 * (ratings.values - 1) / 4
    lengths = np.linalg.norm(columns, axis=1, keepdims=True)
    columns = np.divide(columns, lengths, out=np.zeros_like(columns), where=lengths > 0)
    n_common = (columns > 0).astype(float) @ (columns > 0).T
    expected = columns @ columns.T * n_common / np.maximum(n_common + shrinkage, 1)
    np.fill_diagonal(expected, 0)
    found = ColumnCosines.from_ratings(ratings, 1, 5).strongest(shrinkage, n_entries)
    assert np.diff(found.indptr).max() <= n_entries
    strongest = -np.sort(-expected, axis=1)[:, :n_entries]
    kept = -np.sort(-found.toarray(), axis=1)[:, :n_entries]
    np.testing.assert_allclose(kept, strongest, atol=1e-6)
    where = found.toarray() > 0
    np.testing.assert_allclose(found.toarray()[where], expected[where], atol=1e-6)


def test_threads_change_nothing() -> None:
    cosines = ColumnCosines.from_ratings(drawn(1, n_users=200, n_items=300), 1, 5)
    one, two = (cosines.strongest(10, 20, n_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.toarray(), two.toarray())
    assert one.has_sorted_indices
    assert np.diff(one.indptr).max() == 20


def test_labels_are_choices() -> None:
    labels = EventLabels(np.array([0, 1]), np.array([1, 1]), np.array([True, False]), np.array([1, 2]), 4.0)
    ratings = RatingMatrix(2, 2, [0, 1], [0, 0], [5, 5]).with_labels(labels)
    n_common = ColumnCosines.from_ratings(ratings, 1, 5).of(np.array([0])).n_common
    assert n_common.toarray().tolist() == [[0, 1]]  # the negative label of user 1 is no choice


def test_negatives_are_left_out() -> None:
    ratings = RatingMatrix(2, 2, [0, 0, 1, 1], [0, 1, 0, 1], [5, 5, 5, 1], chosen_from=4.0)
    assert ColumnCosines.from_ratings(ratings, 1, 5).of(np.array([0])).n_common.toarray().tolist() == [[0, 1]]


def test_newest_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_cosines_file, "MAX_CHOICES", 2)
    ratings = RatingMatrix(1, 4, [0, 0, 0, 0], [0, 1, 2, 3], [5, 5, 5, 5], [40, 10, 30, 20])
    cosines = ColumnCosines.from_ratings(ratings, 1, 5).of(np.arange(4))
    assert cosines.n_common.toarray().nonzero()[0].tolist() == [0, 2]


def test_nothing() -> None:
    assert ColumnCosines.from_ratings(RatingMatrix(0, 0, [], [], []), 1, 5).strongest(10, 5).shape == (0, 0)
