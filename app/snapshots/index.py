"""The FAISS index over the item side: built, stored, opened and searched. Nothing else imports faiss."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.manifest import IndexKind

faiss: Any = _faiss  # its type information describes the C++ signatures, not those of the Python wrappers

EXACT, HALVES, BYTES = "exact", "halves", "bytes"
"""How a number of a vector is kept: in 32 bits, in 16, in 8."""

BYTES_FROM = 50_000
"""Items from which a byte for each number is tried first. The scan reads what it compares, and soon waits for memory
(d = 144, n = 20, one thread of a busy machine, 2026-11, EXACT / HALVES / BYTES): 10k items 75 / 55 / 60 us,
100k 2.0 / 0.83 / 0.5 ms, 1M 46 / 24 / 10 ms."""

LEAST_RECALL = 0.999
"""Of the best `N_ASKED`, as they come out of the search before they are scored exactly. A kind that finds fewer, for a
sample of the users it is for, is not published."""

N_ASKED, N_QUERIES = 20, 100

MORE = {EXACT: (1, 0), HALVES: (1, 12), BYTES: (2, 20)}
"""Kind -> (a, b): n are asked for as a n + b, since rounding may have changed their order. Measured with as many: of
the best 20 of 10k and of 100k HALVES alone find 0.999, BYTES alone 0.97, and with these both all."""

DROPPED_PER_ITEM = 1 / 300
"""Up to this share of refused items the search asks for so many more and drops them: a filter is asked of every item,
1 to 5 ns each, one more result costs 0.3 us."""

BLOCK = 65_536

ALL_THREADS: int = faiss.omp_get_max_threads()

Index = Any

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]


def build_index(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> tuple[Index, IndexKind]:
    """An index for inner products over `vectors` (n, d) float32. The one place that chooses its kind.

    The quickest whose recall, measured on `queries` (m, d), user sides, is at least `LEAST_RECALL`.
    """
    some = queries[np.unique(np.linspace(0, len(queries) - 1, N_QUERIES).astype(int))] if len(queries) else vectors[:1]
    expected = _best_scores(vectors, some)
    for kind in (BYTES, HALVES) if len(vectors) >= BYTES_FROM else (HALVES,):
        scales = _scales(vectors) if kind == BYTES else np.empty(0, np.float32)
        index = _filled(kind, vectors, scales)
        found = ItemIndex(index, vectors, IndexKind(kind, 0.0, tuple(scales.tolist())))
        recall = _recall(found, some, expected)
        if recall >= LEAST_RECALL:
            return index, IndexKind(kind, recall, found.kind.scales)
    return _filled(EXACT, vectors, np.empty(0, np.float32)), IndexKind(EXACT, 1.0)


def _filled(kind: str, vectors: NDArray[np.float32], scales: NDArray[np.float32]) -> Index:
    index = _empty(kind, vectors.shape[1])
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        index.add(block / scales if len(scales) else np.ascontiguousarray(block))
    return index


def _empty(kind: str, dimension: int) -> Index:
    if kind == EXACT:
        return faiss.IndexFlatIP(dimension)
    quantizer = faiss.ScalarQuantizer
    width = quantizer.QT_fp16 if kind == HALVES else quantizer.QT_8bit_uniform
    index = faiss.IndexScalarQuantizer(dimension, width, faiss.METRIC_INNER_PRODUCT)
    # Halves learn nothing, but faiss wants to be asked; bytes learn between which ends they lie.
    index.train(np.repeat(np.array([[-1], [1]], np.float32), dimension, axis=1))
    return index


def _scales(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(d,) the largest |value| of each column: divided by it, all columns fill the same bytes."""
    largest = np.zeros(vectors.shape[1], np.float32)
    for start in range(0, len(vectors), BLOCK):
        np.maximum(largest, np.abs(vectors[start : start + BLOCK]).max(axis=0), out=largest)
    largest[largest == 0] = 1.0
    return largest


def _best_scores(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m, n) the highest scores for each of (m, d) queries, n <= `N_ASKED`, best first."""
    n = min(N_ASKED, len(vectors))
    if n == 0:
        return np.empty((len(queries), 0), np.float32)
    faiss.omp_set_num_threads(ALL_THREADS)
    scores, _ = faiss.knn(np.ascontiguousarray(queries), vectors, n, metric=faiss.METRIC_INNER_PRODUCT)
    best: NDArray[np.float32] = scores
    return best


def _recall(index: "ItemIndex", queries: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The share of the best that is found, mean over `queries`; one as good as the last of them counts as it."""
    if not expected.size:
        return 1.0
    found = []
    for query, best in zip(queries, expected, strict=True):
        scores = index.vectors[index.candidates(query, len(best))] @ query
        least = best[-1] - 1e-6 * np.abs(best).max()
        found.append(min(len(best), int(np.count_nonzero(scores >= least))) / len(best))
    return float(np.mean(found))


