"""The interfaces of learners and of what they return."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.taste_vectors import TasteVectors

# Integer matrix rows, never public ids or surrogate keys.
UserRows = NDArray[np.integer]
ItemRows = NDArray[np.integer]


class Ranker(Protocol):
    """The result of a fit that orders all items for a user."""

    def scores(self, user_rows: UserRows) -> NDArray[np.float32]:
        """Ranking scores of all items, higher first: (b,) user rows -> (b, n_items) float32.

        Scores of one user are comparable with each other; those of different users need not be.
        """
        ...


@runtime_checkable
class Predictor(Ranker, Protocol):
    """The result of a fit that also predicts ratings."""

    def predict(self, user_rows: UserRows, item_rows: ItemRows) -> NDArray[np.float32]:
        """The predicted rating of each pair: (n,) rows each -> (n,) float32 in the caller's scale, not clipped."""
        ...


class Learner(Protocol):
    """A frozen dataclass whose fields are hyperparameters and whose `fit` learns from ratings."""

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore) -> Ranker:
        """Learn from `ratings`. `rng` is the only source of randomness: equal seeds give equal bits.

        `progress` is called after each epoch. Raises `FitDivergedError` instead of returning values that are not
        finite.
        """
        ...


class RatingLearner(Learner, Protocol):
    """A learner of rating vectors, for the rating segment."""

    def fit(
        self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
    ) -> RatingVectors:
        """As `Learner.fit`. The user side is the fold-in of every user (`fold_in_all`); rows without ratings are 0."""
        ...


class TasteLearner(Learner, Protocol):
    """A learner of taste vectors, for the taste segment."""

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore) -> TasteVectors:
        """As `Learner.fit`. The user side is the fold-in of every user; rows without observations are 0."""
        ...
