"""The FAISS index over the item side: opened and searched. `index_build` builds it; nothing else imports faiss."""

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

EXACT, FP16, INT8 = "exact", "halves", "bytes"
"""How each number of a vector is stored: in 32, 16 or 8 bits. Manifests hold these names."""

MORE = {EXACT: (1, 0), FP16: (1, 12), INT8: (2, 20)}
"""Kind -> (a, b): to get the best n, a n + b are searched for, since rounding may change their order. Measured on the
best 20 of 10k and of 100k items: FP16 alone finds 0.999 of them, INT8 alone 0.97, and with these surpluses both find
all."""

DROPPED_PER_ITEM = 1 / 300
"""Up to this share of refused items, a search returns as many more results and drops the refused ones afterwards. A
filter inside the index costs 1 to 5 ns for every item of the catalogue; one more result costs 0.3 us."""

REFUSED_PER_ITEM = 1 / 50
"""Beyond this share of refused items all lists are searched. How many lists are enough was measured with the items that
users have consumed; the items that a narrow filter allows may stand in none of those lists."""

NO_HISTORY = -1
"""`n_known` of a query that is not a user's own side: all lists are searched."""

Index = Any

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Rows and scores, best first."""


def empty_index(kind: IndexKind, dimension: int) -> Index:
    """An index of this kind without vectors, and without the centres of its lists if it has any."""
    if kind.name == EXACT:
        return faiss.IndexFlatIP(dimension)
    width = faiss.ScalarQuantizer.QT_fp16 if kind.name == FP16 else faiss.ScalarQuantizer.QT_8bit_uniform
    if not kind.n_lists:
        return faiss.IndexScalarQuantizer(dimension, width, faiss.METRIC_INNER_PRODUCT)
    lists, is_residual = faiss.IndexFlatIP(dimension), False
    return faiss.IndexIVFScalarQuantizer(lists, dimension, kind.n_lists, width, faiss.METRIC_INNER_PRODUCT, is_residual)


def map_index(path: Path, vectors: NDArray[np.float32], kind: IndexKind) -> "ItemIndex":
    """The index in `path`, mapped into memory. The caller has verified the checksum: FAISS verifies nothing.

    Raises `SnapshotDamagedError` unless it is of this kind and holds as many vectors as `vectors` (n, d), compared by
    the inner product.
    """
    n_vectors, dimension = vectors.shape
    try:
        # Counts in a forged header must not make FAISS allocate more than the file can hold.
        faiss.set_deserialization_vector_byte_limit(max(path.stat().st_size, 1))
        faiss.set_deserialization_loop_limit(n_vectors + 1)
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except (OSError, RuntimeError, MemoryError) as error:
        raise SnapshotDamagedError(f"{path.name} is not a FAISS index") from error
    if (index.ntotal, index.d, index.metric_type) != (n_vectors, dimension, faiss.METRIC_INNER_PRODUCT):
        raise SnapshotDamagedError(f"{path.name} does not fit the item vectors")
    if not _is_of_kind(index, kind):
        raise SnapshotDamagedError(f"{path.name} is of another kind")
    return ItemIndex(index, vectors, kind)


def _is_of_kind(index: Index, kind: IndexKind) -> bool:
    if not 0 <= kind.n_lists <= max(index.ntotal, 1):
        return False
    expected = empty_index(kind, index.d)
    n_scales = index.d if kind.name == INT8 else 0
    return (
        type(index) is type(expected)
        and (kind.name == EXACT or index.sq.qtype == expected.sq.qtype)
        and (not kind.n_lists or index.nlist == index.quantizer.ntotal == kind.n_lists)
        and all(0 < n_probes <= kind.n_lists for _, n_probes in kind.probes)
        and len(kind.scales) == n_scales
        and all(0 < scale < np.inf for scale in kind.scales)
    )


class _SearchParameters(threading.local):
    """The parameter objects of FAISS, one set for each thread: making them takes longer than filling them."""

    def __init__(self) -> None:
        self._bits = np.zeros(1, np.uint8)
        self._selector = faiss.IDSelectorBitmap(self._bits)
        self._flat = faiss.SearchParameters(sel=self._selector)
        self._lists = faiss.SearchParametersIVF()
        self._lists_filtered = faiss.SearchParametersIVF(sel=self._selector)

    def filled(self, allowed: NDArray[np.bool_] | None, n_probes: int) -> Any:
        """`allowed`: None for all. `n_probes`: 0 for an index without lists."""
        if allowed is not None:
            self._bits = np.packbits(
                allowed, bitorder="little"
            )  # kept alive here, since the selector does not own them
            self._selector.n = len(self._bits)
            self._selector.bitmap = faiss.swig_ptr(self._bits)
        if not n_probes:
            return None if allowed is None else self._flat
        parameters = self._lists if allowed is None else self._lists_filtered
        parameters.nprobe = n_probes
        return parameters


@dataclass(frozen=True)
class ItemIndex:
    """An index over `vectors` (n, d) float32, and its search."""

    faiss_index: Index
    vectors: NDArray[np.float32]
    kind: IndexKind
    _scales: NDArray[np.float32] | None = field(init=False)
    _parameters: _SearchParameters = field(init=False, default_factory=_SearchParameters)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scales", np.array(self.kind.scales, np.float32) if self.kind.scales else None)

    def candidates(
        self,
        query: NDArray[np.float32],
        n: int,
        allowed: NDArray[np.bool_] | None = None,
        n_known: int = NO_HISTORY,
    ) -> NDArray[np.int64]:
        """The rows of the `n` vectors with the largest dot product with `query` (d,), and some more, in any order.

        For callers that score them exactly anyway. `allowed`: (n_vectors,) bool, None for all; fewer than `n` only
        where fewer are allowed. `n_known`: how many ratings and engagements the query, a user side, was made of.
        """
        n_vectors, dimension = self.vectors.shape
        if query.shape != (dimension,) or (allowed is not None and allowed.shape != (n_vectors,)):
            raise ValueError("the query or the mask does not fit the vectors")
        n_allowed = n_vectors if allowed is None else int(np.count_nonzero(allowed))
        if n <= 0 or n_allowed == 0:
            return np.empty(0, np.int64)
        n_refused = n_vectors - n_allowed
        if n_refused > REFUSED_PER_ITEM * n_vectors or n_known == NO_HISTORY:
            return self._search_lists(query, n, allowed, n_refused, self.kind.n_lists)
        rows = self._search_lists(query, n, allowed, n_refused, self.kind.probed(n, n_known))
        if len(rows) < min(n, n_allowed):  # the lists searched first were short
            rows = self._search_lists(query, n, allowed, n_refused, self.kind.n_lists)
        return rows

    def _search_lists(
        self, query: NDArray[np.float32], n: int, allowed: NDArray[np.bool_] | None, n_refused: int, n_probes: int
    ) -> NDArray[np.int64]:
        factor, surplus = MORE[self.kind.name]
        n_results, is_dropping = factor * n + surplus, n_refused <= DROPPED_PER_ITEM * len(self.vectors)
        if is_dropping:
            # In the worst case every refused item ranks before the n wanted ones.
            n_results += n_refused
        parameters = self._parameters.filled(None if is_dropping else allowed, n_probes)
        rows = self._search(query, min(n_results, len(self.vectors)), parameters)
        rows = rows[rows >= 0]  # FAISS fills up with -1 where fewer are allowed, or in the lists
        return rows[allowed[rows]] if allowed is not None and is_dropping and n_refused else rows

    def _search(self, query: NDArray[np.float32], n: int, parameters: Any) -> NDArray[np.int64]:
        # u . v = (u * scales) . (v / scales), and the index holds v / scales
        scaled = np.ascontiguousarray(query if self._scales is None else query * self._scales, np.float32)
        scores, rows = np.empty(n, np.float32), np.empty(n, np.int64)
        # OpenMP keeps this per thread, so it is set where the search runs. One query gains nothing from more threads.
        faiss.omp_set_num_threads(1)
        pointers = faiss.swig_ptr(scaled), n, faiss.swig_ptr(scores), faiss.swig_ptr(rows)
        # The C++ method itself: its Python wrapper checks and copies what is correct already, which takes 10 us.
        self.faiss_index.search_c(1, *pointers, parameters)
        return rows

    def nearest(self, query: NDArray[np.float32], n: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """The `n` rows with the largest dot product with `query` (d,), and those products.

        Best first, ties by row, fewer where fewer are allowed.
        """
        rows = self.candidates(query, n, allowed)
        # Exact products decide the order, whatever the index rounded.
        scores = self.vectors.take(rows, axis=0) @ query
        order = np.lexsort((rows, -scores))[: max(n, 0)]
        return rows[order], scores[order]


@dataclass(frozen=True)
class PopularityIndex:
    """An index of items whose order is the same for every user: `popular_rows` (n,), best first, ties by row.

    Answers as `ItemIndex` does. `vectors`: (n, d) float32.
    """

    popular_rows: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def candidates(
        self,
        query: NDArray[np.float32],  # noqa: ARG002  every query has the same answer
        n: int,
        allowed: NDArray[np.bool_] | None = None,
        n_known: int = NO_HISTORY,  # noqa: ARG002  as above
    ) -> NDArray[np.int64]:
        """See `ItemIndex.candidates`."""
        # Walking the order needs no copy of the vectors, and keeps ties by row where FAISS would not.
        rows = self.popular_rows if allowed is None else self.popular_rows[allowed[self.popular_rows]]
        return rows[: max(n, 0)]

    def nearest(self, query: NDArray[np.float32], n: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """See `ItemIndex.nearest`."""
        rows = self.candidates(query, n, allowed)
        return rows, self.vectors.take(rows, axis=0) @ query
