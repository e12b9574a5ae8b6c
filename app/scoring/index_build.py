"""Builds the FAISS index over the item side: the fastest kind that finds what scoring every item would find.

The items of a large catalogue are divided into lists, and a search looks through the lists closest to its query (an
inverted file; J. Sivic & A. Zisserman, "Video Google", 2003). Items that most users score alike share a list: the
distance of items x and y is the mean squared difference of their scores over users,

    mean_u (u . x - u . y)^2 = (x - y)' C (x - y) = |L'x - L'y|^2     C = mean_u u u' = L L'

so columns that no user weighs decide nothing. On 9,742 films, half of such lists hold as many of the best items as
three quarters of the lists by the plain distance of vectors.

The number of lists is measured with a sample of users and holds for users like them. Other queries (guests with one
rating, sides that a rule reversed) search all lists: of the best 20 for such guests, the same number of lists held 0.95
to 0.98.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.scoring.index import EXACT, FP16, INT8, REFUSED_PER_ITEM, Index, ItemIndex, empty_index, faiss
from app.snapshots.manifest import IndexKind

LISTS_FROM = 5_000
"""Items from which there are lists; fewer are scanned in 20 us."""

BYTES_FROM = 50_000
"""Items from which a byte for each number is tried first: the scan is bound by memory (d = 144, n = 20, one thread of a
busy machine, 2026-11, EXACT / FP16 / INT8): 10k items 75 / 55 / 60 us,
100k 2.0 / 0.83 / 0.5 ms, 1M 46 / 24 / 10 ms."""

LEAST_RECALL = 0.999
"""The share of the best items that a kind of index must find for a sample of users, before exact scoring."""

LEAST_IN_LISTS = 0.9998
"""As `LEAST_RECALL`, for a number of lists. What rounding misses is about as good as what replaces it; an item in a
list that is not searched may be the best of all."""

DEPTHS = (20, 100)
"""How many of the best items recall is measured on: what a list shows, and what rules choose from."""

N_QUERIES, N_MOMENTS = (100, 500), 10_000
"""The least and the largest number of users to measure recall with; the number of users to compute C from."""

SCORES_MEASURED = 50_000_000
"""Scores that measuring may compute: the more items, the fewer users."""

FEW_KNOWN = 0.1
"""This share of the users, those with the fewest ratings and engagements, search all lists: lists are formed by the
sides of all users, and theirs differ most."""

LIST_SHARES = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 5 / 16, 3 / 8, 7 / 16, 1 / 2, 5 / 8, 3 / 4)
"""The shares of all lists that are tried; where more are needed, a full scan is as fast."""

N_ITERATIONS, POINTS_PER_LIST = 10, 256
"""Of the k-means that forms the lists."""

SEED = 1

BLOCK = 65_536
"""Rows handled at a time."""

ALL_THREADS: int = faiss.omp_get_max_threads()


class Known(NamedTuple):
    """Of one user: the rows of consumed items, and how many ratings and engagements the side is made of."""

    consumed: NDArray[np.integer]
    n_known: int


Knowledge = Callable[[int], Known]


def nothing_known(_user_row: int) -> Known:
    return Known(np.empty(0, np.int32), 0)


def build_index(
    vectors: NDArray[np.float32], users: NDArray[np.float32], knowledge: Knowledge = nothing_known
) -> tuple[Index, IndexKind]:
    """An index for inner products over `vectors` (n, d) float32. The one place that chooses its kind.

    It is the fastest kind whose recall on a sample of `users` (m, d), user sides, is at least `LEAST_RECALL`.
    `knowledge`: user row -> what is known of the user.
    """
    samples = _samples(vectors, users, knowledge)
    for name in (INT8, FP16) if len(vectors) >= BYTES_FROM else (FP16,):
        kind = IndexKind(name, 1.0, _scales(vectors) if name == INT8 else ())
        index = _filled(kind, vectors)
        recall = _recall(ItemIndex(index, vectors, kind), samples, DEPTHS[0])
        if recall >= LEAST_RECALL:
            in_lists = _in_lists(kind, vectors, users, samples) if len(vectors) >= LISTS_FROM and samples else None
            return in_lists or (index, replace(kind, recall=recall))
    exact = IndexKind(EXACT, 1.0)
    # Neither kind reached the recall: scores differ by less than the rounding of half precision.
    return _filled(exact, vectors), exact


def index_bytes(index: Index) -> memoryview:
    return memoryview(faiss.serialize_index(index))


class _Sample(NamedTuple):
    """One user that recall is measured with.

    `query`: (d,), the user side.
    `best`: the highest exact scores of items not consumed, best first.
    """

    query: NDArray[np.float32]
    known: Known
    best: NDArray[np.float32]


def _samples(vectors: NDArray[np.float32], users: NDArray[np.float32], knowledge: Knowledge) -> list[_Sample]:
    samples = []
    least, most = N_QUERIES
    for row in _evenly(len(users), min(max(least, SCORES_MEASURED // max(len(vectors), 1)), most)):
        # Recall is measured as served: with the consumed items excluded, for the items that come after them.
        query, known = np.ascontiguousarray(users[row]), knowledge(row)
        scores = vectors @ query
        scores[known.consumed] = -np.inf
        n = min(DEPTHS[-1], len(scores) - len(np.unique(known.consumed)))
        samples.append(_Sample(query, known, -np.sort(np.partition(-scores, n - 1)[:n])))
    return [sample for sample in samples if len(sample.best)]


def _evenly(n: int, n_chosen: int) -> list[int]:
    """Up to `n_chosen` of 0 .. n-1, evenly spaced."""
    rows: list[int] = np.unique(np.linspace(0, n - 1, min(n, n_chosen)).astype(int)).tolist()
    return rows


def _recall(index: ItemIndex, samples: Sequence[_Sample], depth: int) -> float:
    """The mean share of the best items that are found; an item that scores as high as the last of them counts, too."""
    shares = []
    for query, known, best_of_all in samples:
        best = best_of_all[:depth]
        allowed = np.ones(len(index.vectors), np.bool_)
        allowed[known.consumed] = False
        scores = index.vectors[index.candidates(query, len(best), allowed, known.n_known)] @ query
        # recall = |{i in result : u . i >= s_n}| / n, with s_n the n-th highest exact score. Items with equal scores
        # are interchangeable, hence scores are compared and not rows; the tolerance is rounding in the product.
        least = best[-1] - 1e-6 * np.abs(best).max()
        shares.append(min(len(best), int(np.count_nonzero(scores >= least))) / len(best))
    return float(np.mean(shares)) if shares else 1.0


def _in_lists(
    kind: IndexKind, vectors: NDArray[np.float32], users: NDArray[np.float32], samples: Sequence[_Sample]
) -> tuple[Index, IndexKind] | None:
    """An index of this kind with lists; None where nearly all lists would have to be searched."""
    least_known = int(np.quantile([sample.known.n_known for sample in samples], FEW_KNOWN))
    most_consumed = REFUSED_PER_ITEM * len(vectors)
    # Recall is measured for these users alone: all others search all lists.
    samples = [
        sample
        for sample in samples
        if sample.known.n_known >= least_known and len(sample.known.consumed) <= most_consumed
    ]
    if not samples:
        return None
    list_of, centres = _lists(vectors, users, round(math.sqrt(len(vectors)) / 2))
    kind = replace(kind, n_lists=len(centres), least_known=least_known)
    index = _filled(kind, vectors, list_of, centres)
    # For each depth, the smallest share of lists that reaches the recall: shares are tried in ascending order.
    probes: list[tuple[int, int]] = []
    for depth in DEPTHS:
        for n_probes in sorted({math.ceil(share * len(centres)) for share in LIST_SHARES}):
            kind = replace(kind, probes=(*probes, (depth, n_probes)))
            recall = _recall(ItemIndex(index, vectors, kind), samples, depth)
            if recall >= LEAST_IN_LISTS:
                probes.append((depth, n_probes))
                kind = replace(kind, recall=min(kind.recall, recall))
                break
    return (index, replace(kind, probes=tuple(probes))) if probes else None


def _lists(
    vectors: NDArray[np.float32], users: NDArray[np.float32], n_lists: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(n,) the list of each item, and (n_lists, d) the mean of the items of each list."""
    sample = users[_evenly(len(users), N_MOMENTS)].astype(np.float64)
    # C = mean_u u u' = V diag(s) V', so L = V diag(sqrt(s)); rounding may make an s of 0 slightly negative.
    variances, directions = np.linalg.eigh(sample.T @ sample / len(sample))
    towards = (directions * np.sqrt(np.maximum(variances, 0.0))).astype(np.float32)  # L
    use_all_threads()
    clustering = faiss.Kmeans(vectors.shape[1], n_lists, niter=N_ITERATIONS, seed=SEED)
    clustering.train(vectors[_evenly(len(vectors), POINTS_PER_LIST * n_lists)] @ towards)
    list_of = np.empty(len(vectors), np.int64)
    sums = np.zeros((n_lists, vectors.shape[1]))
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        _, nearest = clustering.index.search(block @ towards, 1)
        list_of[start : start + BLOCK] = nearest[:, 0]
        # sums(l) = sum over items i of list l of v_i, in the plain space: queries are compared with these centres.
        members = sparse.csr_array((np.ones(len(block)), (nearest[:, 0], np.arange(len(block)))), (n_lists, len(block)))
        sums += members @ block
    counts = np.bincount(list_of, minlength=n_lists)
    return list_of, (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def _filled(
    kind: IndexKind,
    vectors: NDArray[np.float32],
    list_of: NDArray[np.int64] | None = None,
    centres: NDArray[np.float32] | None = None,
) -> Index:
    dimension = vectors.shape[1]
    index, scales = empty_index(kind, dimension), np.array(kind.scales or 1.0, np.float32)
    if centres is not None:
        index.quantizer.add(centres / scales)
    if kind.name != EXACT:
        # FP16 learns nothing here, but FAISS insists on training; INT8 learns the range of the numbers.
        index.train(np.repeat(np.array([[-1], [1]], np.float32), dimension, axis=1))
    for start in range(0, len(vectors), BLOCK):
        block = np.ascontiguousarray(vectors[start : start + BLOCK] / scales)
        if list_of is None:
            index.add(block)
        else:
            rows = np.arange(start, start + len(block))
            lists = list_of[start : start + len(block)]
            index.add_core(len(block), *map(faiss.swig_ptr, (block, rows, lists)))
    return index


def _scales(vectors: NDArray[np.float32]) -> tuple[float, ...]:
    """(d,) the largest |value| of each column: divided by it, every column uses the whole range of a byte."""
    largest = np.zeros(vectors.shape[1], np.float32)
    for start in range(0, len(vectors), BLOCK):
        np.maximum(largest, np.abs(vectors[start : start + BLOCK]).max(axis=0), out=largest)
    largest[largest == 0] = 1.0
    return tuple(largest.tolist())


def use_all_threads() -> None:
    """Let OpenMP use all cores in this thread, where a search may have set it to one."""
    faiss.omp_set_num_threads(ALL_THREADS)
