"""What a run learns from: all ratings of one moment, by row instead of by key."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import Item, RatingScale, User
from app.evaluation.splits import hold_out_latest
from app.snapshots.describe import Encodings, describe
from app.snapshots.groups import Memberships
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
    """One moment of the store, in both forms, the scale its ratings lie on, and how its features were made.

    `ratings.features` describe all items and users. `memberships`: the groups of users that the recipe asks for.
    """

    data: TrainingData
    ratings: RatingMatrix
    scale: RatingScale
    encodings: Encodings
    memberships: Memberships = field(default_factory=Memberships)


def load_dataset(store: Store, user_groups: Sequence[str] = ()) -> Dataset:
    """Everything a run needs to know, of users the groups by these fields and attributes, too.

    Raises `SnapshotRejectedError` where nobody has rated anything.
    """
    scale = store.installation.scale()
    data = store.ratings.load()
    if not len(data.ratings):
        raise SnapshotRejectedError("there are no ratings to learn from")
    users = _users(store, data)
    features, encodings = describe(_items(store, data), users)
    memberships = Memberships.of(users, user_groups)
    return Dataset(data, to_rows(data).described_by(features), scale, encodings, memberships)


def _items(store: Store, data: TrainingData) -> list[Item]:
    """A row each; one that is gone since the ratings were read has nothing but a row."""
    items = dict(store.items.by_key())
    return [items.get(key) or Item("gone") for key in data.item_keys.tolist()]


def _users(store: Store, data: TrainingData) -> list[User]:
    users = dict(store.users.described())
    return [users.get(key) or User("undescribed") for key in data.user_keys.tolist()]
