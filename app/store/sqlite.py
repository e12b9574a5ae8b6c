"""SQLite: WAL, `synchronous=FULL` (an acknowledged write survives power loss), one writer at a time."""

import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from app.entities import UNKNOWN_TIME
from app.errors import ReckonError, StorageFullError, UnavailableError
from app.store.columns import ExistingRatings, KeyArray, TimeArray, ValueArray
from app.store.database import Version, translated
from app.store.lookup import Lookup, Row
from app.store.upsert import Upsert
from app.store.write_lock import WriteLock

BUSY_TIMEOUT_MILLISECONDS = 5_000  # for writers outside Reckon: our own queue on the lock
# Many rows are asked for as one JSON array: a statement a row costs 3 us, eight times as much. Keys follow the order of
# arrival.
FIND_USERS = "SELECT user_key FROM json_each(?) AS asked LEFT JOIN users ON user_id = asked.value ORDER BY asked.key"
MAKE_USERS = "INSERT INTO users (user_id) SELECT value FROM json_each(?) ORDER BY key"
FIND_ITEMS = "SELECT item_key FROM json_each(?) AS asked LEFT JOIN items ON item_id = asked.value ORDER BY asked.key"
MAKE_ITEMS = "INSERT INTO items (item_id, version) SELECT value, 0 FROM json_each(?) ORDER BY key"
FIND_RATINGS = (
    "SELECT asked.key, ratings.value, rated_at FROM json_each(?) AS asked CROSS JOIN ratings"
    " ON user_key = json_extract(asked.value, '$[0]') AND item_key = json_extract(asked.value, '$[1]')"
)


