"""What the store would load, without a store."""

import numpy as np

from app.entities import IncomingRatings, InteractionColumns, RatingColumns
from app.store.training_reads import EventTypeColumns, TrainingData


def training_data(incoming: IncomingRatings, n_unrated: int = 0) -> TrainingData:
    """Keys count from 1 in order of first appearance; `n_unrated` more items follow, without ratings."""
    users = {user_id: key for key, user_id in enumerate(dict.fromkeys(incoming.user_id), start=1)}
    items = {item_id: key for key, item_id in enumerate(dict.fromkeys(incoming.item_id), start=1)}
    none = np.empty(0, np.int64)
    columns = RatingColumns(
        user_key=np.array([users[user_id] for user_id in incoming.user_id], np.int64),
        item_key=np.array([items[item_id] for item_id in incoming.item_id], np.int64),
        value=incoming.value.copy(),
        rated_at=incoming.rated_at.copy(),
    )
    return TrainingData(
        ratings=columns,
        interactions=InteractionColumns(none, none, none, none, none, none, np.empty(0)),
        event_types=EventTypeColumns(none, np.empty(0), np.empty(0, np.bool_)),
        item_keys=np.arange(1, len(items) + n_unrated + 1),
        user_keys=np.arange(1, len(users) + 1),
        user_versions=np.bincount(columns.user_key)[1:],
        user_profile_versions=np.zeros(len(users), np.int64),
        is_new=np.ones(len(users), np.bool_),
        is_direct=np.zeros(len(users), np.bool_),
        catalogue_version=1,
        change_count=len(columns),
        newest_rated_at=int(columns.rated_at.max()),
    )
