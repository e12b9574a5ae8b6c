"""SQLite: WAL, `synchronous=FULL` (an acknowledged write survives power loss), one writer at a time."""

import asyncio
import ctypes
import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME
from app.errors import ReckonError, StorageFullError, StorageUnavailableError, UnavailableError
from app.store.dialect import (
    MAX_ROWS_ON_LOOP,
    ColumnValues,
    ExistingRatings,
    KeyArray,
    Made,
    PointRead,
    Row,
    TimeArray,
    Upsert,
    ValueArray,
    VersionColumn,
    translated,
)
from app.store.disk_room import DiskRoom
from app.store.query_spans import trace_queries
from app.store.read_limit import ReadTooLongError
from app.store.sqlite_files import DatabaseDamagedError, SqliteFiles
from app.store.write_lock import WriteLock

PATIENT_SECONDS = 10.0
LOOP_BUSY_SECONDS = 0.02  # a reader in WAL mode hardly ever waits, and on the event loop all requests would wait
CHECKPOINT_WAIT_SECONDS = 0.05
ROWS_PER_BLOCK = 1 << 18
STEPS_BETWEEN_LOOKS = 10_000  # of SQLite's virtual machine, which take less than a millisecond
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
PAIRS = (
    "WITH pairs (user_key, item_key) AS"
    " (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)) "
)


UNUSABLE: Mapping[int, tuple[type[UnavailableError], str]] = {
    sqlite3.SQLITE_READONLY: (UnavailableError, "cannot be written to"),  # it can be read
    sqlite3.SQLITE_BUSY: (UnavailableError, "is locked by another program; try again"),
    sqlite3.SQLITE_CANTOPEN: (StorageUnavailableError, "cannot be opened"),
    sqlite3.SQLITE_IOERR: (
        StorageUnavailableError,
        "cannot be read or written: the disk or the file system reports an error",
    ),
}
"""Primary result code -> the error, and what is wrong with the file."""


