from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.scoring import index_build
from app.scoring.index import EXACT, FP16, INT8, ItemIndex, map_index
from app.scoring.index_build import build_index, index_bytes
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.manifest import IndexKind
from tests.support.snapshot_data import best_rows

KINDS = (EXACT, FP16, INT8)
IN_LISTS = (f"lists of {FP16}", f"lists of {INT8}")


def of_kind(kind: str, vectors: Any, queries: Any, folder: Path, patch: pytest.MonkeyPatch) -> ItemIndex:
    """Written and mapped; `lists of` a kind, in lists of which a few are searched, whatever they hold."""
    name, is_in_lists = kind.removeprefix("lists of "), kind.startswith("lists of ")
    patch.setattr(index_build, "BYTES_FROM", 0 if name == INT8 else 1_000_000)
    patch.setattr(index_build, "LISTS_FROM", 0 if is_in_lists else 1_000_000)
    patch.setattr(index_build, "LEAST_RECALL", 2.0 if name == EXACT else 0.0)
    built, chosen = build_index(vectors, queries)
    assert (chosen.name, chosen.n_lists > 0) == (name, is_in_lists)
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
    assert sizes[FP16] < 0.6 * sizes[EXACT]
    assert sizes[INT8] < 0.35 * sizes[EXACT]


@pytest.mark.parametrize("kind", IN_LISTS)
@pytest.mark.parametrize("n_refused", [0, 2, 20, 250, 495, 500])
def test_lists_leave_enough(
    kind: str, n_refused: int, vectors: Any, queries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never too few, though what is allowed may stand in lists that are not searched; all of them beyond a share."""
    index = of_kind(kind, vectors, queries, tmp_path, monkeypatch)
    assert index.kind.probed(20, 0) < index.kind.n_lists
    for query in queries:
        scores = vectors @ query
        allowed = np.ones(500, np.bool_)
        allowed[best_rows(scores, n_refused)] = False
        for n in (1, 10, 90, 500):
            n_found, best = min(n, 500 - n_refused), best_rows(np.where(allowed, scores, -np.inf), n)
            rows = index.candidates(query, n, allowed, n_known=0)
            assert len(set(rows.tolist())) == len(rows) >= n_found
            assert allowed[rows].all()
            if n_refused > 10 or n > 100:
                assert set(best[:n_found]) <= set(rows.tolist())
            assert index.nearest(query, n, allowed)[0].tolist() == best[:n_found]  # no user's own side
        assert len(index.candidates(query, 10, n_known=0)) >= 10


def test_more_than_there_are(vectors: Any, queries: Any) -> None:
    index = ItemIndex(build_index(vectors, queries)[0], vectors, IndexKind(FP16, 1.0))
    assert len(index.nearest(queries[0], 1000)[0]) == 500
    assert len(index.nearest(queries[0], 0)[0]) == len(index.nearest(queries[0], -1)[0]) == 0


def test_misfits_are_refused(vectors: Any, queries: Any) -> None:
    """FAISS would read whatever lies behind."""
    index = ItemIndex(build_index(vectors, queries)[0], vectors, IndexKind(FP16, 1.0))
    with pytest.raises(ValueError, match="does not fit"):
        index.nearest(queries[0, :16], 10)
    with pytest.raises(ValueError, match="does not fit"):
        index.nearest(queries[0], 10, np.ones(499, np.bool_))


@pytest.mark.parametrize(
    "kind",
    [
        IndexKind(EXACT, 1.0),
        IndexKind(INT8, 1.0, (1.0,) * 32),
        IndexKind("other", 1.0),
        IndexKind(FP16, 1.0, (1.0,) * 32),
        IndexKind(FP16, 1.0, (), 11),
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
    of_kind(INT8, vectors, queries, tmp_path, monkeypatch)
    with pytest.raises(SnapshotDamagedError, match="another kind"):
        map_index(tmp_path / "items.faiss", vectors, IndexKind(INT8, 1.0, scales))


@pytest.mark.parametrize(
    ("n_lists", "probes"), [(0, ()), (10, ()), (12, ()), (-1, ()), (10**9, ()), (11, ((20, 12),)), (11, ((20, 0),))]
)
def test_odd_lists(
    n_lists: int,
    probes: tuple[tuple[int, int], ...],
    vectors: Any,
    queries: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert of_kind(IN_LISTS[0], vectors, queries, tmp_path, monkeypatch).kind.n_lists == 11
    with pytest.raises(SnapshotDamagedError, match="another kind"):
        map_index(tmp_path / "items.faiss", vectors, IndexKind(FP16, 1.0, (), n_lists, probes))


def test_threads_keep_their_filters(vectors: Any, queries: Any) -> None:
    index = ItemIndex(build_index(vectors, queries)[0], vectors, IndexKind(FP16, 1.0))

    def asked(seed: int) -> bool:
        allowed = np.random.default_rng(seed).random(500) < 0.3
        query = queries[seed % len(queries)]
        expected = best_rows(np.where(allowed, vectors @ query, -np.inf), 10)
        return all(index.nearest(query, 10, allowed)[0].tolist() == expected for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(asked, range(16)))
