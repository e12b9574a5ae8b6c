"""What every learner offers, and what everything learned offers."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

Progress = Callable[[float, str], None]
"""Takes the fraction done, 0 to 1, and what is being done."""

UserRows = NDArray[np.integer]
ItemRows = NDArray[np.integer]


def ignore(_fraction: float, _stage: str) -> None:
    """The progress callback of those who do not look."""


class Predictor(Protocol):
    """Something learned that can be asked."""

    def predict(self, user_rows: UserRows, item_rows: ItemRows) -> NDArray[np.float32]:
        """The predicted rating of each pair: (n,) rows -> (n,) in the caller's scale, not clipped."""
        ...

    def scores(self, user_rows: UserRows) -> NDArray[np.float32]:
        """What ranks all items for some users: (b,) rows -> (b, n_items), higher first."""
        ...


class Learner(Protocol):
    """A frozen dataclass of hyperparameters that learns rating vectors."""

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress = ignore) -> RatingVectors:
        """Learns from `ratings`; all randomness comes from `rng`: equal seeds, equal bits.

        The user side is the fold-in of every user (`fold_in_all`); rows without ratings are zeros.

        Raises `FitDiverged` rather than return anything that is not finite.
        """
        ...
