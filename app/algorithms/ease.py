"""EASE: an item-item regression of binary interactions in closed form. It ranks; it does not predict ratings.

H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (2019). X is 1 where a user interacted with an item.
Every column of X is regressed on all other columns, never on itself:

    minimise |X - X B|^2 + lambda |B|^2  with  B_ii = 0:      B = I - P diag(1 / diag P),   P = (X'X + lambda I)^-1

With fewer users than items, P follows from the smaller matrix of the users (Woodbury identity):

    K = X X' + lambda I:      P = (I - X' K^-1 X) / lambda,      X P = K^-1 X

Complexity: O(m^3) time and 8 m^2 bytes, m the smaller of users and items.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from app.algorithms.errors import AlgorithmError, FitDivergedError
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import UserRows
from app.algorithms.neighbour_table import NeighbourTable, strongest
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix

# Users or items at most, whichever are fewer: P or K^-1 then takes 8 x 20,000^2 bytes = 3.2 GB.
MAX_SIDE = 20_000

_CELLS_PER_BLOCK = 8_000_000  # dense intermediate blocks of float64 take 64 MB

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class EASE:
    """Learns B, the weights between items.

    `regularization`: lambda in units of the mean history length per interaction, sum_u m_u^2 / sum_u m_u. With 1 the
        nDCG is within 9 % of the best of 0.1 to 10 on MovieLens (latest small) and on five parts of it: half and a
        quarter of the ratings, a third of the users, popular items, short histories. Searching a few values
        still pays.
    """

    regularization: float = hyperparameter(1.0, low=1e-6, high=1e6)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self, ratings: RatingMatrix, _rng: np.random.Generator, progress: ProgressCallback = ignore
    ) -> "ItemWeights":
        """The weights between items; nothing is random.

        Every rating is an interaction; of labels 0 and 1, only the 1s are. Raises `AlgorithmError` where users and
        items both exceed `MAX_SIDE`, and `FitDivergedError` where the regularization is too small for a Cholesky
        decomposition.
        """
        self.check_size(ratings)
        observed = interactions(ratings)
        # lambda = regularization sum_u m_u^2 / sum_u m_u; the unit makes the default independent of the data set.
        histories = np.diff(observed.indptr).astype(np.float64)
        penalty = self.regularization * float(histories @ histories / max(1.0, histories.sum())) or 1.0
        progress(0.05, "ease inverting the Gram matrix")
        by_side = observed if ratings.n_users < ratings.n_items else observed.T.tocsr()
        inverse = _inverse(_gram(by_side, penalty))
        progress(0.8, "ease matrix inverted")
        learned = ItemWeights(observed, inverse, penalty, _diagonal(observed, inverse, penalty))
        progress(1.0, "ease fitted")
        return learned

    @staticmethod
    def check_size(ratings: RatingMatrix) -> None:
        """Raises `AlgorithmError` where users and items both exceed `MAX_SIDE`."""
        if min(ratings.n_users, ratings.n_items) > MAX_SIDE:
            raise AlgorithmError(
                f"ease inverts a matrix of all items or of all users, whichever are fewer, and takes {MAX_SIDE} of "
                f"them at most (3.2 GB); these are {ratings.n_items} items and {ratings.n_users} users"
            )


@dataclass(frozen=True)
class ItemWeights:
    """B in factored form: only an (m, m) matrix is kept, m the smaller of users and items.

    `observed`: (n_users, n_items) CSR float64 of ones, X. `inverse`: (m, m) float64, K^-1 if n_users < n_items, else P.
    `penalty`: lambda. `diagonal`: (n_items,) float64, diag P.
    """

    observed: sparse.csr_array
    inverse: Float64Array
    penalty: float
    diagonal: Float64Array

    def scores(self, user_rows: UserRows) -> NDArray[np.float32]:
        """X_u B for all items, observed ones included: (b,) user rows -> (b, n_items) float32."""
        # `inverse` is K^-1 for fewer users, else P; both give X P for the given users.
        observed = self.observed[user_rows]
        # X B = X - X P diag(1 / diag P)
        smoothed = self.inverse[user_rows] @ self.observed if self._is_of_users else observed @ self.inverse
        # divides column i by P_ii
        smoothed /= self.diagonal
        scores: NDArray[np.float32] = (observed.toarray() - smoothed).astype(np.float32)
        return scores

    def incoming_table(self, n: int) -> NeighbourTable:
        """The n weights of largest size towards every item: row i holds the strongest of column i of B."""
        return _table((strongest(self._columns(items), n) for items in self._blocks), n)

    def outgoing_table(self, n: int) -> NeighbourTable:
        """The n largest positive weights from every item: row j holds the strongest of row j of B."""
        # P is symmetric and B_ij = -P_ij / P_jj, so B_ji = B_ij P_jj / P_ii: rows of B from its columns.
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

    def _columns(self, items: slice) -> Float64Array:
        """(b, n_items): row i is column i of B, -P_ji / P_ii for j other than i."""
        if self._is_of_users:
            observed = self.observed[:, items].T.tocsr()
            inverse: Float64Array = (observed @ self.inverse) @ self.observed
            inverse /= -self.penalty  # I would add to the diagonal alone, which becomes 0 below
        else:
            inverse = self.inverse[items].copy()
        inverse /= -self.diagonal[items, None]
        # B_ii = 0: an item must not predict itself.
        inverse[np.arange(len(inverse)), np.arange(items.start, items.start + len(inverse))] = 0.0
        return inverse


def _table(blocks: Iterable[tuple[NDArray[np.int32], NDArray[np.float32]]], n: int) -> NeighbourTable:
    empty = np.zeros((0, n), np.int32), np.zeros((0, n), np.float32)
    rows, weights = (np.concatenate(parts) for parts in zip(empty, *blocks, strict=True))
    return NeighbourTable(rows, weights)


def interactions(ratings: RatingMatrix) -> sparse.csr_array:
    """(n_users, n_items) CSR float64 of ones: the rated pairs, or where all ratings are labels 0 and 1, the 1s."""
    is_label = np.isin(ratings.values, (0, 1)).all()
    observed = (ratings.subset(ratings.values == 1) if is_label else ratings).by_user
    return sparse.csr_array((np.ones(observed.nnz), observed.indices, observed.indptr), observed.shape)


def _gram(rows: sparse.csr_array, penalty: float) -> Float64Array:
    """R R' + penalty I of the sparse matrix R, dense float64; block by block, to limit temporary memory."""
    n = rows.shape[0]
    gram = np.empty((n, n))
    for block in _blocks(n, n):
        gram[block] = (rows[block] @ rows.T).toarray()
    gram.ravel()[:: n + 1] += penalty
    return gram


