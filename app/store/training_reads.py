"""What training reads: all data as of one moment, and the number of changes since."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, InteractionColumns, RatingColumns
from app.store import counters
from app.store.database import Database
from app.store.dialect import KeyArray, ValueArray
from app.store.noted import Kind
from app.store.ratings import count_changes
from app.store.schema import interactions, ratings, users
from app.store.trends import JUDGED

RATING_DTYPE = np.dtype([("user_key", "i8"), ("item_key", "i8"), ("value", "f8"), ("rated_at", "i8")])
# A structured array has no NULL, so the least int64, `UNKNOWN_TIME`, stands for it.
ALL_RATINGS = (
    "SELECT user_key, item_key, value, coalesce(rated_at, -9223372036854775807 - 1)"
    " FROM ratings WHERE value IS NOT NULL ORDER BY user_key, item_key"
)
ALL_ITEMS = "SELECT item_key FROM items WHERE NOT is_deleted ORDER BY item_key"
USER_DTYPE = np.dtype(
    [("key", "i8"), ("version", "i8"), ("profile_version", "i8"), ("is_unjudged", "?"), ("is_direct", "?")]
)
ALL_USERS = "SELECT user_key, version, profile_version, is_unjudged, is_direct FROM users ORDER BY user_key"
_INTEGER_COLUMNS = ("user_key", "item_key", "type_key", "count", "first_at", "last_at")
INTERACTION_DTYPE = np.dtype([*((name, "i8") for name in _INTEGER_COLUMNS), ("portion", "f8")])
# Likewise, -1 stands for a NULL portion until `_interactions` makes it NaN.
ALL_INTERACTIONS = (
    "SELECT user_key, item_key, type_key, count, first_at, last_at, coalesce(portion, -1)"
    " FROM interactions ORDER BY user_key, item_key, type_key"
)
EVENT_TYPE_DTYPE = np.dtype([("type_key", "i8"), ("weight", "f8"), ("is_exposure", "?")])
ALL_EVENT_TYPES = "SELECT type_key, weight, is_exposure FROM event_types ORDER BY type_key"


@dataclass(frozen=True, slots=True)
class EventTypeColumns:
    """The declared event types by column, see `EventType`; equal lengths t.

    `type_key`: (t,) int64 ascending. `weight`: (t,) float64. `is_exposure`: (t,) bool.
    """

    type_key: KeyArray
    weight: ValueArray
    is_exposure: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Everything a training run reads, as of one moment.

    `item_keys` (n_items,) and `user_keys` (n_users,): int64 ascending, rated or not, but no deleted items.
    `user_versions` and `user_profile_versions`: (n_users,) int64, `users.version` and `users.profile_version`.
    `is_new`: (n_users,) bool, whom no run has judged yet, see `trends.py`; all before the first one. `is_direct`:
    (n_users,) bool, who have rated or acted through the API, so that times are the caller's.
    `interactions`: in the order of (user, item, type); some may be of deleted users or items.
    `change_count`: the number of rating changes so far. `newest_rated_at`: microseconds UTC, or `UNKNOWN_TIME`.
    `n_erasures`: the erasures of users so far; none of these users is in the data.
    `totals`: how much is stored in all, as `app.store.counts` counts it, as of `read_at`, microseconds UTC by the clock
    of the database.
    """

    ratings: RatingColumns
    interactions: InteractionColumns
    event_types: EventTypeColumns
    item_keys: KeyArray
    user_keys: KeyArray
    user_versions: NDArray[np.int64]
    user_profile_versions: NDArray[np.int64]
    is_new: NDArray[np.bool_]
    is_direct: NDArray[np.bool_]
    catalogue_version: int
    change_count: int
    newest_rated_at: int
    n_erasures: int = 0
    totals: Mapping[Kind, int] = field(default_factory=dict)
    read_at: int = 0


RatingSink = Callable[[RatingColumns, KeyArray, KeyArray], None]
"""Takes some ratings, in the order of (user, item), with the keys of all users and of all items, ascending."""


class ChangeCounts(NamedTuple):
    """`ratings`: as `Ratings.change_count`. `profiles`: changes of attributes and events of the users that exist."""

    ratings: int
    profiles: int


def _of_items(rows: Any, item_keys: KeyArray) -> RatingColumns:
    """The ratings of items that are not deleted."""
    rows = rows[np.isin(rows["item_key"], item_keys)]  # ratings have no foreign key to items
    return RatingColumns(*(np.ascontiguousarray(rows[name]) for name in RATING_DTYPE.names or ()))


