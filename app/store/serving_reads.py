"""The reads of one answer, for the event loop.

Each read sees every change that was acknowledged before it began. SQLite is read on the loop itself: a point read takes
10 us, less than handing it to a thread. A history with many rows is read again, in a thread. Postgres answers all
concurrent reads of one statement together (`shared_reader.py`). Every other read and all writes are for threads.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from app.entities import RatingScale, User
from app.observability.traces import query_span
from app.store.database import Database
from app.store.dialect import KeyArray, Made, PointRead, Row, TimeArray, ValueArray
from app.store.items import item_read, read_columns
from app.store.read_replica import OF_INTERACTIONS, OF_RATINGS, ReadReplica, State

# One statement for all versions: two would cost a second round trip to Postgres for every request.
VERSIONS = PointRead(
    "SELECT catalogue.value AS catalogue, placements.value AS placements, users.user_key,"
    " coalesce(users.version, 0) AS version, coalesce(users.profile_version, 0) AS profile_version, generation"
    " FROM counters AS catalogue JOIN counters AS placements ON placements.name = 'placements'"
    " JOIN installation ON installation.id = 1"
    " LEFT JOIN users ON users.user_id = ? WHERE catalogue.name = 'catalogue'",
    by=str,
    columns=("catalogue", "placements", "user_key", "version", "profile_version", "generation"),
)
HISTORY = PointRead(
    "SELECT item_key, value, coalesce(rated_at, -9223372036854775807 - 1) AS rated_at"
    " FROM ratings WHERE user_key = ? AND value IS NOT NULL",
    by=int,
    columns=("item_key", "value", "rated_at"),
)
# As `HISTORY`, with the tombstones of deleted ratings, whose value is NULL.
CHANGES = PointRead(
    "SELECT item_key, value, coalesce(rated_at, -9223372036854775807 - 1) AS rated_at FROM ratings WHERE user_key = ?",
    by=int,
    columns=("item_key", "value", "rated_at"),
)
# Most users have no events: `has_events` spares them the second read.
USER = PointRead(
    "SELECT user_id, country, CAST(attributes AS TEXT) AS attributes,"
    " EXISTS (SELECT 1 FROM interactions WHERE interactions.user_key = users.user_key) AS has_events"
    " FROM users WHERE user_key = ?",
    by=int,
    columns=("user_id", "country", "attributes", "has_events"),
)
INTERACTIONS = PointRead(
    "SELECT item_key, type_key, count, first_at, last_at, portion FROM interactions WHERE user_key = ?",
    by=int,
    columns=("item_key", "type_key", "count", "first_at", "last_at", "portion"),
)
SCALE = PointRead(
    "SELECT scale_minimum, scale_maximum, scale_step, value_kind FROM installation WHERE id = ?",
    by=int,
    columns=("scale_minimum", "scale_maximum", "scale_step", "value_kind"),
)
INSTANCE_ID = 1
"""The id of the only row of the instance's table."""


@dataclass(frozen=True, slots=True)
class UserVersions:
    """The versions that a request compares with what it holds in memory.

    `user_key`: None for an unknown user. `placements_version` counts changes of placements and event types,
    `user_version` those of the user's ratings, `profile_version` those of the user's attributes and events.
    `generation`: of the database, see `generation.py`; versions and keys of another one mean something else.
    `is_current`: False for what is remembered while the database does not answer.
    """

    catalogue_version: int
    placements_version: int
    user_key: int | None
    user_version: int
    profile_version: int
    generation: str
    is_current: bool = True

    @property
    def is_known(self) -> bool:
        """Whether the user is stored."""
        return self.user_key is not None

    @classmethod
    def from_row(cls, row: Row | None) -> Self:
        """From the row of `VERSIONS`."""
        if row is None:
            raise LookupError("a counter is missing")  # every migrated database has both
        return cls(*row)


@dataclass(frozen=True, slots=True)
class RatingHistory:
    """A user's ratings, newest first, unknown times last; equal lengths n."""

    item_key: KeyArray
    value: ValueArray
    rated_at: TimeArray

    @classmethod
    def from_columns(cls, columns: Sequence[Sequence[Any]]) -> Self:
        """From the columns of `HISTORY`, rows in any order."""
        item_key, value, rated_at = columns
        times = np.array(rated_at, dtype=np.int64)
        # The bitwise complement reverses the order of all int64; negation would overflow for `UNKNOWN_TIME`.
        newest_first = (~times).argsort(kind="stable")
        # The value of a tombstone is None, and NaN here.
        values = np.array(value, dtype=np.float64)
        return cls(np.array(item_key, dtype=np.int64)[newest_first], values[newest_first], times[newest_first])

    def over(self, earlier: "RatingHistory") -> "RatingHistory":
        """The newest of each item in this history, where a value of NaN is a tombstone, and an `earlier` one.

        Of equal times this one's counts; what a tombstone hides is left out.
        """
        items, values, times = (
            np.concatenate([one, other])
            for one, other in (
                (self.item_key, earlier.item_key),
                (self.value, earlier.value),
                (self.rated_at, earlier.rated_at),
            )
        )
        # Stable, and this one comes first: of equal items and times it is the first.
        order = np.lexsort((~times, items))
        is_first = np.diff(items[order], prepend=-1) != 0
        kept = np.sort(order[is_first])
        kept = kept[~np.isnan(values[kept])]
        kept = kept[(~times[kept]).argsort(kind="stable")]
        return RatingHistory(items[kept], values[kept], times[kept])


