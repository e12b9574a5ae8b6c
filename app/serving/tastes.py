"""What is known of a user at this moment: the vector and the history, mapped, or folded in if anything changed."""

from dataclasses import dataclass

import numpy as np

from app.serving.live import Live
from app.serving.query import Rows
from app.snapshots import UserSide
from app.store.ratings import Ratings
from app.store.users import Freshness

NO_ROWS: Rows = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Taste:
    """`side`: None before anything is learned. `rated_rows`: catalogue rows of all rated items, newest first."""

    strategy: str
    user_key: int | None
    side: UserSide | None
    rated_rows: Rows


class Tastes:
    def __init__(self, ratings: Ratings) -> None:
        self._ratings = ratings

    def of(self, user: Freshness, live: Live) -> Taste:
        snapshot = live.snapshot
        if user.user_key is None:
            side = None if snapshot is None else snapshot.fold_in(NO_ROWS, np.empty(0))
            return Taste("popular", None, side, NO_ROWS)
        user_row = None if snapshot is None else snapshot.user_row(user.user_key)
        if snapshot is not None and user_row is not None and snapshot.user_versions[user_row] == user.user_version:
            rated_rows, _ = snapshot.history(user_row)
            strategy = "personalized" if len(rated_rows) else "popular"
            return Taste(strategy, user.user_key, snapshot.user_side(user_row), rated_rows.astype(np.int64))
        history = self._ratings.history(user.user_key)
        rows = live.catalogue.rows_of_keys(history.item_key)
        if snapshot is None:
            return Taste("popular", user.user_key, None, rows[rows >= 0])
        is_learned = (rows >= 0) & (rows < live.n_learned)
        side = snapshot.fold_in(rows[is_learned], history.value[is_learned])
        strategy = "fold_in" if is_learned.any() else "popular"
        return Taste(strategy, user.user_key, side, rows[rows >= 0])