class TrainingReads:
    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, into: "RatingSink | None" = None) -> TrainingData:
        """Everything that a training run reads, in one read transaction.

        `into`: takes the ratings, some at a time, in place of the result, which then has none.

        Memory while it loads: 32 bytes a rating without `into`, and twice 56 bytes for each (user, item, type) with
        events.
        """
        # One transaction: the versions must be those of exactly these ratings and events.
        with self._database.reading() as connection:
            all_rows = self._database.dialect.all_rows
            read_at = self._database.dialect.now(connection)
            item_rows = all_rows(connection, ALL_ITEMS, [("key", "i8")])
            user_rows = all_rows(connection, ALL_USERS, USER_DTYPE)
            # A field of a structured array is strided; kernels and `searchsorted` want contiguous memory.
            item_keys, user_keys = (np.ascontiguousarray(rows["key"]) for rows in (item_rows, user_rows))
            if into is None:
                rows = all_rows(connection, ALL_RATINGS, RATING_DTYPE)
                n_ratings, columns = len(rows), _of_items(rows, item_keys)
            else:
                n_ratings = 0
                for rows in self._database.dialect.row_blocks(connection, ALL_RATINGS, RATING_DTYPE):
                    n_ratings += len(rows)
                    into(_of_items(rows, item_keys), user_keys, item_keys)
                columns = _of_items(np.empty(0, RATING_DTYPE), item_keys)
            all_interactions = self._interactions(connection)
            event_types = self._event_types(connection)
            catalogue_version = counters.read(connection, "catalogue")
            change_count = count_changes(connection)
            n_erasures = counters.read(connection, "erasures")
            judged = counters.read(connection, JUDGED)
        totals: dict[Kind, int] = {
            "ratings": n_ratings,
            "events": int(all_interactions.count.sum()),
            "users": len(user_rows),
            "items": len(item_rows),
        }
        return TrainingData(
            ratings=columns,
            interactions=all_interactions,
            event_types=event_types,
            item_keys=item_keys,
            user_keys=user_keys,
            user_versions=np.ascontiguousarray(user_rows["version"]),
            user_profile_versions=np.ascontiguousarray(user_rows["profile_version"]),
            is_new=(user_rows["key"] > judged) | user_rows["is_unjudged"],
            is_direct=np.ascontiguousarray(user_rows["is_direct"]),
            catalogue_version=catalogue_version,
            change_count=change_count,
            newest_rated_at=int(columns.rated_at.max()) if len(columns) else int(UNKNOWN_TIME),
            n_erasures=n_erasures,
            totals=totals,
            read_at=read_at,
        )

    def _interactions(self, connection: sa.Connection) -> InteractionColumns:
        rows = self._database.dialect.all_rows(connection, ALL_INTERACTIONS, INTERACTION_DTYPE)
        columns = {name: np.ascontiguousarray(rows[name]) for name in INTERACTION_DTYPE.names or ()}
        columns["portion"][columns["portion"] < 0] = np.nan
        return InteractionColumns(**columns)

    def _event_types(self, connection: sa.Connection) -> EventTypeColumns:
        rows = self._database.dialect.all_rows(connection, ALL_EVENT_TYPES, EVENT_TYPE_DTYPE)
        return EventTypeColumns(*(np.ascontiguousarray(rows[name]) for name in EVENT_TYPE_DTYPE.names or ()))

    def change_counts(self) -> ChangeCounts:
        """Both counts, read in one transaction."""
        of_all = (sa.func.coalesce(sa.func.sum(column), 0) for column in (users.c.version, users.c.profile_version))
        with self._database.reading() as connection:
            of_ratings, of_profiles = connection.execute(sa.select(*of_all)).one()
            return ChangeCounts(int(of_ratings) + counters.read(connection, "erased"), int(of_profiles))

    def has_ratings_or_events(self) -> bool:
        """Whether there is any rating, or tombstone, or event."""
        # `EXISTS` stops at the first row, where a count would scan both tables.
        either = sa.or_(sa.exists(sa.select(ratings.c.user_key)), sa.exists(sa.select(interactions.c.user_key)))
        with self._database.reading() as connection:
            return bool(connection.execute(sa.select(either)).scalar_one())
