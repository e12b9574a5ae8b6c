"""One engine and its two kinds of transaction; the dialect is chosen by the URL."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import InvalidInputError, StorageUnavailableError, UnavailableError
from app.observability.traces import inner_span, query_span
from app.store.availability import Availability
from app.store.connection_budget import ConnectionBudget
from app.store.dialect import Dialect, PointRead, Row, translated
from app.store.noted import Change, Kind, Noted
from app.store.read_limit import read_seconds
from app.store.sqlite import SqliteDialect

AMBIGUOUS = "it may have been stored nevertheless; sending it again is safe"


T = TypeVar("T")


class JoinedWrites:
    """The write transaction that all writes of one thread share until the end of the block commits it."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._opened = ExitStack()
        self._is_lost = False
        self.connection: sa.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self._is_lost:
            raise RuntimeError("an earlier write of this transaction was rolled back")
        self.connection = None
        self._opened.__exit__(kind, error, traceback)

    @contextmanager
    def writing(self, *, uses_reserve: bool) -> Iterator[sa.Connection]:
        """Opens the transaction, or joins it. Rolls all of it back when anything is raised.

        `uses_reserve`: counts if this is the first write.
        """
        if self._is_lost:
            raise RuntimeError("an earlier write of this transaction was rolled back")
        is_first = self.connection is None
        if self.connection is None:
            transaction = contextmanager(self._dialect.writing)(uses_reserve=uses_reserve)
            self.connection = self._opened.enter_context(transaction)
        try:
            yield self.connection
        except BaseException as error:
            # A first write may be tried again. After a later one, the caller could commit a part without the rest.
            self._is_lost = not is_first
            self.connection = None
            self._opened.__exit__(type(error), error, error.__traceback__)
            raise


class ThreadWrites(threading.local):
    """`changes`: what the transaction in progress has stored and removed."""

    joined: JoinedWrites | None = None

    def __init__(self) -> None:
        self.changes: dict[Kind, Change] = {}


