"""SLIM on neighbours: the regressions of `ease` and of `transitions` for catalogues too large for a closed form.

Every item is regressed on its strongest neighbours alone (fsSLIM: X. Ning and G. Karypis, "SLIM: Sparse Linear Methods
for Top-N Recommender Systems", ICDM 2011), here with the penalties of the closed forms and in place of an elastic net:

    B_Ni = (G_NN + D_NN)^-1 b_N,      N the neighbours j of i with the largest b_j / sqrt(G_jj + d_j)

For what goes together, G = X'X and b is column i of G without G_ii; for what comes next, G = S'S and b is column i of
S'T. G is kept sparse, the strongest entries of every row.

Complexity: O(n_items k^3) time for k neighbours, and the pairs of choices twice; 8 n_items (k + the width of G) bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.choice_sequences import ChoiceSequences
from app.algorithms.cooccurrence import each_item, history_length, kernel_choices
from app.algorithms.errors import FitDivergedError
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.neighbour_table import cut_rows
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.transitions import HistoryTable

# Entries of G that are kept at most: 8 bytes each. All of them up to 10,000 items, 500 of each row at 200,000 items.
# Pruning to 200 costs 2 % of nDCG where each item occurs with most others, and much more with a small penalty.
_GRAM_ENTRIES = 100_000_000

Float64Array = NDArray[np.float64]


class SummedPairs(NamedTuple):
    """Sums over pairs of choices, as (n_items, n_items) CSR matrices: the strongest entries of each row.

    `gram`: G without its diagonal. `targets`: row i holds column i of the right side.
    """

    gram: sparse.csr_array
    targets: sparse.csr_array


SumPairs = Callable[[Float64Array, int, int], SummedPairs]
"""Makes `SummedPairs` elsewhere, from the norms of the items (n_items,), by which entries are compared, and the numbers
of entries of each row of `gram` and of `targets` that are kept at most."""


@dataclass(frozen=True)
class SLIM:
    """Learns what goes together, as `EASE` does.

    `regularization`, `dropout`: as for `EASE`.
    `n_neighbours`: items that each item is regressed on, at most.
    `n_entries`: entries of each row of B that are kept.
    """

    regularization: float = hyperparameter(1.0, low=1e-6, high=1e6)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)
    n_neighbours: int = hyperparameter(200, low=1, high=1_000)
    n_entries: int = hyperparameter(100, low=1, high=100_000)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        choices: RatingMatrix | ChoiceSequences,
        _rng: np.random.Generator,
        progress: ProgressCallback = ignore,
        *,
        sum_pairs: SumPairs | None = None,
    ) -> HistoryTable:
        """The weights from each item, for whole histories; nothing is random. Raises `FitDivergedError`.

        `sum_pairs`: makes the sums over pairs of choices, of weight 1 each, in place of this process.
        """
        sequences = choices if isinstance(choices, ChoiceSequences) else ChoiceSequences.from_ratings(choices)
        penalties = (self.regularization * history_length(sequences), self.dropout)
        table = _solve("slim", sequences, None, penalties, self.n_neighbours, progress, sum_pairs)
        return HistoryTable(sequences.decayed(1.0), cut_rows(table, self.n_entries))


@dataclass(frozen=True)
class SparseTransitions:
    """Learns what comes next, as `Transitions` does.

    `regularization`, `dropout`, `decay`, `n_entries`: as for `Transitions`.
    `n_neighbours`: items that each item is regressed on, at most.
    """

    regularization: float = hyperparameter(20.0, low=1e-6, high=1e6)
    dropout: float = hyperparameter(0.0, low=0.0, high=0.99)
    decay: float = hyperparameter(0.9, low=0.0, high=1.0)
    n_neighbours: int = hyperparameter(200, low=1, high=1_000)
    n_entries: int = hyperparameter(100, low=1, high=100_000)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        choices: RatingMatrix | ChoiceSequences,
        _rng: np.random.Generator,
        progress: ProgressCallback = ignore,
        *,
        sum_pairs: SumPairs | None = None,
    ) -> HistoryTable:
        """The weights from each item; nothing is random. `sum_pairs`: as for `SLIM`. Raises `FitDivergedError`."""
        sequences = choices if isinstance(choices, ChoiceSequences) else ChoiceSequences.from_ratings(choices)
        penalties = (self.regularization * history_length(sequences, self.decay), self.dropout)
        table = _solve("sparse_transitions", sequences, self.decay, penalties, self.n_neighbours, progress, sum_pairs)
        return HistoryTable(sequences.decayed(self.decay), cut_rows(table, self.n_entries))


def _solve(
    name: str,
    sequences: ChoiceSequences,
    decay: float | None,
    penalties: tuple[float, float],
    n_neighbours: int,
    progress: ProgressCallback,
    sum_pairs: SumPairs | None,
) -> sparse.csr_array:
    """B, (n_items, n_items) CSR float32; `penalties`: lambda and the dropout. With a decay, what comes next."""
    from app.algorithms.slim_kernel import PrunedRows, prune_gram, solve_given, solve_targets

    n_items = sequences.n_items
    choices = kernel_choices(sequences, decay)
    # G_jj = sum of w_q^2 g_q over the choices of the item
    squares = np.bincount(sequences.item_rows, choices.weights**2 * choices.futures, n_items)
    # d_j = lambda + dropout / (1 - dropout) G_jj
    penalty, dropout = penalties
    diagonal = squares + penalty + dropout / (1 - dropout) * squares
    norms = np.sqrt(diagonal)

    def empty(width: int) -> PrunedRows:
        # Memory that is never written is never taken: short rows cost what they hold.
        shape = n_items, max(1, min(width, n_items))
        return PrunedRows(np.empty(shape, np.int32), np.empty(shape, np.float32), np.zeros(n_items, np.int32))

    width, solved = max(n_neighbours, _GRAM_ENTRIES // max(1, n_items)), empty(n_neighbours)
    if sum_pairs is None:
        gram = empty(width)
        each_item(
            sequences,
            lambda first, past: prune_gram(first, past, choices, norms, gram),
            lambda share: progress(0.4 * share, f"{name} pairs of items"),
        )
        each_item(
            sequences,
            lambda first, past: solve_targets(first, past, choices, decay is not None, gram, diagonal, norms, solved),
            lambda share: progress(0.4 + 0.6 * share, f"{name} regressions of items"),
        )
    else:
        sums = sum_pairs(norms, min(width, n_items), n_neighbours)
        pruned, targets = _padded(sums.gram), _padded(sums.targets)
        each_item(
            sequences,
            lambda first, past: solve_given(first, past, targets, pruned, diagonal, solved),
            lambda share: progress(0.4 + 0.6 * share, f"{name} regressions of items"),
        )
    is_there = np.arange(solved.columns.shape[1]) < solved.lengths[:, None]
    weights, neighbours = solved.values[is_there], solved.columns[is_there]
    if not np.isfinite(weights).all():
        raise FitDivergedError(f"{name}: the weights are not finite; try a larger regularization")
    # Row i of `solved` is column i of B.
    starts = np.concatenate([[0], np.cumsum(solved.lengths)])
    by_target = sparse.csc_array((weights, neighbours, starts), shape=(n_items, n_items))
    progress(1.0, f"{name} fitted")
    return by_target.tocsr()


def _padded(rows: sparse.csr_array) -> Any:
    """The entries of CSR rows as `PrunedRows`."""
    from app.algorithms.slim_kernel import PrunedRows

    lengths = np.diff(rows.indptr)
    shape = len(lengths), max(1, int(lengths.max(initial=0)))
    columns, values = np.empty(shape, np.int32), np.empty(shape, np.float32)
    is_there = np.arange(shape[1]) < lengths[:, None]
    columns[is_there], values[is_there] = rows.indices, rows.data
    return PrunedRows(columns, values, lengths.astype(np.int32))
