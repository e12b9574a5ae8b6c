"""Postgres: one statement with array parameters for each chunk; row locks on users order the writers of one user."""

import os
import socket
from asyncio import gather, to_thread
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import psycopg
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.exc import DBAPIError

from app.entities import UNKNOWN_TIME
from app.errors import ReckonError, StorageFullError, UnavailableError
from app.store import postgres_binary
from app.store.availability import CONNECT_SECONDS, READ_SECONDS, WAIT_SECONDS
from app.store.connection_budget import ConnectionBudget
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
from app.store.postgres_binary import TextArray, copy_rows
from app.store.query_spans import trace_queries
from app.store.read_limit import ReadTooLongError
from app.store.schema import instance
from app.store.shared_reader import CONNECTION_ARGUMENTS, SESSION_SETTINGS, SharedReader, no_answer
from app.store.time_limit import within

DISK_FULL, READ_ONLY = "53100", "25006"
CONTENDED = {"55P03", "40P01", "40001"}
"""SQL states of an operation that waited too long for a lock, or that a deadlock or a concurrent write ended."""

MOST_CONNECTIONS, POOL_SIZE, POOL_SECONDS = 50, 10, 30.0
FETCH_ROWS = 50_000
COPIED_FROM = 500
"""New ratings of one write from which they go through COPY, which skips what `ON CONFLICT` looks up for each row."""

COPY_RATINGS = "COPY ratings (user_key, item_key, value, rated_at) FROM STDIN (FORMAT BINARY)"
PURGE_LOCK_MILLISECONDS = 2_000
# VACUUM makes the space of deleted rows free and leaves their bytes in it (299 of 300 deleted ids were still found), so
# tables with ids and texts of users are written anew (FULL). The statistics hold samples of them: they are gathered
# anew, and their table is written anew. Rows of the other tables hold keys and numbers: their space is made free.
REWRITTEN = ("users", "redirects", "deleted_events", "kept_answers", "rejected_rows")
FREED = ("items", "events", "ratings", "interactions")
# What changes when a dump is restored (tables are made anew or emptied), a database or server is replaced, or a server
# is promoted or recovered to a point in time (which begins a new timeline). That of users is made anew by `purge`.
IDENTITY = (
    "SELECT (SELECT system_identifier FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),"
    " 'installation'::regclass::oid::bigint, pg_relation_filenode('installation')::bigint,"
    " pg_relation_filenode('ratings')::bigint"
)
# Writers take locks in one order, so that they cannot deadlock: inserters of users, users' rows by key, inserters of
# items, items' rows by key, counters, the table of trends, event types, events by id, trends by country and item, kept
# answers by key, the table of rejected rows. Arrivals and totals have transactions of their own.
USER_INSERTERS_LOCK, ITEM_INSERTERS_LOCK = 0x5EC0, 0x5EC1
PAIRS = "WITH pairs (user_key, item_key) AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[])) "

