from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.scoring import index_build
from app.scoring.index import EXACT, FP16, INT8, ItemIndex
from app.scoring.index_build import LEAST_IN_LISTS, Known, build_index, index_bytes
from tests.support.snapshot_data import best_rows


@pytest.fixture
def catalogue() -> NDArray[np.float32]:
    """6,000 items around 40 centres, in 4 columns; 12 more, larger, that no user weighs."""
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((40, 4)) * 5
    seen = centres[rng.integers(0, 40, 6_000)] + rng.standard_normal((6_000, 4))
    return np.hstack([seen, 20 * rng.standard_normal((6_000, 12))]).astype(np.float32)


@pytest.fixture
def users() -> NDArray[np.float32]:
    drawn = np.zeros((200, 16), np.float32)
    drawn[:, :4] = np.random.default_rng(3).standard_normal((200, 4))
    return drawn


def test_recall_decides(vectors: Any, queries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_build, "BYTES_FROM", 0)
    assert build_index(vectors, queries)[1].name == INT8
    # Items that differ by less than a byte tells, then by less than a half does.
    close = np.ones((1501, 16), np.float32)
    close[0] = -1
    close[1:, 0] += np.linspace(0, 0.1, 1500, dtype=np.float32)
    assert build_index(close, np.ones((3, 16), np.float32))[1].name == FP16
    close[1:, 0] = 1 + np.linspace(0, 1e-4, 1500, dtype=np.float32)
    _, kind = build_index(close, np.ones((3, 16), np.float32))
    assert (kind.name, kind.recall) == (EXACT, 1.0)


def test_nobody_asks(vectors: Any) -> None:
    index, kind = build_index(vectors, vectors[:0])
    assert (index.ntotal, kind.name) == (500, FP16)
    empty, kind = build_index(vectors[:0], vectors[:0])
    assert ItemIndex(empty, vectors[:0], kind).nearest(vectors[0], 10)[0].tolist() == []


def test_lists_hold_what_users_do_not_tell_apart(catalogue: Any, users: Any) -> None:
    """Few of them are searched, and columns of weight 0 spread nothing over the others."""
    index, kind = build_index(catalogue, users)
    assert (kind.name, kind.n_lists) == (FP16, 39)
    assert kind.recall >= LEAST_IN_LISTS
    assert kind.probed(20, 0) <= kind.n_lists // 4
    assert kind.probed(101, 0) == kind.n_lists
    found = ItemIndex(index, catalogue, kind)
    others = np.zeros((100, 16), np.float32)
    others[:, :4] = np.random.default_rng(4).standard_normal((100, 4))
    hits = [
        len(set(found.candidates(user, 20, n_known=0).tolist()) & set(best_rows(catalogue @ user, 20)))
        for user in others
    ]
    assert np.mean(hits) >= 19.8


def test_recall_is_of_what_is_not_consumed(catalogue: Any, users: Any) -> None:
    """Users who consumed all that is near to them are after what lies farther."""
    _, kind = build_index(catalogue, users)

    def eager(row: int) -> Known:
        return Known(np.array(best_rows(catalogue @ users[row], 120)), 120)

    _, of_eager = build_index(catalogue, users, eager)
    assert of_eager.probed(20, 120) > kind.probed(20, 120)


def test_who_is_hardly_known_has_all_lists_searched(catalogue: Any, users: Any) -> None:
    """Nearly all users are as they were measured; of the few who rated next to nothing none was."""
    _, kind = build_index(catalogue, users, lambda row: Known(np.arange(row % 9), 3 if row < 5 else 20 + row % 50))
    assert 20 <= kind.least_known < 30
    assert kind.probed(20, kind.least_known) < kind.n_lists
    assert kind.probed(20, kind.least_known - 1) == kind.n_lists


def test_no_lists_where_all_would_be_searched() -> None:
    """All items score alike for every user: the best may stand anywhere."""
    rng = np.random.default_rng(5)
    vectors, users = rng.standard_normal((2, 6_000, 64)).astype(np.float32)
    index, kind = build_index(vectors, users[:200])
    assert (kind.n_lists, kind.probes, index.ntotal) == (0, (), 6_000)


def test_users_who_consumed_everything(catalogue: Any, users: Any) -> None:
    everything = Known(np.arange(len(catalogue)), len(catalogue))
    _, kind = build_index(catalogue, users, lambda _: everything)
    assert (kind.name, kind.n_lists) == (FP16, 0)


def test_same_bits(catalogue: Any, users: Any) -> None:
    one, other = (bytes(index_bytes(build_index(catalogue, users)[0])) for _ in range(2))
    assert one == other
