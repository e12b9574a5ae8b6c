import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.scoring import similar as similar_file
from app.scoring.similar import STORED_UP_TO, similar_items, similar_to, similar_users, unit_directions
from app.snapshots.arrays import N_SIMILAR


def test_worked_example() -> None:
    # Item 1 points as item 0 does, 10 ratings; item 2 at 60 degrees, 90 ratings; item 3 away; item 4 unrated.
    factors = np.array([[1, 0], [2, 0], [0.5, 0.75**0.5], [-1, 0], [0, 0]], np.float32)
    counts = np.array([30, 10, 90, 50, 0], np.int32)
    rows, scores = similar_items(factors, counts)
    assert rows[0, :3].tolist() == [1, 2, -1]
    np.testing.assert_allclose(scores[0, :3], [1.0 * 10 / 20, 0.5 * 90 / 100, 0], rtol=1e-6)
    assert rows[4].tolist() == [-1] * N_SIMILAR


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 120), st.integers(0, 2**32 - 1))
def test_stored_equals_scanned(n_items: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 30, n_items).astype(np.int32)
    factors = (rng.standard_normal((n_items, 4)) * (counts > 0)[:, None]).astype(np.float32)
    stored_rows, stored_scores = similar_items(factors, counts)
    directions = unit_directions(factors)
    for item_row in range(n_items):
        rows, scores = similar_to(item_row, directions, counts, N_SIMILAR)
        kept = stored_rows[item_row] >= 0
        np.testing.assert_allclose(stored_scores[item_row, kept], scores, atol=1e-6)
        gaps = np.diff(scores, prepend=2, append=-1)
        clear = (gaps[:-1] < -1e-5) & (gaps[1:] < -1e-5)
        assert stored_rows[item_row, kept][clear].tolist() == rows[clear].tolist()  # the rest are ties but for rounding


def test_large_catalogue_stores_none() -> None:
    n_items = STORED_UP_TO + 1
    rows, scores = similar_items(np.ones((n_items, 1), np.float32), np.ones(n_items, np.int32))
    assert rows.shape == scores.shape == (0, N_SIMILAR)


def test_biases_know_nothing_similar() -> None:
    rows, _ = similar_items(np.empty((3, 0), np.float32), np.ones(3, np.int32))
    assert (rows == -1).all()


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