@dataclass(frozen=True, slots=True)
class Interactions:
    """A user's events, summed by item and type, in any order; equal lengths n, columns as in `InteractionColumns`."""

    item_key: KeyArray
    type_key: KeyArray
    count: KeyArray
    first_at: TimeArray
    last_at: TimeArray
    portion: ValueArray

    @classmethod
    def from_columns(cls, columns: Sequence[Sequence[Any]]) -> Self:
        """From the columns of `INTERACTIONS`; NULL, a whole portion, becomes NaN."""
        item_key, type_key, count, first_at, last_at = (np.array(column, dtype=np.int64) for column in columns[:5])
        return cls(item_key, type_key, count, first_at, last_at, portion=np.array(columns[5], dtype=np.float64))

    def __len__(self) -> int:
        return len(self.item_key)


class ServingReads:
    """Reads of one user by surrogate key, and of what every request needs.

    Each raises `StorageUnavailableError` at once while the database is down, and where it does not answer in time.
    """

    def __init__(self, database: Database, replica: ReadReplica | None = None) -> None:
        """`replica`: asked first for histories."""
        self._dialect = database.dialect
        self._availability = database.availability
        self._replica = replica
        database.probed = (VERSIONS, HISTORY, CHANGES, USER, INTERACTIONS, SCALE)

    async def freshness(self, user_id: str) -> UserVersions:
        """All versions that a request needs."""
        return UserVersions.from_row(await self._row(VERSIONS, user_id))

    async def history(self, user_key: int, state: State | None = None) -> RatingHistory:
        """The user's ratings. `state`: what they must contain at least; None: all that is stored."""
        if self._replica is not None and state is not None:
            of_replica = await self._replica.columns(OF_RATINGS, user_key, state, RatingHistory.from_columns)
            if of_replica is not None:
                return of_replica
        return await self._columns(HISTORY, user_key, RatingHistory.from_columns)

    async def changes(self, user_key: int) -> RatingHistory:
        """The stored ratings of the user with tombstones, whose value is NaN."""
        return await self._columns(CHANGES, user_key, RatingHistory.from_columns)

    async def item_columns(self, item_ids: Sequence[str], names: tuple[str, ...]) -> list[dict[str, Any] | None]:
        """Of each item the columns `names`, as `Item` has them, by name; None where there is no such item."""
        read = item_read(names)
        with self._availability.reported(), query_span(read.statement):
            rows = await self._dialect.read_rows(read, item_ids)
        return [None if row is None else read_columns(names, row) for row in rows]

    async def scale(self) -> RatingScale:
        """The rating scale, read for each request: `reckon scale set` changes it while the service runs."""
        return RatingScale(*await self._row(SCALE, INSTANCE_ID) or ())

    async def profile(self, user_key: int, state: State | None = None) -> tuple[User | None, Interactions | None]:
        """The user and the sums of the user's events; None for each that does not exist. `state`: as for `history`."""
        row = await self._row(USER, user_key)
        if row is None:
            return None, None
        user_id, country, attributes, has_events = row
        user = User(user_id, country, json.loads(attributes))
        if not has_events:
            return user, None
        interactions = None
        if self._replica is not None and state is not None:
            interactions = await self._replica.columns(OF_INTERACTIONS, user_key, state, Interactions.from_columns)
        if interactions is None:
            interactions = await self._columns(INTERACTIONS, user_key, Interactions.from_columns)
        # They may be gone: the user may have been deleted or merged between the two reads.
        return user, interactions if len(interactions) else None

    async def _row(self, read: PointRead, parameter: object) -> Row | None:
        with self._availability.reported(), query_span(read.statement):
            return await self._dialect.read_row(read, parameter)

    async def _columns(
        self, read: PointRead, parameter: object, made_of: Callable[[Sequence[Sequence[Any]]], Made]
    ) -> Made:
        with self._availability.reported(), query_span(read.statement):
            return await self._dialect.read_columns(read, parameter, made_of)