def index_bytes(index: Index) -> memoryview:
    return memoryview(faiss.serialize_index(index))


def map_index(path: Path, vectors: NDArray[np.float32], kind: IndexKind) -> "ItemIndex":
    """The index in `path`, mapped, not read. Check the file's checksum first: FAISS does not.

    Raises `SnapshotDamagedError` unless it is of this kind and holds as many as `vectors` (n, d), under the inner
    product.
    """
    n_vectors, dimension = vectors.shape
    # Counts in a forged header must not make FAISS allocate more than the file can hold.
    faiss.set_deserialization_vector_byte_limit(max(path.stat().st_size, 1))
    faiss.set_deserialization_loop_limit(n_vectors + 1)
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        expected = _empty(kind.name, dimension)
    except (RuntimeError, MemoryError) as error:
        raise SnapshotDamagedError(f"{path.name} is not a FAISS index") from error
    if (index.ntotal, index.d, index.metric_type) != (n_vectors, dimension, faiss.METRIC_INNER_PRODUCT):
        raise SnapshotDamagedError(f"{path.name} does not fit the item vectors")
    is_alike = type(index) is type(expected) and (kind.name == EXACT or index.sq.qtype == expected.sq.qtype)
    n_scales = dimension if kind.name == BYTES else 0
    if not is_alike or len(kind.scales) != n_scales or not all(0 < scale < np.inf for scale in kind.scales):
        raise SnapshotDamagedError(f"{path.name} is of another kind")
    return ItemIndex(index, vectors, kind)


class _Filter(threading.local):
    """What FAISS asks of every item, one for each thread: making these objects takes longer than filling them."""

    def __init__(self) -> None:
        self.bits = np.zeros(1, np.uint8)
        self.selector = faiss.IDSelectorBitmap(self.bits)
        self.parameters = faiss.SearchParameters(sel=self.selector)

    def by(self, allowed: NDArray[np.bool_]) -> Any:
        self.bits = np.packbits(allowed, bitorder="little")  # kept: the selector does not own them
        self.selector.n = len(self.bits)
        self.selector.bitmap = faiss.swig_ptr(self.bits)
        return self.parameters


@dataclass(frozen=True)
class ItemIndex:
    """An index over `vectors` (n, d), and how to ask it."""

    faiss_index: Index
    vectors: NDArray[np.float32]
    kind: IndexKind
    _scales: NDArray[np.float32] | None = field(init=False)
    _filter: _Filter = field(init=False, default_factory=_Filter)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scales", np.array(self.kind.scales, np.float32) if self.kind.scales else None)

    def candidates(
        self, query: NDArray[np.float32], n: int, allowed: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Rows in any order, among which are the `n` with the largest dot product with `query` (d,), and some more.

        For who scores them exactly anyway. `allowed`: (n_vectors,) bool, None for all; fewer only where fewer are.
        """
        n_vectors, dimension = self.vectors.shape
        if query.shape != (dimension,) or (allowed is not None and allowed.shape != (n_vectors,)):
            raise ValueError("the query or the mask does not fit the vectors")
        if n <= 0 or n_vectors == 0:
            return np.empty(0, np.int64)
        times, more = MORE[self.kind.name]
        n_asked, parameters, is_dropping = times * n + more, None, False
        if allowed is not None:
            n_refused = n_vectors - int(np.count_nonzero(allowed))
            is_dropping = 0 < n_refused <= DROPPED_PER_ITEM * n_vectors
            if is_dropping:
                n_asked += n_refused
            elif n_refused:
                parameters = self._filter.by(allowed)
        n_asked = min(n_asked, n_vectors)
        rows = self._search(query, n_asked, parameters)
        if allowed is not None and is_dropping:
            return rows[allowed[rows]]
        return rows[rows >= 0] if parameters is not None else rows

    def _search(self, query: NDArray[np.float32], n: int, parameters: Any) -> NDArray[np.int64]:
        scaled = np.ascontiguousarray(query if self._scales is None else query * self._scales, np.float32)
        scores, rows = np.empty(n, np.float32), np.empty(n, np.int64)
        # OpenMP keeps this per thread, so it is set where the search runs; one query gains nothing from a team.
        faiss.omp_set_num_threads(1)
        pointers = faiss.swig_ptr(scaled), n, faiss.swig_ptr(scores), faiss.swig_ptr(rows)
        # The C++ method itself: its wrapper checks and copies what is right already, 10 us.
        self.faiss_index.search_c(1, *pointers, parameters)
        return rows

    def nearest(self, query: NDArray[np.float32], n: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """The `n` rows with the largest dot product with `query` (d,), and these.

        Best first, ties by row, fewer where fewer are allowed.
        """
        found = self.candidates(query, n, allowed)
        scores = self.vectors.take(found, axis=0) @ query
        order = np.lexsort((found, -scores))[: max(n, 0)]
        return found[order], scores[order]


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
