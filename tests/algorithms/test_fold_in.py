import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.algorithms.fold_in import PRIOR_RATINGS, fold_in, fold_in_all, influences
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors


def vectors_of(ratings: RatingMatrix, n_factors: int, regularization: float, *, biased: bool = True) -> RatingVectors:
    rng = np.random.default_rng(1)
    return RatingVectors(
        mean=3.0 if biased else 0.0,
        user_biases=np.zeros(ratings.n_users, np.float32),
        item_biases=rng.normal(0, 0.3, ratings.n_items).astype(np.float32) * biased,
        user_factors=np.zeros((ratings.n_users, n_factors), np.float32),
        item_factors=rng.normal(0, 0.3, (ratings.n_items, n_factors)).astype(np.float32),
        regularization=regularization,
        biased=biased,
    )


@given(
    n_rated=st.integers(0, 30),
    n_factors=st.integers(0, 12),
    regularization=st.floats(1e-4, 1.0),
    biased=st.booleans(),
    seed=st.integers(0, 99),
)
def test_gradient_is_zero(n_rated: int, n_factors: int, regularization: float, biased: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, targets = rng.normal(0, 0.5, (n_rated, n_factors)), rng.normal(0, 1, n_rated)
    factors, bias = fold_in(features, targets, regularization, biased=biased)
    errors = targets - bias - features @ factors
    # d/dp: sum e q = regularization (m + 60) p;   d/db: sum e = 60 regularization b
    np.testing.assert_allclose(features.T @ errors, regularization * (n_rated + PRIOR_RATINGS) * factors, atol=1e-4)
    assert bias == pytest.approx(errors.sum() / (PRIOR_RATINGS * regularization) if biased else 0.0, abs=2e-3)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("n_factors", [0, 1, 7, 64])
@pytest.mark.parametrize("regularization", [0.0, 1e-6, 0.05])
def test_all_agrees_with_one(biased: bool, n_factors: int, regularization: float) -> None:
    rng = np.random.default_rng(0)
    cells = np.flatnonzero(rng.random(60 * 300) < rng.uniform(0, 1, 60).repeat(300) ** 2)
    ratings = RatingMatrix(62, 300, cells // 300, cells % 300, rng.integers(1, 6, len(cells)))
    vectors = vectors_of(ratings, n_factors, regularization, biased=biased)
    factors, biases = fold_in_all(ratings, vectors)
    for user_row in range(ratings.n_users):
        own = ratings.user_rows == user_row
        items = ratings.item_rows[own]
        targets = ratings.values[own] - vectors.mean - vectors.item_biases[items]
        one, bias = fold_in(vectors.item_factors[items], targets, regularization, biased=biased)
        fitted = vectors.item_factors[items] @ (factors[user_row] - one) + biases[user_row] - bias
        np.testing.assert_allclose(fitted, 0, atol=1e-3 if regularization < 1e-3 else 1e-5)
        if regularization > 1e-3:
            np.testing.assert_allclose(factors[user_row], one, atol=1e-5)


def precision_of(width: int) -> NDArray[np.float64]:
    """No diagonal matrices, some directions a hundred times as likely as others."""
    rng = np.random.default_rng(2)
    one, other = (np.linalg.qr(rng.normal(size=(width, width)))[0] for _ in range(2))
    spread = np.geomspace(0.1, 10, width)
    return np.stack([one * spread @ one.T, other * (0.01 * spread) @ other.T])


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("n_rated", [1, 5, 80])
def test_precision_by_brute_force(biased: bool, n_rated: int) -> None:
    rng = np.random.default_rng(n_rated)
    items, targets, precision = rng.normal(size=(n_rated, 6)), rng.normal(size=n_rated), precision_of(6 + biased)
    factors, bias = fold_in(items, targets, 0.0, biased=biased, precision=precision)
    # The penalty is that of ratings never given: R x = 0, R'R = precision[0] + m precision[1].
    root = np.linalg.cholesky(precision[0] + n_rated * precision[1]).T
    features = np.vstack([np.hstack([items, np.ones((n_rated, int(biased)))]), root])
    solution = np.linalg.lstsq(features, np.concatenate([targets, np.zeros(6 + biased)]))[0]
    np.testing.assert_allclose([*factors, bias][: 6 + biased], solution, atol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
def test_precision_of_plain_penalty(biased: bool) -> None:
    rng = np.random.default_rng(0)
    items, targets = rng.normal(size=(9, 6)), rng.normal(size=9)
    of_factors = np.diag([1.0] * 6 + [0.0] * biased)
    precision = 0.05 * np.stack([PRIOR_RATINGS * np.eye(6 + biased), of_factors])
    plain, general = (fold_in(items, targets, 0.05, biased=biased, precision=given) for given in (None, precision))
    np.testing.assert_allclose([*plain[0], plain[1]], [*general[0], general[1]], rtol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("n_factors", [0, 7, 32])
def test_all_agrees_with_precision(biased: bool, n_factors: int) -> None:
    rng = np.random.default_rng(0)
    cells = np.flatnonzero(rng.random(60 * 300) < rng.uniform(0, 1, 60).repeat(300) ** 2)
    ratings = RatingMatrix(62, 300, cells // 300, cells % 300, rng.integers(1, 6, len(cells)))
    precision = precision_of(n_factors + biased)
    vectors = replace(vectors_of(ratings, n_factors, 0.0, biased=biased), precision=precision)
    factors, biases = fold_in_all(ratings, vectors)
    for user_row in range(ratings.n_users):
        own = ratings.user_rows == user_row
        items = ratings.item_rows[own]
        targets = ratings.values[own] - vectors.mean - vectors.item_biases[items]
        one, bias = fold_in(vectors.item_factors[items], targets, 0.0, biased=biased, precision=precision)
        np.testing.assert_allclose(factors[user_row], one, atol=1e-4)
        assert biases[user_row] == pytest.approx(bias, abs=1e-4)


@pytest.mark.parametrize("precision", [None, precision_of(10)])
def test_threads_change_no_bit(precision: NDArray[np.float64] | None) -> None:
    rng = np.random.default_rng(0)
    ratings = RatingMatrix(2000, 50, rng.integers(0, 2000, 20_000), rng.integers(0, 50, 20_000), rng.random(20_000))
    vectors = replace(vectors_of(ratings, 9, 0.05), precision=precision)
    one, four = (fold_in_all(ratings, vectors, n_threads=n)[0] for n in (1, 4))
    np.testing.assert_array_equal(one, four)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("regularization", [0.0, 0.05])
@pytest.mark.parametrize("n_rated", [0, 2, 40])
def test_influences_add_up(biased: bool, regularization: float, n_rated: int) -> None:
    rng = np.random.default_rng(0)
    items, targets, shown = rng.normal(size=(n_rated, 6)), rng.normal(size=n_rated), rng.normal(size=(9, 6))
    factors, _ = fold_in(items, targets, regularization, biased=biased)
    carried = influences(items, targets, regularization, shown, biased=biased)
    assert carried.shape == (9, n_rated)
    np.testing.assert_allclose(carried.sum(axis=1), shown @ factors, atol=1e-5)


def test_few_ratings_move_little() -> None:
    item = np.full((1, 8), 0.2)
    _, bias = fold_in(item, np.array([2.0]), 0.05)
    assert 0 < bias < 0.6


def test_without_penalty_shortest_solution() -> None:
    factors, _ = fold_in(np.array([[1.0, 1.0]]), np.array([2.0]), regularization=0.0, biased=False)
    np.testing.assert_allclose(factors, [1.0, 1.0], rtol=1e-6)


def test_serving_needs_no_compiler() -> None:
    code = "import sys; import app.algorithms.fold_in, app.algorithms.by_name; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
