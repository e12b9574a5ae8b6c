"""Implicit ALS: what users choose, by alternating weighted ridge regressions over all pairs of users and items.

Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), with the penalty of
S. Rendle, W. Krichene, L. Zhang, Y. Koren, "Revisiting the Performance of iALS on Item Recommendation Benchmarks"
(2021). Minimised, over all pairs of users and items:

    sum_observed w_ui (t_ui - x_u . y_i)^2 + unobserved_weight sum_all (x_u . y_i)^2
        + regularization (sum_u s_u^nu |x_u|^2 + sum_i s_i^nu |y_i|^2)

with s_u = sum_i w_ui + unobserved_weight n_items, s_i likewise, and nu the `frequency_exponent`. The target t_ui is 1
for a choice and 0 for a dislike. The weight w_ui of a choice grows with the rating, see `Weighting`.

The item vectors of the solution are then shrunk by support, n / (n + 3) for n choices, and users folded in against
them.

The sum over all pairs costs nothing: it is x' G x with the Gram matrix G = unobserved_weight sum_i y_i y_i'.
Complexity: O(n_ratings k + (n_users + n_items) k^2) per epoch, k = n_factors.
"""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.errors import FitDivergedError
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.storage import count_rows, filled
from app.algorithms.taste_vectors import Penalty, TasteVectors, Weighting

# All pairs of an average row together weigh this many times as much as its observations. A fixed weight of a pair would
# drown short histories in a large catalogue.
UNOBSERVED_SHARE = 20.0

# The penalty of an average row, in units of the weight of its observations.
PENALTY_SHARE = 0.15

# A half-step need not be exact, because it starts from the last solution of its side and the next epoch continues it.
# Conjugate gradient steps per half-step, and the relative residual at which a row stops earlier.
CG_STEPS, CG_TOLERANCE = 4, 1e-2

# As above for the last half-step, which is published: as exact as a fold-in.
EXACT_CG_STEPS, EXACT_CG_TOLERANCE = 200, 1e-6

# The vector of an item that n users chose is shrunk by n / (n + 3): that of a single choice is the taste of one user,
# and would lead the list of every user who likes what that user alone rated. nDCG@10 stays as it is on films and games,
# and rises from 0.083 to 0.084 on toys.
SUPPORT = 3.0

# The fit ends after an epoch that gains less than this share of the total gain so far.
MIN_RELATIVE_GAIN = 1e-4

# Expected length |y_i| of an initial item vector.
INITIAL_LENGTH = 0.1

# Below this number of ratings times factors, a half-step takes less time than starting threads.
SIZE_WORTH_THREADS = 10_000_000

_ROWS_PER_TASK, _OBSERVATIONS_PER_TASK = 256, 1 << 18

