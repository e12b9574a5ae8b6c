"""Sparse item-item matrices: the strongest entries of each row, and the neighbour table of `knn`."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class NeighbourTable:
    """W: for every item, its few strongest neighbours and their weights.

    `rows`: (n_items, n) int32, the neighbours of each item, -1 where there are fewer.

    `weights`: (n_items, n) float32, strongest first, 0 where there is no neighbour. The relation is not symmetric.
    """

    rows: NDArray[np.int32]
    weights: NDArray[np.float32]

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """(n_items, n_items) CSR float32, W: row i holds the weights w_ij of the neighbours j of i."""
        # -1 marks free places; the rest, row by row, are the entries of the CSR matrix.
        is_there = self.rows >= 0
        starts = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
        return sparse.csr_array((self.weights[is_there], self.rows[is_there], starts), shape=(len(self.rows),) * 2)

    def scores(self, histories: sparse.csr_array) -> NDArray[np.float32]:
        """score_ui = sum_j w_ij x_uj over the neighbours j of i, that is X W'.

        `histories`: (b, n_items) CSR float32, x_uj, the interactions of b users. Returns (b, n_items) float32.
        """
        return _dense(histories @ self._by_neighbour)

    def predict(self, deviations: sparse.csr_array, prior: float = 0.0) -> NDArray[np.float32]:
        """e^_ui = sum_j w_ij e_uj / (prior + sum_j |w_ij|) over the neighbours j of i that u rated.

        `deviations`: (b, n_items) CSR float32, e_uj, the ratings of b users minus a baseline, with zeros stored
        explicitly. `prior`: shrinks e^ to 0 where little evidence is. Returns (b, n_items) float32; 0 where u rated no
        neighbour.
        """
        predicted = _dense(deviations @ self._by_neighbour)
        # The denominator is the same product with 1 in place of every e_uj; a stored 0 counts as rated.
        was_rated = deviations.copy()
        was_rated.data = np.ones_like(deviations.data)
        evidence = _dense(was_rated @ abs(self._by_neighbour))
        # Only where a neighbour was rated: elsewhere 0 / (0 + prior) would be 0 / 0 without a prior.
        np.divide(predicted, evidence + np.float32(prior), out=predicted, where=evidence > 0)
        return predicted

    @cached_property
    def _by_neighbour(self) -> sparse.csr_array:
        """W' as CSR, so that products with histories read only the rows of the history's items."""
        return self.matrix.T.tocsr()


def strongest(weights: NDArray[np.floating], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The n columns of largest |weight| in every row: ((b, n) int32, (b, n) float32), as in `NeighbourTable`.

    `weights`: (b, n_columns); 0 means that there is no neighbour. Equal weights are ordered by column.
    """
    # Rounded to float32 before they are compared: finer differences are rounding errors, whose order would depend on
    # the machine.
    weights = weights.astype(np.float32)
    n_rows, n_columns = weights.shape
    rows, strongest_weights = np.full((n_rows, n), -1, np.int32), np.zeros((n_rows, n), np.float32)
    for row, strength in enumerate(np.abs(weights)):
        # A linear-time selection of the n-th strongest as a threshold; only the few above it are sorted.
        threshold = np.partition(strength, -n)[-n] if n < n_columns else 0.0
        columns = np.flatnonzero((strength >= threshold) & (strength > 0))
        columns = columns[np.argsort(-strength[columns], kind="stable")][:n]
        rows[row, : len(columns)] = columns
        strongest_weights[row, : len(columns)] = weights[row, columns]
    return rows, strongest_weights


def strongest_entries(blocks: Iterable[NDArray[np.floating]], n: int, n_columns: int) -> sparse.csr_array:
    """The n entries of largest size of every row: (n_rows, n_columns) CSR float32 with sorted indices.

    `blocks`: the dense rows, (b, n_columns) at a time. Entries of 0 are left out.
    """
    parts = [sparse.csr_array((0, n_columns), dtype=np.float32)]
    for block in blocks:
        rows, weights = strongest(block, min(n, n_columns))
        is_there = rows >= 0
        starts = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
        parts.append(sparse.csr_array((weights[is_there], rows[is_there], starts), shape=(len(rows), n_columns)))
    entries = sparse.csr_array(sparse.vstack(parts, format="csr"))
    entries.sort_indices()
    return entries


def cut_rows(matrix: sparse.csr_array, n: int) -> sparse.csr_array:
    """The n entries of largest size of every row of a CSR matrix, with sorted indices; equal ones by column."""
    if np.diff(matrix.indptr).max(initial=0) > n:
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        order = np.lexsort((matrix.indices, -np.abs(matrix.data), rows))
        # Sorted by row and size, an entry's rank in its row is its position less the start of the row.
        kept = order[np.arange(len(order)) - matrix.indptr[rows] < n]
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=matrix.shape[0]))])
        matrix = sparse.csr_array((matrix.data[kept], matrix.indices[kept], starts), shape=matrix.shape)
    matrix.sort_indices()
    return matrix


def _dense(matrix: sparse.csr_array) -> NDArray[np.float32]:
    dense: NDArray[np.float32] = matrix.toarray()
    return dense
