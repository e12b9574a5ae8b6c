"""Transitions: what is chosen next, a regression of the next choice on the decayed history before it, in closed form.

M. Choi et al., "Session-aware Linear Item-Item Models for Session-based Recommendation" (WWW 2021): the transition part
(SLIT) with the next choice alone as the target. A row of S is the history before one choice, newest first weighted 1,
decay, decay^2 ..., and the same row of T is that choice:

    minimise |W^1/2 (T - S B)|^2 + sum_j d_j sum_i B_ji^2:      B = (S'W S + D)^-1 S'W T
    D = diag(d),      d_j = lambda + dropout / (1 - dropout) (S'W S)_jj

with W the diagonal matrix of the weights of the choices. D is the denoising penalty of `ease`. B_ii is not held at 0:
an item is a source for what follows it, and no choice occurs twice. The score of a user is the decayed history times B,
cut to the strongest entries of every row.

Complexity: O(n_items^3) time, O(n L) for n choices and L choices until the decay is negligible; 4 n_items^2 bytes for
the inverse, and as many where S'T is dense.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from app.algorithms.choice_sequences import ChoiceSequences
from app.algorithms.cooccurrence import before, following, history_length
from app.algorithms.cores import available_cores
from app.algorithms.errors import AlgorithmError, FitDivergedError
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import UserRows
from app.algorithms.neighbour_table import strongest_entries
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.symmetric_inverse import inverse

# Items at most: the inverse and S'T then take 4 x 20,000^2 bytes = 1.6 GB each.
MAX_ITEMS = 20_000

# Above this share of entries that are not 0, a dense product is faster than a sparse one.
_DENSE_SHARE = 0.02

_ROWS_PER_BLOCK = 512

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Transitions:
    """Learns B, the weights from what was chosen to what comes next.

    `regularization`: lambda in units of the mean history length per interaction, sum h^2 / sum h over the sums h of
        all rows of S. From 10 to 100 the nDCG@10 of the last item is within 4 % of the best on toy purchases.
    `dropout`: the share of choices that the denoising penalty leaves out.
    `decay`: the weight of a choice in a history, against the next newer one.
    `n_entries`: entries of each row of B that are kept.
    """

    regularization: float = hyperparameter(20.0, low=1e-6, high=1e6)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)
    decay: float = hyperparameter(0.9, low=0.0, high=1.0)
    n_entries: int = hyperparameter(100, low=1, high=100_000)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        choices: RatingMatrix | ChoiceSequences,
        _rng: np.random.Generator,
        progress: ProgressCallback = ignore,
    ) -> "HistoryTable":
        """The weights from each item; nothing is random.

        Raises `AlgorithmError` above `MAX_ITEMS` items and `FitDivergedError` where the regularization is too small for
        a Cholesky decomposition.
        """
        self.check_size(choices)
        sequences = choices if isinstance(choices, ChoiceSequences) else ChoiceSequences.from_ratings(choices)
        progress(0.0, "transitions summing pairs of choices")

        penalty = self.regularization * history_length(sequences, self.decay)

        def penalised(dtype: type[np.floating]) -> NDArray[np.floating]:
            gram = before(sequences, self.decay).astype(dtype, copy=False)
            diagonal = gram.ravel()[:: len(gram) + 1]
            # d_j = lambda + dropout / (1 - dropout) (S'S)_jj
            diagonal += dtype(penalty) + dtype(self.dropout / (1 - self.dropout)) * diagonal
            return gram

        inverted = inverse(penalised, sequences.n_items)
        progress(0.5, "transitions matrix inverted")
        followed = following(sequences, self.decay)
        table = strongest_entries(_products(inverted, followed, progress), self.n_entries, sequences.n_items)
        if not np.isfinite(table.data).all():
            raise FitDivergedError("the matrix of transitions is singular; try a larger regularization")
        progress(1.0, "transitions fitted")
        return HistoryTable(sequences.decayed(self.decay), table)

    @staticmethod
    def check_size(choices: RatingMatrix | ChoiceSequences) -> None:
        """Raises `AlgorithmError` above `MAX_ITEMS` items."""
        if choices.n_items > MAX_ITEMS:
            raise AlgorithmError(
                f"transitions inverts a matrix of all items and takes {MAX_ITEMS} of them at most (3.2 GB); these are "
                f"{choices.n_items}"
            )


@dataclass(frozen=True)
class HistoryTable:
    """Scores items by a table of the user's choices.

    `histories`: (n_users, n_items) CSR float32, the decayed histories. `table`: (n_items, n_items) CSR float32 with
    sorted indices; row j holds what a choice of item j says for and against other items.
    """

    histories: sparse.csr_array
    table: sparse.csr_array

    def scores(self, user_rows: UserRows) -> Float32Array:
        """Decayed histories times the table: (b,) user rows -> (b, n_items) float32."""
        scores: Float32Array = (self.histories[user_rows] @ self.table).toarray()
        return scores


def _products(
    inverted: NDArray[np.floating], followed: Float32Array, progress: ProgressCallback
) -> Iterator[NDArray[np.floating]]:
    """The rows of B = P S'T, a block at a time."""
    n_items = len(inverted)
    is_sparse = np.count_nonzero(followed) < _DENSE_SHARE * followed.size
    # B_block' = (S'T)' P_block', as P is symmetric
    turned = sparse.csr_array(followed.T) if is_sparse else None
    for start in range(0, n_items, _ROWS_PER_BLOCK):
        rows = slice(start, min(start + _ROWS_PER_BLOCK, n_items))
        with threadpool_limits(available_cores(), "blas"):
            product = inverted[rows] @ followed if turned is None else (turned @ inverted[:, rows]).T
        yield product
        progress(0.5 + 0.5 * rows.stop / n_items, f"transitions weights from item {rows.stop} of {n_items}")
