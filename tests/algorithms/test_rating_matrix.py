from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.algorithms.errors import InvalidRatings
from app.algorithms.rating_matrix import RatingMatrix


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), st.floats(-5, 5, width=32)), max_size=40))
def test_views_keep_every_rating(triples: list[tuple[int, int, float]]) -> None:
    users, items, values = (np.array([triple[each] for triple in triples]) for each in range(3))
    ratings = RatingMatrix(6, 8, users, items, values)
    for view, rows, others in ((ratings.by_user, users, items), (ratings.by_item, items, users)):
        for row in range(view.shape[0]):
            own = slice(view.indptr[row], view.indptr[row + 1])
            # In their order, and repeated pairs are not added up.
            np.testing.assert_array_equal(view.indices[own], others[rows == row])
            np.testing.assert_array_equal(view.data[own], values[rows == row])


def test_counts() -> None:
    ratings = RatingMatrix(3, 2, [0, 0, 2], [0, 1, 1], [1, 2, 3])
    assert ratings.user_counts.tolist() == [2, 0, 1]
    assert ratings.item_counts.tolist() == [1, 2]
    assert len(ratings) == 3


def test_subset_keeps_shape() -> None:
    ratings = RatingMatrix(3, 2, [0, 0, 2], [0, 1, 1], [1, 2, 3])
    kept = ratings.subset(np.array([True, False, True]))
    assert (kept.n_users, kept.n_items, kept.values.tolist()) == (3, 2, [1, 3])


def test_of_takes_what_is_needed() -> None:
    ratings = RatingMatrix.of([4, 0], [1, 2], [3.5, 2])
    assert (ratings.n_users, ratings.n_items) == (5, 3)


@pytest.mark.parametrize(
    "columns",
    [
        ([0], [0, 1], [1, 2]),
        ([0, 3], [0, 1], [1, 2]),
        ([0, -1], [0, 1], [1, 2]),
        ([0, 1], [0, 2], [1, 2]),
        ([0, 1], [0, 1], [1, float("nan")]),
        ([0, 1], [0, 1], [1, float("inf")]),
    ],
)
def test_nonsense_is_refused(columns: Any) -> None:
    with pytest.raises(InvalidRatings):
        RatingMatrix(3, 2, *columns)
