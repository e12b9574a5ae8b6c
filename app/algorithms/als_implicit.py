"""Implicit ALS: what users choose, whatever the stars. Every half-step solves one side exactly, given the other.

Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), with the penalty of
S. Rendle, W. Krichene, L. Zhang, Y. Koren, "Revisiting the Performance of iALS on Item Recommendation Benchmarks"
(2021). Minimised, over all pairs of users and items:

    sum_observed w_ui (1 - x_u . y_i)^2 + unobserved_weight sum_all (x_u . y_i)^2
        + regularization (sum_u s_u^nu |x_u|^2 + sum_i s_i^nu |y_i|^2)

s_u = sum_i w_ui + unobserved_weight n_items, s_i likewise, nu the `frequency_exponent`; w_ui grows with the rating, see
`Weighting`.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.errors import FitDivergedError
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import Progress, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.taste_vectors import Penalty, TasteVectors, Weighting

STEPS, TOLERANCE = 4, 1e-2
"""Of conjugate gradients in a half-step, which starts where the last one of this side ended: the rest comes later."""

EXACT_STEPS, EXACT_TOLERANCE = 200, 1e-6
"""Of the last one, which is what is published: as exact as a fold-in."""

SETTLED = 1e-4
"""An epoch that gains less than this share of all gained so far is the last."""

INITIAL_SPREAD = 0.1
"""Length of an initial y_i."""

SIZE_WORTH_THREADS = 10_000_000
"""Ratings x factors below which a half-step is over before threads are under way."""

_ROWS_PER_TASK = 256

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ImplicitALS:
    """`unobserved_weight`: of a pair nobody observed, beside 1 on average for one observed. `rating_influence`: 0 takes
    every rating for the same observation, 1 lets one that is a standard deviation better count e times as much.
    """

    n_factors: int = hyperparameter(64, low=1, high=4096)
    n_epochs: int = hyperparameter(10, low=1, high=100_000)
    regularization: float = hyperparameter(0.01, low=0.0, high=1e6)
    unobserved_weight: float = hyperparameter(0.3, low=0.0, high=1e6)
    frequency_exponent: float = hyperparameter(1.0, low=0.0, high=2.0)
    rating_influence: float = hyperparameter(1.0, low=0.0, high=10.0)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: Progress = ignore,
        *,
        n_threads: int | None = None,
    ) -> TasteVectors:
        """The taste; its user side is the fold-in of every user. Raises `FitDivergedError`.

        `n_threads`: as many as there are cores, unless said; the bits do not depend on it.
        """
        ratings, weights, weighting = self._weigh(ratings)
        by_user, by_item = _observations(ratings, weights)
        of_users, of_items = (
            Penalty(self.regularization, self.frequency_exponent, self.unobserved_weight * n_others)
            for n_others in (ratings.n_items, ratings.n_users)
        )
        users = np.zeros((ratings.n_users, self.n_factors), np.float32)
        items = rng.standard_normal((ratings.n_items, self.n_factors), np.float32)
        items *= np.float32(INITIAL_SPREAD / np.sqrt(self.n_factors))
        items[np.diff(by_item.indptr) == 0] = 0.0
        is_small = len(ratings) * self.n_factors < SIZE_WORTH_THREADS
        with thread_pool(n_threads or (1 if is_small else available_cores())) as pool:
            gained = 0.0
            for epoch in range(self.n_epochs):
                users, items, by_users = self._half_step(by_user, users, items, of_users, pool)
                items, users, by_items = self._half_step(by_item, items, users, of_items, pool)
                gained += by_users + by_items
                progress((epoch + 1) / (self.n_epochs + 1), f"epoch {epoch + 1} of {self.n_epochs}")
                if by_users + by_items <= SETTLED * gained:
                    break
            users, items, _ = self._half_step(by_user, users, items, of_users, pool, EXACT_STEPS, EXACT_TOLERANCE)
        progress(1.0, "folded in")
        gram = self.unobserved_weight * (items.T.astype(np.float64) @ items)
        return TasteVectors(users, items, gram, weighting, of_users).checked()

    def _weigh(self, ratings: RatingMatrix) -> tuple[RatingMatrix, Floats, Weighting]:
        """All that counts, engaged pairs too, and for how much. The weighting is learned from the ratings alone.

        So an engagement weighs as a rating of its size does, and moves no threshold and no spread of real ratings.
        """
        learned_from = (
            ratings if len(ratings) or ratings.labels is None else ratings.with_positive(ratings.labels.counts_as)
        )
        columns = learned_from.user_rows, learned_from.values
        weighting, weights = Weighting.learn(*columns, ratings.n_users, self.rating_influence, ratings.chosen_from)
        if ratings.labels is None:
            return ratings, weights, weighting
        chosen = ratings.with_positive(weighting.positive(ratings.labels.counts_as))
        return chosen, weighting.of_users(chosen.user_rows, chosen.values, chosen.n_users), weighting

    def _half_step(
        self,
        observed: sparse.csr_array,
        rows: Floats,
        fixed: Floats,
        penalty: Penalty,
        pool: ThreadPoolExecutor,
        max_steps: int = STEPS,
        tolerance: float = TOLERANCE,
    ) -> tuple[Floats, Floats, float]:
        """Improve `rows` given `fixed`; both come back in the axes of the Gram matrix of `fixed`, and what was gained.

        Turning both sides the same way changes no x . y and no length.
        """
        # numba takes a second to import: not at the top, where processes that never learn would pay for it.
        from app.algorithms.als_kernel import HalfStep, solve_rows  # noqa: PLC0415  see above

        gram = self.unobserved_weight * (fixed.T.astype(np.float64) @ fixed)
        if not np.isfinite(gram).all():
            raise FitDivergedError("the fit left the finite numbers; try a larger regularization")
        diagonal, axes = np.linalg.eigh(gram)
        rows, fixed = (np.ascontiguousarray(side @ axes.astype(np.float32)) for side in (rows, fixed))
        totals = np.asarray(observed.sum(axis=1), np.float64).ravel()
        step = HalfStep(
            starts=observed.indptr.astype(np.int64),
            columns=observed.indices.astype(np.int32),
            weights=observed.data,
            fixed=fixed,
            diagonal=np.maximum(diagonal, 0.0).astype(np.float32),
            penalties=penalty.of(totals).astype(np.float32),
        )
        bounds = [*range(0, len(rows), _ROWS_PER_TASK), len(rows)]
        tasks = [
            pool.submit(solve_rows, *some, step, max_steps, tolerance, rows) for some in itertools.pairwise(bounds)
        ]
        return rows, fixed, sum(task.result() for task in tasks)


def _observations(ratings: RatingMatrix, weights: Floats) -> tuple[sparse.csr_array, sparse.csr_array]:
    """The weights as (n_users, n_items) and (n_items, n_users) CSR, without those of 0."""
    kept = ratings.subset(weights > 0)
    observed = RatingMatrix(ratings.n_users, ratings.n_items, kept.user_rows, kept.item_rows, weights[weights > 0])
    return observed.by_user, observed.by_item
