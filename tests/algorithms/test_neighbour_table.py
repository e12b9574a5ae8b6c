import numpy as np
import pytest
from scipy import sparse

from app.algorithms.neighbour_table import NeighbourTable, strongest

TABLE = NeighbourTable(
    rows=np.array([[1, 2], [0, -1], [-1, -1]], np.int32),
    weights=np.array([[0.5, -0.25], [0.5, 0.0], [0.0, 0.0]], np.float32),
)
DEVIATIONS = sparse.csr_array((np.array([2.0, 1.0], np.float32), ([0, 0], [1, 2])), shape=(2, 3))


def test_scores_by_hand() -> None:
    # 0.5 x 2 - 0.25 x 1; item 1 has only item 0 for a neighbour, item 2 has none; the second user has rated nothing
    np.testing.assert_array_equal(TABLE.scores(DEVIATIONS), [[0.75, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(("prior", "expected"), [(0.0, 1.0), (0.25, 0.75)])
def test_predict_by_hand(prior: float, expected: float) -> None:
    predicted = TABLE.predict(DEVIATIONS, prior)  # the score over prior + 0.5 + 0.25
    np.testing.assert_allclose(predicted, np.array([[expected, 0, 0], [0, 0, 0]]))


def test_rated_as_expected_counts() -> None:
    deviations = sparse.csr_array((np.array([2.0, 0.0], np.float32), ([0, 0], [1, 2])), shape=(1, 3))
    assert TABLE.predict(deviations)[0, 0] == pytest.approx(0.5 * 2 / 0.75)


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