class SqliteDialect:
    reads_are_local = True
    driver_error: type[Exception] = sqlite3.Error

    def __init__(self, url: sa.URL) -> None:
        self.path = Path(url.database or "")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write_lock = WriteLock(self.path.with_name(self.path.name + ".lock"))
        except OSError as error:
            raise UnavailableError(f"cannot open the database at {self.path}: {error.strerror}") from error
        self.engine = sa.create_engine(url, pool_size=10, max_overflow=40, hide_parameters=True)
        sa.event.listen(self.engine, "connect", self._configure)
        sa.event.listen(self.engine, "begin", self._begin)
        self._local = threading.local()
        self._hot_connections: list[sqlite3.Connection] = []

    @staticmethod
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: the driver's own comes too late for a reader
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "wal_autocheckpoint = 8000",  # 32 MB: a checkpoint writes each page once, however often it changed
            "cache_size = -65536",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function("log2_sum", 2, _log2_sum, deterministic=True)

    @staticmethod
    def _begin(connection: sa.Connection) -> None:
        is_writer = connection.get_execution_options().get("is_writer", False)
        # A read transaction that turns into a writer fails at once when another wrote meanwhile: writers start as such.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    def writing(self) -> Iterator[sa.Connection]:
        with (
            self._write_lock.held(),
            self.engine.connect().execution_options(is_writer=True) as connection,
            connection.begin(),
        ):
            yield connection

    def _hot_connection(self) -> sqlite3.Connection:
        """One connection a thread, outside the pool and SQLAlchemy: 6 to 10 us for one row by its index."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._hot_connections.append(connection)
            self._configure(connection, None)
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
        return connection

    def hot_row(self, statement: str, parameter: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._hot_execute(statement, parameter).fetchone()
        return row

    def hot_rows(self, statement: str, parameter: object) -> list[tuple[Any, ...]]:
        return self._hot_execute(statement, parameter).fetchall()

    async def look_up_row(self, lookup: Lookup, parameter: object) -> Row | None:
        return self.hot_row(lookup.statement, parameter)

    async def look_up_rows(self, lookup: Lookup, parameters: Sequence[object]) -> list[Row | None]:
        return [self.hot_row(lookup.statement, parameter) for parameter in parameters]

    async def look_up_columns(self, lookup: Lookup, parameter: object) -> Sequence[Sequence[Any]]:
        rows = self.hot_rows(lookup.statement, parameter)
        return list(zip(*rows, strict=True)) if rows else [()] * len(lookup.columns)

    def _hot_execute(self, statement: str, parameter: object) -> sqlite3.Cursor:
        try:
            return self._hot_connection().execute(statement, (parameter,))
        except sqlite3.Error as error:
            raise translated(error, self) from None

    def now(self, connection: sa.Connection) -> int:  # noqa: ARG002  one host: its clock is the database's
        return time.time_ns() // 1_000

    def user_keys(self, connection: sa.Connection, user_ids: Sequence[str]) -> KeyArray:
        keys, _ = _find_or_make(_cursor(connection), user_ids, FIND_USERS, MAKE_USERS)
        return keys

    def item_keys(self, connection: sa.Connection, item_ids: Sequence[str]) -> tuple[KeyArray, list[str]]:
        return _find_or_make(_cursor(connection), item_ids, FIND_ITEMS, MAKE_ITEMS)

    def existing(self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray) -> ExistingRatings:
        is_found = np.zeros(len(user_key), dtype=np.bool_)
        value = np.zeros(len(user_key))
        rated_at = np.zeros(len(user_key), dtype=np.int64)
        pairs = json.dumps(np.column_stack((user_key, item_key)).tolist())
        for row, stored, time_ in _cursor(connection).execute(FIND_RATINGS, (pairs,)):
            is_found[row] = True
            value[row] = np.nan if stored is None else stored
            rated_at[row] = UNKNOWN_TIME if time_ is None else time_
        return ExistingRatings(is_found, value, rated_at)

    def write_ratings(
        self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray, value: ValueArray, rated_at: TimeArray
    ) -> None:
        # The driver stores NaN as NULL, which is what a tombstone is. Sorted rows touch each page of the tree once.
        order = np.lexsort((item_key, user_key))
        times = rated_at[order].tolist()
        if UNKNOWN_TIME in times:
            times = [None if time_ == UNKNOWN_TIME else time_ for time_ in times]
        _cursor(connection).executemany(
            "INSERT INTO ratings (user_key, item_key, value, rated_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (user_key, item_key) DO UPDATE SET value = excluded.value, rated_at = excluded.rated_at",
            zip(user_key[order].tolist(), item_key[order].tolist(), value[order].tolist(), times, strict=True),
        )

    def bump_users(
        self, connection: sa.Connection, user_key: KeyArray, changes: KeyArray, of: Version = "version"
    ) -> None:
        _cursor(connection).executemany(
            f"UPDATE users SET {of} = {of} + ? WHERE user_key = ?",  # noqa: S608  one of two names of ours
            zip(changes.tolist(), user_key.tolist(), strict=True),
        )

    def upsert(self, connection: sa.Connection, upsert: Upsert, columns: Sequence[Sequence[Any]]) -> int:
        return _cursor(connection).executemany(upsert.of_one, zip(*columns, strict=True)).rowcount

    def find_rows(self, connection: sa.Connection, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        of_all = statement.replace("= ?", "IN (SELECT value FROM json_each(?))")
        return _cursor(connection).execute(of_all, (json.dumps(values),)).fetchall()

    def log2_sum(self, one: str, other: str) -> str:
        return f"log2_sum({one}, {other})"

    def all_rows(self, connection: sa.Connection, statement: str, dtype: Any) -> Any:
        return np.fromiter(_cursor(connection).execute(statement), dtype=dtype)

    def expected(self, error: BaseException | None) -> ReckonError | None:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_FULL:
            return StorageFullError("the database has no room left")
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return UnavailableError("the database is damaged, or not a database")
        return UnavailableError("the database does not answer") if isinstance(error, sqlite3.OperationalError) else None

    def close(self) -> None:
        for connection in self._hot_connections:
            connection.close()
        self.engine.dispose()
        self._write_lock.close()


def _log2_sum(one: float, other: float) -> float:
    """In Python: not every SQLite is built with mathematical functions."""
    return max(one, other) + math.log2(1 + 2 ** -abs(one - other))


def _cursor(connection: sa.Connection) -> sqlite3.Cursor:
    """A driver cursor inside the connection's transaction: `executemany` by it is 2.4 times Core's speed."""
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]  # of our engine
    return driver.cursor()


def _find_or_make(cursor: sqlite3.Cursor, ids: Sequence[str], find: str, make: str) -> tuple[KeyArray, list[str]]:
    """Keys in the order of distinct `ids`, and which of them were made."""
    keys = cursor.execute(find, (json.dumps(ids),)).fetchall()
    made = [identifier for identifier, (key,) in zip(ids, keys, strict=True) if key is None]
    if made:
        cursor.execute(make, (json.dumps(made),))
        keys = cursor.execute(find, (json.dumps(ids),)).fetchall()
    return np.array(keys, dtype=np.int64).reshape(len(ids)), made
