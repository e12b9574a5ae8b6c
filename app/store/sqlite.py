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
from app.store.dialect import (
    ExistingRatings,
    KeyArray,
    PointRead,
    Row,
    TimeArray,
    Upsert,
    ValueArray,
    VersionColumn,
    translated,
)
from app.store.write_lock import WriteLock

BUSY_TIMEOUT_MILLISECONDS = 5_000  # for writers outside Reckon; those of Reckon queue on the write lock
# Many parameters are passed as one JSON array: one statement for each row costs 3 us, eight times as much. New keys
# follow the order of arrival, which makes imports reproducible.
FIND_USERS = "SELECT user_key FROM json_each(?) AS wanted LEFT JOIN users ON user_id = wanted.value ORDER BY wanted.key"
INSERT_USERS = "INSERT INTO users (user_id) SELECT value FROM json_each(?) ORDER BY key"
FIND_ITEMS = "SELECT item_key FROM json_each(?) AS wanted LEFT JOIN items ON item_id = wanted.value ORDER BY wanted.key"
INSERT_ITEMS = "INSERT INTO items (item_id, version) SELECT value, 0 FROM json_each(?) ORDER BY key"
FIND_RATINGS = (
    "SELECT wanted.key, ratings.value, rated_at FROM json_each(?) AS wanted CROSS JOIN ratings"
    " ON user_key = json_extract(wanted.value, '$[0]') AND item_key = json_extract(wanted.value, '$[1]')"
)


class SqliteDialect:
    """The `Dialect` of one SQLite file."""

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
        # `_begin` sends BEGIN: the driver's own comes with the first write, too late to fix what a reader sees.
        connection.isolation_level = None
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
        # A read transaction that begins to write fails at once if another one wrote meanwhile, whatever the timeout.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    def writing(self) -> Iterator[sa.Connection]:
        with (
            self._write_lock.held(),
            self.engine.connect().execution_options(is_writer=True) as connection,
            connection.begin(),
        ):
            yield connection

    def _hot_connection(self) -> sqlite3.Connection:
        """One read-only connection for each thread, without pool and SQLAlchemy: 6 to 10 us for a row by its index."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._hot_connections.append(connection)
            self._configure(connection, None)
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
        return connection

    def hot_row(self, statement: str, parameter: object) -> Row | None:
        row: Row | None = self._hot_execute(statement, parameter).fetchone()
        return row

    async def read_row(self, read: PointRead, parameter: object) -> Row | None:
        return self.hot_row(read.statement, parameter)

    async def read_rows(self, read: PointRead, parameters: Sequence[object]) -> list[Row | None]:
        return [self.hot_row(read.statement, parameter) for parameter in parameters]

    async def read_columns(self, read: PointRead, parameter: object) -> Sequence[Sequence[Any]]:
        rows = self._hot_execute(read.statement, parameter).fetchall()
        return list(zip(*rows, strict=True)) if rows else [()] * len(read.columns)

    def _hot_execute(self, statement: str, parameter: object) -> sqlite3.Cursor:
        try:
            return self._hot_connection().execute(statement, (parameter,))
        except sqlite3.Error as error:
            raise translated(error, self) from None

    def now(self, connection: sa.Connection) -> int:  # noqa: ARG002  one host: its clock is that of the database
        return time.time_ns() // 1_000

    def user_keys(self, connection: sa.Connection, user_ids: Sequence[str]) -> KeyArray:
        keys, _ = _find_or_insert(_cursor(connection), user_ids, FIND_USERS, INSERT_USERS)
        return keys

    def item_keys(self, connection: sa.Connection, item_ids: Sequence[str]) -> tuple[KeyArray, list[str]]:
        return _find_or_insert(_cursor(connection), item_ids, FIND_ITEMS, INSERT_ITEMS)

    def existing(self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray) -> ExistingRatings:
        is_stored = np.zeros(len(user_key), dtype=np.bool_)
        value = np.zeros(len(user_key))
        rated_at = np.zeros(len(user_key), dtype=np.int64)
        pairs = json.dumps(np.column_stack((user_key, item_key)).tolist())
        for row, stored, time_ in _cursor(connection).execute(FIND_RATINGS, (pairs,)):
            is_stored[row] = True
            value[row] = np.nan if stored is None else stored
            rated_at[row] = UNKNOWN_TIME if time_ is None else time_
        return ExistingRatings(is_stored, value, rated_at)

    def write_ratings(
        self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray, value: ValueArray, rated_at: TimeArray
    ) -> None:
        # The driver stores NaN as NULL, the value of a tombstone. Sorted rows touch each page of the B-tree once.
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
        self, connection: sa.Connection, user_key: KeyArray, changes: KeyArray, column: VersionColumn = "version"
    ) -> None:
        _cursor(connection).executemany(
            f"UPDATE users SET {column} = {column} + ? WHERE user_key = ?",  # noqa: S608  one of two names of ours
            zip(changes.tolist(), user_key.tolist(), strict=True),
        )

    def upsert(self, connection: sa.Connection, upsert: Upsert, columns: Sequence[Sequence[Any]]) -> int:
        return _cursor(connection).executemany(upsert.of_one_row, zip(*columns, strict=True)).rowcount

    def rows_of(self, connection: sa.Connection, statement: str, values: Sequence[Any]) -> list[Row]:
        of_all = statement.replace("= ?", "IN (SELECT value FROM json_each(?))")
        return _cursor(connection).execute(of_all, (json.dumps(values),)).fetchall()

    def log2_sum(self, left: str, right: str) -> str:
        return f"log2_sum({left}, {right})"

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


def _log2_sum(left: float, right: float) -> float:
    """A function of SQL written in Python, since not every SQLite is built with mathematical functions."""
    # log2(2^a + 2^b) = max(a, b) + log2(1 + 2^-|a - b|), whose power cannot overflow
    return max(left, right) + math.log2(1 + 2 ** -abs(left - right))


def _cursor(connection: sa.Connection) -> sqlite3.Cursor:
    """A cursor of the driver inside the connection's transaction; its `executemany` is 2.4 times as fast as Core's."""
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]  # of our engine
    return driver.cursor()


def _find_or_insert(cursor: sqlite3.Cursor, ids: Sequence[str], find: str, insert: str) -> tuple[KeyArray, list[str]]:
    """Keys in the order of distinct `ids`, and the ids that were inserted."""
    keys = cursor.execute(find, (json.dumps(ids),)).fetchall()
    missing = [identifier for identifier, (key,) in zip(ids, keys, strict=True) if key is None]
    if missing:
        cursor.execute(insert, (json.dumps(missing),))
        keys = cursor.execute(find, (json.dumps(ids),)).fetchall()
    return np.array(keys, dtype=np.int64).reshape(len(ids)), missing
