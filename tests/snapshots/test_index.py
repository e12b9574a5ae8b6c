from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.snapshots import index as index_file
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.index import BYTES, EXACT, HALVES, ItemIndex, build_index, index_bytes, map_index
from app.snapshots.manifest import IndexKind
from tests.support.snapshot_data import best_rows

KINDS = (EXACT, HALVES, BYTES)


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    """Columns of very different size, as of a bias beside a taste."""
    drawn = np.random.default_rng(0).standard_normal((500, 32)) * np.geomspace(0.01, 10, 32)
    return drawn.astype(np.float32)


@pytest.fixture
def queries() -> NDArray[np.float32]:
    drawn = np.random.default_rng(1).standard_normal((30, 32)) / np.geomspace(0.01, 10, 32)
    return drawn.astype(np.float32)


def of_kind(kind: str, vectors: Any, queries: Any, folder: Path, patch: pytest.MonkeyPatch) -> ItemIndex:
    """Written and mapped."""
    patch.setattr(index_file, "BYTES_FROM", 0 if kind == BYTES else 1_000_000)
    patch.setattr(index_file, "LEAST_RECALL", 2.0 if kind == EXACT else 0.0)
    built, chosen = build_index(vectors, queries)
    assert chosen.name == kind
    (folder / "items.faiss").write_bytes(index_bytes(built))
    return map_index(folder / "items.faiss", vectors, chosen)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_best(
    kind: str, vectors: Any, queries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = of_kind(kind, vectors, queries, tmp_path, monkeypatch)
    for query in queries:
        rows, scores = index.nearest(query, 10)
        assert rows.tolist() == best_rows(vectors @ query, 10)
        np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-5, atol=1e-5)
        assert set(rows) <= set(index.candidates(query, 10).tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_refused", [0, 1, 2, 250, 495, 500])
def test_filters_leave_enough(
    kind: str, n_refused: int, vectors: Any, queries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best are refused, of which one or two are dropped and more are filtered."""
    index = of_kind(kind, vectors, queries, tmp_path, monkeypatch)
    for query in queries[:5]:
        scores = vectors @ query
        allowed = np.ones(500, np.bool_)
        allowed[best_rows(scores, n_refused)] = False
        rows, _ = index.nearest(query, 10, allowed)
        assert rows.tolist() == best_rows(np.where(allowed, scores, -np.inf), min(10, 500 - n_refused))
        assert allowed[index.candidates(query, 10, allowed)].all()
        assert index.nearest(query, 10)[0].tolist() == best_rows(scores, 10)  # the filter is gone again


def test_numbers_make_size(vectors: Any, queries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {}
    for kind in KINDS:
        of_kind(kind, vectors, queries, tmp_path, monkeypatch)
        sizes[kind] = (tmp_path / "items.faiss").stat().st_size
    assert sizes[HALVES] < 0.6 * sizes[EXACT]
    assert sizes[BYTES] < 0.35 * sizes[EXACT]


def test_recall_decides(vectors: Any, queries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "BYTES_FROM", 0)
    assert build_index(vectors, queries)[1].name == BYTES
    # Items that differ by less than a byte tells, then by less than a half does.
    close = np.ones((1501, 16), np.float32)
    close[0] = -1
    close[1:, 0] += np.linspace(0, 0.1, 1500, dtype=np.float32)
    assert build_index(close, np.ones((3, 16), np.float32))[1].name == HALVES
    close[1:, 0] = 1 + np.linspace(0, 1e-4, 1500, dtype=np.float32)
    _, kind = build_index(close, np.ones((3, 16), np.float32))
    assert (kind.name, kind.recall) == (EXACT, 1.0)


def test_nobody_asks(vectors: Any) -> None:
    index, kind = build_index(vectors, vectors[:0])
    assert (index.ntotal, kind.name) == (500, HALVES)
    empty, kind = build_index(vectors[:0], vectors[:0])
    assert ItemIndex(empty, vectors[:0], kind).nearest(vectors[0], 10)[0].tolist() == []


def test_more_than_there_are(vectors: Any, queries: Any) -> None:
    index = ItemIndex(build_index(vectors, queries)[0], vectors, IndexKind(HALVES, 1.0))
    assert len(index.nearest(queries[0], 1000)[0]) == 500
    assert len(index.nearest(queries[0], 0)[0]) == len(index.nearest(queries[0], -1)[0]) == 0


def test_misfits_are_refused(vectors: Any, queries: Any) -> None:
    """FAISS would read whatever lies behind."""
    index = ItemIndex(build_index(vectors, queries)[0], vectors, IndexKind(HALVES, 1.0))
    with pytest.raises(ValueError, match="does not fit"):
        index.nearest(queries[0, :16], 10)
    with pytest.raises(ValueError, match="does not fit"):
        index.nearest(queries[0], 10, np.ones(499, np.bool_))


@pytest.mark.parametrize(
    "kind",
    [
        IndexKind(EXACT, 1.0),
        IndexKind(BYTES, 1.0, (1.0,) * 32),
        IndexKind("other", 1.0),
        IndexKind(HALVES, 1.0, (1.0,) * 32),
    ],
)
def test_another_kind(kind: IndexKind, vectors: Any, queries: Any, tmp_path: Path) -> None:
    (tmp_path / "items.faiss").write_bytes(index_bytes(build_index(vectors, queries)[0]))
    with pytest.raises(SnapshotDamagedError, match="another kind"):
        map_index(tmp_path / "items.faiss", vectors, kind)


@pytest.mark.parametrize("scales", [(), (1.0,) * 31, (1.0,) * 31 + (0.0,), (1.0,) * 31 + (float("inf"),)])
def test_odd_scales(
    scales: tuple[float, ...], vectors: Any, queries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_kind(BYTES, vectors, queries, tmp_path, monkeypatch)
    with pytest.raises(SnapshotDamagedError, match="another kind"):
        map_index(tmp_path / "items.faiss", vectors, IndexKind(BYTES, 1.0, scales))


def test_threads_keep_their_filters(vectors: Any, queries: Any) -> None:
    index = ItemIndex(build_index(vectors, queries)[0], vectors, IndexKind(HALVES, 1.0))

    def asked(seed: int) -> bool:
        allowed = np.random.default_rng(seed).random(500) < 0.3
        query = queries[seed % len(queries)]
        expected = best_rows(np.where(allowed, vectors @ query, -np.inf), 10)
        return all(index.nearest(query, 10, allowed)[0].tolist() == expected for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(asked, range(16)))
