import numpy as np
import pytest

from app.algorithms.posterior_summary import MAX_COLUMNS, MeanProduct, estimate_precision, shrink

NOISE = 0.3


def test_exact_where_columns_suffice() -> None:
    rng = np.random.default_rng(0)
    base, items = rng.normal(size=(50, 5)), rng.normal(size=(5, 40))
    mean, samples = MeanProduct(5), []
    for _ in range(MAX_COLUMNS // 3 + 20):  # so that it shrinks on the way, too
        mix = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
        left, right = (base @ mix[0]).astype(np.float32), (items.T @ mix[1]).astype(np.float32)
        mean.add(left, right)
        samples.append(left.astype(np.float64) @ right.T)
    left, right = mean.sides()
    assert left.shape == (50, 5)
    assert right.shape == (40, 5)
    np.testing.assert_allclose(left @ right.T, np.mean(samples, axis=0), atol=1e-4)


def test_cut_is_that_of_svd() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(30, 9)).astype(np.float32), rng.normal(size=(20, 9)).astype(np.float32)
    u, s, v = np.linalg.svd(left @ right.T)
    p, q = shrink(left, right, 4)
    np.testing.assert_allclose(p @ q.T, (u[:, :4] * s[:4]) @ v[:4], atol=1e-4)
    np.testing.assert_allclose(np.sum(p**2, axis=0), np.sum(q**2, axis=0), rtol=1e-4)


@pytest.mark.parametrize(("n_users", "n_items"), [(3, 40), (40, 3), (1, 1)])
def test_no_more_columns_than_rank(n_users: int, n_items: int) -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(n_users, 9)).astype(np.float32), rng.normal(size=(n_items, 9)).astype(np.float32)
    p, q = shrink(left, right, 6)
    assert p.shape == (n_users, min(n_users, n_items))
    np.testing.assert_allclose(p @ q.T, left @ right.T, atol=1e-4)


def test_nothing_shrinks_to_nothing() -> None:
    p, q = shrink(np.zeros((5, 3), np.float32), np.zeros((4, 3), np.float32), 2)
    assert p.shape == (5, 0)
    assert q.shape == (4, 0)


def test_known_precision_is_precision() -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=(2, 4, 4))
    every, each = half[0] @ half[0].T + 2 * np.eye(4), 0.01 * half[1] @ half[1].T
    # As wide as the precision allows: what users show of themselves varies less than NOISE / precision.
    users = rng.multivariate_normal(np.zeros(4), NOISE * np.linalg.inv(every) * 4, 3000)
    counts = rng.integers(5, 400, 3000)
    gradients = users @ every + counts[:, None] * (users @ each)
    precision = estimate_precision(users, gradients, counts, NOISE)
    np.testing.assert_allclose(precision[0], every, rtol=0.05, atol=0.2)
    np.testing.assert_allclose(precision[1], each, rtol=0.05, atol=0.002)


def test_never_wider_than_the_users() -> None:
    rng = np.random.default_rng(0)
    users = rng.normal(0, 0.5, (2000, 3))
    precision = estimate_precision(users, np.zeros((2000, 3)), np.full(2000, 20), NOISE)
    covariance = users.T @ users / 2000
    np.testing.assert_allclose(precision[0], NOISE * np.linalg.inv(covariance), rtol=1e-6, atol=1e-9)
    assert (np.linalg.eigvalsh(precision[1]) > -1e-9).all()


@pytest.mark.parametrize("n_users", [1, 2, 5])
def test_few_users_are_no_matter(n_users: int) -> None:
    rng = np.random.default_rng(0)
    users = rng.normal(size=(n_users, 6))
    users -= users.mean(axis=0)
    precision = estimate_precision(users, rng.normal(size=(n_users, 6)), np.full(n_users, 3), NOISE)
    assert np.isfinite(precision).all()
    assert (np.linalg.eigvalsh(precision[0]) > 0).all()
