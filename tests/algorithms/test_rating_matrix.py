from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.algorithms.errors import InvalidRatingsError
from app.algorithms.labels import EventLabels
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
    ratings = RatingMatrix.from_arrays([4, 0], [1, 2], [3.5, 2])
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
    with pytest.raises(InvalidRatingsError):
        RatingMatrix(3, 2, *columns)


def labelled() -> RatingMatrix:
    labels = EventLabels([1, 1, 2], [0, 1, 0], [1, 0, 1], [7, 8, 9], counts_as=4.0)
    return RatingMatrix(3, 2, [0, 0, 2], [0, 1, 1], [1, 2, 3], labels=labels)


def test_engaged_pairs_are_choices() -> None:
    ratings = labelled()
    assert ratings.user_counts.tolist() == [2, 0, 1]
    assert ratings.user_choice_counts.tolist() == [2, 1, 2]
    assert ratings.item_choice_counts.tolist() == [3, 2]
    assert np.diff(ratings.chosen.indptr).tolist() == [2, 1, 2]
    assert ratings.chosen.indices.tolist() == [0, 1, 0, 1, 0]


def test_ratings_that_are_labels() -> None:
    ratings = RatingMatrix(3, 2, [0, 0, 2], [0, 1, 1], [1, 5, 5], chosen_from=5.0)
    assert ratings.user_choice_counts.tolist() == [1, 0, 1]
    assert ratings.chosen.indices.tolist() == [1, 1]
    assert ratings.subset(np.array([True, False, True])).item_choice_counts.tolist() == [0, 1]
    assert ratings.select_users(np.array([1, 2])).item_choice_counts.tolist() == [0, 1]


def test_engaged_pairs_as_ratings() -> None:
    both = labelled().with_positive(4.0)
    assert both.by_user.toarray().tolist() == [[1, 2], [4, 0], [4, 3]]
    plain = RatingMatrix(3, 2, [0, 0, 2], [0, 1, 1], [1, 2, 3])
    assert plain.with_positive(4.0) is plain


def test_labels_are_carried() -> None:
    ratings = labelled()
    for same in (ratings.subset(np.array([False, False, True])), ratings.with_features(None)):
        assert same.labels is ratings.labels
    labels = ratings.select_users(np.array([0, 2])).labels
    assert labels is not None
    assert (labels.user_rows.tolist(), labels.item_rows.tolist(), labels.values.tolist()) == ([1], [0], [1])
    assert (labels.last_at.tolist(), labels.counts_as) == ([9], 4.0)


def test_met_are_rated_or_labelled() -> None:
    assert labelled().observed.toarray().tolist() == [[1, 1], [1, 1], [1, 1]]
    one_rated = labelled().subset(np.array([0]))
    assert one_rated.observed.toarray().tolist() == [[1, 0], [1, 1], [1, 0]]
    assert one_rated.user_observed_counts.tolist() == [1, 2, 1]
    assert one_rated.item_observed_counts.tolist() == [3, 1]


def test_all_that_is_known_as_labels() -> None:
    labels = labelled().as_labels(2.0)
    assert labels.user_rows.tolist() == [0, 0, 2, 1, 1, 2]
    assert labels.item_rows.tolist() == [0, 1, 1, 0, 1, 0]
    assert labels.values.tolist() == [0, 1, 1, 1, 0, 1]
    assert labels.labels is None
    assert RatingMatrix.from_arrays([0, 1], [0, 0], [0.8, 0.7]).as_labels(0.8).values.tolist() == [1, 0]


def test_other_labels() -> None:
    ratings = labelled()
    assert ratings.labels is not None
    first = ratings.labels.subset(np.array([True, False, False]))
    assert ratings.with_labels(first).labels is first
    np.testing.assert_array_equal(ratings.with_labels(first).values, ratings.values)


def test_labels_stay_inside() -> None:
    with pytest.raises(InvalidRatingsError, match="labels"):
        RatingMatrix(3, 2, [0], [0], [1], labels=EventLabels([3], [0], [1], [0], 4.0))


@pytest.mark.parametrize(
    ("values", "liked_from", "liked", "low_below"),
    [
        ([0.5, 2, 3, 4, 5], 4.0, 4.0, 2.75),  # of stars: the middle of the range is below the mean of 2.9
        ([1, 1, 1, 1, 5, 4], 4.0, 4.0, 13 / 6),  # most are low: the mean is below the middle
        ([3, 4, 5, 5], None, 3.0, 3.0),  # on an unknown scale all are liked
        ([0, 1, 1], 0.75, 0.75, 0.5),
        ([0, 1, 1], None, 1.0, 0.5),
    ],
)
def test_liked_and_low(values: list[float], liked_from: float | None, liked: float, low_below: float) -> None:
    n = len(values)
    ratings = RatingMatrix(n, 1, range(n), [0] * n, values, liked_from=liked_from)
    assert ratings.least_liked == pytest.approx(liked)
    assert ratings.low_below == pytest.approx(low_below)
    assert ratings.item_like_counts.tolist() == [sum(value >= liked for value in values)]
    assert ratings.subset(np.arange(n) > 0).liked_from == liked_from


def test_strengths_are_all_liked() -> None:
    ratings = RatingMatrix(2, 1, [0, 1], [0, 0], [0.1, 0.9], is_graded=False, liked_from=0.5)
    assert ratings.least_liked == ratings.low_below == 0
    led = RatingMatrix(2, 1, [0, 1], [0, 0], [0, 1], chosen_from=1.0, is_graded=False)
    assert led.item_like_counts.tolist() == [1]
