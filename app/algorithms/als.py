"""Explicit ALS: factors and biases of the observed ratings by alternating ridge regressions.

Y. Zhou et al., "Large-Scale Parallel Collaborative Filtering for the Netflix Prize" (2008). The objective is that of
`funk_svd.py`, penalty and noise included:

    sum_ui (r_ui - mu - b_u - b_i - p_u . q_i)^2
        + noise regularization (sum_u (m_u + 60) |p_u|^2 + 60 b_u^2  +  sum_i (m_i + 60) |q_i|^2 + 60 b_i^2)

Given the items, every user is a ridge regression; given the users, every item is one. Each half-step is solved exactly,
so there is no learning rate, and no half-step raises the objective.

Complexity: O(n_ratings k^2 + (n_users + n_items) k^3) per epoch, k = n_factors.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.algorithms.early_stopping import RELATIVE_GAIN, EarlyStopping, Schedule, noise_variance
from app.algorithms.fold_in import fold_in_all, fold_in_rows
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.progress import ProgressCallback, ignore, report_epoch
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.storage import filled, mean_square, total

# Expected length |q_i| of an initial item vector: small, so that factors grow in order of their strength.
INITIAL_LENGTH = 0.1


@dataclass(frozen=True)
class ALS:
    """Learns mu + b_u + b_i + p_u . q_i.

    `n_factors`: length of p_u and q_i. Fewer than Funk SVD's, because an exact half-step fits rare items closer than
        gradient steps do: on four data sets with scales 0.5-5, 1-10 and -10-10, RMSE with 8 was within 1.7 % of the
        best of a grid.
    `n_epochs`: alternations at most. When the validation error stops falling, the last third follows.
    `regularization`: penalty weight in units of the noise, as in Funk SVD.
    """

    n_factors: int = hyperparameter(8, low=1, high=4096)
    n_epochs: int = hyperparameter(15, low=1, high=100_000)
    regularization: float = hyperparameter(0.08, low=0.0, high=1e6)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback = ignore,
        *,
        n_threads: int | None = None,
        start: RatingVectors | None = None,
    ) -> RatingVectors:
        """Rating vectors; the user side is the fold-in of every user.

        `n_threads`: by default the number of cores; the result does not depend on it. Raises `FitDivergedError`.
        `start`: vectors of the standardised ratings to start from, such as those of another engine. Their penalty,
        `regularization` in units of the noise, then stays, and all epochs learn from all ratings.
        """
        standard, centre, scale = _standardised(ratings)
        vectors = self._initial(ratings, rng) if start is None else start
        schedule = Schedule.draw(len(ratings), self.n_epochs if start is None else 0, rng)
        if schedule.n_search_epochs:
            train = standard.subset(schedule.is_train(len(ratings), ratings.storage))
            held_out = standard.subset(np.sort(schedule.held_out))
            search = _Search(self, train, held_out, scale, progress, n_threads)
            vectors = search.run(vectors, schedule.n_search_epochs)
            # Its copies of the ratings are of no use any more.
            del train, search
        # The cool-down starts from the vectors of the search and keeps its estimate of the noise.
        alternation = Alternation(standard, n_threads)
        for epoch in range(schedule.n_search_epochs, self.n_epochs):
            vectors = alternation.step(vectors)
            report_epoch(progress, "als", epoch, self.n_epochs)
        # In rating units the factor `scale` goes to p_u alone, q_i keeps its length: then b_u and p_u are on one scale,
        # and one penalty suits both in the fold-in.
        learned = replace(vectors, mean=centre, item_biases=vectors.item_biases * np.float32(scale)).checked()
        user_factors, user_biases = fold_in_all(ratings, learned, n_threads=n_threads)
        return replace(learned, user_factors=user_factors, user_biases=user_biases).checked()

    def _initial(self, ratings: RatingMatrix, rng: np.random.Generator) -> RatingVectors:
        """Random item vectors; users are 0, because the first half-step replaces them."""
        items = rng.standard_normal((ratings.n_items, self.n_factors), np.float32)
        # The expected squared length of k standard normals is k; items without ratings start at 0 and stay there.
        items *= np.float32(INITIAL_LENGTH / math.sqrt(self.n_factors)) * (ratings.item_counts > 0)[:, None]
        return RatingVectors(
            mean=0.0,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=np.zeros(ratings.n_items, np.float32),
            user_factors=np.zeros((ratings.n_users, self.n_factors), np.float32),
            item_factors=items,
            regularization=self.regularization,
        )


@dataclass(frozen=True)
class _Search:
    """The first phase of `Schedule`. `scale`: the standard deviation of the ratings, to report the RMSE in their unit.

    `train`, `held_out`: standardised ratings.
    """

    settings: ALS
    train: RatingMatrix
    held_out: RatingMatrix
    scale: float
    progress: ProgressCallback
    n_threads: int | None

    def run(self, vectors: RatingVectors, n_search_epochs: int) -> RatingVectors:
        """Alternate until the validation error has not fallen for one epoch."""
        alternation = Alternation(self.train, self.n_threads)
        # Exact half-steps converge without noise, so one epoch without improvement is enough.
        stopping = EarlyStopping(patience=1, relative_gain=RELATIVE_GAIN)
        for epoch in range(n_search_epochs):
            vectors = alternation.step(vectors)
            predicted = vectors.predict(self.held_out.user_rows, self.held_out.item_rows)
            error = float(np.mean((self.held_out.values - predicted) ** 2, dtype=np.float64))
            # penalty = noise x regularization, with the noise re-estimated after every epoch
            noise = noise_variance(error)
            vectors = replace(vectors, regularization=self.settings.regularization * noise).checked()
            validation = f"validation RMSE {self.scale * math.sqrt(error):.4f}"
            report_epoch(self.progress, "als", epoch, self.settings.n_epochs, validation)
            if not stopping.improves(epoch, error) and stopping.is_over(epoch):
                break
        return vectors


class Alternation:
    """The two half-steps over one set of ratings."""

    def __init__(self, ratings: RatingMatrix, n_threads: int | None) -> None:
        self._ratings, self._n_threads = ratings, n_threads

    def step(self, vectors: RatingVectors) -> RatingVectors:
        """Solve all users given the items, then all items given the users."""
        # (p_u, b_u) = argmin sum_i (r_ui - mu - b_i - b_u - p_u . q_i)^2 + penalty
        factors, biases = fold_in_all(self._ratings, vectors, n_threads=self._n_threads)
        vectors = replace(vectors, user_factors=factors, user_biases=biases)
        # (q_i, b_i) = argmin sum_u (r_ui - mu - b_u - b_i - p_u . q_i)^2 + penalty
        # With the roles exchanged, the regression of an item on its users is a fold-in too.
        by_item, storage = self._ratings.by_item, self._ratings.storage
        factors, biases = fold_in_rows(by_item, _exchanged(vectors), storage, n_threads=self._n_threads)
        return replace(vectors, item_factors=factors, item_biases=biases)


def _exchanged(vectors: RatingVectors) -> RatingVectors:
    """The same vectors with the roles of users and items exchanged."""
    return replace(
        vectors,
        user_biases=vectors.item_biases,
        item_biases=vectors.user_biases,
        user_factors=vectors.item_factors,
        item_factors=vectors.user_factors,
    )


def _standardised(ratings: RatingMatrix) -> tuple[RatingMatrix, float, float]:
    """The ratings with mean 0 and variance 1, their mean, and their standard deviation (1 where all are equal)."""
    n, storage = len(ratings), ratings.storage
    centre = total(n, lambda span: ratings.values[span].astype(np.float64), storage) / n if n else 0.0
    scale = math.sqrt(mean_square(ratings.values, centre, storage)) if n else 0.0
    scale = scale or 1.0

    def standardised(span: slice) -> NDArray[np.float64]:
        return (ratings.values[span].astype(np.float64) - centre) / scale

    standard = RatingMatrix(
        ratings.n_users,
        ratings.n_items,
        ratings.user_rows,
        ratings.item_rows,
        filled(n, np.float32, standardised, storage),
        storage=storage,
    )
    return standard, centre, scale
