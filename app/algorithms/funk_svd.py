"""Funk SVD: factors and biases by stochastic gradient descent on the observed ratings. The fast learner.

S. Funk, "Netflix Update: Try This at Home" (2006); with biases as in Y. Koren, R. Bell, C. Volinsky, "Matrix
Factorization Techniques for Recommender Systems" (2009). Minimised, over observed ratings only:

    sum_ui (r_ui - mu - b_u - b_i - p_u . q_i)^2
        + noise regularization (sum_u (m_u + 60) |p_u|^2 + 60 b_u^2  +  sum_i (m_i + 60) |q_i|^2 + 60 b_i^2)

with ratings in units of their standard deviation, m the ratings of a row, and noise the error variance on a held-out
slice. The defaults therefore know nothing of a data set: its scale, its noise and its counts set everything.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.errors import FitDivergedError
from app.algorithms.fold_in import fold_in_all
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import Progress, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

if TYPE_CHECKING:
    from app.algorithms.block_sgd import BlockGrid, BlockRatings, HeldOut, Pool
    from app.algorithms.sgd_kernel import Weights

HELD_OUT_SHARE = 0.05
MAX_HELD_OUT = 20_000
"""Enough to know the noise to 1 %."""
MIN_HELD_OUT = 10
"""Fewer say nothing: all variance is then taken for noise, and nothing stops early."""

COOL_DOWN = 1 / 3
"""The share of epochs, the last, that also learn from the held-out slice; before them it tells when to stop."""

FINAL_RATE = 0.02
"""The learning rate falls in a straight line to this share of itself."""

RELATIVE_GAIN = 1e-4
"""A held-out error that falls by less has stopped falling."""

LEAST_NOISE = 1e-4
"""Ratings are rounded: no fit is trusted to explain more than all but this share of their variance."""


@dataclass(frozen=True)
class FunkSVD:
    """Learns mu + b_u + b_i + p_u . q_i, or with `biased=False` plain p_u . q_i.

    `learning_rate`: of the first epoch, for ratings of unit variance. `regularization`: as above; 0 is plain least
    squares. `n_epochs`: at most; when the held-out error stops falling, the last third of them follows at once.
    """

    n_factors: int = hyperparameter(64, low=1, high=4096)
    n_epochs: int = hyperparameter(30, low=1, high=100_000)
    learning_rate: float = hyperparameter(0.05, low=0.0, high=1e6)
    regularization: float = hyperparameter(0.08, low=0.0, high=1e6)
    biased: bool = hyperparameter(default=True)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: Progress = ignore,
        *,
        n_threads: int | None = None,
    ) -> RatingVectors:
        """The vectors. Their user side is the fold-in of every user: what is served, and no worse than SGD's own.

        `n_threads`: as many as there are cores, unless said; the bits do not depend on it. Raises `FitDivergedError`.
        """
        # numba takes a second to import: not at the top, where processes that never learn would pay for it.
        from app.algorithms.block_sgd import RATINGS_WORTH_THREADS, BlockGrid, Pool, draw_weights  # noqa: PLC0415  see above

        grid = BlockGrid.draw(ratings, rng, biased=self.biased)
        weights = draw_weights(ratings.n_users, ratings.n_items, self.n_factors, rng)
        n_threads = n_threads or available_cores()
        is_threaded = n_threads > 1 and len(ratings) >= RATINGS_WORTH_THREADS
        with thread_pool(n_threads) as executor:
            pool = Pool(executor, n_threads) if is_threaded else None
            noise = _Descent(self, ratings, grid, weights, rng, progress, pool).run()
        is_rated = (ratings.item_counts > 0)[:, None]
        # p_u takes the scale of the ratings and q_i none, so that one penalty suits b_u and p_u in the fold-in.
        learned = RatingVectors(
            mean=grid.centre,
            fallback=float(ratings.values.mean(dtype=np.float64)) if len(ratings) else 0.0,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=weights.item_biases[grid.item_places] * np.float32(grid.scale),
            user_factors=np.zeros((ratings.n_users, self.n_factors), np.float32),
            item_factors=weights.item_factors[grid.item_places, : self.n_factors] * is_rated,
            regularization=self.regularization * noise,
            biased=self.biased,
        )
        user_factors, user_biases = fold_in_all(ratings, learned.checked(), n_threads=n_threads)
        return replace(learned, user_factors=user_factors, user_biases=user_biases).checked()


@dataclass
class _Descent:
    """One fit under way: first without the held-out slice, which tells noise and progress, then with all ratings."""

    settings: FunkSVD
    ratings: RatingMatrix
    grid: "BlockGrid"
    weights: "Weights"
    rng: np.random.Generator
    progress: Progress
    pool: "Pool | None"
    noise: float = 1.0

    def run(self) -> float:
        """Changes the weights; returns the noise."""
        from app.algorithms.block_sgd import BlockRatings, HeldOut  # noqa: PLC0415  see `FunkSVD.fit`

        n_ratings, n_epochs = len(self.ratings), self.settings.n_epochs
        n_held_out = min(int(HELD_OUT_SHARE * n_ratings), MAX_HELD_OUT)
        first_cool = n_epochs - math.ceil(COOL_DOWN * n_epochs)
        if n_held_out >= MIN_HELD_OUT and first_cool:
            positions = self.rng.choice(n_ratings, n_held_out, replace=False, shuffle=False)
            is_kept = np.ones(n_ratings, np.bool_)
            is_kept[positions] = False
            held_out = HeldOut.pick(self.ratings, positions, self.grid)
            self._search(BlockRatings(self.ratings, is_kept, self.grid), held_out, first_cool)
        everything = BlockRatings(self.ratings, np.ones(n_ratings, np.bool_), self.grid)
        for epoch in range(first_cool if n_held_out >= MIN_HELD_OUT else 0, n_epochs):
            self._epoch(everything, epoch)
        return self.noise

    def _search(self, blocks: "BlockRatings", held_out: "HeldOut", n_epochs: int) -> None:
        """Until the held-out error has not fallen for a third of the epochs."""
        least, least_at = math.inf, 0
        for epoch in range(n_epochs):
            self._epoch(blocks, epoch)
            error = held_out.error(self.weights)
            self.noise = min(1.0, max(LEAST_NOISE, error))
            if error < (1 - RELATIVE_GAIN) * least:
                least, least_at = error, epoch
            elif epoch - least_at >= n_epochs / 3:
                return

    def _epoch(self, blocks: "BlockRatings", epoch: int) -> None:
        from app.algorithms.sgd_kernel import Steps  # noqa: PLC0415  see `FunkSVD.fit`

        settings = self.settings
        done = epoch / max(1, settings.n_epochs - 1)
        learning_rate = settings.learning_rate * (1 - (1 - FINAL_RATE) * done)
        steps = Steps(
            learning_rate=np.float32(learning_rate),
            bias_rate=np.float32(learning_rate if settings.biased else 0.0),
            regularization=np.float32(settings.regularization * self.noise),
        )
        loss = blocks.epoch(self.weights, steps, self.rng, self.pool)
        if not math.isfinite(loss):
            raise FitDivergedError(
                f"the error left the finite numbers in epoch {epoch + 1}; try a smaller learning_rate"
            )
        self.progress((epoch + 1) / settings.n_epochs, f"epoch {epoch + 1} of {settings.n_epochs}")
