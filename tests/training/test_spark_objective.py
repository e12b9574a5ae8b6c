"""The mapping to Spark's ALS, against its equations written out; no Spark is needed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.training.spark_objective import Entries, SharedPenalty, cross_validated, implicit_entries, prior_rows

N_USERS, N_ITEMS = 12, 15
UNOBSERVED = 0.3

Matrix = NDArray[np.float64]


def observations(seed: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Choices that weigh more than `UNOBSERVED`, dislikes of weight 1, and a few pairs that are no observation."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < 0.5)
    weights = rng.uniform(UNOBSERVED * 1.1, 3.0, len(users)) * rng.choice([1, 1, 1, 0], len(users))
    weights[rng.random(len(users)) < 0.2] = -1.0
    return users.astype(np.int32), items.astype(np.int32), weights.astype(np.float32)


def entries_of(
    user_rows: NDArray[np.int32], item_rows: NDArray[np.int32], weights: NDArray[np.float32], unobserved_weight: float
) -> Entries:
    is_choice = weights > 0
    of_users, of_items = (np.bincount(rows[is_choice], minlength=20) > 0 for rows in (user_rows, item_rows))
    return implicit_entries(user_rows, item_rows, weights, unobserved_weight, (of_users, of_items))


def of_spark(entries: Entries, user: int, items: Matrix, *, reg_param: float = 0.0) -> tuple[Matrix, Matrix]:
    """Both sides of the equations of a user, as `ALS.scala` sums them with alpha 1."""
    left, right, n_positive = items.T @ items, np.zeros(items.shape[1]), 0
    for row, value in zip(entries.item[entries.user == user], entries.value[entries.user == user], strict=True):
        confidence = abs(float(value))
        left += confidence * np.outer(items[row], items[row])
        if value > 0:
            right += (1 + confidence) * items[row]
            n_positive += 1
    return left + reg_param * n_positive * np.eye(items.shape[1]), right


def of_reckon(
    user_rows: NDArray[np.int32], item_rows: NDArray[np.int32], weights: NDArray[np.float32], user: int, items: Matrix
) -> tuple[Matrix, Matrix]:
    left, right = UNOBSERVED * items.T @ items, np.zeros(items.shape[1])
    for row, weight in zip(item_rows[user_rows == user], weights[user_rows == user], strict=True):
        left += abs(float(weight)) * np.outer(items[row], items[row])
        right += max(float(weight), 0.0) * items[row]
    return left / UNOBSERVED, right / UNOBSERVED


def test_equations_agree() -> None:
    columns = observations()
    items = np.random.default_rng(1).standard_normal((N_ITEMS, 4))
    # The vector of an item without a choice is 0 for both.
    items[np.bincount(columns[1][columns[2] > 0], minlength=N_ITEMS) == 0] = 0
    entries = entries_of(*columns, UNOBSERVED)
    for user in range(N_USERS):
        for spark, reckon in zip(of_spark(entries, user, items), of_reckon(*columns, user, items), strict=True):
            np.testing.assert_allclose(spark, reckon, rtol=1e-5, atol=1e-5)


def test_weak_choice_pulls_as_unobserved_weight() -> None:
    users, items = np.zeros(1, np.int32), np.zeros(1, np.int32)
    vectors = np.ones((1, 1))
    left, right = of_spark(entries_of(users, items, np.array([0.5], np.float32), 2.0), 0, vectors)
    assert left.item() == pytest.approx(1 + 0.25)
    assert right.item() == pytest.approx(1)


def test_strong_choice_takes_one_row() -> None:
    users, items = np.zeros(1, np.int32), np.zeros(1, np.int32)
    assert len(entries_of(users, items, np.array([50.0], np.float32), 1.0).value) == 2
    strong = entries_of(users, items, np.array([500.0], np.float32), 1.0)
    np.testing.assert_allclose(strong.value, [499])


def test_rows_without_a_choice_are_left_out() -> None:
    """Their vectors are 0, and with no count of positive rows Spark would give them no penalty."""
    users, items = np.array([0, 0, 1, 2], np.int32), np.array([0, 1, 0, 1], np.int32)
    entries = entries_of(users, items, np.array([2, -1, -1, -1], np.float32), 1.0)
    assert set(entries.user.tolist()) == {0}
    assert set(entries.item.tolist()) == {0}


def test_nothing_observed() -> None:
    none = np.empty(0, np.int32)
    assert len(entries_of(none, none, np.empty(0, np.float32), 1.0).value) == 0


def test_proportional_penalties_are_exact() -> None:
    """0.5 n |x|^2 and 8 n |y|^2 have the same least scores x . y as one factor for both, and the vectors rescaled."""
    n_users, n_items = np.array([1.0, 4, 2]), np.array([3.0, 1, 3])
    shared = SharedPenalty.fit(0.5 * n_users, 8 * n_items, n_users, n_items)
    assert shared.of_spark == pytest.approx(2)
    x, y = np.array([0.3, 0.4]), np.array([1.0, -2.0])
    scaled_x, scaled_y = x / shared.item_scale, y * shared.item_scale
    assert scaled_x @ scaled_y == pytest.approx(x @ y)
    in_spark = shared.of_spark * (n_users[0] * x @ x + n_items[0] * y @ y)
    assert 0.5 * n_users[0] * scaled_x @ scaled_x + 8 * n_items[0] * scaled_y @ scaled_y == pytest.approx(in_spark)


def test_least_squares_of_other_penalties() -> None:
    counts = np.array([1.0, 10.0])
    shared = SharedPenalty.fit(np.array([5.0, 5.0]), np.array([5.0, 5.0]), counts, counts)
    assert shared.of_spark == pytest.approx(55 / 101)
    assert shared.item_scale == pytest.approx(1)


def test_no_penalty() -> None:
    counts = np.ones(2)
    assert SharedPenalty.fit(np.zeros(2), np.zeros(2), counts, counts) == SharedPenalty(0.0, 1.0)


def test_prior_rows() -> None:
    """With them, Spark's penalty regParam n of a row is regParam (n + 60), and nothing else changes."""
    has_ratings = np.array([True, False, True]), np.array([True, True, False, True])
    blocks = list(prior_rows(60, has_ratings, block=100))
    assert max(len(block.value) for block in blocks) <= 100
    users, items, values = (np.concatenate(column) for column in zip(*blocks, strict=True))
    assert not values.any()
    n_users, n_items = map(len, has_ratings)
    assert np.bincount(users)[:n_users].tolist() == [60, 0, 60]
    assert np.bincount(items)[:n_items].tolist() == [60, 60, 0, 60]
    # No row joins two that are both known or both added, and none is there twice.
    assert ((users < n_users) != (items < n_items)).all()
    assert len(set(zip(users.tolist(), items.tolist(), strict=True))) == len(users)


def test_error_to_expect_of_shrunk_means() -> None:
    """The means of few values each have fitted much of the noise, whose variance is 1."""
    rng = np.random.default_rng(0)
    n_rows, n_each, prior = 4_000, 5, 4.8
    values = rng.standard_normal((n_rows, n_each)) + rng.standard_normal((n_rows, 1)) / np.sqrt(prior)
    left = values - values.sum(axis=1, keepdims=True) / (n_each + prior)
    squares, n = float((left**2).sum()), n_rows * n_each
    fitted = n_rows * n_each / (n_each + prior)
    assert squares / n < 0.92
    assert cross_validated(squares, n, fitted) == pytest.approx(1 + 1 / (n_each + prior), rel=0.03)
