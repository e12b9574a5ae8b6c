"""What is known of a user at this moment: the vector and the history, mapped, or folded in if anything changed."""

from dataclasses import dataclass

import numpy as np

from app.serving.live import Live
from app.serving.query import Rows
from app.snapshots import Snapshot, UserSide
from app.store.ratings import Ratings
from app.store.users import Freshness, Users

NO_ROWS: Rows = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Taste:
    """`side`: None before anything is learned. `rated_rows`: catalogue rows of all rated items, newest first."""

    strategy: str
    user_key: int | None
    side: UserSide | None
    rated_rows: Rows


class Tastes:
    def __init__(self, ratings: Ratings, users: Users) -> None:
        self._ratings = ratings
        self._users = users

    def of(self, user: Freshness, live: Live) -> Taste:
        snapshot = live.snapshot
        if user.user_key is None:
            return Taste("popular", None, self._unknown(snapshot), NO_ROWS)
        user_row = None if snapshot is None else snapshot.user_row(user.user_key)
        if snapshot is not None and user_row is not None and snapshot.user_versions[user_row] == user.user_version:
            rated_rows, _ = snapshot.history(user_row)
            if len(rated_rows):
                return Taste("personalized", user.user_key, snapshot.user_side(user_row), rated_rows.astype(np.int64))
            return self._unrated(user.user_key, snapshot, NO_ROWS)
        history = self._ratings.history(user.user_key)
        rows = live.catalogue.rows_of_keys(history.item_key)
        if snapshot is None:
            return Taste("popular", user.user_key, None, rows[rows >= 0])
        is_learned = (rows >= 0) & (rows < live.n_learned)
        if not is_learned.any():
            return self._unrated(user.user_key, snapshot, rows[rows >= 0])
        described = self._users.of_key(user.user_key) if snapshot.folds_features else None
        side = snapshot.fold_in(rows[is_learned], history.value[is_learned], described)
        return Taste("fold_in", user.user_key, side, rows[rows >= 0])

    def _unrated(self, user_key: int, snapshot: Snapshot, rated_rows: Rows) -> Taste:
        """Somebody of whom at most attributes are known; read for each answer, so that they are never out of date."""
        user = self._users.of_key(user_key) if snapshot.reads_users else None
        side = None if user is None else snapshot.side_of(user)
        if side is None:
            return Taste("popular", user_key, self._unknown(snapshot), rated_rows)
        return Taste("profile", user_key, side, rated_rows)

    @staticmethod
    def _unknown(snapshot: Snapshot | None) -> UserSide | None:
        return None if snapshot is None else snapshot.unknown_side
