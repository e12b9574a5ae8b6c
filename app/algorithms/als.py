"""Explicit ALS: factors and biases of the observed ratings by linear regressions, users given items, items given users.

Y. Zhou et al., "Large-Scale Parallel Collaborative Filtering for the Netflix Prize" (2008); the alternation that the
documents draw. What is minimised is what `funk_svd.py` minimises, penalty and noise included. Here every half-step is
exact, so there is no learning rate, and neither half-step ever raises the objective.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.algorithms.fold_in import fold_in_all
from app.algorithms.funk_svd import (
    COOL_DOWN,
    HELD_OUT_SHARE,
    LEAST_NOISE,
    MAX_HELD_OUT,
    MIN_HELD_OUT,
    RELATIVE_GAIN,
)
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import Progress, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

INITIAL_SPREAD = 0.1
"""Length of an initial q_i."""


@dataclass(frozen=True)
class ALS:
    """Learns mu + b_u + b_i + p_u . q_i. `regularization`: in units of the noise, as `FunkSVD`'s.

    `n_factors`: fewer than Funk SVD's, since an exact half-step fits the rare items closer than a few steps of descent
    do: on four data sets, scales 0.5-5, 1-10 and -10-10, RMSE with 8 was within 1.7 % of the best of a grid on each.
    `n_epochs`: at most; when the held-out error stops falling, the last third of them follows at once.
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
        progress: Progress = ignore,
        *,
        n_threads: int | None = None,
    ) -> RatingVectors:
        """The vectors; their user side is the fold-in of every user. Raises `FitDivergedError`.

        `n_threads`: as many as there are cores, unless said; the bits do not depend on it.
        """
        standard, centre, scale = _standardised(ratings)
        vectors = self._start(ratings, rng)
        n_searched = self.n_epochs - math.ceil(COOL_DOWN * self.n_epochs)
        is_held_out = _held_out(len(ratings), rng)
        if is_held_out.any() and n_searched:
            train, held_out = (standard.subset(mask) for mask in (~is_held_out, is_held_out))
            vectors = self._search(train, held_out, vectors, n_searched, progress, n_threads)
        else:
            n_searched = 0
        both = Alternation(standard, n_threads)
        for epoch in range(n_searched, self.n_epochs):
            vectors = both.step(vectors)
            progress((epoch + 1) / self.n_epochs, f"epoch {epoch + 1} of {self.n_epochs}")
        # p_u takes the scale of the ratings and q_i none, so that one penalty suits b_u and p_u in the fold-in.
        learned = replace(vectors, mean=centre, item_biases=vectors.item_biases * np.float32(scale)).checked()
        user_factors, user_biases = fold_in_all(ratings, learned, n_threads=n_threads)
        return replace(learned, user_factors=user_factors, user_biases=user_biases).checked()

    def _start(self, ratings: RatingMatrix, rng: np.random.Generator) -> RatingVectors:
        items = rng.standard_normal((ratings.n_items, self.n_factors), np.float32)
        items *= np.float32(INITIAL_SPREAD / math.sqrt(self.n_factors)) * (ratings.item_counts > 0)[:, None]
        return RatingVectors(
            mean=0.0,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=np.zeros(ratings.n_items, np.float32),
            user_factors=np.zeros((ratings.n_users, self.n_factors), np.float32),
            item_factors=items,
            regularization=self.regularization,
        )

    def _search(
        self,
        train: RatingMatrix,
        held_out: RatingMatrix,
        vectors: RatingVectors,
        n_epochs: int,
        progress: Progress,
        n_threads: int | None,
    ) -> RatingVectors:
        """Until the held-out error has not fallen for an epoch; that error is the noise, which sets the penalty."""
        alternation, least = Alternation(train, n_threads), math.inf
        for epoch in range(n_epochs):
            vectors = alternation.step(vectors)
            predicted = vectors.predict(held_out.user_rows, held_out.item_rows)
            error = float(np.mean((held_out.values - predicted) ** 2, dtype=np.float64))
            noise = min(1.0, max(LEAST_NOISE, error))
            vectors = replace(vectors, regularization=self.regularization * noise).checked()
            progress((epoch + 1) / self.n_epochs, f"epoch {epoch + 1} of {self.n_epochs}")
            if error >= (1 - RELATIVE_GAIN) * least:
                break
            least = error
        return vectors


class Alternation:
    """The two half-steps over some ratings."""

    def __init__(self, ratings: RatingMatrix, n_threads: int | None) -> None:
        self._by_user, self._n_threads = ratings, n_threads
        self._by_item = RatingMatrix(
            ratings.n_items, ratings.n_users, ratings.item_rows, ratings.user_rows, ratings.values
        )

    def step(self, vectors: RatingVectors) -> RatingVectors:
        """Users given items, then items given users."""
        factors, biases = fold_in_all(self._by_user, vectors, n_threads=self._n_threads)
        vectors = replace(vectors, user_factors=factors, user_biases=biases)
        factors, biases = fold_in_all(self._by_item, _turned(vectors), n_threads=self._n_threads)
        return replace(vectors, item_factors=factors, item_biases=biases)


def _turned(vectors: RatingVectors) -> RatingVectors:
    """Users for items and items for users."""
    return replace(
        vectors,
        user_biases=vectors.item_biases,
        item_biases=vectors.user_biases,
        user_factors=vectors.item_factors,
        item_factors=vectors.user_factors,
    )


def _standardised(ratings: RatingMatrix) -> tuple[RatingMatrix, float, float]:
    """The ratings with mean 0 and variance 1, their mean and their standard deviation (1 where all are equal)."""
    values = ratings.values.astype(np.float64)
    centre = float(values.mean()) if len(values) else 0.0
    scale = float(values.std()) if len(values) else 0.0
    scale = scale or 1.0
    standard = RatingMatrix(
        ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows, (values - centre) / scale
    )
    return standard, centre, scale


def _held_out(n_ratings: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(n,) mask of the slice that tells the noise; none where it would be too small to tell."""
    is_held_out = np.zeros(n_ratings, np.bool_)
    n_held_out = min(int(HELD_OUT_SHARE * n_ratings), MAX_HELD_OUT)
    if n_held_out >= MIN_HELD_OUT:
        is_held_out[rng.choice(n_ratings, n_held_out, replace=False, shuffle=False)] = True
    return is_held_out
