"""The matrix of a file's ratings: one rating for each pair of each part."""

import numpy as np
import pytest

from app.entities import RatingColumns, RatingScale
from app.errors import InvalidInputError
from app.evaluation.rated_data import newest_ratings, on_scale


def columns(*rows: tuple[int, int, float, int]) -> RatingColumns:
    user_key, item_key, value, rated_at = zip(*rows, strict=True)
    return RatingColumns(
        np.array(user_key, np.int64), np.array(item_key, np.int64), np.array(value), np.array(rated_at, np.int64)
    )


RATINGS = columns((0, 0, 1, 20), (0, 0, 2, 10), (1, 0, 3, 10), (0, 0, 4, 5), (1, 1, 5, 10), (1, 1, 4, 10))


def test_newest_of_each_pair() -> None:
    matrix, is_test, n_shared = newest_ratings(RATINGS, None, (2, 2))
    assert (matrix.values.tolist(), is_test, n_shared) == ([1, 3, 4], None, 0)


def test_pair_in_both_parts() -> None:
    """What is learned from does not replace what is measured on, and holds none of it."""
    matrix, is_test, n_shared = newest_ratings(RATINGS, 3, (2, 2))
    assert matrix.values.tolist() == [3, 4, 4]
    assert is_test is not None
    assert is_test.tolist() == [False, True, True]
    assert n_shared == 1
    with pytest.raises(InvalidInputError, match="nothing is left to learn from"):
        newest_ratings(columns((0, 0, 1, 1), (0, 0, 1, 2)), 1, (2, 2))


def test_ratings_off_the_scale() -> None:
    kept, n_test = on_scale(RATINGS, 3, RatingScale(2, 4, 1))
    assert (kept.value.tolist(), n_test) == ([2, 3, 4, 4], 2)
    assert on_scale(RATINGS, None, RatingScale(1, 5))[1] is None
    # As an import into a store of pairs: what is measured is what a service learns.
    assert on_scale(RATINGS, None, RatingScale.parse("pairs"))[0].value.tolist() == [1] * 6
    with pytest.raises(InvalidInputError, match="no rating of the test file"):
        on_scale(RATINGS, 1, RatingScale(1, 3))
    with pytest.raises(InvalidInputError, match="none of the 6 ratings is on the scale 7:9"):
        on_scale(RATINGS, None, RatingScale(7, 9))
