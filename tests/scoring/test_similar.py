import numpy as np
import pytest

from app.scoring import similar as similar_file
from app.scoring.similar import similar_users, unit_directions


def test_users_by_hand() -> None:
    # User 0 asks; 1 points the same way with 30 ratings; 2 at 60 degrees with 90; 3 away; 4 has no taste.
    vectors = np.zeros((5, 16), np.float32)
    vectors[:, 3:5] = [[1, 0], [2, 0], [0.5, 0.75**0.5], [-1, 0], [0, 0]]
    vectors[:, 5:] = 99  # other columns say nothing
    counts = np.array([10, 30, 90, 50, 7])
    rows, scores = similar_users(vectors[0, 3:5], vectors, slice(3, 5), counts, 10)
    assert rows.tolist() == [1, 0, 2]
    np.testing.assert_allclose(scores, [30 / 40, 10 / 20, 0.5 * 90 / 100], rtol=1e-6)
    rows, _ = similar_users(vectors[0, 3:5], vectors, slice(3, 5), counts, 1, left_out=1)
    assert rows.tolist() == [0]
    assert similar_users(vectors[4, 3:5], vectors, slice(3, 5), counts, 10)[0].tolist() == []


@pytest.mark.parametrize("per_block", [1, 7, 1000])
def test_users_in_blocks(monkeypatch: pytest.MonkeyPatch, per_block: int) -> None:
    monkeypatch.setattr(similar_file, "USERS_PER_BLOCK", per_block)
    rng = np.random.default_rng(0)
    vectors, counts = rng.standard_normal((50, 16)).astype(np.float32), rng.integers(0, 40, 50)
    rows, scores = similar_users(vectors[3, 2:9], vectors, slice(2, 9), counts, 20, left_out=3)
    directions = unit_directions(vectors[:, 2:9])
    n = np.maximum(counts, 1)
    expected = directions @ directions[3] * n / (n + 10)
    expected[3] = 0
    assert rows.tolist() == np.argsort(-expected, kind="stable")[: len(rows)].tolist()
    np.testing.assert_allclose(scores, expected[rows], rtol=1e-5)
