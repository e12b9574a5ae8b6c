"""Funk SVD: factors and biases by stochastic gradient descent on the observed ratings. The fast learner.

S. Funk, "Netflix Update: Try This at Home" (2006); with biases as in Y. Koren, R. Bell, C. Volinsky, "Matrix
Factorization Techniques for Recommender Systems" (2009). Minimised, over observed ratings only:

    sum_ui (r_ui - mu - b_u - b_i - p_u . q_i)^2
        + noise regularization (sum_u (m_u + 60) |p_u|^2 + 60 b_u^2  +  sum_i (m_i + 60) |q_i|^2 + 60 b_i^2)

with ratings in units of their standard deviation and clipped (see `Standardisation`), m the number of ratings of a row,
and noise the error variance on a held-out slice. In these units the defaults do not depend on the scale, the noise or
the size of the data.

Complexity: O(n_ratings n_factors) per epoch; the number of threads changes no bit of the result.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.early_stopping import RELATIVE_GAIN, EarlyStopping, Schedule, noise_variance
from app.algorithms.errors import FitDivergedError
from app.algorithms.fold_in import fold_in_all
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.progress import ProgressCallback, ignore, report_epoch
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.storage import filled, mean

if TYPE_CHECKING:
    from app.algorithms.block_sgd import BlockGrid, BlockRatings, HeldOut, Pool
    from app.algorithms.sgd_kernel import Weights

# The learning rate falls linearly to this share of its initial value.
FINAL_RATE = 0.02


@dataclass(frozen=True)
class FunkSVD:
    """Learns mu + b_u + b_i + p_u . q_i, or plain p_u . q_i with `biased=False`.

    `n_factors`: length of p_u and q_i.
    `n_epochs`: passes over the ratings, at most. When the validation error stops falling, the last third follows.
    `learning_rate`: step size of the first epoch, for ratings of unit variance.
    `regularization`: penalty weight in units of the noise, as in the objective; 0 is plain least squares.
    `biased`: whether mu, b_u and b_i are learned.
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
        progress: ProgressCallback = ignore,
        *,
        n_threads: int | None = None,
    ) -> RatingVectors:
        """Rating vectors; the user side is the fold-in of every user, which predicts no worse than SGD's own p_u.

        `n_threads`: by default the number of cores; the result does not depend on it. Raises `FitDivergedError`.
        """
        # numba takes a second to import, which processes that never fit must not pay; hence not at the top.
        from app.algorithms.block_sgd import RATINGS_WORTH_THREADS, BlockGrid, Pool, draw_weights

        grid = BlockGrid.draw(ratings, rng, biased=self.biased)
        weights = draw_weights(ratings.n_users, ratings.n_items, self.n_factors, rng)
        n_threads = n_threads or available_cores()
        is_threaded = n_threads > 1 and len(ratings) >= RATINGS_WORTH_THREADS
        with thread_pool(n_threads) as executor:
            pool = Pool(executor, n_threads) if is_threaded else None
            noise = _Descent(self, ratings, grid, weights, rng, progress, pool).run()
        # An item without ratings keeps its random initial q_i through all epochs; it is published as 0.
        is_rated = (ratings.item_counts > 0)[:, None]
        # SGD saw (r - centre) / scale. In rating units the factor `scale` goes to p_u alone, q_i keeps its length: then
        # b_u and p_u are on one scale, and one penalty suits both in the fold-in. `item_places` undoes the relabelling.
        learned = RatingVectors(
            mean=grid.standardisation.centre,
            fallback=mean(ratings.values, ratings.storage) if len(ratings) else 0.0,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=weights.item_biases[grid.item_places] * np.float32(grid.standardisation.scale),
            user_factors=np.zeros((ratings.n_users, self.n_factors), np.float32),
            item_factors=weights.item_factors[grid.item_places, : self.n_factors] * is_rated,
            regularization=self.regularization * noise,
            biased=self.biased,
        )
        user_factors, user_biases = fold_in_all(ratings, learned.checked(), n_threads=n_threads)
        return replace(learned, user_factors=user_factors, user_biases=user_biases).checked()


@dataclass
class _Descent:
    """The state of one fit. Both phases of `Schedule` change `weights` in place."""

    settings: FunkSVD
    ratings: RatingMatrix
    grid: "BlockGrid"
    weights: "Weights"
    rng: np.random.Generator
    progress: ProgressCallback
    pool: "Pool | None"
    noise: float = 1.0

    def run(self) -> float:
        """Run all epochs; returns the noise variance, as a share of the variance of the ratings."""
        from app.algorithms.block_sgd import BlockRatings, HeldOut

        n_ratings, n_epochs = len(self.ratings), self.settings.n_epochs
        schedule = Schedule.draw(n_ratings, n_epochs, self.rng)
        if schedule.n_search_epochs:
            held_out = HeldOut.from_positions(self.ratings, schedule.held_out, self.grid)
            train = BlockRatings(self.ratings, schedule.is_train(n_ratings, self.ratings.storage), self.grid)
            self._search(train, held_out, schedule.n_search_epochs)
            # Its copy of the ratings is of no use any more.
            del train
        storage = self.ratings.storage
        are_all = filled(n_ratings, np.bool_, lambda span: np.ones(span.stop - span.start, np.bool_), storage)
        everything = BlockRatings(self.ratings, are_all, self.grid)
        # A search that stopped early skips epochs, so that the rate still falls to its final value.
        for epoch in range(schedule.n_search_epochs, n_epochs):
            self._epoch(everything, epoch)
            report_epoch(self.progress, "funk_svd", epoch, n_epochs)
        return self.noise

    def _search(self, train: "BlockRatings", held_out: "HeldOut", n_search_epochs: int) -> None:
        """The first phase; stops when the validation error has not fallen for a third of its epochs."""
        stopping = EarlyStopping(patience=n_search_epochs / 3, relative_gain=RELATIVE_GAIN)
        for epoch in range(n_search_epochs):
            self._epoch(train, epoch)
            # In units of the variance of the ratings: the share of it that the fit does not explain.
            error = held_out.error(self.weights)
            self.noise = noise_variance(error)
            validation = f"validation RMSE {self.grid.standardisation.scale * math.sqrt(error):.4f}"
            report_epoch(self.progress, "funk_svd", epoch, self.settings.n_epochs, validation)
            if not stopping.improves(epoch, error) and stopping.is_over(epoch):
                return

    def _epoch(self, blocks: "BlockRatings", epoch: int) -> None:
        from app.algorithms.sgd_kernel import StepSizes

        settings = self.settings
        # rate(epoch) = rate (1 - (1 - FINAL_RATE) epoch / (n_epochs - 1))
        done = epoch / max(1, settings.n_epochs - 1)
        learning_rate = settings.learning_rate * (1 - (1 - FINAL_RATE) * done)
        # float32, like the factors: a float64 scalar would promote the whole inner loop of the kernel to float64.
        steps = StepSizes(
            learning_rate=np.float32(learning_rate),
            bias_rate=np.float32(learning_rate if settings.biased else 0.0),
            regularization=np.float32(settings.regularization * self.noise),
        )
        loss = blocks.epoch(self.weights, steps, self.rng, self.pool)
        if not math.isfinite(loss):
            raise FitDivergedError(f"the error is not finite in epoch {epoch + 1}; try a smaller learning_rate")
