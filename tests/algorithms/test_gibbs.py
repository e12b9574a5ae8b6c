from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.algorithms.gibbs import GibbsChain, draw_hyperparameters, draw_noise_prior
from app.algorithms.gibbs_kernel import RowConditionals, draw_rows
from tests.support.known_ratings import ratings_of_rank


def test_row_draws_by_hand() -> None:
    rng = np.random.default_rng(0)
    n_draws, n_rated, width = 20_000, 7, 4
    fixed = rng.normal(size=(9, width)).astype(np.float32)
    columns, targets = rng.integers(0, 9, n_rated), rng.normal(size=n_rated).astype(np.float32)
    row_root, column_roots = 1.3, rng.uniform(0.5, 2, 9)
    half = rng.normal(size=(width, width))
    precision, mean = half @ half.T + np.eye(width), rng.normal(size=width)
    # One row after another with the same ratings: as many draws of the same vector.
    starts = np.arange(n_draws + 1) * n_rated
    roots = np.full(n_draws, row_root)
    rated, given = np.tile(columns, n_draws).astype(np.int32), np.tile(targets, n_draws)
    side = RowConditionals(starts, rated, given, fixed, roots, column_roots, precision, precision @ mean)
    rows, means = rng.standard_normal((n_draws, width), np.float32), np.empty((n_draws, width), np.float32)
    draw_rows(0, n_draws, side, rows, means)

    weights = (row_root * column_roots[columns]) ** 2
    features = np.hstack([fixed[columns, :-1], np.ones((n_rated, 1))])
    covariance = np.linalg.inv(precision + features.T * weights @ features)
    expected = covariance @ (precision @ mean + features.T @ (weights * (targets - fixed[columns, -1])))
    np.testing.assert_allclose(means, np.tile(expected, (n_draws, 1)), atol=1e-5)
    np.testing.assert_allclose(rows.mean(axis=0), expected, atol=0.02)
    np.testing.assert_allclose(np.cov(rows.T), covariance, atol=0.02)


def test_hyperparameters_find_the_rows() -> None:
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.6], [0.6, 0.5]])
    rows = rng.multivariate_normal([1.0, -2.0], covariance, 4000)
    draws = [draw_hyperparameters(rows, rng) for _ in range(300)]
    np.testing.assert_allclose(np.mean([mean for mean, _ in draws], axis=0), [1.0, -2.0], atol=0.03)
    found = np.mean([np.linalg.inv(precision) for _, precision in draws], axis=0)
    np.testing.assert_allclose(found, covariance, atol=0.05)
    assert np.std([mean[0] for mean, _ in draws]) == pytest.approx(np.sqrt(1 / 4000), rel=0.2)


def test_hyperparameters_of_no_rows() -> None:
    mean, precision = draw_hyperparameters(np.empty((0, 3)), np.random.default_rng(0))
    assert mean.shape == (3,)
    assert (np.linalg.eigvalsh(precision) > 0).all()


def test_noise_prior_finds_the_users() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_noise_prior(rng.gamma(4.0, 1 / 2.0, 3000), rng) for _ in range(50)]
    shape, rate = np.mean(draws, axis=0)
    assert shape == pytest.approx(4.0, rel=0.1)
    assert rate == pytest.approx(2.0, rel=0.1)


def test_chain_finds_the_noise() -> None:
    ratings = ratings_of_rank(noise=0.5).train
    targets = (ratings.values - ratings.values.mean()) / ratings.values.std()
    rng = np.random.default_rng(0)
    chain = GibbsChain(ratings, targets, 6, rng)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(60):
            chain.sweep(rng, pool, 1)
    noise = np.median(1 / chain.noise_precisions) * ratings.values.var()
    assert noise == pytest.approx(0.25, rel=0.15)


def test_item_yet_to_come_is_prior() -> None:
    ratings = ratings_of_rank(n_users=30, n_items=20).train
    rng = np.random.default_rng(0)
    chain = GibbsChain(ratings, ratings.values - ratings.values.mean(), 3, rng)
    with ThreadPoolExecutor(1) as pool:
        chain.sweep(rng, pool, 1)
    assert chain.items.shape == (21, 4)
    assert not np.array_equal(chain.items[20], chain.item_means[20])
