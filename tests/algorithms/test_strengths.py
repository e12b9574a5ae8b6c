import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.strengths import strengths_of, strengths_of_user


@pytest.mark.parametrize(
    ("amounts", "strengths"),
    [
        ([], []),
        ([7], [1 / 2]),
        ([0, 0], [1 / 2, 1 / 2]),
        ([3, 1, 352_698], [2 / 4, 1 / 4, 3 / 4]),
        ([5, 1, 1, 0], [4 / 5, 2.5 / 5, 2.5 / 5, 1 / 5]),
    ],
)
def test_order_alone_counts(amounts: list[float], strengths: list[float]) -> None:
    np.testing.assert_allclose(strengths_of_user(np.array(amounts, float)), strengths, rtol=1e-6)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 1e-3, 1, 2.5, 1e7, 2**53])), max_size=30))
def test_all_users_at_once(pairs: list[tuple[int, float]]) -> None:
    users, amounts = np.array([user for user, _ in pairs], int), np.array([amount for _, amount in pairs])
    strengths = strengths_of(RatingMatrix(6, 30, users, np.arange(len(pairs)), amounts))
    for user in range(6):
        np.testing.assert_array_equal(strengths[users == user], strengths_of_user(amounts[users == user]))