_ROWS_PER_PRODUCT = 1 << 16

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class ImplicitALS:
    """Learns x_u . y_i, higher for items that a user is more likely to choose.

    `n_factors`: length of x_u and y_i.
    `n_epochs`: alternations at most.
    `regularization`: penalty weight, as in the objective; None: from the data, see `balanced`.
    `unobserved_weight`: weight of an unobserved pair, against 1 on average for an observed one; None: likewise.
    `frequency_exponent`: nu; 0 penalises all rows alike, 1 in proportion to their total weight.
    `rating_influence`: 0 gives all ratings the same weight; 1 gives a rating one standard deviation above the user's
        mean e times the weight of an average one.
    """

    n_factors: int = hyperparameter(64, low=1, high=4096)
    n_epochs: int = hyperparameter(10, low=1, high=100_000)
    regularization: float | None = hyperparameter(None, low=0.0, high=1e6)
    unobserved_weight: float | None = hyperparameter(None, low=0.0, high=1e6)
    frequency_exponent: float = hyperparameter(1.0, low=0.0, high=2.0)
    rating_influence: float = hyperparameter(1.0, low=0.0, high=10.0)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback = ignore,
        *,
        n_threads: int | None = None,
        start: Float32Array | None = None,
    ) -> TasteVectors:
        """Taste vectors; the user side is the fold-in of every user.

        `n_threads`: by default the number of cores; the result does not depend on it. Raises `FitDivergedError`.
        `start`: item vectors (n_items, k) to start from in place of random ones, such as those of another engine.
        """
        ratings, weights, weighting = self._weigh(ratings)
        by_user, by_item = (_Side.of(side) for side in _observations(ratings, weights))
        n_users, n_items = (int(np.count_nonzero(np.diff(side.starts))) for side in (by_user, by_item))
        unobserved_weight, regularization = self._balanced(len(by_user.columns), n_users, n_items)
        # s_u counts all items at unobserved_weight, s_i all users.
        # penalty_u = regularization s_u^nu, see `Penalty`
        user_penalty, item_penalty = (
            Penalty(regularization, self.frequency_exponent, unobserved_weight * n_other_rows)
            for n_other_rows in (ratings.n_items, ratings.n_users)
        )
        users = np.zeros((ratings.n_users, self.n_factors), np.float32)
        items = rng.standard_normal((ratings.n_items, self.n_factors), np.float32)
        items *= np.float32(INITIAL_LENGTH / np.sqrt(self.n_factors))
        items[np.diff(by_item.starts) == 0] = 0.0  # items without observations are 0 in the solution, too
        # The work of a half-step grows with ratings x factors.
        is_small = len(ratings) * self.n_factors < SIZE_WORTH_THREADS
        with thread_pool(n_threads or (1 if is_small else available_cores())) as pool:
            items = items if start is None else np.array(start, np.float32)
            total_gain = 0.0
            for epoch in range(self.n_epochs):
                users, items, user_gain = self._half_step(by_user, users, items, unobserved_weight, user_penalty, pool)
                items, users, item_gain = self._half_step(by_item, items, users, unobserved_weight, item_penalty, pool)
                gain = user_gain + item_gain
                total_gain += gain
                # One share of the progress is left for the exact half-step at the end.
                share = gain / total_gain if total_gain else 0.0
                stage = f"als_implicit epoch {epoch + 1} of {self.n_epochs}, objective gain {share:.2%} of total"
                progress((epoch + 1) / (self.n_epochs + 1), stage)
                if gain <= MIN_RELATIVE_GAIN * total_gain:
                    break
            n_chosen = by_item.n_chosen
            items *= (n_chosen / np.maximum(n_chosen + SUPPORT, 1.0)).astype(np.float32)[:, None]
            users, items, _ = self._half_step(
                by_user, users, items, unobserved_weight, user_penalty, pool, EXACT_CG_STEPS, EXACT_CG_TOLERANCE
            )
        progress(1.0, "als_implicit users folded in")
        # G in float64: a fold-in adds its own sums to it and solves by Cholesky, which amplifies rounding.
        gram = unobserved_weight * _products(items)
        return TasteVectors(users, items, gram, weighting, user_penalty).checked()

    def balanced(
        self, ratings: RatingMatrix, unobserved_share: float = UNOBSERVED_SHARE, penalty_share: float = PENALTY_SHARE
    ) -> tuple[float, float]:
        """`unobserved_weight` and `regularization` that suit the density of `ratings`; a given one stays.

        With d the share of observed pairs among all pairs of users and items that have any, an average row has
        observations of total weight d n, and all pairs together weigh unobserved_weight n:

            unobserved_weight = unobserved_share d
            regularization    = penalty_share / (1 + unobserved_weight / d)

        The second makes the penalty of an average row penalty_share d n, at `frequency_exponent` 1. The best shares
        are nearly the same in dense and in sparse data, with long and short histories.
        """
        return self.balance(*self.observations(ratings), unobserved_share, penalty_share)

    def balance(
        self,
        observed: RatingMatrix,
        weights: Float32Array,
        unobserved_share: float = UNOBSERVED_SHARE,
        penalty_share: float = PENALTY_SHARE,
    ) -> tuple[float, float]:
        """As `balanced`, of what `observations` returns."""
        storage = observed.storage

        def is_observed(span: slice) -> NDArray[np.bool_]:
            are: NDArray[np.bool_] = weights[span] != 0
            return are

        of_users, of_items = (
            count_rows(rows, n_rows, storage, is_observed)
            for rows, n_rows in ((observed.user_rows, observed.n_users), (observed.item_rows, observed.n_items))
        )
        n_users, n_items = int(np.count_nonzero(of_users)), int(np.count_nonzero(of_items))
        return self._balanced(int(of_users.sum()), n_users, n_items, unobserved_share, penalty_share)

    def _balanced(
        self,
        n_observed: int,
        n_users: int,
        n_items: int,
        unobserved_share: float = UNOBSERVED_SHARE,
        penalty_share: float = PENALTY_SHARE,
    ) -> tuple[float, float]:
        """`n_users`, `n_items`: those with observations."""
        # Without observations there is nothing to balance.
        density = n_observed / (n_users * n_items) if n_users else 1.0
        unobserved_weight, regularization = self.unobserved_weight, self.regularization
        if unobserved_weight is None:
            unobserved_weight = unobserved_share * density
        if regularization is None:
            regularization = penalty_share / (1 + unobserved_weight / density)
        return unobserved_weight, regularization

    def observations(self, ratings: RatingMatrix) -> tuple[RatingMatrix, Float32Array]:
        """What is learned from: ratings and positive labels, and the signed weight of each, (n,)."""
        return self._weigh(ratings)[:2]

    def _weigh(self, ratings: RatingMatrix) -> tuple[RatingMatrix, Float32Array, Weighting]:
        """The observations, positive labels included, their signed weights, and the weighting, estimated from ratings.

        Labels take no part in the estimate, so they move no threshold and no standard deviation of real ratings, and
        weigh as a rating of their value does.
        """
        basis = ratings if len(ratings) or ratings.labels is None else ratings.with_positive(ratings.labels.counts_as)
        columns = basis.user_rows, basis.values
        weighting, weights = Weighting.from_ratings(
            *columns,
            ratings.n_users,
            self.rating_influence,
            ratings.chosen_from,
            liked_from=ratings.liked_from,
            is_graded=ratings.is_graded,
            storage=ratings.storage,
        )
        if ratings.labels is None:
            return ratings, weights, weighting
        chosen = ratings.with_positive(weighting.positive(ratings.labels.counts_as))
        return chosen, weighting.of_users(chosen.user_rows, chosen.values, chosen.n_users), weighting

    def _half_step(
        self,
        observed: "_Side",
        rows: Float32Array,
        fixed: Float32Array,
        unobserved_weight: float,
        penalty: Penalty,
        pool: ThreadPoolExecutor,
        max_steps: int = CG_STEPS,
        tolerance: float = CG_TOLERANCE,
    ) -> tuple[Float32Array, Float32Array, float]:
        """Improve `rows` given `fixed`; returns both in the eigenbasis of the Gram matrix of `fixed`, and the gain.

        An orthogonal change of basis on both sides changes no dot product and no length, hence not the objective.
        """
        # numba takes a second to import, which processes that never fit must not pay; hence not at the top.
        from app.algorithms.als_kernel import HalfStep, solve_rows

        # G = unobserved_weight Y'Y, in float64: the sum runs over all rows of the fixed side.
        gram = unobserved_weight * _products(fixed)
        # The kernel computes in float32; vectors without a penalty may grow beyond its range.
        if not np.abs(gram).max(initial=0.0) < np.finfo(np.float32).max:
            raise FitDivergedError("the fit produced values that are not finite; try a larger regularization")
        # G = V diag(d) V': in the basis V the product G x costs k instead of k^2 operations.
        diagonal, axes = np.linalg.eigh(gram)
        turned = axes.astype(np.float32)
        for side in (rows, fixed):
            list(pool.map(lambda span, side=side: _turn(side[span], turned), row_blocks(len(side))))
        step = HalfStep(
            starts=observed.starts,
            columns=observed.columns,
            weights=observed.weights,
            fixed=fixed,
            diagonal=np.maximum(diagonal, 0.0).astype(np.float32),  # G is semidefinite; rounding may not say so
            penalties=penalty.of(observed.totals).astype(np.float32),
        )
        # Fixed ranges of rows, whatever the number of threads: the same rows are always solved together.
        tasks = [
            pool.submit(solve_rows, *some, step, max_steps, tolerance, rows)
            for some in itertools.pairwise(observed.bounds)
        ]
        # Summed in the order of the tasks, so that the total does not depend on timing.
        return rows, fixed, sum(task.result() for task in tasks)


