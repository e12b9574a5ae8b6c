"""EASE: which items go with which, in closed form. Rankings only; among the best there are from plain interactions.

H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (2019). X is 1 where a user met an item. Every column of
X is regressed on all the others, an item never on itself:

    minimise |X - X B|^2 + lambda |B|^2  with  B_ii = 0:      B = I - P diag(1 / diag P),   P = (X'X + lambda I)^-1

Where there are fewer users than items, the same P comes from the smaller matrix of the users:

    K = X X' + lambda I:      P = (I - X' K^-1 X) / lambda,      X P = K^-1 X
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from app.algorithms.errors import AlgorithmError, FitDivergedError
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import Progress, UserRows, ignore
from app.algorithms.neighbour_table import NeighbourTable, strongest
from app.algorithms.rating_matrix import RatingMatrix

MAX_SIDE = 20_000
"""The most items, or users if they are fewer: P or K^-1 then takes 8 x 20 000^2 bytes = 3.2 GB."""

_CELLS_PER_BLOCK = 8_000_000  # 64 MB of what is dense only for a moment

Wide = NDArray[np.float64]


@dataclass(frozen=True)
class EASE:
    """`regularization`: lambda in units of the history that an interaction stands in, sum_u m_u^2 / sum_u m_u items.

    With 1 the nDCG is within 9 % of the best of 0.1 to 10 on MovieLens (latest small) and on five parts of it: half and
    a quarter of the ratings, a third of the users, popular items, short histories. A search is worth its time.
    """

    regularization: float = hyperparameter(1.0, low=1e-6, high=1e6)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(self, ratings: RatingMatrix, _rng: np.random.Generator, progress: Progress = ignore) -> "ItemWeights":
        """The weights between items; nothing is random.

        Every rating is an interaction; where ratings are labels 0 and 1, the 1s are. Raises `AlgorithmError` when users
        and items are both more than `MAX_SIDE`, `FitDivergedError` when the regularization is too small for it.
        """
        self.check_size(ratings)
        observed = interactions(ratings)
        histories = np.diff(observed.indptr).astype(np.float64)
        penalty = self.regularization * float(histories @ histories / max(1.0, histories.sum())) or 1.0
        by_side = observed if ratings.n_users < ratings.n_items else observed.T.tocsr()
        inverse = _inverse(_gram(by_side, penalty))
        progress(0.8, "inverted")
        learned = ItemWeights(observed, inverse, penalty, _diagonal(observed, inverse, penalty))
        progress(1.0, "done")
        return learned

    @staticmethod
    def check_size(ratings: RatingMatrix) -> None:
        """Raises `AlgorithmError` when users and items are both more than `MAX_SIDE`."""
        if min(ratings.n_users, ratings.n_items) > MAX_SIDE:
            raise AlgorithmError(
                f"ease inverts a matrix of all items or of all users, whichever are fewer, and takes {MAX_SIDE} of "
                f"them at most (3.2 GB); these are {ratings.n_items} items and {ratings.n_users} users"
            )


@dataclass(frozen=True)
class ItemWeights:
    """The exact B, without B: for m users or items, whichever are fewer, only an (m, m) matrix is kept.

    `observed`: (n_users, n_items) CSR float64 of ones, X. `inverse`: (m, m) float64, K^-1 if n_users < n_items, else P.
    `penalty`: lambda. `diagonal`: (n_items,) float64, diag P.
    """

    observed: sparse.csr_array
    inverse: Wide
    penalty: float
    diagonal: Wide

    def scores(self, user_rows: UserRows) -> NDArray[np.float32]:
        """X_u B: (b,) rows -> (b, n_items), of items met and not met alike."""
        observed = self.observed[user_rows]
        # X B = X - X P diag(1 / diag P)
        smoothed = self.inverse[user_rows] @ self.observed if self._is_of_users else observed @ self.inverse
        smoothed /= self.diagonal
        scores: NDArray[np.float32] = (observed.toarray() - smoothed).astype(np.float32)
        return scores

    def table(self, n: int) -> NeighbourTable:
        """The n weights of greatest size towards every item: row i holds the strongest of column i of B."""
        return _table((strongest(self._columns(items), n) for items in self._blocks), n)

    def reach(self, n: int) -> NeighbourTable:
        """The n greatest weights above 0 from every item: row j holds the strongest of row j of B."""
        # B_ji = B_ij P_jj / P_ii
        rows = (self._columns(items) * self.diagonal[items, None] / self.diagonal for items in self._blocks)
        return _table((strongest(weights.clip(min=0), n) for weights in rows), n)

    @property
    def _blocks(self) -> list[slice]:
        n_items = self.observed.shape[1]
        return _blocks(n_items, n_items)

    @property
    def _is_of_users(self) -> bool:
        n_users, n_items = self.observed.shape
        return n_users < n_items

    def _columns(self, items: slice) -> Wide:
        """(b, n_items): row i is column i of B, -P_ji / P_ii for j other than i."""
        if self._is_of_users:
            observed = self.observed[:, items].T.tocsr()
            inverse: Wide = (observed @ self.inverse) @ self.observed
            inverse /= -self.penalty  # I would add to the diagonal alone, which becomes 0 below
        else:
            inverse = self.inverse[items].copy()
        inverse /= -self.diagonal[items, None]
        inverse[np.arange(len(inverse)), np.arange(items.start, items.start + len(inverse))] = 0.0
        return inverse


def _table(blocks: Iterable[tuple[NDArray[np.int32], NDArray[np.float32]]], n: int) -> NeighbourTable:
    empty = np.zeros((0, n), np.int32), np.zeros((0, n), np.float32)
    rows, weights = (np.concatenate(parts) for parts in zip(empty, *blocks, strict=True))
    return NeighbourTable(rows, weights)


def interactions(ratings: RatingMatrix) -> sparse.csr_array:
    """(n_users, n_items) CSR float64 of ones: what was rated, or where ratings are labels 0 and 1, what is 1."""
    is_label = np.isin(ratings.values, (0, 1)).all()
    observed = (ratings.subset(ratings.values == 1) if is_label else ratings).by_user
    return sparse.csr_array((np.ones(observed.nnz), observed.indices, observed.indptr), observed.shape)


def _gram(rows: sparse.csr_array, penalty: float) -> Wide:
    """Of a matrix R: R R' + penalty I, dense."""
    n = rows.shape[0]
    gram = np.empty((n, n))
    for block in _blocks(n, n):
        gram[block] = (rows[block] @ rows.T).toarray()
    gram.ravel()[:: n + 1] += penalty
    return gram