_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
"""


class PostgresDialect:
    """The `Dialect` of one Postgres database."""

    driver_error: type[Exception] = psycopg.Error
    has_own_clock = True
    is_a_file = False
    rows_at_once = 100_000

    def __init__(self, url: sa.URL, wait_seconds: float | None = None, budget: ConnectionBudget | None = None) -> None:
        """`budget`: of the pools of several databases, each of which then keeps one idle connection."""
        self.before_connecting: Callable[[], None] = lambda: None
        self._budget = budget
        arguments: dict[str, Any] = {**CONNECTION_ARGUMENTS, "application_name": "reckon"}
        if wait_seconds is not None:
            # Those of the URL select the schema of a tenant.
            of_url_query = str(url.query.get("options", ""))
            arguments["options"] = f"{of_url_query} -c lock_timeout={round(1_000 * wait_seconds)}".strip()
        pool_size = POOL_SIZE if budget is None else 1
        self.engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=MOST_CONNECTIONS - pool_size,
            pool_timeout=POOL_SECONDS if wait_seconds is None else wait_seconds,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=arguments,
            isolation_level="REPEATABLE READ",  # for readers, which see one state; see `writing`
        )
        self._opened: set[psycopg.Connection[Any]] = set()
        if wait_seconds is not None:
            sa.event.listen(self.engine, "do_connect", self._connect_in_time)
        if budget is not None:
            sa.event.listen(self.engine, "close", lambda connection, _record: budget.give_back(connection))
        sa.event.listen(self.engine, "connect", lambda connection, _record: self._opened.add(connection))
        sa.event.listen(self.engine, "connect", lambda connection, _record: postgres_binary.register(connection))
        sa.event.listen(self.engine, "close", lambda connection, _record: self._opened.discard(connection))
        trace_queries(self.engine)
        self._hot_engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        _, of_url = self.engine.dialect.create_connect_args(self.engine.url)
        self._shared_reader = SharedReader(of_url)
        self._probe_arguments = {**of_url, **CONNECTION_ARGUMENTS, "application_name": "reckon-probe"}
        self._probing: psycopg.Connection[Any] | None = None
        self._identity: tuple[Any, ...] | None = None

    def _connect_in_time(self, _dialect: object, _record: object, _args: object, arguments: Mapping[str, Any]) -> Any:
        self.before_connecting()
        if self._budget is None:
            return _connect(arguments)
        return self._budget.connect(lambda: _connect(arguments), WAIT_SECONDS)

    def writing(self, *, uses_reserve: bool = False) -> Iterator[sa.Connection]:  # noqa: ARG002  of the server's own
        # READ COMMITTED: after a wait for a user's lock, the next statement sees what the holder committed.
        with (
            self.engine.connect().execution_options(isolation_level="READ COMMITTED") as connection,
            connection.begin(),
        ):
            yield connection

    def begin_lasting(self, connection: sa.Connection) -> None:
        # A restore locks this table first. LOCK takes no snapshot; that of a SELECT would be older than its wait.
        connection.exec_driver_sql(f"LOCK TABLE {instance.name} IN ACCESS SHARE MODE")

    def reopen_replaced(self, renew: Callable[[sa.Connection], None]) -> bool:
        with self.engine.connect() as connection:
            identity = tuple(connection.exec_driver_sql(IDENTITY).one())
        if self._identity in {None, identity}:
            self._identity = identity
            return False
        # The connections are to the new one already: those to a database that was dropped are broken.
        with contextmanager(self.writing)() as connection:
            renew(connection)
        self._identity = identity
        return True

    def probe(self, reads: Sequence[PointRead]) -> None:
        try:
            if self._probing is None:
                self._probing = _connect(self._probe_arguments)
                self._probing.autocommit = True
            connection = self._probing
            within(READ_SECONDS, lambda: _read_each(reads, connection), lambda _: connection.close())
        except (psycopg.Error, TimeoutError) as error:
            if self._probing is not None:
                _cut(self._probing)  # it ends the thread that still reads
                self._probing = None
            raise (self.expected(error) or no_answer()) from None

    def hang_up(self) -> None:
        for connection in list(self._opened):  # in one step: other threads open and close them
            _cut(connection)

    def hot_row(self, statement: str, parameter: object) -> Row | None:
        try:
            with self._hot_engine.connect() as connection:
                row = connection.exec_driver_sql(statement.replace("?", "%s"), (parameter,)).first()
                return None if row is None else tuple(row)
        except DBAPIError as error:
            raise translated(error, self) from None

    async def read_row(self, read: PointRead, parameter: object) -> Row | None:
        return await self._read(_rows_of_many(read), parameter)

    async def read_rows(self, read: PointRead, parameters: Sequence[object]) -> list[Row | None]:
        # The shared reader answers all waiting reads of one statement together.
        return await gather(*(self.read_row(read, parameter) for parameter in parameters))

    async def read_columns(
        self, read: PointRead, parameter: object, made_of: Callable[[Sequence[Sequence[Any]]], Made]
    ) -> Made:
        answer = await self._read(_columns_of_many(read), parameter)
        columns = [column or () for column in answer or ()]  # array_agg over no rows is NULL
        if columns and len(columns[0]) > MAX_ROWS_ON_LOOP:
            return await to_thread(made_of, columns)
        return made_of(columns)

    async def _read(self, statement: str, parameter: object) -> Row | None:
        try:
            return await self._shared_reader.row(statement, parameter)
        except psycopg.Error as error:
            raise translated(error, self) from None

    def now(self, connection: sa.Connection) -> int:
        statement = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        return int(connection.exec_driver_sql(statement).scalar_one())

    def user_keys(self, connection: sa.Connection, user_ids: Sequence[str]) -> tuple[KeyArray, list[str]]:
        find = "SELECT user_id, user_key FROM users WHERE user_id = ANY(%s)"
        insert = (
            "INSERT INTO users (user_id) SELECT unnest(%s::text[]) ON CONFLICT (user_id) DO NOTHING RETURNING user_id"
        )
        lock = "ORDER BY user_key FOR UPDATE"
        while True:
            keys, inserted = self._find_or_insert(connection, user_ids, find, lock, insert, USER_INSERTERS_LOCK)
            if keys is not None:
                return keys, inserted
            # An inserter of users must hold no lock on a user. Nothing was written yet: the transaction starts again.
            connection.connection.rollback()

    def item_keys(self, connection: sa.Connection, item_ids: Sequence[str]) -> tuple[KeyArray, list[str]]:
        find = "SELECT item_id, item_key FROM items WHERE item_id = ANY(%s)"
        insert = (
            "INSERT INTO items (item_id, version) SELECT unnest(%s::text[]), 0"
            " ON CONFLICT (item_id) DO NOTHING RETURNING item_id"
        )
        # A shared lock: writers of ratings do not wait for one another, only a deletion of the item waits for them.
        lock = "ORDER BY item_key FOR KEY SHARE"
        inserted: list[str] = []
        while True:
            keys, new = self._find_or_insert(connection, item_ids, find, lock, insert, ITEM_INSERTERS_LOCK)
            inserted += new
            if keys is not None:
                return keys, inserted

    def _find_or_insert(
        self, connection: sa.Connection, ids: Sequence[str], find: str, lock: str, insert: str, inserters_lock: int
    ) -> tuple[KeyArray | None, list[str]]:
        """Locked keys in the order of distinct `ids`, and the ids that were inserted.

        The keys are None, for the caller to try again, where an id was deleted between the read and the lock.
        """
        known = self._keys(connection, find, ids)
        missing = [identifier for identifier in ids if identifier not in known]
        inserted = self._insert(connection, insert, missing, inserters_lock) if missing else []
        locked = self._keys(connection, f"{find} {lock}", ids)
        if len(locked) != len(ids):
            return None, inserted
        return np.fromiter((locked[identifier] for identifier in ids), dtype=np.int64, count=len(ids)), inserted

    @staticmethod
    def _keys(connection: sa.Connection, statement: str, ids: Sequence[str]) -> dict[str, int]:
        return dict(connection.exec_driver_sql(statement, (TextArray(ids),)).all())

    @staticmethod
    def _insert(connection: sa.Connection, statement: str, ids: Sequence[str], lock: int) -> list[str]:
        """Inserts new ids in the order of arrival, which their keys follow; returns those that were not there."""
        # One inserter at a time: two that insert the same ids in different orders would deadlock. The schemas of
        # tenants do not wait for one another.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s::int, hashtext(current_schema()))", (lock,))
        return list(connection.exec_driver_sql(statement, (TextArray(ids),)).scalars())

    def existing(self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray) -> ExistingRatings:
        statement = (
            "SELECT wanted.place - 1, ratings.value, ratings.rated_at"
            " FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS wanted (user_key, item_key, place)"
            " JOIN ratings USING (user_key, item_key)"
        )
        is_stored = np.zeros(len(user_key), dtype=np.bool_)
        value = np.zeros(len(user_key))
        rated_at = np.zeros(len(user_key), dtype=np.int64)
        found = connection.exec_driver_sql(statement, (user_key, item_key)).all()
        if found:
            places, values, times = zip(*found, strict=True)
            rows = np.array(places)
            is_stored[rows] = True
            value[rows] = np.array(values, np.float64)  # None becomes NaN
            rated_at[rows] = [UNKNOWN_TIME if time is None else time for time in times]
        return ExistingRatings(is_stored, value, rated_at)

    def write_ratings(
        self,
        connection: sa.Connection,
        user_key: KeyArray,
        item_key: KeyArray,
        value: ValueArray,
        rated_at: TimeArray,
        is_new: NDArray[np.bool_],
    ) -> None:
        columns: tuple[NDArray[Any], ...] = (user_key, item_key, value, rated_at)
        if np.count_nonzero(is_new) >= COPIED_FROM:
            _copy_ratings(connection, user_key[is_new], item_key[is_new], value[is_new], rated_at[is_new])
            columns = tuple(column[~is_new] for column in columns)
        if not len(columns[0]):
            return
        connection.exec_driver_sql(
            "INSERT INTO ratings (user_key, item_key, value, rated_at)"
            " SELECT user_key, item_key, nullif(value, 'NaN'), nullif(rated_at, %s)"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::float8[], %s::bigint[])"
            " AS incoming (user_key, item_key, value, rated_at) ORDER BY user_key, item_key"
            " ON CONFLICT (user_key, item_key) DO UPDATE SET value = excluded.value, rated_at = excluded.rated_at",
            (int(UNKNOWN_TIME), *columns),
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
        connection.exec_driver_sql(
            f"UPDATE users SET {column} = {column} + changes{mark}"  # noqa: S608  names and texts of ours
            " FROM unnest(%s::bigint[], %s::bigint[]) AS bumped (key, changes) WHERE user_key = key",
            (user_key, changes),
        )

    def upsert(self, connection: sa.Connection, upsert: Upsert, columns: Sequence[ColumnValues]) -> int:
        arrays = tuple(column if isinstance(column, np.ndarray) else list(column) for column in columns)
        return connection.exec_driver_sql(upsert.of_arrays, arrays).rowcount

    def rows_of(self, connection: sa.Connection, statement: str, values: ColumnValues) -> list[Row]:
        of_all = statement.replace("= ?", "= ANY(%s)")
        array = values if isinstance(values, np.ndarray) else list(values)
        return [tuple(row) for row in connection.exec_driver_sql(of_all, (array,)).all()]

    def rows_of_pairs(
        self, connection: sa.Connection, statement: str, user_key: KeyArray, item_key: KeyArray
    ) -> list[Row]:
        return [tuple(row) for row in connection.exec_driver_sql(PAIRS + statement, (user_key, item_key)).all()]

    def lock_table(self, connection: sa.Connection, table: str, mode: str) -> None:
        connection.exec_driver_sql(f"LOCK TABLE {table} IN {mode} MODE")

    def limited(self, connection: sa.Connection, seconds: float) -> Iterator[None]:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(1_000 * seconds)}")
        try:
            yield
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            if isinstance(cause, psycopg.errors.QueryCanceled):
                raise ReadTooLongError(seconds) from None
            raise

    def size(self, connection: sa.Connection) -> int:
        return int(connection.exec_driver_sql(_SIZE).scalar_one())

    def n_bytes(self, text: str) -> str:
        return f"octet_length({text})"

    def log2_sum(self, left: str, right: str) -> str:
        # log2(2^a + 2^b) = max(a, b) + log2(1 + 2^-|a - b|). A power below 2^-60 changes no digit of the sum, and
        # Postgres raises an error where it underflows.
        smaller = f"power(2::float8, greatest(-60, -abs({left} - {right})))"
        return f"greatest({left}, {right}) + ln(1 + {smaller}) / ln(2::float8)"

    def log2(self, number: str) -> str:
        return f"ln(({number})::float8) / ln(2::float8)"

    def all_rows(self, connection: sa.Connection, statement: str, dtype: Any) -> Any:
        parts = list(self.row_blocks(connection, statement, dtype))
        return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)

    def row_blocks(self, connection: sa.Connection, statement: str, dtype: Any) -> Iterator[Any]:
        # Options of the statement: those of the connection would stay, and a write has no cursor on the server.
        result = connection.exec_driver_sql(statement, execution_options={"yield_per": FETCH_ROWS})
        for part in result.partitions():
            yield np.array([tuple(row) for row in part], dtype=dtype)

    def purge(self, also: Collection[str]) -> None:
        rewritten = [*REWRITTEN, *(table for table in FREED if table in also)]
        statements = [
            *(f"VACUUM (FULL, ANALYZE) {table}" for table in rewritten),
            *(f"VACUUM {table}" for table in FREED if table not in also),
            "VACUUM FULL pg_statistic",
        ]
        with self._hot_engine.connect() as connection:
            # Readers wait behind a lock that is waited for: rather try again later.
            connection.exec_driver_sql(f"SET lock_timeout = {PURGE_LOCK_MILLISECONDS}")
            try:
                for statement in statements:
                    connection.exec_driver_sql(statement)
            finally:
                connection.exec_driver_sql("RESET lock_timeout")

    def remove_leftovers(self) -> None:
        """Does nothing: a restore is one transaction, of which the server leaves nothing."""

    def expected(self, error: BaseException | None) -> ReckonError | None:
        state = getattr(error, "sqlstate", None)
        if state == DISK_FULL:
            return StorageFullError("the database has no room left")
        if state == READ_ONLY:  # a standby that has not taken over yet
            return UnavailableError("the database takes no writes now")
        if state in CONTENDED:
            return UnavailableError("other writers are busy; try again")
        return no_answer() if isinstance(error, psycopg.OperationalError) else None

    def close(self) -> None:
        self._shared_reader.close()
        if self._probing is not None:
            self._probing.close()
        self.engine.dispose()


def _copy_ratings(
    connection: sa.Connection, user_key: KeyArray, item_key: KeyArray, value: ValueArray, rated_at: TimeArray
) -> None:
    # Sorted rows touch each page of the index once.
    order = np.lexsort((item_key, user_key))
    value, rated_at = value[order], rated_at[order]
    is_known = np.zeros(len(order), np.bool_)
    nulls = (is_known, is_known, np.isnan(value), rated_at == UNKNOWN_TIME)
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]  # of our engine
    with driver.cursor() as cursor, cursor.copy(COPY_RATINGS) as copied:
        copied.write(copy_rows((user_key[order], item_key[order], value, rated_at), nulls))


def _connect(arguments: Mapping[str, Any]) -> psycopg.Connection[Any]:
    """Raises `psycopg.OperationalError` after `CONNECT_SECONDS`; the driver's own limit has no fewer than 2 s."""
    try:
        return within(CONNECT_SECONDS, lambda: psycopg.connect(**arguments), psycopg.Connection.close)
    except TimeoutError:
        raise psycopg.OperationalError("no connection in time") from None


