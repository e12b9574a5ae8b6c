"""Ratings: the upsert, tombstones, and reads in bulk.

The rule of the upsert (`decide`): the newest `rated_at` wins, of equal times the later arrival; a replay changes
nothing; values are never added up. A deletion leaves a tombstone with its time, which the rule treats as any value.
A rating without a time, and a deletion, are newer than what is stored, even if the clock that timed them was set back.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, IncomingRatings, Rating, from_microseconds
from app.store import counters
from app.store.database import Database
from app.store.deleted_items import mark_deleted
from app.store.dialect import ExistingRatings, KeyArray, TimeArray, ValueArray
from app.store.redirects import RedirectedError, refuse_redirected, targets_of, with_targets
from app.store.schema import items, ratings, users
from app.store.trends import change_trends_of_ratings

STORED, REPLACED, UNCHANGED = 0, 1, 2
"""What became of an incoming row, of a rating, event, item, user, placement or event type alike."""
UNKNOWN_ITEM = 3
"""Of a rating or an event: nothing was stored, because the store refuses those of unknown items."""

KNOWN_ITEMS = "SELECT item_id FROM items WHERE NOT is_deleted AND item_id = ?"
TOMBSTONES_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of each incoming rating; equal lengths n, in order of arrival.

    `status` (n,) int8: STORED, REPLACED, UNCHANGED or UNKNOWN_ITEM. `value` (n,) float64 and `rated_at` (n,) int64:
    those now stored; NaN and `UNKNOWN_TIME` of an unknown item.
    """

    status: NDArray[np.int8]
    value: ValueArray
    rated_at: TimeArray

    def count(self, status: int) -> int:
        return int(np.count_nonzero(self.status == status))

    def part(self, start: int, end: int) -> "Recorded":
        return Recorded(self.status[start:end], self.value[start:end], self.rated_at[start:end])


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The m distinct pairs of n rows, by the rows of their first arrivals, and which pair each row is of."""

    first: NDArray[np.intp]
    of_row: NDArray[np.intp]
    arrival: NDArray[np.intp]
    """(n,) how many earlier rows are of the same pair."""

    @classmethod
    def of(cls, user_key: KeyArray, item_key: KeyArray) -> "_Pairs":
        n = len(user_key)
        # Equal pairs become neighbours in order of arrival.
        order = np.lexsort((np.arange(n), item_key, user_key))
        is_first = np.ones(n, dtype=np.bool_)
        is_first[1:] = (np.diff(user_key[order]) != 0) | (np.diff(item_key[order]) != 0)
        starts = np.flatnonzero(is_first)
        of_row, arrival = np.empty(n, np.intp), np.empty(n, np.intp)
        of_row[order] = np.cumsum(is_first) - 1
        arrival[order] = np.arange(n) - starts[of_row[order]]
        return cls(order[starts], of_row, arrival)

    def rounds(self) -> Iterator[NDArray[np.intp]]:
        """Rows without repeated pairs, in each round those that come next of their pairs."""
        for n in range(int(self.arrival.max(initial=-1)) + 1):
            yield np.flatnonzero(self.arrival == n)


class OvertakenError(Exception):
    """Another transaction has changed what this one relies on; it is undone and must be tried again."""


class Ratings:
    def __init__(self, database: Database, *, rejects_unknown_items: bool = False) -> None:
        self._database = database
        self._rejects_unknown_items = rejects_unknown_items

    @property
    def rows_at_once(self) -> int:
        """How many rows of an import are to be recorded together."""
        return self._database.dialect.rows_at_once

    def record(self, incoming: IncomingRatings, *, untimed_at: TimeArray | None = None) -> Recorded:
        """Upserts all rows, in order of arrival, in one transaction; inserts missing users and items.

        Rows of merged guests are stored for the users, see `redirects.py`.

        Where the store rejects unknown items, nothing is inserted for their rows, and these have UNKNOWN_ITEM.

        `untimed_at` (n,) int64: the arrival of rows without a time (the server's clock, microseconds UTC), which win
        and leave an equal value untouched. None (files): such rows stay without a time, older than any known time. With
        it, the rows came through the API, and their users are marked as direct ones.
        """
        while True:
            try:
                with self._database.writing() as connection:
                    return self._record(connection, incoming, untimed_at)
            except OvertakenError:
                continue
            except RedirectedError as error:
                incoming = with_targets(incoming, error.targets)

    def _record(self, connection: sa.Connection, incoming: IncomingRatings, untimed_at: TimeArray | None) -> Recorded:
        n = len(incoming)
        recorded = Recorded(np.full(n, UNKNOWN_ITEM, np.int8), np.full(n, np.nan), np.full(n, UNKNOWN_TIME))
        accepted = np.arange(n)
        if self._rejects_unknown_items:
            accepted = rows_of_known_items(self._database, connection, incoming.item_id)
        ids = ([column[row] for row in accepted.tolist()] for column in (incoming.user_id, incoming.item_id))
        inserts_items = not self._rejects_unknown_items
        user_key, item_key, new_users = resolve_keys(self._database, connection, *ids, inserts_items=inserts_items)
        pairs = _Pairs.of(user_key, item_key)
        keys = user_key[pairs.first], item_key[pairs.first]
        before = self._existing(connection, *keys, new_users)
        after = before.part(np.arange(len(pairs.first)))
        # A pair that comes twice is decided twice, the second time against what the first would store.
        for places in pairs.rounds():
            rows, of_row = accepted[places], pairs.of_row[places]
            at = None if untimed_at is None else untimed_at[rows]
            decided = decide(incoming.value[rows], incoming.rated_at[rows], after.part(of_row), at)
            recorded.status[rows] = decided.status
            recorded.value[rows] = after.value[of_row] = decided.value
            recorded.rated_at[rows] = after.rated_at[of_row] = decided.rated_at
            after.is_stored[of_row] = True
        is_written = recorded.status[accepted] != UNCHANGED
        changed = np.unique(pairs.of_row[is_written])
        if len(changed):
            keys = keys[0][changed], keys[1][changed]
            was, is_ = before.part(changed), after.part(changed)
            self._database.dialect.write_ratings(connection, *keys, is_.value, is_.rated_at, ~was.is_stored)
            # In the same transaction: a request that sees the version sees the ratings.
            users_and_changes = np.unique(user_key[is_written], return_counts=True)
            is_direct = untimed_at is not None
            self._database.dialect.bump_users(connection, *users_and_changes, is_direct=is_direct)
            self._database.note("ratings", stored=recorded.count(STORED))
            change_trends_of_ratings(self._database, connection, keys, was.dated_values, is_.dated_values)
        return recorded

    def _existing(
        self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray, new_users: KeyArray
    ) -> ExistingRatings:
        is_known = ~np.isin(user_key, new_users)  # nothing is stored for a new user
        n = len(user_key)
        found = ExistingRatings(np.zeros(n, np.bool_), np.zeros(n), np.zeros(n, np.int64))
        if is_known.any():
            stored = self._database.dialect.existing(connection, user_key[is_known], item_key[is_known])
            found.is_stored[is_known] = stored.is_stored
            found.value[is_known], found.rated_at[is_known] = stored.value, stored.rated_at
        return found

    def remove(self, user_id: str, item_id: str, *, at: int) -> bool:
        """Leaves a tombstone of time `at`, or just after the rating if that is later; False if there is no rating.

        The rating of a merged guest is the user's.
        """
        with self._database.writing(uses_reserve=True) as connection:
            user_id = targets_of(self._database, connection, [user_id]).get(user_id, user_id)
            pair = connection.execute(
                sa.select(users.c.user_key, items.c.item_key)
                .select_from(users.join(items, sa.true()))
                .where(users.c.user_id == user_id, items.c.item_id == item_id)
                .with_for_update(of=users)
            ).one_or_none()
            if pair is None:
                return False
            user_key, item_key = np.array([pair.user_key]), np.array([pair.item_key])
            existing = self._database.dialect.existing(connection, user_key, item_key)
            if not existing.is_stored[0] or np.isnan(existing.value[0]):
                return False
            # Newer than the rating, or a replay of the rating would win against the tombstone.
            deleted_at = np.maximum(existing.rated_at + 1, at)
            nothing = np.array([np.nan])
            dialect = self._database.dialect
            dialect.write_ratings(connection, user_key, item_key, nothing, deleted_at, ~existing.is_stored)
            dialect.bump_users(connection, user_key, np.array([1]))
            self._database.note("ratings", removed=1)
            before, after = (existing.value, existing.rated_at), (nothing, deleted_at)
            change_trends_of_ratings(self._database, connection, (user_key, item_key), before, after)
            return True

    def purge_tombstones(self, *, now: int) -> int:
        """Removes tombstones older than `TOMBSTONES_KEPT`, against which no replay is expected; returns how many."""
        before = now - TOMBSTONES_KEPT // timedelta(microseconds=1)
        with self._database.writing(uses_reserve=True) as connection:
            statement = sa.delete(ratings).where(ratings.c.value.is_(None), ratings.c.rated_at < before)
            return connection.execute(statement).rowcount

    def page(self, user_id: str, *, after: int = 0, limit: int = 100) -> list[tuple[int, Rating]]:
        """The user's ratings in the order of item keys, each with its item key, from those above `after`."""
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(ratings.c.item_key, items.c.item_id, ratings.c.value, ratings.c.rated_at)
                .select_from(ratings.join(users, users.c.user_key == ratings.c.user_key))
                .join(items, items.c.item_key == ratings.c.item_key)
                .where(users.c.user_id == user_id, ratings.c.value.is_not(None), ratings.c.item_key > after)
                .order_by(ratings.c.item_key)
                .limit(limit)
            ).all()
        return [(row.item_key, Rating(user_id, row.item_id, row.value, _moment(row.rated_at))) for row in rows]

    def newest_page(
        self, user_id: str, *, before: tuple[int, int] | None = None, limit: int = 100
    ) -> list[tuple[tuple[int, int], Rating]]:
        """The user's ratings by time, newest first, unknown times last, each with its place in this order.

        A place: the time (microseconds UTC, or `UNKNOWN_TIME`) and the item's key, which orders equal times. `before`:
        the place after which the page begins.
        """
        rated_at = sa.func.coalesce(ratings.c.rated_at, sa.literal(int(UNKNOWN_TIME), sa.BigInteger))
        statement = (
            sa.select(ratings.c.item_key, items.c.item_id, ratings.c.value, rated_at.label("rated_at"))
            .select_from(ratings.join(users, users.c.user_key == ratings.c.user_key))
            .join(items, items.c.item_key == ratings.c.item_key)
            .where(users.c.user_id == user_id, ratings.c.value.is_not(None))
            .order_by(rated_at.desc(), ratings.c.item_key.desc())
            .limit(limit)
        )
        if before is not None:
            at, item_key = before
            is_later = (rated_at < at) | ((rated_at == at) & (ratings.c.item_key < item_key))
            statement = statement.where(is_later)
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        return [
            ((row.rated_at, row.item_key), Rating(user_id, row.item_id, row.value, _moment(row.rated_at)))
            for row in rows
        ]

    def count(self) -> int:
        with self._database.reading() as connection:
            statement = sa.select(sa.func.count()).select_from(ratings).where(ratings.c.value.is_not(None))
            return int(connection.execute(statement).scalar_one())

    def change_count(self) -> int:
        """The number of rating changes so far, with edits, deletions and the changes of deleted users."""
        with self._database.reading() as connection:
            return count_changes(connection)

    def stream(self, chunk_size: int = 50_000) -> Iterator[IncomingRatings]:
        """All ratings by public id, in the order of surrogate keys, in chunks, so that memory stays bounded."""
        after = (0, 0)
        statement = (
            sa.select(ratings.c.user_key, ratings.c.item_key, users.c.user_id, items.c.item_id)
            .add_columns(ratings.c.value, ratings.c.rated_at)
            .select_from(ratings.join(users, users.c.user_key == ratings.c.user_key))
            .join(items, items.c.item_key == ratings.c.item_key)
            .where(ratings.c.value.is_not(None))
            .order_by(ratings.c.user_key, ratings.c.item_key)
            .limit(chunk_size)
        )
        while True:
            # A transaction for each chunk: a long one would keep SQLite's log and Postgres' dead rows from being freed.
            with self._database.reading() as connection:
                pair = sa.tuple_(ratings.c.user_key, ratings.c.item_key)
                rows = connection.execute(statement.where(pair > after)).all()
            if not rows:
                return
            yield IncomingRatings(
                [row.user_id for row in rows],
                [row.item_id for row in rows],
                np.array([row.value for row in rows]),
                np.array([UNKNOWN_TIME if row.rated_at is None else row.rated_at for row in rows], dtype=np.int64),
            )
            after = (rows[-1].user_key, rows[-1].item_key)


