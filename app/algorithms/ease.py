"""EASE: an item-item regression of histories in closed form. It ranks; it does not predict ratings.

H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (2019), with the denoising penalty of H. Steck,
"Autoencoders that don't overfit towards the identity" (NeurIPS 2020), named EDLAE there. X is 1 where a user chose an
item. Every column of X is regressed on all other columns, never on itself:

    minimise |X - X B|^2 + sum_j d_j sum_i B_ji^2  with  B_ii = 0:      B = I - P diag(1 / diag P),   P = (X'X + D)^-1
    D = diag(d),      d_j = lambda + dropout / (1 - dropout) (X'X)_jj

The second term of d_j is what leaving every choice out of the input with the probability `dropout` amounts to on
average. With fewer users than items, P follows from the smaller matrix of the users (Woodbury identity):

    K = X D^-1 X' + I:      P = D^-1 - D^-1 X' K^-1 X D^-1,      X P = K^-1 X D^-1

Complexity: O(m^3) time, m the smaller of users and items, and 8 m^2 bytes, 4 m^2 for large m (see `symmetric_inverse`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.choice_sequences import ChoiceSequences
from app.algorithms.cooccurrence import history_length, together
from app.algorithms.errors import AlgorithmError, FitDivergedError
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import UserRows
from app.algorithms.neighbour_table import strongest_entries
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.symmetric_inverse import inverse

# Users or items at most, whichever are fewer: P or K^-1 then takes 8 x 20,000^2 bytes = 3.2 GB at most.
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
    `dropout`: the share of choices that the denoising penalty leaves out; 0 is EASE without it. From 0 to 0.5 the
        nDCG@10 of game purchases stays within 0.3 % at the best regularization.
    """

    regularization: float = hyperparameter(1.0, low=1e-6, high=1e6)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        choices: RatingMatrix | ChoiceSequences,
        _rng: np.random.Generator,
        progress: ProgressCallback = ignore,
    ) -> "ItemWeights":
        """The weights between items; nothing is random.

        Every rating is an interaction; of labels 0 and 1, only the 1s are. Sequences enter with their weights.
        Raises `AlgorithmError` where users and items both exceed `MAX_SIDE`, and `FitDivergedError` where the
        regularization is too small for a Cholesky decomposition.
        """
        self.check_size(choices)
        sequences = choices if isinstance(choices, ChoiceSequences) else ChoiceSequences.from_ratings(choices)
        observed = sequences.decayed(1.0).astype(np.float64)
        squares = np.bincount(observed.indices, observed.data**2, choices.n_items).astype(np.float64)
        # lambda = regularization sum_u m_u^2 / sum_u m_u; the unit makes the default independent of the data set.
        penalty = self.regularization * history_length(sequences)
        # d_j = lambda + dropout / (1 - dropout) (X'X)_jj
        penalties: Float64Array = penalty + self.dropout / (1 - self.dropout) * squares
        progress(0.05, "ease inverting the Gram matrix")
        if choices.n_users < choices.n_items:
            inverted = inverse(lambda dtype: _gram_of_users(observed, penalties, dtype), choices.n_users)
        else:
            inverted = inverse(lambda dtype: _gram_of_items(sequences, penalties, dtype), choices.n_items)
        progress(0.8, "ease matrix inverted")
        are_labels = isinstance(choices, RatingMatrix) and bool(np.isin(choices.values, (0, 1)).all())
        diagonal = _diagonal(observed, inverted, penalties)
        learned = ItemWeights(observed, inverted, penalties, diagonal, are_labels)
        progress(1.0, "ease fitted")
        return learned

    @staticmethod
    def check_size(ratings: RatingMatrix | ChoiceSequences) -> None:
        """Raises `AlgorithmError` where users and items both exceed `MAX_SIDE`."""
        if min(ratings.n_users, ratings.n_items) > MAX_SIDE:
            raise AlgorithmError(
                f"ease inverts a matrix of all items or of all users, whichever are fewer, and takes {MAX_SIDE} of "
                f"them at most (3.2 GB); these are {ratings.n_items} items and {ratings.n_users} users"
            )