def _read_each(reads: Sequence[PointRead], connection: psycopg.Connection[Any]) -> None:
    """Closes the connection if a read fails. The thread that waits for this one cannot: it may have given up."""
    try:
        connection.execute(SESSION_SETTINGS)
        for read in reads:
            connection.execute(read.statement.replace("?", "%s"), (read.nothing,)).fetchall()
    except psycopg.Error:
        connection.close()
        raise


def _cut(connection: psycopg.Connection[Any]) -> None:
    """Ends the wait of another thread for the server."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


@cache
def _rows_of_many(read: PointRead) -> str:
    """The point read for an array of parameters; each row begins with the place of its parameter, from 1."""
    array = {str: "text[]", int: "bigint[]"}[read.by]
    of_one = read.statement.replace("?", "wanted.parameter")
    wanted = f"unnest(%s::{array}) WITH ORDINALITY AS wanted (parameter, place)"
    return f"SELECT wanted.place, answer.* FROM {wanted} CROSS JOIN LATERAL ({of_one}) AS answer"  # noqa: S608  our own


@cache
def _columns_of_many(read: PointRead) -> str:
    """As `_rows_of_many`, with one row for each parameter and one array for each column."""
    # The driver turns an array into a list ten times as fast as rows into tuples.
    arrays = ", ".join(f"array_agg({column})" for column in read.columns)
    of_one = f"SELECT {arrays} FROM ({read.statement}) AS answers"  # noqa: S608  our own
    return _rows_of_many(replace(read, statement=of_one))
