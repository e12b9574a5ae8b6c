from pathlib import Path

import numpy as np
import pytest

from app.snapshots import index as index_file
from app.snapshots.index import build_index, index_bytes, map_index, search
from tests.support.snapshot_data import best_rows


@pytest.mark.parametrize("float32_up_to", [0, 1_000_000])
def test_every_kind_finds_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32_up_to: int) -> None:
    monkeypatch.setattr(index_file, "FLOAT32_UP_TO", float32_up_to)
    vectors = np.random.default_rng(0).standard_normal((500, 32)).astype(np.float32)
    (tmp_path / "items.faiss").write_bytes(index_bytes(build_index(vectors)))
    index = map_index(tmp_path / "items.faiss", 500, 32)
    for query in vectors[:20]:
        rows, scores = search(index, vectors, query, 10)
        assert rows.tolist() == best_rows(vectors @ query, 10)
        np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-5)


def test_half_precision_is_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.zeros((500, 32), np.float32)
    full = len(index_bytes(build_index(vectors)))
    monkeypatch.setattr(index_file, "FLOAT32_UP_TO", 0)
    assert len(index_bytes(build_index(vectors))) < 0.6 * full