class _Side(NamedTuple):
    """The observations by row of one side.

    `starts`, `columns`, `weights`: as of `HalfStep`. `totals`: (n_rows,) float64, the sum of |w| of each row.
    `n_chosen`: (n_rows,) the number of choices of each row. `bounds`: of the rows that one task solves.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    weights: Float32Array
    totals: NDArray[np.float64]
    n_chosen: NDArray[np.int64]
    bounds: list[int]

    @classmethod
    def of(cls, observed: sparse.csr_array) -> "_Side":
        """`observed`: signed weights."""
        from app.algorithms.als_kernel import totals_of_rows

        starts, n_rows = observed.indptr.astype(np.int64), int(observed.shape[0])
        columns, weights = observed.indices.astype(np.int32, copy=False), observed.data
        totals, n_chosen = np.zeros(n_rows), np.zeros(n_rows, np.int64)
        totals_of_rows(starts, weights, totals, n_chosen)
        return cls(starts, columns, weights, totals, n_chosen, _bounds(starts))


def _bounds(starts: NDArray[np.int64]) -> list[int]:
    """0 .. n_rows in pieces of up to `_ROWS_PER_TASK` rows and, with more than one row, `_OBSERVATIONS_PER_TASK`."""
    n_rows = len(starts) - 1
    bounds = [0]
    while bounds[-1] < n_rows:
        first = bounds[-1]
        past = int(np.searchsorted(starts, starts[first] + _OBSERVATIONS_PER_TASK, side="right")) - 1
        bounds.append(min(max(past, first + 1), first + _ROWS_PER_TASK, n_rows))
    return bounds


def row_blocks(n_rows: int) -> Iterator[slice]:
    """The rows of a side in blocks of a fixed length."""
    return (slice(start, start + _ROWS_PER_PRODUCT) for start in range(0, n_rows, _ROWS_PER_PRODUCT))


def _products(vectors: Float32Array) -> NDArray[np.float64]:
    """Y'Y in float64, (k, k); a block of rows at a time, since a copy of all of them would be twice as large."""
    products = np.zeros((vectors.shape[1], vectors.shape[1]))
    for span in row_blocks(len(vectors)):
        products += vectors[span].T.astype(np.float64) @ vectors[span]
    return products


def _turn(block: Float32Array, axes: Float32Array) -> None:
    """Replace the rows of `block` by their coordinates along `axes`."""
    block[:] = block @ axes


def _observations(ratings: RatingMatrix, weights: Float32Array) -> tuple[sparse.csr_array, sparse.csr_array]:
    """The signed weights as (n_users, n_items) and (n_items, n_users) CSR; ratings of weight 0 are left out."""
    # A rating of weight 0 (below `positive_from`) is an unobserved pair, not an observation of weight 0.
    storage = ratings.storage
    is_observed = filled(len(weights), np.bool_, lambda span: weights[span] != 0, storage)
    observed = RatingMatrix(
        ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows, weights, storage=storage
    ).subset(is_observed)
    return observed.by_user, observed.by_item