def known_items(database: Database, connection: sa.Connection, item_ids: Collection[str]) -> set[str]:
    """Those of the distinct ids whose item is stored and not deleted."""
    return {item_id for (item_id,) in database.dialect.rows_of(connection, KNOWN_ITEMS, list(item_ids))}


def rows_of_known_items(database: Database, connection: sa.Connection, item_ids: list[str]) -> NDArray[np.intp]:
    """(m,) rows, of n, whose item is stored. The items are not locked, see `resolve_keys`."""
    known = known_items(database, connection, dict.fromkeys(item_ids))
    return np.flatnonzero([item_id in known for item_id in item_ids])


def resolve_keys(
    database: Database,
    connection: sa.Connection,
    user_ids: list[str],
    item_ids: list[str],
    *,
    inserts_items: bool = True,
) -> tuple[KeyArray, KeyArray, KeyArray]:
    """((n,) user keys, (n,) item keys, (m,) keys of inserted users) of n rows; inserts missing users and items.

    Locks the users.

    Without `inserts_items`, raises `OvertakenError` for a missing item. Raises `RedirectedError` for users that
    are merged guests.
    """
    distinct_users, user_places = _distinct(user_ids)
    distinct_items, item_places = _distinct(item_ids)
    user_keys, new_users = database.dialect.user_keys(connection, distinct_users)
    refuse_redirected(database, connection, new_users)
    database.note("users", stored=len(new_users))
    item_keys, inserted = database.dialect.item_keys(connection, distinct_items)
    if inserted:
        # Deleted since the caller found it. The error undoes the insertion of the item and of its users.
        if not inserts_items:
            raise OvertakenError
        # Deleted items that come back for the history of users are not counted as items.
        marked = mark_deleted(database, connection, inserted)
        database.note("items", stored=len(inserted) - len(marked))
        version = counters.grow(connection, "catalogue")
        # New items carry version 0 until the catalogue's is known; none of them is visible before the commit.
        connection.execute(sa.update(items).where(items.c.version == 0).values(version=version))
    new = set(new_users)
    is_new = np.fromiter((user_id in new for user_id in distinct_users), np.bool_, count=len(distinct_users))
    return user_keys[user_places], item_keys[item_places], user_keys[is_new]


