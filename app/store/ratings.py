"""Ratings: the upsert, tombstones, a user's history, everything in bulk.

The rule of the upsert, in one place: the newest `rated_at` wins; equal times: the later arrival; a replay changes
nothing; values are never added up. A deletion leaves a tombstone with its time, which the rule treats as any value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, IncomingRatings, Rating, from_microseconds
from app.store import counters
from app.store.columns import ExistingRatings, KeyArray, TimeArray, ValueArray
from app.store.database import Database
from app.store.key_resolution import resolve_keys
from app.store.lookup import Lookup
from app.store.schema import items, ratings, users
from app.store.trends import add_event

STORED, REPLACED, UNCHANGED = 0, 1, 2
TOMBSTONES_KEPT = timedelta(days=30)

HISTORY = Lookup(
    "SELECT item_key, value, coalesce(rated_at, -9223372036854775807 - 1) AS rated_at"
    " FROM ratings WHERE user_key = ? AND value IS NOT NULL",
    by=int,
    columns=("item_key", "value", "rated_at"),
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of each incoming row; equal lengths n, in order of arrival.

    `status` (n,) int8: STORED, REPLACED or UNCHANGED. `value`, `rated_at`: what is stored now.
    """

    status: NDArray[np.int8]
    value: ValueArray
    rated_at: TimeArray

    def count(self, status: int) -> int:
        return int(np.count_nonzero(self.status == status))

    def part(self, start: int, end: int) -> "Recorded":
        return Recorded(self.status[start:end], self.value[start:end], self.rated_at[start:end])


@dataclass(frozen=True, slots=True)
class RatingHistory:
    """A user's ratings, newest first, unknown times last; equal lengths n."""

    item_key: KeyArray
    value: ValueArray
    rated_at: TimeArray

    @classmethod
    def of(cls, columns: Sequence[Sequence[Any]]) -> Self:
        """From the columns of `HISTORY`, in any order."""
        item_key, value, rated_at = columns
        times = np.array(rated_at, dtype=np.int64)
        newest_first = (~times).argsort(kind="stable")  # the complement reverses the order of all, of the least too
        return cls(np.array(item_key, dtype=np.int64)[newest_first], np.array(value)[newest_first], times[newest_first])


class Ratings:
    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, incoming: IncomingRatings, *, untimed_at: TimeArray | None = None) -> Recorded:
        """Upsert all rows, in order of arrival, in one transaction.

        `untimed_at` (n,): rows without a time take this one (the server's clock, microseconds UTC) and leave an equal
        value untouched; None (files): they stay without, older than any known time. Users and items are made as needed.
        """
        n = len(incoming)
        recorded = Recorded(np.empty(n, dtype=np.int8), np.empty(n), np.empty(n, dtype=np.int64))
        with self._database.writing() as connection:
            user_key, item_key = resolve_keys(self._database, connection, incoming.user_id, incoming.item_id)
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
            new = recorded.status == STORED
            add_event(
                self._database, connection, user_key[new], item_key[new], recorded.rated_at[new], np.ones(new.sum())
            )
        return recorded

    def _write(
        self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray, value: ValueArray, rated_at: TimeArray
    ) -> None:
        if not len(user_key):
            return
        self._database.dialect.write_ratings(connection, user_key, item_key, value, rated_at)
        changed_users, changes = np.unique(user_key, return_counts=True)
        self._database.dialect.bump_users(connection, changed_users, changes)

    def remove(self, user_id: str, item_id: str, *, at: int) -> bool:
        """Leave a tombstone of time `at`, or of the rating's own time if that is later; False if there is no rating."""
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
            if not existing.is_found[0] or np.isnan(existing.value[0]):
                return False
            deleted_at = np.maximum(existing.rated_at, at)
            self._write(connection, user_key, item_key, np.array([np.nan]), deleted_at)
            return True

    def purge_tombstones(self, *, now: int) -> int:
        """Forget deletions that are too old for a replay to come; returns how many."""
        before = now - TOMBSTONES_KEPT // timedelta(microseconds=1)
        with self._database.writing() as connection:
            statement = sa.delete(ratings).where(ratings.c.value.is_(None), ratings.c.rated_at < before)
            return connection.execute(statement).rowcount

    def history(self, user_key: int) -> RatingHistory:
        """The user's ratings by surrogate key, by the shortest way (the serving path reads this)."""
        rows = self._database.dialect.hot_rows(HISTORY.statement, user_key)
        return RatingHistory.of(list(zip(*rows, strict=True)) if rows else [()] * 3)

    def page(self, user_id: str, *, after: int = 0, limit: int = 100) -> list[tuple[int, Rating]]:
        """The user's ratings in the order of item keys, each with its item key, beginning behind key `after`."""
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
        """Rating changes so far, edits and deletions included, those of deleted users too."""
        with self._database.reading() as connection:
            return count_changes(connection)

    def counts_by_item(self) -> tuple[KeyArray, NDArray[np.int64]]:
        """(item keys, number of ratings), for the items that have any: popularity before there is a snapshot."""
        statement = "SELECT item_key, count(*) FROM ratings WHERE value IS NOT NULL GROUP BY item_key"
        with self._database.reading() as connection:
            rows = self._database.dialect.all_rows(connection, statement, [("key", "i8"), ("count", "i8")])
        return rows["key"], rows["count"]

    def stream(self, chunk_size: int = 50_000) -> Iterator[IncomingRatings]:
        """All ratings by public id, in the order of surrogate keys, in chunks: memory does not grow with the table."""
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


def count_changes(connection: sa.Connection) -> int:
    """As `Ratings.change_count`."""
    total = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(users.c.version), 0))).scalar_one()
    return int(total) + counters.read(connection, "erased")


def _moment(rated_at: int | None) -> datetime | None:
    return None if rated_at is None else from_microseconds(rated_at)


def _rounds(user_key: KeyArray, item_key: KeyArray) -> Iterator[NDArray[np.intp]]:
    """Row indices in rounds, none of which holds a pair twice; a pair's n-th arrival is in round n."""
    order = np.lexsort((np.arange(len(user_key)), item_key, user_key))
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = (np.diff(user_key[order]) != 0) | (np.diff(item_key[order]) != 0)
    start_of_pair = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    arrival = np.empty(len(order), dtype=np.intp)
    arrival[order] = np.arange(len(order)) - start_of_pair
    for n in range(int(arrival.max(initial=-1)) + 1):
        yield np.flatnonzero(arrival == n)


def decide(value: ValueArray, rated_at: TimeArray, existing: ExistingRatings, untimed_at: TimeArray | None) -> Recorded:
    """The upsert rule on rows of distinct pairs; see the head of this file."""
    is_there = existing.is_found & ~np.isnan(existing.value)
    time = rated_at
    repeats = np.zeros(len(value), dtype=np.bool_)
    if untimed_at is not None:
        is_untimed = rated_at == UNKNOWN_TIME
        time = np.where(is_untimed, untimed_at, rated_at)
        repeats = is_untimed & is_there & (existing.value == value)
    wins = ~existing.is_found | (time >= existing.rated_at)
    same = is_there & (existing.value == value) & (existing.rated_at == time)
    writes = wins & ~same & ~repeats
    status = np.where(writes, np.where(is_there, REPLACED, STORED), UNCHANGED).astype(np.int8)
    return Recorded(status, np.where(writes, value, existing.value), np.where(writes, time, existing.rated_at))
