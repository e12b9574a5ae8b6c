import numpy as np
import pytest
from scipy import sparse

from app.algorithms.neighbour_table import NeighbourTable, strongest

TABLE = NeighbourTable(
    rows=np.array([[1, 2], [0, -1], [-1, -1]], np.int32),
    weights=np.array([[0.5, -0.25], [0.5, 0.0], [0.0, 0.0]], np.float32),
)
HISTORY = sparse.csr_array(np.array([[0.0, 2.0, 4.0], [0.0, 0.0, 0.0]], np.float32))


def test_scores_by_hand() -> None:
    # 0.5 x 2 - 0.25 x 4; item 1 knows only item 0; item 2 has no neighbours; the second user has no history
    np.testing.assert_array_equal(TABLE.scores(HISTORY), [[0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(TABLE.scores(HISTORY * 2 + HISTORY.multiply(HISTORY)), [[-2, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(("prior", "expected"), [(0.0, 1.0), (0.25, 0.75)])
def test_predict_by_hand(prior: float, expected: float) -> None:
    deviations = sparse.csr_array(np.array([[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]], np.float32))
    baselines = np.array([[3.0, 4.0, 5.0], [1.0, 2.0, 3.0]], np.float32)
    predicted = TABLE.predict(deviations, baselines, prior)
    # (0.5 x 2 - 0.25 x 1) / (prior + 0.75), beside the baseline
    np.testing.assert_allclose(predicted, [[3.0 + expected, 4.0, 5.0], [1.0, 2.0, 3.0]])


def test_rated_at_baseline_counts() -> None:
    deviations = sparse.csr_array((np.array([2.0, 0.0], np.float32), ([0, 0], [1, 2])), shape=(1, 3))
    predicted = TABLE.predict(deviations, np.zeros((1, 3), np.float32))
    assert predicted[0, 0] == pytest.approx(0.5 * 2 / 0.75)


def test_strongest_by_size() -> None:
    rows, weights = strongest(np.array([[0.1, -0.9, 0.0, 0.5], [0.0, 0.0, 0.0, 0.2]]), 2)
    np.testing.assert_array_equal(rows, [[1, 3], [3, -1]])
    np.testing.assert_allclose(weights, [[-0.9, 0.5], [0.2, 0.0]], rtol=1e-6)


def test_equals_by_column() -> None:
    rows, _ = strongest(np.array([[0.5, 0.5 + 1e-12, 0.5, 0.5]]), 3)
    np.testing.assert_array_equal(rows, [[0, 1, 2]])


def test_fewer_items_than_asked() -> None:
    rows, weights = strongest(np.array([[0.3, 0.7]]), 5)
    np.testing.assert_array_equal(rows, [[1, 0, -1, -1, -1]])
    assert weights.shape == (1, 5)
