import numpy as np
import pytest

from app.algorithms.rating_uncertainty import RatingUncertainty, UserUncertainty

USERS = UserUncertainty(noise=0.6, noise_ratings=5.0, optimism=1.1, new_user=0.8, half_known=4.0)


def test_user_without_ratings() -> None:
    (deviation,) = USERS.standard_deviations(np.array([99.0]), np.array([0]))
    assert deviation == pytest.approx(1.0)  # 0.6^2 + 0.8^2


def test_some_ratings_by_hand() -> None:
    (deviation,) = USERS.standard_deviations(np.array([0.5]), np.array([20]))
    noise = (5 * 0.6**2 + 20 * 0.55**2) / 25
    assert deviation == pytest.approx(np.sqrt(noise + 0.8**2 / 6))


def test_many_ratings_leave_own_noise() -> None:
    (deviation,) = USERS.standard_deviations(np.array([0.5]), np.array([10**6]))
    assert deviation == pytest.approx(0.55, rel=1e-2)


def test_user_and_item_add_as_squares() -> None:
    spread = RatingUncertainty(USERS, np.array([0.3, 0.6], np.float32), np.array([0.4, 0.8], np.float32), new_item=0.8)
    deviation = spread.standard_deviation(np.array([0, 1, 1]), np.array([0, 1, 0]))
    assert deviation.dtype == np.float32
    np.testing.assert_allclose(deviation, [0.5, 1.0, np.sqrt(0.52)], rtol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 20])
def test_one_user_as_all(count: int) -> None:
    (expected,) = USERS.standard_deviations(np.array([0.7]), np.array([count]))
    assert USERS.standard_deviation(0.7, count) == pytest.approx(expected)


def test_even_is_same_for_all() -> None:
    spread = RatingUncertainty.constant(0.9, 3, 2)
    np.testing.assert_allclose(spread.standard_deviation(np.array([0, 2]), np.array([1, 0])), 0.9, rtol=1e-6)
    assert spread.of_users.standard_deviation(5.0, 100_000) == pytest.approx(0.9, rel=1e-6)
    assert spread.new_item == 0