class SqliteDialect:
    """The `Dialect` of one SQLite file."""

    driver_error: type[Exception] = sqlite3.Error
    has_own_clock = False
    is_a_file = True
    rows_at_once = 25_000

    def __init__(self, url: sa.URL, wait_seconds: float | None = None) -> None:
        wait_seconds = PATIENT_SECONDS if wait_seconds is None else wait_seconds
        self.path = Path(url.database or "")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.write_lock = WriteLock(self.path.with_name(self.path.name + ".lock"), wait_seconds)
        except OSError as error:
            raise UnavailableError(f"cannot open the database at {self.path}: {error.strerror}") from error
        self.before_connecting: Callable[[], None] = lambda: None  # for servers
        self._url = url
        self._busy_seconds = wait_seconds / 2  # for writers outside Reckon; those of Reckon queue on the write lock
        self._room = DiskRoom(self.path)
        self._room.release_if_full()
        self._files = SqliteFiles(self.path)
        self._wrong_files: StorageUnavailableError | None = None
        """Why nothing is written, from the check that found it until `reopen_replaced` finds the files in order."""
        self._opened: list[sqlite3.Connection] = []
        self.engine = self._new_engine(self._opened)
        self._local = threading.local()
        self._hot_connections: list[sqlite3.Connection] = []
        self._long_reads = ThreadPoolExecutor(1, thread_name_prefix="long-reads")
        """For the histories of few users. The loop shares the interpreter with one such thread at most."""

    def _new_engine(self, opened: list[sqlite3.Connection]) -> sa.Engine:
        """`opened`: holds the connections of the engine's pool while they are open."""
        engine = sa.create_engine(self._url, pool_size=10, max_overflow=40, hide_parameters=True)
        sa.event.listen(engine, "do_connect", lambda *_: self._connect())
        sa.event.listen(engine, "connect", lambda connection, _record: _configure(connection, self._busy_seconds))
        sa.event.listen(engine, "begin", self._begin)
        sa.event.listen(engine, "connect", lambda connection, _record: opened.append(connection))
        sa.event.listen(engine, "close", lambda connection, _record: opened.remove(connection))
        trace_queries(engine)
        return engine

    def _connect(self) -> sqlite3.Connection:
        with self._noting_wrong_files():
            self._files.prepare()
        # `rw`: where the file has just gone, SQLite would make an empty one and remove the log of the one that is gone.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    @staticmethod
    def _begin(connection: sa.Connection) -> None:
        is_writer = connection.get_execution_options().get("is_writer", False)
        # A read transaction that begins to write fails at once if another one wrote meanwhile, whatever the timeout.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    def writing(self, *, uses_reserve: bool = False) -> Iterator[sa.Connection]:
        with self.write_lock.held():
            self._check_files()
            self._room.check(self._checkpoint, uses_reserve=uses_reserve)
            with self.engine.connect().execution_options(is_writer=True) as connection:
                try:
                    with connection.begin():
                        yield connection
                except (sa.exc.DBAPIError, sqlite3.Error) as error:
                    # SQLite opens a file that cannot be written to for reading, and the connection stays so.
                    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
                    if _primary_code(cause) == sqlite3.SQLITE_READONLY and not self._is_replaced():
                        connection.invalidate()
                    raise
            # Again, since what was committed to a file that is gone must not be acknowledged.
            self._check_files()
            if uses_reserve:
                self._room.take_back(self._checkpoint)

    def begin_lasting(self, connection: sa.Connection) -> None:
        """Does nothing: every write has the lock that a restore takes."""

    def _checkpoint(self) -> None:
        """Copy the log into the database and empty it, unless readers need it."""
        with closing(self._connect()) as connection:
            for pragma in (_busy_timeout(CHECKPOINT_WAIT_SECONDS), "synchronous = FULL", "wal_checkpoint(TRUNCATE)"):
                connection.execute(f"PRAGMA {pragma}")

    def _has_connections(self) -> bool:
        return bool(self._opened or self._hot_connections)

    def _is_replaced(self) -> bool:
        return self._files.are_replaced(has_connections=self._has_connections())

    def _check_files(self) -> None:
        with self._noting_wrong_files():
            self._files.check(has_connections=self._has_connections())

    @contextmanager
    def _noting_wrong_files(self) -> Iterator[None]:
        try:
            yield
        except StorageUnavailableError as error:
            self._wrong_files = error
            raise

    def reopen_replaced(self, renew: Callable[[sa.Connection], None]) -> bool:
        with self._noting_wrong_files():
            is_reopened = self._reopen_replaced(renew)
        self._wrong_files = None
        return is_reopened

    def _reopen_replaced(self, renew: Callable[[sa.Connection], None]) -> bool:
        if not self._is_replaced() and self._files.overwriting.is_unchanged():
            return False
        with self.write_lock.held():
            if not self._is_replaced() and not self._files.overwriting.is_overwritten():
                return False
            self._files.settle()
            opened: list[sqlite3.Connection] = []
            engine = self._new_engine(opened)
            try:
                with engine.connect().execution_options(is_writer=True) as connection, connection.begin():
                    _check_sound(connection)
                    renew(connection)
            except BaseException:
                engine.dispose()
                raise
            self._files.note()
            _abandon([*self._opened, *self._hot_connections])
            self._opened, self._hot_connections = opened, []
            self.engine, self._local = engine, threading.local()
        return True

    def _hot_connection(self, name: Literal["quick", "patient"]) -> sqlite3.Connection:
        """One read-only connection for each thread, without pool and SQLAlchemy: 6 to 10 us for a row by its index.

        `name`: how it waits for a lock, see `LOOP_BUSY_SECONDS`.
        """
        local, opened = self._local, self._hot_connections  # of one file: another thread may open a new one meanwhile
        connection: sqlite3.Connection | None = getattr(local, name, None)
        if connection is None:
            connection = self._connect()
            try:
                _configure(connection, LOOP_BUSY_SECONDS if name == "quick" else self._busy_seconds)
                connection.execute("PRAGMA query_only = ON")
            except sqlite3.Error:
                connection.close()
                raise
            opened.append(connection)
            setattr(local, name, connection)
        return connection

    def hot_row(self, statement: str, parameter: object) -> Row | None:
        row: Row | None = self._hot_execute(statement, parameter, "patient").fetchone()
        return row

    def probe(self, reads: Sequence[PointRead]) -> None:
        # The connections can still read a file that is gone.
        if (wrong := self._wrong_files) is not None:
            raise type(wrong)(wrong.detail)
        for read in reads:
            self._quick_row(read, read.nothing)

    def hang_up(self) -> None:
        """Does nothing: operations on a file end after the time limits of locks."""

    async def read_row(self, read: PointRead, parameter: object) -> Row | None:
        return self._quick_row(read, parameter)

    async def read_rows(self, read: PointRead, parameters: Sequence[object]) -> list[Row | None]:
        return [self._quick_row(read, parameter) for parameter in parameters]

    def _quick_row(self, read: PointRead, parameter: object) -> Row | None:
        row: Row | None = self._hot_execute(read.statement, parameter, "quick").fetchone()
        return row

    async def read_columns(
        self, read: PointRead, parameter: object, made_of: Callable[[Sequence[Sequence[Any]]], Made]
    ) -> Made:
        cursor = self._hot_execute(read.statement, parameter, "quick")
        rows = cursor.fetchmany(MAX_ROWS_ON_LOOP + 1)
        if len(rows) <= MAX_ROWS_ON_LOOP:
            return made_of(list(zip(*rows, strict=True)) if rows else [()] * len(read.columns))
        cursor.close()  # otherwise the connection would go on to read the database as it is now
        return await asyncio.get_running_loop().run_in_executor(
            self._long_reads, self._long_columns, read, parameter, made_of
        )

    def _long_columns(
        self, read: PointRead, parameter: object, made_of: Callable[[Sequence[Sequence[Any]]], Made]
    ) -> Made:
        columns: list[list[Any]] = [[] for _ in read.columns]
        with closing(self._hot_execute(read.statement, parameter, "patient")) as cursor:
            try:
                # In parts, between which the loop gets the interpreter.
                while rows := cursor.fetchmany(MAX_ROWS_ON_LOOP):
                    for column, part in zip(columns, zip(*rows, strict=True), strict=True):
                        column.extend(part)
            except sqlite3.Error as error:
                raise self._hot_error(error) from None
        return made_of(columns)

    def _hot_execute(self, statement: str, parameter: object, name: Literal["quick", "patient"]) -> sqlite3.Cursor:
        try:
            return self._hot_connection(name).execute(statement, (parameter,))
        except sqlite3.Error as error:
            raise self._hot_error(error) from None

    def _hot_error(self, error: sqlite3.Error) -> Exception:
        raised = translated(error, self)
        if isinstance(raised, UnavailableError) and not isinstance(raised, StorageUnavailableError):
            return StorageUnavailableError(raised.detail)  # locked against readers
        return raised

    def now(self, connection: sa.Connection) -> int:  # noqa: ARG002  one host: its clock is that of the database
        return time.time_ns() // 1_000

    def user_keys(self, connection: sa.Connection, user_ids: Sequence[str]) -> tuple[KeyArray, list[str]]:
        return _find_or_insert(_cursor(connection), user_ids, FIND_USERS, INSERT_USERS)

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
        self,
        connection: sa.Connection,
        user_key: KeyArray,
        item_key: KeyArray,
        value: ValueArray,
        rated_at: TimeArray,
        is_new: NDArray[np.bool_],  # noqa: ARG002  the upsert finds it out on its way to the row
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
        self,
        connection: sa.Connection,
        user_key: KeyArray,
        changes: KeyArray,
        column: VersionColumn = "version",
        *,
        is_direct: bool = False,
    ) -> None:
        mark = ", is_direct = true" if is_direct else ""
        _cursor(connection).executemany(
            f"UPDATE users SET {column} = {column} + ?{mark} WHERE user_key = ?",  # noqa: S608  names and texts of ours
            zip(changes.tolist(), user_key.tolist(), strict=True),
        )

    def upsert(self, connection: sa.Connection, upsert: Upsert, columns: Sequence[ColumnValues]) -> int:
        return _cursor(connection).executemany(upsert.of_one_row, zip(*map(_as_list, columns), strict=True)).rowcount

    def rows_of(self, connection: sa.Connection, statement: str, values: ColumnValues) -> list[Row]:
        of_all = statement.replace("= ?", "IN (SELECT value FROM json_each(?))")
        return _cursor(connection).execute(of_all, (json.dumps(_as_list(values)),)).fetchall()

    def rows_of_pairs(
        self, connection: sa.Connection, statement: str, user_key: KeyArray, item_key: KeyArray
    ) -> list[Row]:
        pairs = json.dumps(np.column_stack((user_key, item_key)).tolist())
        return _cursor(connection).execute(PAIRS + statement, (pairs,)).fetchall()

    def lock_table(self, connection: sa.Connection, table: str, mode: str) -> None:
        """Does nothing: there is one writer at a time."""

    def limited(self, connection: sa.Connection, seconds: float) -> Iterator[None]:
        opened: Any = connection.connection.dbapi_connection
        until = time.monotonic() + seconds
        opened.set_progress_handler(lambda: time.monotonic() > until, STEPS_BETWEEN_LOOKS)
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            if _primary_code(cause) == sqlite3.SQLITE_INTERRUPT:
                raise ReadTooLongError(seconds) from None
            raise
        finally:
            opened.set_progress_handler(None, 0)

    def size(self, connection: sa.Connection) -> int:
        n_pages, page_size = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size")
        )
        return int(n_pages * page_size)

    def n_bytes(self, text: str) -> str:
        return f"length(CAST({text} AS BLOB))"

    def log2_sum(self, left: str, right: str) -> str:
        return f"log2_sum({left}, {right})"

    def log2(self, number: str) -> str:
        return f"log2_of({number})"

    def all_rows(self, connection: sa.Connection, statement: str, dtype: Any) -> Any:
        return np.fromiter(_cursor(connection).execute(statement), dtype=dtype)

    def row_blocks(self, connection: sa.Connection, statement: str, dtype: Any) -> Iterator[Any]:
        rows = _cursor(connection).execute(statement)
        while len(block := np.fromiter(islice(rows, ROWS_PER_BLOCK), dtype=dtype)):
            yield block

    def purge(self, also: Collection[str]) -> None:  # noqa: ARG002  all tables are written anew
        # VACUUM writes every page anew. `secure_delete` alone is not enough: pages that are split or merged keep copies
        # of moved rows in their free space (10 of 2,000 deleted ids were still found).
        with self.write_lock.held():
            self._check_files()
            if not self._files.remove_leftovers():
                raise UnavailableError("a restore is in progress")
            with closing(self._connect()) as connection:
                _configure(connection, PATIENT_SECONDS)
                page_bytes, n_pages, n_free = (
                    connection.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("page_size", "page_count", "freelist_count")
                )
                self._room.check_rewrite(page_bytes * (n_pages - n_free))
                # The copy that VACUUM makes is as large as the database.
                connection.execute("PRAGMA temp_store = FILE")
                connection.execute("VACUUM")
                # The log holds the pages from before: it is cut to nothing.
                is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if is_busy:
                    raise UnavailableError("a reader needs the log of the database")
            self._check_files()

    def remove_leftovers(self) -> None:
        if self._files.have_leftovers():  # nearly never, and this is asked all the time
            with self.write_lock.held():
                self._files.remove_leftovers()

    def expected(self, error: BaseException | None) -> ReckonError | None:
        code = _primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            return StorageFullError("the database has no room left")
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return DatabaseDamagedError()
        if code is not None and code in UNUSABLE:
            kind, state = UNUSABLE[code]
            return kind(f"the database file {state}")
        is_operational = isinstance(error, sqlite3.OperationalError)
        return StorageUnavailableError("the database does not answer") if is_operational else None

    def close(self) -> None:
        self._long_reads.shutdown(cancel_futures=True)
        for connection in self._hot_connections:
            connection.close()
        self.engine.dispose()
        self._files.overwriting.close()
        self.write_lock.close()


