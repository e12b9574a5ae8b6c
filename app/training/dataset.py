"""What a run learns from: all ratings of one moment, by row instead of by key."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.evaluation.splits import hold_out_latest
from app.store.ratings import TrainingData
from app.store.store import Store
from app.training.errors import SnapshotRejectedError


@dataclass(frozen=True)
class TimedRatings:
    """Ratings with their times. `rated_at`: (n,) int64 microseconds UTC, `UNKNOWN_TIME` where not known."""

    matrix: RatingMatrix
    rated_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rated_at)

    def hold_out_latest(self, fraction: float, rng: np.random.Generator) -> tuple["TimedRatings", "TimedRatings"]:
        """The earlier ratings of every user, to learn from, and the newest, to be measured on."""
        is_held_out = hold_out_latest(self.matrix.user_rows, self.rated_at, fraction, rng)
        return self._subset(~is_held_out), self._subset(is_held_out)

    def _subset(self, is_chosen: NDArray[np.bool_]) -> "TimedRatings":
        return TimedRatings(self.matrix.subset(is_chosen), self.rated_at[is_chosen])


def to_rows(data: TrainingData) -> TimedRatings:
    """The ratings in `data`, with positions in `data.user_keys` and `data.item_keys` in place of keys."""
    matrix = RatingMatrix(
        n_users=len(data.user_keys),
        n_items=len(data.item_keys),
        user_rows=np.searchsorted(data.user_keys, data.ratings.user_key).astype(np.int32),
        item_rows=np.searchsorted(data.item_keys, data.ratings.item_key).astype(np.int32),
        values=data.ratings.value.astype(np.float32),
    )
    return TimedRatings(matrix, data.ratings.rated_at)


@dataclass(frozen=True)
class Dataset:
    """One moment of the store, in both forms, and the scale its ratings lie on."""

    data: TrainingData
    ratings: TimedRatings
    scale: RatingScale


def load_dataset(store: Store) -> Dataset:
    """Everything a run needs to know. Raises `SnapshotRejectedError` where nobody has rated anything."""
    scale = store.installation.scale()
    data = store.ratings.load()
    if not len(data.ratings):
        raise SnapshotRejectedError("there are no ratings to learn from")
    return Dataset(data, to_rows(data), scale)
