"""Item-item neighbours as a table: for every item, the few others whose ratings say most about it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class NeighbourTable:
    """`rows`: (n_items, n) int32, the neighbours of each item, -1 where there are no more. `weights`: (n_items, n)
    float32, the strongest first, 0 where there is no neighbour. Neighbourhood need not be mutual.
    """

    rows: NDArray[np.int32]
    weights: NDArray[np.float32]

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """(n_items, n_items) CSR float32: row i holds the weights of the neighbours of i."""
        is_there = self.rows >= 0
        starts = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
        return sparse.csr_array((self.weights[is_there], self.rows[is_there], starts), shape=(len(self.rows),) * 2)

    def scores(self, histories: sparse.csr_array) -> NDArray[np.float32]:
        """score_ui = sum of w_ij x_uj over the neighbours j of i.

        `histories`: (b, n_items) CSR float32, what x_uj each of b users had of each item. Returns (b, n_items) float32.
        """
        return _dense(histories @ self._by_neighbour)

    def predict(self, deviations: sparse.csr_array, prior: float = 0.0) -> NDArray[np.float32]:
        """e^_ui = sum_j w_ij e_uj / (prior + sum_j |w_ij|), over the neighbours j of i that u rated.

        `deviations`: (b, n_items) CSR float32, e_uj, how far the ratings of b users lie from what was expected, zeros
        stored. Returns (b, n_items) float32, the same of all items; 0 where no neighbour was rated.
        """
        predicted = _dense(deviations @ self._by_neighbour)
        was_rated = deviations.copy()
        was_rated.data = np.ones_like(deviations.data)
        evidence = _dense(was_rated @ abs(self._by_neighbour))
        np.divide(predicted, evidence + np.float32(prior), out=predicted, where=evidence > 0)
        return predicted

    @cached_property
    def _by_neighbour(self) -> sparse.csr_array:
        """The transpose of `matrix`."""
        return self.matrix.T.tocsr()


def strongest(weights: NDArray[np.floating], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The n columns of greatest |weight| in every row: ((b, n) int32, (b, n) float32), as in `NeighbourTable`.

    `weights`: (b, n_columns); 0 is no neighbour. Equal weights stand in the order of their columns.
    """
    weights = weights.astype(np.float32)  # before they are compared: beyond that, differences are rounding
    n_rows, n_columns = weights.shape
    rows, kept = np.full((n_rows, n), -1, np.int32), np.zeros((n_rows, n), np.float32)
    for row, strength in enumerate(np.abs(weights)):
        # The n-th strongest is the threshold; sorting the few above it is all the sorting there is.
        threshold = np.partition(strength, -n)[-n] if n < n_columns else 0.0
        columns = np.flatnonzero((strength >= threshold) & (strength > 0))
        columns = columns[np.argsort(-strength[columns], kind="stable")][:n]
        rows[row, : len(columns)] = columns
        kept[row, : len(columns)] = weights[row, columns]
    return rows, kept


def _dense(matrix: sparse.csr_array) -> NDArray[np.float32]:
    dense: NDArray[np.float32] = matrix.toarray()
    return dense