def _configure(connection: sqlite3.Connection, busy_seconds: float) -> None:
    # `_begin` sends BEGIN: the driver's own comes with the first write, too late to fix what a reader sees.
    connection.isolation_level = None
    for pragma in (
        _busy_timeout(busy_seconds),
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 8000",  # 32 MB: a checkpoint writes each page once, however often it changed
        "journal_size_limit = 33554432",  # a bulk write or a long read may let the log grow further
        "cache_size = -65536",
        "temp_store = MEMORY",
        # Deleted rows are overwritten with zeros, which spares most of what `purge` would have to remove.
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("log2_sum", 2, _log2_sum, deterministic=True)
    connection.create_function("log2_of", 1, math.log2, deterministic=True)


def _check_sound(connection: sa.Connection) -> None:
    """Raise `DatabaseDamagedError` unless the database is sound together with its log."""
    if connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one() != "ok":
        raise DatabaseDamagedError


def _primary_code(error: BaseException | None) -> int | None:
    """The lowest byte of an extended code is its primary code."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _busy_timeout(seconds: float) -> str:
    return f"busy_timeout = {round(1_000 * seconds)}"


def _abandon(connections: Sequence[sqlite3.Connection]) -> None:
    """Keep connections to a file that was replaced open until the process ends.

    To close the last connection of a file would check its log into it and remove the log by its name, which is that of
    the new file's log by now.
    """
    for connection in connections:
        # One more reference than there are: the garbage collector never closes it, even when Python ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _log2_sum(left: float, right: float) -> float:
    """A function of SQL written in Python, since not every SQLite is built with mathematical functions."""
    # log2(2^a + 2^b) = max(a, b) + log2(1 + 2^-|a - b|), whose power cannot overflow
    return max(left, right) + math.log2(1 + 2 ** -abs(left - right))


def _as_list(column: ColumnValues) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


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
