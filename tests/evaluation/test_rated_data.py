"""The matrix of a file's ratings: one rating for each pair of each part."""

import numpy as np

from app.entities import RatingColumns
from app.evaluation.rated_data import newest_ratings


def columns(*rows: tuple[int, int, float, int]) -> RatingColumns:
    user_key, item_key, value, rated_at = zip(*rows, strict=True)
    return RatingColumns(
        np.array(user_key, np.int64), np.array(item_key, np.int64), np.array(value), np.array(rated_at, np.int64)
    )


RATINGS = columns((0, 0, 1, 20), (0, 0, 2, 10), (1, 0, 3, 10), (0, 0, 4, 5), (1, 1, 5, 10), (1, 1, 4, 10))


def test_newest_of_each_pair() -> None:
    matrix, is_test = newest_ratings(RATINGS, None, (2, 2))
    assert (matrix.values.tolist(), is_test) == ([1, 3, 4], None)


def test_pair_in_both_parts() -> None:
    """What is learned from does not replace what is measured on."""
    matrix, is_test = newest_ratings(RATINGS, 3, (2, 2))
    assert matrix.values.tolist() == [1, 3, 4, 4]
    assert is_test is not None
    assert is_test.tolist() == [False, False, True, True]
