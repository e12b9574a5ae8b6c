"""What a run learns from: all ratings of one moment, by row instead of by key."""

from dataclasses import dataclass

import numpy as np

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.evaluation.splits import hold_out_latest
from app.store.ratings import TrainingData
from app.store.store import Store
from app.training.errors import SnapshotRejectedError


def hold_out(ratings: RatingMatrix, fraction: float, rng: np.random.Generator) -> tuple[RatingMatrix, RatingMatrix]:
    """The earlier ratings of every user, to learn from, and the newest, to be measured on."""
    is_held_out = hold_out_latest(ratings.user_rows, ratings.times, fraction, rng)
    return ratings.subset(~is_held_out), ratings.subset(is_held_out)


def to_rows(data: TrainingData) -> RatingMatrix:
    """The ratings in `data`, with positions in `data.user_keys` and `data.item_keys` in place of keys."""
    return RatingMatrix(
        n_users=len(data.user_keys),
        n_items=len(data.item_keys),
        user_rows=np.searchsorted(data.user_keys, data.ratings.user_key).astype(np.int32),
        item_rows=np.searchsorted(data.item_keys, data.ratings.item_key).astype(np.int32),
        values=data.ratings.value.astype(np.float32),
        rated_at=data.ratings.rated_at,
    )


@dataclass(frozen=True)
class Dataset:
    """One moment of the store, in both forms, and the scale its ratings lie on."""

    data: TrainingData
    ratings: RatingMatrix
    scale: RatingScale


def load_dataset(store: Store) -> Dataset:
    """Everything a run needs to know. Raises `SnapshotRejectedError` where nobody has rated anything."""
    scale = store.installation.scale()
    data = store.ratings.load()
    if not len(data.ratings):
        raise SnapshotRejectedError("there are no ratings to learn from")
    return Dataset(data, to_rows(data), scale)