class Database:
    """Transactions of one database, and the `dialect` with its point reads and bulk statements.

    `availability`: whether it answers. Every transaction fails at once while it does not. `probed`: the reads by which
    that is found out.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.probed: tuple[PointRead, ...] = ()
        self.availability = Availability(lambda: dialect.probe(self.probed), dialect.hang_up)
        # The pool opens another connection for one that was cut, and would wait for the server again.
        dialect.before_connecting = self.availability.check
        self._thread = ThreadWrites()
        self.noted = Noted()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One read transaction: all of its statements see the same state, and what `joined` writes have changed.

        Raises `ReadTooLongError` in a block of `limited_reads`.
        """
        self.availability.check()
        joined = self._thread.joined
        with self._watched():
            if joined is not None and joined.connection is not None:
                yield joined.connection
                return
            with inner_span("database read"), self.dialect.engine.connect() as connection:
                if (seconds := read_seconds()) is None:
                    yield connection
                    return
                with contextmanager(self.dialect.limited)(connection, seconds):
                    yield connection

    def size(self) -> int:
        """The bytes that the tables take on the disk, with their indexes."""
        with self.reading() as connection:
            return self.dialect.size(connection)

    @contextmanager
    def writing(self, *, uses_reserve: bool = False) -> Iterator[sa.Connection]:
        """One write transaction, committed at the end, rolled back when anything is raised; see `joined`.

        `uses_reserve`: for deletions, and the ends of jobs, which must pass on a full disk.

        The text of a `StorageUnavailableError` says so if the database failed in the commit, which may have succeeded.
        """
        self.availability.check()
        joined = self._thread.joined
        if joined is not None:
            try:
                with self._watched(), joined.writing(uses_reserve=uses_reserve) as connection:
                    yield connection
            except BaseException:
                # All of it is rolled back, and a first write may be tried again.
                self._thread.changes.clear()
                raise
            return
        with self._committed(contextmanager(self.dialect.writing)(uses_reserve=uses_reserve)) as connection:
            yield connection

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Commits all writes of this thread in the block together at its end, or none if anything is raised.

        The transaction begins with the first write. Errors are those of `writing`.
        """
        joined = self._thread.joined = JoinedWrites(self.dialect)
        try:
            with self._committed(joined):
                yield
        finally:
            self._thread.joined = None

    def note(self, kind: Kind, *, stored: int = 0, removed: int = 0) -> None:
        """Counts rows that the write transaction of this thread has inserted or deleted, once it is committed."""
        if stored or removed:
            n_stored, n_removed = self._thread.changes.get(kind, (0, 0))
            self._thread.changes[kind] = n_stored + stored, n_removed + removed

    @contextmanager
    def _committed(self, transaction: AbstractContextManager[T]) -> Iterator[T]:
        """`transaction`: commits at its end."""
        is_committing = False
        self._thread.changes.clear()
        try:
            with self._watched(), inner_span("database write"), transaction as opened:
                yield opened
                is_committing = True
        except StorageUnavailableError as error:
            if is_committing:
                raise type(error)(f"{error.detail}; {AMBIGUOUS}") from None
            raise
        if self._thread.changes:
            self.noted.add(self._thread.changes)

    def hot_row(self, statement: str, parameter: object) -> Row | None:
        """As `Dialect.hot_row`."""
        self.availability.check()
        with self._watched(), query_span(statement):
            return self.dialect.hot_row(statement, parameter)

    def now(self) -> int:
        """The time by the clock of the database, microseconds UTC."""
        with self.reading() as connection:
            return self.dialect.now(connection)

    def reopen_replaced(self, renew: Callable[[sa.Connection], None]) -> bool:
        """As `Dialect.reopen_replaced`."""
        if not self.dialect.is_a_file:  # a file that is damaged stays so until another one replaces it
            self.availability.check()
        with self._watched():
            return self.dialect.reopen_replaced(renew)

    def purge(self, also: Collection[str]) -> None:
        """As `Dialect.purge`."""
        with self._watched():
            self.dialect.purge(also)

    def remove_leftovers(self) -> None:
        """As `Dialect.remove_leftovers`."""
        with self._watched():
            self.dialect.remove_leftovers()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Translates errors, and reports those of a database that does not answer."""
        try:
            with self.availability.watched():
                yield
        except (StatementError, PoolTimeoutError, self.dialect.driver_error) as error:
            raised = translated(error, self.dialect)
            if isinstance(raised, StorageUnavailableError):
                self.availability.failed(raised)
            # A chained error would put the statement and its parameters into the log after all.
            raise raised from None
        except StorageUnavailableError as error:
            self.availability.failed(error)
            raise

    def close(self) -> None:
        self.availability.close()
        self.dialect.close()


def open_database(
    url: str, data_dir: Path, *, wait_seconds: float | None = None, budget: ConnectionBudget | None = None
) -> Database:
    """The database at `url`; if that is empty, the SQLite file `reckon.db` in `data_dir`.

    `wait_seconds`: how long writers wait for others; None: for long, in a process that answers no requests. `budget`:
    of the connections to Postgres, if this is one of several databases in a process that answers requests. Raises
    `InvalidInputError` for a URL of another database, `UnavailableError` if the driver is not installed or the folder
    cannot be made.
    """
    if not url:
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"the folder {data_dir} cannot be made: {error.strerror}; RECKON_DATA_DIR names it"
            raise UnavailableError(message) from error
        url = f"sqlite:///{data_dir / 'reckon.db'}"
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise InvalidInputError("RECKON_DATABASE_URL is not a database URL", field="database_url") from error
    if parsed.get_backend_name() == "sqlite":
        return Database(SqliteDialect(parsed, wait_seconds))
    if parsed.get_backend_name() == "postgresql":
        try:
            from app.store.postgres import PostgresDialect  # noqa: PLC0415  its driver is an extra
        except ModuleNotFoundError as error:
            raise UnavailableError("Postgres needs its driver: pip install 'reckon[postgres]'") from error
        return Database(PostgresDialect(parsed, wait_seconds, budget))
    raise InvalidInputError(
        f"RECKON_DATABASE_URL names {parsed.get_backend_name()}; Reckon keeps its data in SQLite or Postgres",
        field="database_url",
    )