def _inverse(gram: Wide) -> Wide:
    """Its inverse, in its own memory: by Cholesky, LAPACK works on one triangle and the other is mirrored."""
    if not len(gram):
        return gram
    factor, failed = lapack.dpotrf(gram.T, lower=1, overwrite_a=1)
    if failed:
        raise FitDivergedError("the items could not be told apart; try a greater regularization")
    lower, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    for block in _blocks(len(gram), len(gram)):
        lower[block, block.stop :] = lower[block.stop :, block].T
        corner = lower[block, block]
        lower[block, block] = np.tril(corner) + np.tril(corner, -1).T
    inverse: Wide = lower.T
    return inverse


def _diagonal(observed: sparse.csr_array, inverse: Wide, penalty: float) -> Wide:
    """The diagonal of P, (n_items,)."""
    n_users, n_items = observed.shape
    diagonal = np.ones(n_items)
    if n_users < n_items:  # P_ii = (1 - x_i' K^-1 x_i) / lambda
        by_item = observed.T.tocsr()
        for items in _blocks(n_items, max(1, n_users)):
            diagonal[items] -= by_item[items].multiply(by_item[items] @ inverse).sum(axis=1)
        diagonal /= penalty
    else:
        diagonal[:] = np.diag(inverse)
    if not (diagonal > 0).all():  # nan is not either
        raise FitDivergedError("the items could not be told apart; try a greater regularization")
    return diagonal


def _blocks(n_rows: int, n_columns: int) -> list[slice]:
    size = max(1, _CELLS_PER_BLOCK // max(1, n_columns))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
