"""What training reads: everything as of one moment, and how much changed since."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, InteractionColumns, RatingColumns
from app.store import counters
from app.store.columns import EventTypeColumns, KeyArray
from app.store.database import Database
from app.store.interactions import read_interactions, read_types
from app.store.ratings import count_changes
from app.store.schema import interactions, ratings, users

RATING_DTYPE = np.dtype([("user_key", "i8"), ("item_key", "i8"), ("value", "f8"), ("rated_at", "i8")])
ALL_RATINGS = (
    "SELECT user_key, item_key, value, coalesce(rated_at, -9223372036854775807 - 1)"
    " FROM ratings WHERE value IS NOT NULL ORDER BY user_key, item_key"
)
USER_DTYPE = np.dtype([("key", "i8"), ("version", "i8"), ("profile_version", "i8")])
ALL_USERS = "SELECT user_key, version, profile_version FROM users ORDER BY user_key"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Everything a training run reads, as of one moment.

    `item_keys` (n_items,) and `user_keys` (n_users,) int64 ascending, rated or not; `user_versions` and
    `user_profile_versions` (n_users,) int64: `users.version` and `users.profile_version`; `change_count`: rating
    changes so far; `newest_rated_at`: microseconds UTC or `UNKNOWN_TIME`. `interactions`: in the order of (user, item,
    type), some perhaps of users or items that are gone.
    """

    ratings: RatingColumns
    interactions: InteractionColumns
    event_types: EventTypeColumns
    item_keys: KeyArray
    user_keys: KeyArray
    user_versions: NDArray[np.int64]
    user_profile_versions: NDArray[np.int64]
    catalogue_version: int
    change_count: int
    newest_rated_at: int


class ChangeCounts(NamedTuple):
    """`ratings`: as `Ratings.change_count`. `profiles`: of users' attributes and events; deleted users take theirs."""

    ratings: int
    profiles: int


class TrainingReads:
    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> TrainingData:
        """Everything a training run reads, in one read transaction; memory: 32 bytes a rating while it loads.

        And twice 56 bytes for each (user, item, type) of which there are events.
        """
        with self._database.reading() as connection:
            all_rows = self._database.dialect.all_rows
            rows = all_rows(connection, ALL_RATINGS, RATING_DTYPE)
            item_rows = all_rows(connection, "SELECT item_key FROM items ORDER BY item_key", [("key", "i8")])
            user_rows = all_rows(connection, ALL_USERS, USER_DTYPE)
            all_interactions = read_interactions(self._database, connection)
            event_types = read_types(self._database, connection)
            catalogue_version = counters.read(connection, "catalogue")
            change_count = count_changes(connection)
        item_keys = np.ascontiguousarray(item_rows["key"])
        rows = rows[np.isin(rows["item_key"], item_keys)]  # an item may have gone while a rating of it came
        columns = RatingColumns(*(np.ascontiguousarray(rows[name]) for name in RATING_DTYPE.names or ()))
        return TrainingData(
            ratings=columns,
            interactions=all_interactions,
            event_types=event_types,
            item_keys=item_keys,
            user_keys=np.ascontiguousarray(user_rows["key"]),
            user_versions=np.ascontiguousarray(user_rows["version"]),
            user_profile_versions=np.ascontiguousarray(user_rows["profile_version"]),
            catalogue_version=catalogue_version,
            change_count=change_count,
            newest_rated_at=int(columns.rated_at.max()) if len(columns) else int(UNKNOWN_TIME),
        )

    def change_counts(self) -> ChangeCounts:
        """Both, in one read."""
        of_all = (sa.func.coalesce(sa.func.sum(column), 0) for column in (users.c.version, users.c.profile_version))
        with self._database.reading() as connection:
            of_ratings, of_profiles = connection.execute(sa.select(*of_all)).one()
            return ChangeCounts(int(of_ratings) + counters.read(connection, "erased"), int(of_profiles))

    def is_anything_said(self) -> bool:
        """Whether there is any rating, tombstones included, or any event."""
        either = sa.or_(sa.exists(sa.select(ratings.c.user_key)), sa.exists(sa.select(interactions.c.user_key)))
        with self._database.reading() as connection:
            return bool(connection.execute(sa.select(either)).scalar_one())
