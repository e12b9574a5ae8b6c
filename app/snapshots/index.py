"""The FAISS index over the item side: built, stored, opened and searched. Nothing else imports faiss."""

from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from app.snapshots.errors import SnapshotDamagedError

faiss: Any = _faiss  # its type information describes the C++ signatures, not those of the Python wrappers

FLOAT32_UP_TO = 20_000
"""Items up to which the scan reads float32. Above, half precision halves the memory read and the time (d = 80, n = 20
of 10k items: 65 and 57 us; 50k: 468 and 268; 200k: 2.4 and 1.2 ms; one thread, 2026-11); candidates are rescored."""

ALL_THREADS: int = faiss.omp_get_max_threads()

Index = Any

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]


def build_index(vectors: NDArray[np.float32]) -> Index:
    """An index for inner products over `vectors` (n, d) float32. The one place that chooses its kind: exact for now."""
    n_vectors, dimension = vectors.shape
    if n_vectors <= FLOAT32_UP_TO:
        index = faiss.IndexFlatIP(dimension)
    else:
        index = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:1])  # fp16 learns nothing, but faiss wants to be asked
    index.add(vectors)
    return index


def index_bytes(index: Index) -> memoryview:
    return memoryview(faiss.serialize_index(index))


def map_index(path: Path, n_vectors: int, dimension: int) -> Index:
    """The index in `path`, mapped, not read. Check the file's checksum first: FAISS does not.

    Raises `SnapshotDamagedError` unless it holds `n_vectors` of `dimension` under the inner product.
    """
    # Counts in a forged header must not make FAISS allocate more than the file can hold.
    faiss.set_deserialization_vector_byte_limit(max(path.stat().st_size, 1))
    faiss.set_deserialization_loop_limit(n_vectors + 1)
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except (RuntimeError, MemoryError) as error:
        raise SnapshotDamagedError(f"{path.name} is not a FAISS index") from error
    if (index.ntotal, index.d, index.metric_type) != (n_vectors, dimension, faiss.METRIC_INNER_PRODUCT):
        raise SnapshotDamagedError(f"{path.name} does not fit the item vectors")
    return index


def search(
    index: Index,
    vectors: NDArray[np.float32],
    query: NDArray[np.float32],
    n: int,
    allowed: NDArray[np.bool_] | None = None,
) -> Neighbours:
    """The `n` rows of `vectors` (those that `index` was built over) with the largest dot product with `query` (d,).

    `allowed`: (n_vectors,) bool, None for all. Best first, ties by row, fewer where fewer are allowed.
    """
    # OpenMP keeps this per thread, so it is set where the search runs; one query gains nothing from a team.
    faiss.omp_set_num_threads(1)
    n = min(n, len(vectors))
    if n <= 0:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    parameters = None
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
    scores, rows = index.search(np.ascontiguousarray(query, np.float32)[None], n, params=parameters)
    found = rows[0][rows[0] >= 0]
    exact = scores[0][: len(found)] if isinstance(index, faiss.IndexFlat) else vectors[found] @ query
    order = np.lexsort((found, -exact))
    return found[order], exact[order]


def search_many(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], n: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of `queries` (b, d) the `n` rows of `vectors` with the largest dot product, both answers (b, n).

    Best first; row -1 where there are fewer than `n`. Uses all cores: for building, not for serving.
    """
    faiss.omp_set_num_threads(ALL_THREADS)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, np.float32))
    scores, rows = index.search(np.ascontiguousarray(queries, np.float32), n)
    return rows, scores
