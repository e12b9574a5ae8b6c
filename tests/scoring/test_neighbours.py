from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.algorithms.neighbour_table import NeighbourTable
from app.scoring import PublishedScorer, open_snapshot
from app.scoring.neighbours import MAX_VOTERS, voted_for
from tests.support.snapshot_data import DATABASE_ID, write_small_snapshot

TABLE = NeighbourTable(
    rows=np.array([[1, 2], [2, 3], [3, -1], [-1, -1]], np.int32),
    weights=np.array([[1, 0.5], [0.75, 0.25], [2, 0], [0, 0]], np.float32),
)


@pytest.fixture
def snapshot(tmp_path: Path) -> PublishedScorer:
    return open_snapshot(write_small_snapshot(tmp_path), DATABASE_ID, 1)


def votes(*item_rows: int, n: int = 10, weights: Any = None, allowed: Any = None) -> dict[int, float]:
    rows, sums = voted_for(TABLE, np.array(item_rows, np.int64), weights, n, allowed)
    assert (rows.dtype.name, sums.dtype.name) == ("int64", "float32")
    return dict(zip(rows.tolist(), sums.tolist(), strict=True))


def test_votes_add_up() -> None:
    assert votes(0, 1) == {2: 1.25, 1: 1.0, 3: 0.25}
    assert list(votes(0, 1)) == [2, 1, 3]
    assert votes(0, 1, n=1) == {2: 1.25}
    assert votes(3) == votes() == votes(0, n=0) == {}


def test_weights_count() -> None:
    assert list(votes(0, 1, weights=np.array([2.0, 0.1]))) == [1, 2, 3]
    assert votes(0, 1, weights=np.array([2.0, 0.0])) == {1: 2.0, 2: 1.0, 3: 0.0}


def test_only_allowed() -> None:
    assert votes(0, 1, allowed=np.array([True, True, False, True])) == {1: 1.0, 3: 0.25}


def test_ties_by_row() -> None:
    table = NeighbourTable(np.array([[2, 1, 0]], np.int32), np.ones((1, 3), np.float32))
    assert voted_for(table, np.array([0]), None, 3)[0].tolist() == [0, 1, 2]


def test_newest_vote() -> None:
    table = NeighbourTable(np.arange(200, dtype=np.int32)[:, None], np.ones((200, 1), np.float32))
    rows, _ = voted_for(table, np.arange(199, -1, -1), np.ones(200), 200)
    assert sorted(rows.tolist()) == list(range(200 - MAX_VOTERS, 200))


def test_tables_of_snapshot(snapshot: PublishedScorer) -> None:
    assert list(snapshot.tables) == ["knn"]
    rows, sums = snapshot.neighbours("knn", np.array([5, 6]), 2)
    assert (rows.tolist(), sums.tolist()) == ([7, 6], [1.5, 1.0])
    # The better rating counts more, as it does for the taste.
    rows, _ = snapshot.neighbours("knn", np.array([5, 20]), 1, np.array([1.0, 5.0]))
    assert rows.tolist() == [21]
