"""Postgres: bulk work by array parameters, one statement a chunk; a user's row lock orders the writers of a user."""

from asyncio import gather
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.entities import UNKNOWN_TIME
from app.errors import ReckonError, StorageFullError, UnavailableError
from app.store.columns import ExistingRatings, KeyArray, TimeArray, ValueArray
from app.store.database import Version, translated
from app.store.lookup import Lookup, Row
from app.store.shared_reader import SharedReader
from app.store.upsert import Upsert

DISK_FULL, READ_ONLY = "53100", "25006"
FETCH_ROWS = 50_000
# Writers take locks in one order, so that none wait in a circle: makers of users, users' rows by key, makers of items,
# items' rows by key, counters, event types, events by id, trends by country and item.
USER_MAKERS_LOCK, ITEM_MAKERS_LOCK = 0x5EC0, 0x5EC1


class PostgresDialect:
    reads_are_local = False
    driver_error: type[Exception] = psycopg.Error

    def __init__(self, url: sa.URL) -> None:
        self.engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=10,
            max_overflow=40,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"connect_timeout": 5, "application_name": "reckon"},
            isolation_level="REPEATABLE READ",  # a reader sees one state; writers lower it to what locks need
        )
        self._hot_engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        _, arguments = self.engine.dialect.create_connect_args(self.engine.url)
        self._shared_reader = SharedReader(arguments)

    def writing(self) -> Iterator[sa.Connection]:
        # READ COMMITTED: after waiting for a user's lock, the next statement sees what the holder committed.
        with (
            self.engine.connect().execution_options(isolation_level="READ COMMITTED") as connection,
            connection.begin(),
        ):
            yield connection

    def hot_row(self, statement: str, parameter: object) -> tuple[Any, ...] | None:
        rows = self.hot_rows(statement, parameter)
        return rows[0] if rows else None

    def hot_rows(self, statement: str, parameter: object) -> list[tuple[Any, ...]]:
        try:
            with self._hot_engine.connect() as connection:
                cursor = connection.exec_driver_sql(statement.replace("?", "%s"), (parameter,))
                return [tuple(row) for row in cursor]
        except DBAPIError as error:
            raise translated(error, self) from None

    async def look_up_row(self, lookup: Lookup, parameter: object) -> Row | None:
        return await self._look_up(_rows_of_many(lookup), parameter)

    async def look_up_rows(self, lookup: Lookup, parameters: Sequence[object]) -> list[Row | None]:
        # The reader answers by one statement all that wait for it.
        return await gather(*(self.look_up_row(lookup, parameter) for parameter in parameters))

    async def look_up_columns(self, lookup: Lookup, parameter: object) -> Sequence[Sequence[Any]]:
        columns = await self._look_up(_columns_of_many(lookup), parameter)
        return [column or () for column in columns or ()]  # arrays of no rows are NULL

    async def _look_up(self, statement: str, parameter: object) -> Row | None:
        try:
            return await self._shared_reader.row(statement, parameter)
        except psycopg.Error as error:
            raise translated(error, self) from None

    def now(self, connection: sa.Connection) -> int:
        statement = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        return int(connection.exec_driver_sql(statement).scalar_one())

    def user_keys(self, connection: sa.Connection, user_ids: Sequence[str]) -> KeyArray:
        find = "SELECT user_id, user_key FROM users WHERE user_id = ANY(%s)"
        make = (
            "INSERT INTO users (user_id) SELECT unnest(%s::text[]) ON CONFLICT (user_id) DO NOTHING RETURNING user_id"
        )
        lock = "ORDER BY user_key FOR UPDATE"
        while True:
            keys, _ = self._find_or_make(connection, user_ids, find, lock, make, USER_MAKERS_LOCK)
            if keys is not None:
                return keys
            # Whoever makes users must hold no user's lock. Nothing was written yet: the transaction begins anew.
            connection.connection.rollback()

    def item_keys(self, connection: sa.Connection, item_ids: Sequence[str]) -> tuple[KeyArray, list[str]]:
        find = "SELECT item_id, item_key FROM items WHERE item_id = ANY(%s)"
        make = (
            "INSERT INTO items (item_id, version) SELECT unnest(%s::text[]), 0"
            " ON CONFLICT (item_id) DO NOTHING RETURNING item_id"
        )
        # Shared with every other writer of ratings; it only keeps the item from being deleted under this one.
        lock = "ORDER BY item_key FOR KEY SHARE"
        made: list[str] = []
        while True:
            keys, new = self._find_or_make(connection, item_ids, find, lock, make, ITEM_MAKERS_LOCK)
            made += new
            if keys is not None:
                return keys, made

    def _find_or_make(
        self, connection: sa.Connection, ids: Sequence[str], find: str, lock: str, make: str, makers_lock: int
    ) -> tuple[KeyArray | None, list[str]]:
        """Locked keys in the order of distinct `ids`, and which of them were made.

        The keys are None where an id was found, and then deleted by another before we had its lock: to be tried again.
        """
        found = self._keys(connection, find, ids)
        missing = [identifier for identifier in ids if identifier not in found]
        made = self._make(connection, make, missing, makers_lock) if missing else []
        found = self._keys(connection, f"{find} {lock}", ids)
        if len(found) != len(ids):
            return None, made
        return np.fromiter((found[identifier] for identifier in ids), dtype=np.int64, count=len(ids)), made

    @staticmethod
    def _keys(connection: sa.Connection, statement: str, ids: Sequence[str]) -> dict[str, int]:
        return {row[0]: row[1] for row in connection.exec_driver_sql(statement, (list(ids),))}

    @staticmethod
    def _make(connection: sa.Connection, statement: str, ids: Sequence[str], lock: int) -> list[str]:
        """Insert new ids in the order of arrival (keys follow it), one maker at a time: two could wait in a circle."""
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (lock,))
        return [row[0] for row in connection.exec_driver_sql(statement, (list(ids),))]

    def existing(self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray) -> ExistingRatings:
        statement = (
            "SELECT wanted.place - 1, ratings.value, ratings.rated_at"
            " FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS wanted (user_key, item_key, place)"
            " JOIN ratings USING (user_key, item_key)"
        )
        is_found = np.zeros(len(user_key), dtype=np.bool_)
        value = np.zeros(len(user_key))
        rated_at = np.zeros(len(user_key), dtype=np.int64)
        for row, stored, time in connection.exec_driver_sql(statement, (user_key.tolist(), item_key.tolist())):
            is_found[row] = True
            value[row] = np.nan if stored is None else stored
            rated_at[row] = UNKNOWN_TIME if time is None else time
        return ExistingRatings(is_found, value, rated_at)

    def write_ratings(
        self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray, value: ValueArray, rated_at: TimeArray
    ) -> None:
        connection.exec_driver_sql(
            "INSERT INTO ratings (user_key, item_key, value, rated_at)"
            " SELECT user_key, item_key, nullif(value, 'NaN'), nullif(rated_at, %s)"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::float8[], %s::bigint[])"
            " AS incoming (user_key, item_key, value, rated_at) ORDER BY user_key, item_key"
            " ON CONFLICT (user_key, item_key) DO UPDATE SET value = excluded.value, rated_at = excluded.rated_at",
            (int(UNKNOWN_TIME), user_key.tolist(), item_key.tolist(), value.tolist(), rated_at.tolist()),
        )

    def bump_users(
        self, connection: sa.Connection, user_key: KeyArray, changes: KeyArray, of: Version = "version"
    ) -> None:
        connection.exec_driver_sql(
            f"UPDATE users SET {of} = {of} + changes"  # noqa: S608  one of two names of ours
            " FROM unnest(%s::bigint[], %s::bigint[]) AS bumped (key, changes) WHERE user_key = key",
            (user_key.tolist(), changes.tolist()),
        )

    def upsert(self, connection: sa.Connection, upsert: Upsert, columns: Sequence[Sequence[Any]]) -> int:
        return connection.exec_driver_sql(upsert.of_arrays, tuple(map(list, columns))).rowcount

    def find_rows(self, connection: sa.Connection, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        of_all = statement.replace("= ?", "= ANY(%s)")
        return [tuple(row) for row in connection.exec_driver_sql(of_all, (list(values),))]

    def log2_sum(self, one: str, other: str) -> str:
        # A power below 2^-60 changes no digit of 1, and Postgres refuses to round it to 0.
        smaller = f"power(2::float8, greatest(-60, -abs({one} - {other})))"
        return f"greatest({one}, {other}) + ln(1 + {smaller}) / ln(2::float8)"

    def all_rows(self, connection: sa.Connection, statement: str, dtype: Any) -> Any:
        result = connection.execution_options(yield_per=FETCH_ROWS).exec_driver_sql(statement)
        parts = [np.array([tuple(row) for row in part], dtype=dtype) for part in result.partitions()]
        return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)

    def expected(self, error: BaseException | None) -> ReckonError | None:
        if getattr(error, "sqlstate", None) == DISK_FULL:
            return StorageFullError("the database has no room left")
        if getattr(error, "sqlstate", None) == READ_ONLY:  # a standby that has not taken over yet
            return UnavailableError("the database takes no writes now")
        return UnavailableError("the database does not answer") if isinstance(error, psycopg.OperationalError) else None

    def close(self) -> None:
        self._shared_reader.close()
        self.engine.dispose()


@cache
def _rows_of_many(lookup: Lookup) -> str:
    array = {str: "text[]", int: "bigint[]"}[lookup.by]
    of_one = lookup.statement.replace("?", "asked.parameter")
    asked = f"unnest(%s::{array}) WITH ORDINALITY AS asked (parameter, place)"
    return f"SELECT asked.place, answer.* FROM {asked} CROSS JOIN LATERAL ({of_one}) AS answer"  # noqa: S608  our own


@cache
def _columns_of_many(lookup: Lookup) -> str:
    """An array a column: the driver makes a list of an array ten times as fast as tuples of its rows."""
    arrays = ", ".join(f"array_agg({column})" for column in lookup.columns)
    of_one = f"SELECT {arrays} FROM ({lookup.statement}) AS answers"  # noqa: S608  our own
    return _rows_of_many(replace(lookup, statement=of_one))
