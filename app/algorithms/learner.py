"""What every learner offers, and what everything learned offers."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.taste_vectors import TasteVectors

Progress = Callable[[float, str], None]
"""Takes the fraction done, 0 to 1, and what is being done."""

UserRows = NDArray[np.integer]
ItemRows = NDArray[np.integer]


def ignore(_fraction: float, _stage: str) -> None:
    """The progress callback of those who do not look."""


class Ranker(Protocol):
    """Something learned that can order all items for a user."""

    def scores(self, user_rows: UserRows) -> NDArray[np.float32]:
        """What ranks all items for some users: (b,) rows -> (b, n_items), higher first."""
        ...


@runtime_checkable
class Predictor(Ranker, Protocol):
    """Something learned that also predicts ratings."""

    def predict(self, user_rows: UserRows, item_rows: ItemRows) -> NDArray[np.float32]:
        """The predicted rating of each pair: (n,) rows -> (n,) in the caller's scale, not clipped."""
        ...


class Learner(Protocol):
    """A frozen dataclass of hyperparameters that learns from ratings."""

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress = ignore) -> Ranker:
        """Learns from `ratings`; all randomness comes from `rng`: equal seeds, equal bits.

        Raises `FitDivergedError` rather than return anything that is not finite.
        """
        ...


class RatingLearner(Learner, Protocol):
    """A learner of rating vectors: what a rating segment is made from."""

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress = ignore) -> RatingVectors:
        """As `Learner.fit`; the user side is the fold-in of every user (`fold_in_all`), unrated rows are zeros."""
        ...


class TasteLearner(Learner, Protocol):
    """A learner of taste vectors: what a taste segment is made from."""

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress = ignore) -> TasteVectors:
        """As `Learner.fit`; the user side is the fold-in of every user, rows without observations are zeros."""
        ...