def _distinct(ids: list[str]) -> tuple[list[str], NDArray[np.intp]]:
    """The distinct ids in order of arrival, and the place of each row's id among them."""
    places: dict[str, int] = {}
    of_row = np.fromiter((places.setdefault(identifier, len(places)) for identifier in ids), np.intp, count=len(ids))
    return list(places), of_row


def count_changes(connection: sa.Connection) -> int:
    """As `Ratings.change_count`."""
    total = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(users.c.version), 0))).scalar_one()
    return int(total) + counters.read(connection, "erased")


def _moment(rated_at: int | None) -> datetime | None:
    return None if rated_at is None or rated_at == UNKNOWN_TIME else from_microseconds(rated_at)


def decide(value: ValueArray, rated_at: TimeArray, existing: ExistingRatings, untimed_at: TimeArray | None) -> Recorded:
    """Applies the rule of the upsert to (n,) rows of distinct pairs."""
    is_there = existing.is_stored & ~np.isnan(existing.value)
    time = rated_at
    repeats = np.zeros(len(value), dtype=np.bool_)
    if untimed_at is not None:
        is_untimed = rated_at == UNKNOWN_TIME
        # Ahead of a clock that was set back, what is stored is older nevertheless.
        is_set_back = existing.is_stored & (existing.rated_at > untimed_at)
        time = np.where(is_untimed, np.where(is_set_back, existing.rated_at + 1, untimed_at), rated_at)
        # The same value again without a time is a retry; it must not look newer than it is.
        repeats = is_untimed & is_there & (existing.value == value)
    # `>=`: of equal times the later arrival wins.
    wins = ~existing.is_stored | (time >= existing.rated_at)
    same = is_there & (existing.value == value) & (existing.rated_at == time)
    writes = wins & ~same & ~repeats
    # A rating in place of a tombstone is new: its user had none.
    status = np.where(writes, np.where(is_there, REPLACED, STORED), UNCHANGED).astype(np.int8)
    return Recorded(status, np.where(writes, value, existing.value), np.where(writes, time, existing.rated_at))
