import numpy as np
import pytest

from app.algorithms.bayesian_mf_prior import learn_precision

NOISE = 0.3


def test_known_precision_is_found() -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=(2, 4, 4))
    every, each = half[0] @ half[0].T + 2 * np.eye(4), 0.01 * half[1] @ half[1].T
    # As wide as the precision allows: what users show of themselves varies less than NOISE / precision.
    users = rng.multivariate_normal(np.zeros(4), NOISE * np.linalg.inv(every) * 4, 3000)
    counts = rng.integers(5, 400, 3000)
    gradients = users @ every + counts[:, None] * (users @ each)
    found = learn_precision(users, gradients, counts, NOISE)
    np.testing.assert_allclose(found[0], every, rtol=0.05, atol=0.2)
    np.testing.assert_allclose(found[1], each, rtol=0.05, atol=0.002)


def test_never_wider_than_the_users() -> None:
    rng = np.random.default_rng(0)
    users = rng.normal(0, 0.5, (2000, 3))
    found = learn_precision(users, np.zeros((2000, 3)), np.full(2000, 20), NOISE)
    covariance = users.T @ users / 2000
    np.testing.assert_allclose(found[0], NOISE * np.linalg.inv(covariance), rtol=1e-6, atol=1e-9)
    assert (np.linalg.eigvalsh(found[1]) > -1e-9).all()


@pytest.mark.parametrize("n_users", [1, 2, 5])
def test_few_users_are_no_matter(n_users: int) -> None:
    rng = np.random.default_rng(0)
    users = rng.normal(size=(n_users, 6))
    users -= users.mean(axis=0)
    found = learn_precision(users, rng.normal(size=(n_users, 6)), np.full(n_users, 3), NOISE)
    assert np.isfinite(found).all()
    assert (np.linalg.eigvalsh(found[0]) > 0).all()
