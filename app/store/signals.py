"""What raises the trend of an item: liked ratings, and events whose weight times portion is positive, each at its time.

A rating that is not liked, or whose time is not known, is no signal. Where values are no scale, every rating is liked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, RatingScale
from app.store.database import Database
from app.store.dialect import KeyArray, TimeArray, ValueArray

DAY = 86_400_000_000
"""Microseconds."""

SCALE_IN_USE = "SELECT scale_minimum, scale_maximum, scale_step, value_kind FROM installation WHERE id = ?"
RATING_SIGNALS = (
    "SELECT user_key, item_key, rated_at FROM ratings WHERE rated_at IS NOT NULL AND value >= {liked_from!r}"
)
# Weight and portion are multiplied by numpy, because Postgres raises an error where a product underflows.
EVENT_SIGNALS = (
    "SELECT events.user_key, events.item_key, at, weight, coalesce(portion, 1)"
    " FROM {source} JOIN event_types ON event_types.type_key = events.type_key WHERE weight > 0"
)
OF_PAIRS = (
    "pairs JOIN events ON events.item_key = pairs.item_key AND events.user_key = pairs.user_key"
    " AND at >= {start} AND at < {end}"
)
NEW_USERS = " AND user_key IN (SELECT user_key FROM users WHERE user_key > {judged} OR is_unjudged)"
RATING_DTYPE = np.dtype([("user_key", "i8"), ("item_key", "i8"), ("at", "i8")])
EVENT_DTYPE = np.dtype([*RATING_DTYPE.descr, ("weight", "f8"), ("portion", "f8")])


@dataclass(frozen=True, slots=True)
class Signals:
    """Equal lengths n: the keys int64, `at` int64 microseconds UTC, `weight` float64 > 0."""

    user_key: KeyArray
    item_key: KeyArray
    at: TimeArray
    weight: ValueArray

    def __len__(self) -> int:
        return len(self.at)

    def __add__(self, other: "Signals") -> "Signals":
        return Signals(
            np.concatenate([self.user_key, other.user_key]),
            np.concatenate([self.item_key, other.item_key]),
            np.concatenate([self.at, other.at]),
            np.concatenate([self.weight, other.weight]),
        )

    def part(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Signals":
        return Signals(self.user_key[rows], self.item_key[rows], self.at[rows], self.weight[rows])

    @classmethod
    def of_ratings(
        cls, user_key: KeyArray, item_key: KeyArray, value: ValueArray, rated_at: TimeArray, liked_from: float
    ) -> Self:
        """Those of (n,) ratings; NaN, a tombstone, is none."""
        is_one = (value >= liked_from) & (rated_at != UNKNOWN_TIME)
        return cls(user_key[is_one], item_key[is_one], rated_at[is_one], np.ones(np.count_nonzero(is_one)))

    @classmethod
    def of_events(cls, user_key: KeyArray, item_key: KeyArray, at: TimeArray, weight: ValueArray) -> Self:
        """Those of (n,) events; `weight`: with the portion."""
        is_one = weight > 0
        return cls(user_key[is_one], item_key[is_one], at[is_one], weight[is_one])

    @classmethod
    def none(cls) -> Self:
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, nothing, np.empty(0))


def liked_from(database: Database, connection: sa.Connection) -> float:
    """The lowest rating that is a signal."""
    ((minimum, maximum, step, kind),) = database.dialect.rows_of(connection, SCALE_IN_USE, [1])
    return RatingScale(minimum, maximum, step, kind).liked_from


def all_signals(database: Database, connection: sa.Connection) -> Signals:
    return _where(database, connection, "")


def signals_of_users(database: Database, connection: sa.Connection, user_keys: Sequence[int]) -> Signals:
    return _where(database, connection, _is_in("user_key", user_keys))


def signals_of_new_users(database: Database, connection: sa.Connection, judged: int) -> Signals:
    """Those of users with a key above `judged`, and of those below who are unjudged."""
    return _where(database, connection, NEW_USERS.format(judged=int(judged)))


def signals_of_items_after(database: Database, connection: sa.Connection, item_key: int) -> Signals:
    """Those of items with a higher key."""
    return _where(database, connection, f" AND item_key > {int(item_key)}")


def signals_of_items(database: Database, connection: sa.Connection, item_keys: Sequence[int]) -> Signals:
    """By a scan of all ratings, which have no index by item."""
    return _where(database, connection, _is_in("item_key", item_keys))


def rating_signals_of_pairs(
    database: Database, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray
) -> Signals:
    """Those of the stored ratings of distinct (user, item) pairs."""
    stored = database.dialect.existing(connection, user_key, item_key).dated_values
    return Signals.of_ratings(user_key, item_key, *stored, liked_from(database, connection))


def event_signals_of_pairs(
    database: Database, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray, at: TimeArray
) -> Signals:
    """Those of the events of distinct (user, item) pairs, in the days from the earliest `at` (m,) to the latest."""
    start = int(at.min()) // DAY * DAY
    source = OF_PAIRS.format(start=start, end=(int(at.max()) // DAY + 1) * DAY)
    rows = database.dialect.rows_of_pairs(connection, EVENT_SIGNALS.format(source=source), user_key, item_key)
    return _of_event_rows(np.array(rows, dtype=EVENT_DTYPE))


def _where(database: Database, connection: sa.Connection, condition: str) -> Signals:
    """`condition`: empty, or one on a column of the same name in ratings and events, to follow another one."""
    all_rows = database.dialect.all_rows
    of_ratings = RATING_SIGNALS.format(liked_from=liked_from(database, connection)) + condition
    rated = all_rows(connection, of_ratings, RATING_DTYPE)
    happened = all_rows(connection, EVENT_SIGNALS.format(source="events") + condition, EVENT_DTYPE)
    return Signals(*_keys_and_time(rated), np.ones(len(rated))) + _of_event_rows(happened)


def _is_in(column: str, keys: Sequence[int]) -> str:
    return f" AND {column} IN ({', '.join(map(str, map(int, keys)))})"


def _of_event_rows(rows: NDArray[np.void]) -> Signals:
    return Signals.of_events(*_keys_and_time(rows), rows["weight"] * rows["portion"])


def _keys_and_time(rows: NDArray[np.void]) -> tuple[KeyArray, KeyArray, TimeArray]:
    user_key, item_key, at = (np.ascontiguousarray(rows[name]) for name in ("user_key", "item_key", "at"))
    return user_key, item_key, at
