import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.errors import InvalidRatingsError
from app.algorithms.feature_map import MAX_CROSSED, FeatureMap, crossed, crossed_width, mapped


def flags(n_rows: int, n_features: int, share: float = 0.2, seed: int = 0) -> sparse.csr_array:
    drawn = np.random.default_rng(seed).random((n_rows, n_features)) < share
    return sparse.csr_array(drawn.astype(np.float32))


def normal(*shape: int, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def test_finds_what_is_there() -> None:
    features, weights = flags(400, 10), normal(10, 3)
    learned = FeatureMap.fit(features, features @ weights + 5, np.ones(400))
    np.testing.assert_allclose(learned.predict(features), features @ weights + 5, atol=0.05)
    assert (learned.r2 > 0.99).all()


def test_is_the_ridge_regression() -> None:
    features, row_weights = flags(60, 4), np.linspace(0.1, 2, 60)
    targets = features @ normal(4, 1) + normal(60, 1, seed=2)
    learned = FeatureMap.fit(features, targets, row_weights)
    pulls = row_weights[:, None] * (targets - learned.predict(features))
    assert pulls.sum() == pytest.approx(0, abs=1e-4)  # the offset has no penalty
    penalties = (features.T @ pulls / learned.weights)[:, 0]
    assert penalties[0] > 0
    np.testing.assert_allclose(penalties, penalties[0], rtol=1e-3)


def test_noise_stays_at_the_mean() -> None:
    features, targets = flags(200, 150), normal(200, 20) + 3
    learned = FeatureMap.fit(features, targets, np.ones(200))
    others = flags(200, 150, seed=5)
    assert learned.r2.max() < 0.1
    assert np.abs(learned.predict(others) - learned.offset).mean() < 0.1


def test_says_how_much_features_tell() -> None:
    features, weights = flags(2000, 30), normal(30, 2)
    told = features @ weights
    targets = told + normal(2000, 2, seed=3) * told.std(axis=0) * [1, 3]  # half of the variance, a tenth
    learned = FeatureMap.fit(features[:500], targets[:500], np.ones(500))
    errors = targets[500:] - learned.predict(features[500:])
    real = 1 - (errors**2).sum(axis=0) / ((targets[500:] - targets[:500].mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(learned.r2, real, atol=0.06)
    assert learned.r2[0] == pytest.approx(0.45, abs=0.06)


def test_row_without_features() -> None:
    features = sparse.csr_array(np.array([[1, 0], [0, 1], [0, 0], [1, 1]], np.float32))
    learned = FeatureMap.fit(features, np.array([[1.0], [2], [6], [4]]), np.array([1.0, 1, 0, 2]))
    assert learned.predict(flags(1, 2, share=0)).item() == (1 + 2 + 2 * 4) / 4


def test_rows_of_no_weight() -> None:
    features, targets = flags(50, 5), normal(50, 2)
    row_weights = np.repeat([1.0, 0.0], 25)
    spoilt = np.where(row_weights[:, None] > 0, targets, np.nan)
    plain, other = (FeatureMap.fit(features, each, row_weights) for each in (targets, spoilt))
    np.testing.assert_array_equal(plain.weights, other.weights)


def test_features_missing_for_half() -> None:
    features, weights = flags(600, 8).toarray(), normal(8, 1)
    targets = features @ weights
    features[::2] = 0
    learned = FeatureMap.fit(sparse.csr_array(features), targets, np.ones(600))
    predicted = learned.predict(sparse.csr_array(features))
    assert ((predicted[1::2] - targets[1::2]) ** 2).mean() < 0.3 * targets.var()
    np.testing.assert_allclose(predicted[::2], targets.mean(), atol=0.1)


@pytest.mark.parametrize(
    ("features", "row_weights"),
    [
        (flags(0, 3), np.ones(0)),
        (flags(5, 0), np.ones(5)),
        (flags(5, 3), np.zeros(5)),
        (flags(5, 3), np.eye(5)[0]),
        (flags(2, 3), np.ones(2)),
        (sparse.csr_array((5, 3), dtype=np.float32), np.ones(5)),
        (sparse.csr_array(np.ones((5, 3), np.float32)), np.full(5, 1e-30)),
        (sparse.csr_array(np.full((5, 3), 1e18, np.float32)), np.ones(5)),
    ],
)
def test_degenerate(features: sparse.csr_array, row_weights: NDArray[np.float64]) -> None:
    targets = np.arange(features.shape[0] * 2.0).reshape(-1, 2)
    learned = FeatureMap.fit(features, targets, row_weights)
    assert learned.weights.shape == (features.shape[1], 2)
    predicted = learned.predict(features)
    assert predicted.dtype == learned.offset.dtype == learned.r2.dtype == np.float32
    assert np.isfinite(predicted).all()
    assert ((learned.r2 >= 0) & (learned.r2 <= 1)).all()


def test_constant_vectors() -> None:
    learned = FeatureMap.fit(flags(20, 3), np.full((20, 2), 7.0), np.ones(20))
    np.testing.assert_array_equal(learned.predict(flags(20, 3)), 7)
    np.testing.assert_array_equal(learned.r2, 0)


def test_not_finite() -> None:
    with pytest.raises(InvalidRatingsError, match="finite"):
        FeatureMap.fit(flags(2, 2), np.array([[1.0], [np.inf]]), np.ones(2))


def test_pairs_of_columns() -> None:
    features = sparse.csr_array(np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 5.0], [0.0, 0.0, 0.0]], np.float32))
    expected = [[1, 2, 0, 2, 0, 0], [3, 0, 5, 0, 15, 0], [0, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(crossed(features).toarray(), expected)
    assert crossed(features).dtype == np.float32
    assert crossed_width(3) == 6


@pytest.mark.parametrize("n_features", [0, 1, MAX_CROSSED + 1])
def test_too_few_or_many_to_pair(n_features: int) -> None:
    features = sparse.csr_array(np.ones((2, n_features), np.float32))
    assert crossed(features).shape == (2, n_features) == (2, crossed_width(n_features))


def test_texts_are_not_paired() -> None:
    features, text = (sparse.csr_array(np.ones((2, n), np.float32)) for n in (2, 3))
    assert mapped(features, text).shape == (2, crossed_width(2) + 3)
    assert mapped(features).shape == (2, crossed_width(2))


def test_pairs_tell_more() -> None:
    """What neither column says alone."""
    rows = np.random.default_rng(0).integers(0, 2, (200, 2)).astype(np.float32)
    target = ((rows[:, 0] == 1) & (rows[:, 1] == 1)).astype(np.float64)[:, None]
    features = sparse.csr_array(rows)
    plain, paired = (FeatureMap.fit(each, target, np.ones(200)) for each in (features, crossed(features)))
    assert paired.r2[0] > 0.95 > plain.r2[0]
