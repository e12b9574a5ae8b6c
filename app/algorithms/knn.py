"""Item-item k nearest neighbours: a user's rating of an item is predicted from its ratings of similar items.

Y. Koren, "Factorization Meets the Neighborhood" (2008), section 2.2, and "Factor in the Neighbors" (2010). With b_ui
the prediction of the biases and e_ui = r_ui - b_ui:

    s_ij = sum_u e_ui e_uj / (|e_i| |e_j|)  n_ij / (n_ij + shrinkage)      n_ij: number of users who rated both
    r^_ui = b_ui + sum_j s_ij^2 e_uj / (regularization + sum_j s_ij^2)     over the neighbours j of i that u rated

Three things differ from the paper, for less error on MovieLens (latest small): |e_i| is taken over all users who rated
i, not only those who also rated j; similarities are squared; and the prediction is shrunk to the baseline where
there is little evidence.

Complexity: O(sum_u m_u^2) products for users of m_u ratings, and n_items^2 numbers held in blocks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.biases import Biases
from app.algorithms.errors import FitDivergedError
from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import ItemRows, UserRows
from app.algorithms.neighbour_table import NeighbourTable, strongest
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

# Similarities are computed densely for a block of items at a time: 4 million float32 are 16 MB.
_CELLS_PER_BLOCK = 4_000_000

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class KNN:
    """Learns a table of neighbours; the baseline is `Biases`.

    `n_neighbours`: neighbours per item, at most.
    `shrinkage`: number of common users at which a similarity is halved.
    `regularization`: evidence, in units of s^2, at which the deviation from the baseline is halved.
    `centred`: True compares deviations from the baseline (Pearson correlation), as in the equations; False compares the
        ratings themselves (cosine), which predicts ratings worse, but ranks better where ratings start at 0.
    """

    n_neighbours: int = hyperparameter(200, low=1, high=100_000)
    shrinkage: float = hyperparameter(10.0, low=0.0, high=1e6)
    regularization: float = hyperparameter(0.03, low=0.0, high=1e6)
    centred: bool = hyperparameter(default=True)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
    ) -> "NeighbourPredictor":
        """The neighbour table; nothing is random. Raises `FitDivergedError` where products of ratings overflow.

        Memory: 8 bytes per item and neighbour, and 100 MB during the fit.
        """
        # e_ui = r_ui - b_ui, in units of its root mean square, so that `regularization` has no scale.
        baseline = Biases().fit(ratings, rng)
        expected = baseline.predict(ratings.user_rows, ratings.item_rows).astype(np.float64)
        deviations, scale = _unit_mean_square(ratings.values - expected)
        if self.centred and np.any(ratings.values != ratings.values[:1]):
            compared = deviations
        else:  # with equal ratings all deviations are 0, but co-occurrence still makes items similar
            compared, _ = _unit_mean_square(ratings.values.astype(np.float64))
        if not np.isfinite(compared).all():
            raise FitDivergedError("the ratings are too large: their products are not finite")
        # An item has at most n_items - 1 neighbours; the table keeps at least one column.
        n_neighbours = min(self.n_neighbours, max(1, ratings.n_items - 1))
        table = _neighbours(_with_values(ratings, compared), n_neighbours, self.shrinkage, progress)
        progress(1.0, "knn neighbours found")
        return NeighbourPredictor(
            baseline, scale, _with_values(ratings, deviations).by_user, table, regularization=self.regularization
        )


@dataclass(frozen=True)
class NeighbourPredictor:
    """Predicts from neighbours.

    `baseline`: b_ui. `scale`: the root mean square of the e_ui. `deviations`: (n_users, n_items) CSR float32,
    e_ui / scale, with zeros stored explicitly. `table`: the weights s_ij^2. `regularization`: of `KNN`.
    """

    baseline: RatingVectors
    scale: float
    deviations: sparse.csr_array
    table: NeighbourTable
    regularization: float

    def predict(self, user_rows: UserRows, item_rows: ItemRows) -> Float32Array:
        """The predicted rating of each pair: (n,) rows each -> (n,) float32, not clipped to the scale."""
        predicted = self.baseline.predict(user_rows, item_rows)
        # All items are predicted for a block of distinct users at a time; pairs are then picked from the block. `order`
        # sorts the pairs by user, so that the pairs of a block are a range.
        users, places = np.unique(user_rows, return_inverse=True)
        order = np.argsort(places, kind="stable")
        n_block = max(1, _CELLS_PER_BLOCK // max(1, self.deviations.shape[1]))
        for start in range(0, len(users), n_block):
            of_users = self.table.predict(self.deviations[users[start : start + n_block]], self.regularization)
            pairs = order[slice(*np.searchsorted(places[order], (start, start + n_block)))]
            predicted[pairs] += np.float32(self.scale) * of_users[places[pairs] - start, item_rows[pairs]]
        return predicted

    def scores(self, user_rows: UserRows) -> Float32Array:
        """Ranking scores of all items, sum_j s_ij^2 (1 + e_uj / scale): (b,) user rows -> (b, n_items).

        Not the predicted rating, which estimates how much an item is liked if it is rated, not how likely it is chosen.
        Every rated neighbour counts, more if it was rated above the baseline. P. Cremonesi et al., "Performance of
        Recommender Algorithms on Top-N Recommendation Tasks" (2010), leave out the denominator for the same reason.
        """
        histories = self.deviations[user_rows]
        # x_uj = 1 + e_uj / scale, on the stored entries alone
        histories.data += 1
        return self.table.scores(histories)

    def scores_of(self, histories: RatingMatrix) -> Float32Array:
        """As `scores`, for b histories, the users of a matrix, which the fit need not have seen: (b, n_items).

        The bias of the user is folded in: b_u = sum_i (r_ui - mu - b_i) / (m_u + 60 regularization), of `Biases`.
        """
        users = histories.user_rows
        residuals = histories.values - self.baseline.mean - self.baseline.item_biases[histories.item_rows]
        sums = np.bincount(users, residuals, histories.n_users)
        user_biases = sums / (histories.user_counts + PRIOR_RATINGS * self.baseline.regularization)
        # As in `scores`: x_uj = 1 + e_uj / scale
        interactions = 1 + (residuals - user_biases[users]) / self.scale
        return self.table.scores(_with_values(histories, interactions.astype(np.float32)).by_user)


def _neighbours(compared: RatingMatrix, n: int, shrinkage: float, progress: ProgressCallback) -> NeighbourTable:
    """The n items with the largest s_ij > 0 for every item; `compared`: the e_ui, or the ratings themselves."""
    n_items = compared.n_items
    columns, by_item = compared.by_user, compared.by_item
    was_rated = _with_values(compared, np.ones(len(compared), np.float32))
    lengths = np.sqrt(np.bincount(compared.item_rows, compared.values.astype(np.float64) ** 2, n_items))
    inverse_lengths = np.divide(1, lengths, out=np.zeros(n_items), where=lengths > 0).astype(np.float32)
    rows, weights = np.full((n_items, n), -1, np.int32), np.zeros((n_items, n), np.float32)
    n_block = max(1, _CELLS_PER_BLOCK // max(1, n_items))
    for start in range(0, n_items, n_block):
        # s_ij = e_i . e_j / (|e_i| |e_j|)  n_ij / (n_ij + shrinkage), and s_ii = 0
        items = slice(start, min(start + n_block, n_items))
        similarities = (by_item[items] @ columns).toarray()
        similarities *= inverse_lengths[items, None]
        similarities *= inverse_lengths
        # n_ij: the same product with ones in place of deviations
        n_common = (was_rated.by_item[items] @ was_rated.by_user).toarray()
        similarities *= np.divide(n_common, n_common + np.float32(shrinkage), out=n_common, where=n_common > 0)
        # An item is not a neighbour of itself.
        similarities[np.arange(items.stop - start), np.arange(start, items.stop)] = 0.0
        rows[items], weights[items] = strongest(similarities.clip(min=0) ** 2, n)
        progress(0.95 * items.stop / n_items, f"knn neighbours of item {items.stop} of {n_items}")
    return NeighbourTable(rows, weights)


def _unit_mean_square(values: NDArray[np.float64]) -> tuple[Float32Array, float]:
    """Values divided by their root mean square, float32, and that divisor; 1 where all values are 0."""
    scale = float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
    return (values / (scale or 1.0)).astype(np.float32), scale or 1.0


def _with_values(ratings: RatingMatrix, values: Float32Array) -> RatingMatrix:
    return RatingMatrix(ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows, values)
