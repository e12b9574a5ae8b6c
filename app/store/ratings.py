"""Ratings: the upsert, tombstones, and reads in bulk.

The rule of the upsert (`decide`): the newest `rated_at` wins, of equal times the later arrival; a replay changes
nothing; values are never added up. A deletion leaves a tombstone with its time, which the rule treats as any value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, IncomingRatings, Rating, from_microseconds
from app.store import counters
from app.store.database import Database
from app.store.dialect import ExistingRatings, KeyArray, TimeArray, ValueArray
from app.store.schema import items, ratings, users
from app.store.trends import add_to_trends

STORED, REPLACED, UNCHANGED = 0, 1, 2
"""What became of an incoming row, of a rating, event, item, user, placement or event type alike."""

TOMBSTONES_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of each incoming rating; equal lengths n, in order of arrival.

    `status` (n,) int8: STORED, REPLACED or UNCHANGED. `value` (n,) float64 and `rated_at` (n,) int64: those now stored.
    """

    status: NDArray[np.int8]
    value: ValueArray
    rated_at: TimeArray

    def count(self, status: int) -> int:
        return int(np.count_nonzero(self.status == status))

    def part(self, start: int, end: int) -> "Recorded":
        return Recorded(self.status[start:end], self.value[start:end], self.rated_at[start:end])


class Ratings:
    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, incoming: IncomingRatings, *, untimed_at: TimeArray | None = None) -> Recorded:
        """Upserts all rows, in order of arrival, in one transaction; inserts missing users and items.

        `untimed_at` (n,) int64: the time of rows without one (the server's clock, microseconds UTC), which leave an
        equal value untouched. None (files): such rows stay without a time, older than any known time.
        """
        n = len(incoming)
        recorded = Recorded(np.empty(n, dtype=np.int8), np.empty(n), np.empty(n, dtype=np.int64))
        with self._database.writing() as connection:
            user_key, item_key = resolve_keys(self._database, connection, incoming.user_id, incoming.item_id)
            # A pair that comes twice is decided twice, the second time against what the first stored.
            for rows in _rounds(user_key, item_key):
                pairs = user_key[rows], item_key[rows]
                decided = decide(
                    incoming.value[rows],
                    incoming.rated_at[rows],
                    self._database.dialect.existing(connection, *pairs),
                    None if untimed_at is None else untimed_at[rows],
                )
                recorded.status[rows], recorded.value[rows], recorded.rated_at[rows] = (
                    decided.status,
                    decided.value,
                    decided.rated_at,
                )
                write = decided.status != UNCHANGED
                self._write(connection, pairs[0][write], pairs[1][write], decided.value[write], decided.rated_at[write])
            # A rating that replaces another one says nothing new of the item's popularity.
            new = recorded.status == STORED
            weight = np.ones(new.sum())
            add_to_trends(self._database, connection, user_key[new], item_key[new], recorded.rated_at[new], weight)
        return recorded

    def _write(
        self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray, value: ValueArray, rated_at: TimeArray
    ) -> None:
        if not len(user_key):
            return
        self._database.dialect.write_ratings(connection, user_key, item_key, value, rated_at)
        # In the same transaction: a request that sees the version sees the ratings.
        changed_users, changes = np.unique(user_key, return_counts=True)
        self._database.dialect.bump_users(connection, changed_users, changes)

    def remove(self, user_id: str, item_id: str, *, at: int) -> bool:
        """Leaves a tombstone of time `at`, or of the rating's own time if later; False if there is no rating."""
        with self._database.writing() as connection:
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
            # Not older than the rating, or a replay of the rating would win against the tombstone.
            deleted_at = np.maximum(existing.rated_at, at)
            self._write(connection, user_key, item_key, np.array([np.nan]), deleted_at)
            return True

    def purge_tombstones(self, *, now: int) -> int:
        """Removes tombstones older than `TOMBSTONES_KEPT`, against which no replay is expected; returns how many."""
        before = now - TOMBSTONES_KEPT // timedelta(microseconds=1)
        with self._database.writing() as connection:
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

    def count(self) -> int:
        with self._database.reading() as connection:
            statement = sa.select(sa.func.count()).select_from(ratings).where(ratings.c.value.is_not(None))
            return int(connection.execute(statement).scalar_one())

    def change_count(self) -> int:
        """The number of rating changes so far, with edits, deletions and the changes of deleted users."""
        with self._database.reading() as connection:
            return count_changes(connection)

    def counts_by_item(self) -> tuple[KeyArray, NDArray[np.int64]]:
        """((n,) item keys, (n,) numbers of ratings) of the items with any: popularity before there is a snapshot."""
        statement = "SELECT item_key, count(*) FROM ratings WHERE value IS NOT NULL GROUP BY item_key"
        with self._database.reading() as connection:
            rows = self._database.dialect.all_rows(connection, statement, [("key", "i8"), ("count", "i8")])
        return rows["key"], rows["count"]

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


def resolve_keys(
    database: Database, connection: sa.Connection, user_ids: list[str], item_ids: list[str]
) -> tuple[KeyArray, KeyArray]:
    """((n,) user keys, (n,) item keys) of n rows; inserts missing users and items; locks the users."""
    distinct_users, user_places = _distinct(user_ids)
    distinct_items, item_places = _distinct(item_ids)
    user_keys = database.dialect.user_keys(connection, distinct_users)
    item_keys, inserted = database.dialect.item_keys(connection, distinct_items)
    if inserted:
        version = counters.grow(connection, "catalogue")
        # New items carry version 0 until the catalogue's is known; none of them is visible before the commit.
        connection.execute(sa.update(items).where(items.c.version == 0).values(version=version))
    return user_keys[user_places], item_keys[item_places]


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
    return None if rated_at is None else from_microseconds(rated_at)


def _rounds(user_key: KeyArray, item_key: KeyArray) -> Iterator[NDArray[np.intp]]:
    """Row indices in rounds without repeated pairs: the n-th arrival of a pair is in round n."""
    # Equal pairs become neighbours in order of arrival; the place within its pair is the row's round.
    order = np.lexsort((np.arange(len(user_key)), item_key, user_key))
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = (np.diff(user_key[order]) != 0) | (np.diff(item_key[order]) != 0)
    start_of_pair = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    arrival = np.empty(len(order), dtype=np.intp)
    arrival[order] = np.arange(len(order)) - start_of_pair
    for n in range(int(arrival.max(initial=-1)) + 1):
        yield np.flatnonzero(arrival == n)


def decide(value: ValueArray, rated_at: TimeArray, existing: ExistingRatings, untimed_at: TimeArray | None) -> Recorded:
    """Applies the rule of the upsert to (n,) rows of distinct pairs."""
    is_there = existing.is_stored & ~np.isnan(existing.value)
    time = rated_at
    repeats = np.zeros(len(value), dtype=np.bool_)
    if untimed_at is not None:
        is_untimed = rated_at == UNKNOWN_TIME
        time = np.where(is_untimed, untimed_at, rated_at)
        # The same value again without a time is a retry; it must not look newer than it is.
        repeats = is_untimed & is_there & (existing.value == value)
    # `>=`: of equal times the later arrival wins.
    wins = ~existing.is_stored | (time >= existing.rated_at)
    same = is_there & (existing.value == value) & (existing.rated_at == time)
    writes = wins & ~same & ~repeats
    # A rating in place of a tombstone is new: its user had none.
    status = np.where(writes, np.where(is_there, REPLACED, STORED), UNCHANGED).astype(np.int8)
    return Recorded(status, np.where(writes, value, existing.value), np.where(writes, time, existing.rated_at))