def _inverse(gram: Float64Array) -> Float64Array:
    """The inverse of a positive definite matrix, which it overwrites: at 3.2 GB a second copy would not fit."""
    if not len(gram):
        return gram
    # Cholesky inversion works on one triangle; the other is mirrored below. The transpose of a symmetric matrix has
    # LAPACK's column-major order, so nothing is copied.
    factor, failed = lapack.dpotrf(gram.T, lower=1, overwrite_a=1)
    if failed:
        raise FitDivergedError("the Gram matrix is singular; try a larger regularization")
    # dpotrf: A = L L'; dpotri: A^-1 from L; both in place
    lower, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    for block in _blocks(len(gram), len(gram)):
        lower[block, block.stop :] = lower[block.stop :, block].T
        corner = lower[block, block]
        lower[block, block] = np.tril(corner) + np.tril(corner, -1).T
    inverse: Float64Array = lower.T
    return inverse


def _diagonal(observed: sparse.csr_array, inverse: Float64Array, penalty: float) -> Float64Array:
    """The diagonal of P, (n_items,) float64."""
    n_users, n_items = observed.shape
    diagonal = np.ones(n_items)
    if n_users < n_items:  # P_ii = (1 - x_i' K^-1 x_i) / lambda
        # x_i' K^-1 x_i without forming X' K^-1 X, block by block over the items
        by_item = observed.T.tocsr()
        for items in _blocks(n_items, max(1, n_users)):
            diagonal[items] -= by_item[items].multiply(by_item[items] @ inverse).sum(axis=1)
        diagonal /= penalty
    else:
        diagonal[:] = np.diag(inverse)
    if not (diagonal > 0).all():  # NaN fails this test, too
        raise FitDivergedError("the Gram matrix is singular; try a larger regularization")
    return diagonal


def _blocks(n_rows: int, n_columns: int) -> list[slice]:
    """Ranges of rows such that a dense block of them has at most `_CELLS_PER_BLOCK` cells."""
    size = max(1, _CELLS_PER_BLOCK // max(1, n_columns))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
