import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.algorithms.spherical_k_means import cluster_centres, cluster_directions


def around(centres: NDArray[np.float64], n_each: int, noise: float, seed: int = 0) -> NDArray[np.float64]:
    """Directions near the centres, those of one after those of another."""
    rng = np.random.default_rng(seed)
    x = np.repeat(centres, n_each, axis=0) + rng.normal(0, noise, (len(centres) * n_each, centres.shape[1]))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def same_groups(a: NDArray[np.intp], b: NDArray[np.intp]) -> bool:
    return bool(np.array_equal(a[:, None] == a, b[:, None] == b))


@pytest.mark.parametrize("n_groups", [2, 3, 5])
def test_known_groups(n_groups: int) -> None:
    x = around(np.eye(6)[:n_groups], 8, 0.1)
    assert same_groups(cluster_directions(x, n_groups, 3), np.repeat(np.arange(n_groups), 8))


def test_order_does_not_matter() -> None:
    x = around(np.eye(6)[:4], 10, 0.3)
    order = np.random.default_rng(1).permutation(len(x))
    assert same_groups(cluster_directions(x[order], 4, 3), cluster_directions(x, 4, 3)[order])


def test_length_does_not_matter() -> None:
    x = around(np.eye(5)[:3], 6, 0.2)
    centres = cluster_centres(x, cluster_directions(x, 3, 2))
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1)


def test_as_many_as_have_members() -> None:
    x = around(np.eye(6)[:2], 4, 0.05)
    assert cluster_directions(x, 6, 4).max() == 1
    assert cluster_directions(x, 6, 5).max() == 0
    assert cluster_directions(x[:1], 6, 3).tolist() == [0]
    assert cluster_directions(x[:0], 6, 3).tolist() == []


def test_one_point() -> None:
    assert set(cluster_directions(np.tile(np.eye(4)[0], (9, 1)), 3, 3).tolist()) == {0}


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 5), st.integers(0, 1_000))
def test_groups_are_stable_and_large_enough(n: int, n_groups: int, least: int, seed: int) -> None:
    x = around(np.random.default_rng(seed).normal(size=(n, 4)), 1, 0.01, seed)
    labels = cluster_directions(x, n_groups, least)
    members = np.bincount(labels)
    assert 1 <= len(members) <= n_groups
    assert members.min() >= least or len(members) == 1
    closest = np.argmax(x @ cluster_centres(x, labels).T, axis=1)
    assert np.array_equal(closest, labels)
