"""Item-item neighbours: you will rate this as you rated what was rated like it.

Y. Koren, "Factorization Meets the Neighborhood" (2008), section 2.2, and "Factor in the Neighbors" (2010). With b_ui
what the biases predict and e_ui = r_ui - b_ui:

    s_ij = sum_u e_ui e_uj / (|e_i| |e_j|)  n_ij / (n_ij + shrinkage)      n_ij users rated both items
    r^_ui = b_ui + sum_j s_ij^2 e_uj / (regularization + sum_j s_ij^2)     over those of i's neighbours that u rated

Three things differ from the paper, for less error on MovieLens (latest small): |e_i| is over all who rated i, not only
those who rated j too; similarities are squared; and little evidence keeps to the baseline.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.biases import Biases
from app.algorithms.errors import FitDivergedError
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import ItemRows, Progress, UserRows, ignore
from app.algorithms.neighbour_table import NeighbourTable, strongest
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

_CELLS_PER_BLOCK = 4_000_000

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class KNN:
    """`n_neighbours`: kept for each item. `shrinkage`: how many common users a similarity must have to count half.

    `centred` True: Pearson's correlation, of deviations from the baseline, as above; False: the cosine of the ratings
    themselves, which predicts them worse and, of ratings from 0 up, ranks better. `regularization`: in units of s^2.
    """

    n_neighbours: int = hyperparameter(200, low=1, high=100_000)
    shrinkage: float = hyperparameter(10.0, low=0.0, high=1e6)
    regularization: float = hyperparameter(0.03, low=0.0, high=1e6)
    centred: bool = hyperparameter(default=True)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress = ignore) -> "NeighbourPredictor":
        """The neighbour table; nothing is random. Memory: 8 bytes x items x neighbours, and 100 MB for a while."""
        baseline = Biases().fit(ratings, rng)
        expected = baseline.predict(ratings.user_rows, ratings.item_rows).astype(np.float64)
        deviations, spread = _in_units_of_spread(ratings.values - expected)
        if self.centred and np.any(ratings.values != ratings.values[:1]):
            compared = deviations
        else:  # equal ratings have no deviations, but they do say what is met together
            compared, _ = _in_units_of_spread(ratings.values.astype(np.float64))
        if not np.isfinite(compared).all():
            raise FitDivergedError("the ratings are too large to be multiplied")
        n_neighbours = min(self.n_neighbours, max(1, ratings.n_items - 1))
        table = _neighbours(_with_values(ratings, compared), n_neighbours, self.shrinkage, progress)
        progress(1.0, "done")
        return NeighbourPredictor(
            baseline, spread, _with_values(ratings, deviations).by_user, table, regularization=self.regularization
        )


@dataclass(frozen=True)
class NeighbourPredictor:
    """`table`: the weights s_ij^2. `deviations`: (n_users, n_items) CSR float32, e_ui / `spread`, zeros stored."""

    baseline: RatingVectors
    spread: float
    deviations: sparse.csr_array
    table: NeighbourTable
    regularization: float

    def predict(self, user_rows: UserRows, item_rows: ItemRows) -> Floats:
        """The predicted rating of each pair: (n,) rows -> (n,) float32, not clipped to the scale."""
        predicted = self.baseline.predict(user_rows, item_rows)
        users, places = np.unique(user_rows, return_inverse=True)
        order = np.argsort(places, kind="stable")
        n_block = max(1, _CELLS_PER_BLOCK // max(1, self.deviations.shape[1]))
        for start in range(0, len(users), n_block):
            of_users = self.table.predict(self.deviations[users[start : start + n_block]], self.regularization)
            pairs = order[slice(*np.searchsorted(places[order], (start, start + n_block)))]
            predicted[pairs] += np.float32(self.spread) * of_users[places[pairs] - start, item_rows[pairs]]
        return predicted

    def scores(self, user_rows: UserRows) -> Floats:
        """What ranks all items for some users, sum_j s_ij^2 (1 + e_uj / spread): (b,) rows -> (b, n_items).

        Not the predicted rating, which says how good, not how likely: a rating counts, more if better than expected.
        (P. Cremonesi et al., "Performance of Recommender Algorithms on Top-N Recommendation Tasks", 2010, leave out the
        denominator for the same reason.)
        """
        histories = self.deviations[user_rows]
        histories.data += 1
        return self.table.scores(histories)


def _neighbours(compared: RatingMatrix, n: int, shrinkage: float, progress: Progress) -> NeighbourTable:
    """The n items of greatest s_ij > 0 for every item."""
    n_items = compared.n_items
    columns, by_item = compared.by_user, compared.by_item
    was_rated = _with_values(compared, np.ones(len(compared), np.float32))
    lengths = np.sqrt(np.bincount(compared.item_rows, compared.values.astype(np.float64) ** 2, n_items))
    inverse_lengths = np.divide(1, lengths, out=np.zeros(n_items), where=lengths > 0).astype(np.float32)
    rows, weights = np.full((n_items, n), -1, np.int32), np.zeros((n_items, n), np.float32)
    n_block = max(1, _CELLS_PER_BLOCK // max(1, n_items))
    for start in range(0, n_items, n_block):
        items = slice(start, min(start + n_block, n_items))
        similarities = (by_item[items] @ columns).toarray()
        similarities *= inverse_lengths[items, None]
        similarities *= inverse_lengths
        n_common = (was_rated.by_item[items] @ was_rated.by_user).toarray()
        similarities *= np.divide(n_common, n_common + np.float32(shrinkage), out=n_common, where=n_common > 0)
        similarities[np.arange(items.stop - start), np.arange(start, items.stop)] = 0.0
        rows[items], weights[items] = strongest(similarities.clip(min=0) ** 2, n)
        progress(0.95 * items.stop / n_items, "finding neighbours")
    return NeighbourTable(rows, weights)


def _in_units_of_spread(values: NDArray[np.float64]) -> tuple[Floats, float]:
    """Values of mean square 1, float32, and what they were divided by: 1 where all are 0."""
    spread = float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
    return (values / (spread or 1.0)).astype(np.float32), spread or 1.0


def _with_values(ratings: RatingMatrix, values: Floats) -> RatingMatrix:
    return RatingMatrix(ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows, values)