@dataclass(frozen=True)
class ItemWeights:
    """B in factored form: only an (m, m) matrix is kept, m the smaller of users and items.

    `observed`: (n_users, n_items) CSR float64, X. `inverse`: (m, m) float64 or float32, K^-1 if n_users < n_items, else
    P. `penalties`, `diagonal`: (n_items,) float64, diag D and diag P. `are_labels`: whether only ratings
    of 1 are interactions.
    """

    observed: sparse.csr_array
    inverse: NDArray[np.floating]
    penalties: Float64Array
    diagonal: Float64Array
    are_labels: bool = False

    def scores(self, user_rows: UserRows) -> NDArray[np.float32]:
        """X_u B for all items, observed ones included: (b,) user rows -> (b, n_items) float32."""
        # `inverse` is K^-1 for fewer users, else P; both give X P for the given users.
        observed = self.observed[user_rows]
        # X B = X - X P diag(1 / diag P)
        if self._is_of_users:
            smoothed = self.inverse[user_rows] @ self.observed
            smoothed /= self.penalties
        else:
            smoothed = observed @ self.inverse
        # divides column i by P_ii
        smoothed /= self.diagonal
        scores: NDArray[np.float32] = (observed.toarray() - smoothed).astype(np.float32)
        return scores

    def scores_of(self, histories: RatingMatrix) -> NDArray[np.float32]:
        """X B for b histories, the users of a matrix, which the fit need not have seen: (b, n_items) float32."""
        chosen = histories.subset(histories.values == 1) if self.are_labels else histories
        observed = ChoiceSequences.from_ratings(chosen, np.ones(len(chosen))).decayed(1.0)
        if self._is_of_users:
            # X P = (X - X D^-1 X_fit' K^-1 X_fit) D^-1
            smoothed = -(((observed / self.penalties).tocsr() @ self.observed.T) @ self.inverse) @ self.observed
            smoothed += observed.toarray()
            smoothed /= self.penalties
        else:
            smoothed = observed @ self.inverse
        # X B = X - X P diag(1 / diag P)
        smoothed /= self.diagonal
        scores: NDArray[np.float32] = (observed.toarray() - smoothed).astype(np.float32)
        return scores

    def outgoing(self, n: int) -> sparse.csr_array:
        """The n weights of largest size from every item: (n_items, n_items) CSR float32 with sorted indices, part of B.

        Row j holds what item j says for and against others, so a user's scores are about history @ outgoing(n).
        """
        return strongest_entries(self._rows, n, len(self.diagonal))

    @property
    def _rows(self) -> Iterator[NDArray[np.floating]]:
        """The rows of B, (b, n_items) at a time."""
        # P is symmetric and B_ij = -P_ij / P_jj, so B_ji = B_ij P_jj / P_ii: rows of B from its columns.
        for items in self._blocks:
            yield self._columns(items) * self.diagonal[items, None] / self.diagonal

    @property
    def _blocks(self) -> list[slice]:
        n_items = self.observed.shape[1]
        return _blocks(n_items, n_items)

    @property
    def _is_of_users(self) -> bool:
        n_users, n_items = self.observed.shape
        return n_users < n_items

    def _columns(self, items: slice) -> NDArray[np.floating]:
        """(b, n_items): row i is column i of B, -P_ji / P_ii for j other than i."""
        if self._is_of_users:
            observed = self.observed[:, items].T.tocsr()
            inverse: NDArray[np.floating] = (observed @ self.inverse) @ self.observed
            # D^-1 would add to the diagonal alone, which becomes 0 below.
            inverse /= -self.penalties
            inverse /= self.penalties[items, None]
        else:
            inverse = self.inverse[items].copy()
        inverse /= -self.diagonal[items, None]
        # B_ii = 0: an item must not predict itself.
        inverse[np.arange(len(inverse)), np.arange(items.start, items.start + len(inverse))] = 0.0
        return inverse


def _gram_of_users(observed: sparse.csr_array, penalties: Float64Array, dtype: Any) -> NDArray[np.floating]:
    """K = X D^-1 X' + I, dense; block by block, to limit temporary memory."""
    n = observed.shape[0]
    gram, scaled = np.empty((n, n), dtype), (observed / penalties).tocsr()
    for block in _blocks(n, n):
        gram[block] = (scaled[block] @ observed.T).toarray()
    gram.ravel()[:: n + 1] += 1
    return gram


def _gram_of_items(sequences: ChoiceSequences, penalties: Float64Array, dtype: Any) -> NDArray[np.floating]:
    """X'X + D, dense."""
    # `copy=False`: a second matrix of all items would double the memory.
    penalised = together(sequences).astype(dtype, copy=False)
    penalised.ravel()[:: len(penalised) + 1] += penalties.astype(dtype)
    return penalised


def _diagonal(observed: sparse.csr_array, inverted: NDArray[np.floating], penalties: Float64Array) -> Float64Array:
    """The diagonal of P, (n_items,) float64."""
    n_users, n_items = observed.shape
    diagonal = np.ones(n_items)
    if n_users < n_items:  # P_ii = (1 - x_i' K^-1 x_i / d_i) / d_i
        # x_i' K^-1 x_i without forming X' K^-1 X, block by block over the items
        by_item = observed.T.tocsr()
        for items in _blocks(n_items, max(1, n_users)):
            forms = by_item[items].multiply(by_item[items] @ inverted).sum(axis=1)
            diagonal[items] -= forms / penalties[items]
        diagonal /= penalties
    else:
        diagonal[:] = np.diag(inverted)
    if not (diagonal > 0).all():  # NaN fails this test, too
        raise FitDivergedError("the Gram matrix is singular; try a larger regularization")
    return diagonal


def _blocks(n_rows: int, n_columns: int) -> list[slice]:
    """Ranges of rows such that a dense block of them has at most `_CELLS_PER_BLOCK` cells."""
    size = max(1, _CELLS_PER_BLOCK // max(1, n_columns))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
