"""One engine and its two kinds of transaction; the dialect is chosen by the URL."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import InvalidInputError, StorageUnavailableError, UnavailableError
from app.store.availability import Availability
from app.store.dialect import Dialect, PointRead, Row, translated
from app.store.sqlite import SqliteDialect

AMBIGUOUS = "it may have been stored nevertheless; sending it again is safe"


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

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One read transaction: all of its statements see the same state."""
        self.availability.check()
        with self._watched(), self.dialect.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, *, uses_reserve: bool = False) -> Iterator[sa.Connection]:
        """One write transaction, committed at the end, rolled back when anything is raised.

        `uses_reserve`: for deletions, and the ends of jobs, which must pass on a full disk.

        The text of a `StorageUnavailableError` says so if the database failed in the commit, which may have succeeded.
        """
        self.availability.check()
        is_committing = False
        try:
            with self._watched(), contextmanager(self.dialect.writing)(uses_reserve=uses_reserve) as connection:
                yield connection
                is_committing = True
        except StorageUnavailableError as error:
            if is_committing:
                raise type(error)(f"{error.detail}; {AMBIGUOUS}") from None
            raise

    def hot_row(self, statement: str, parameter: object) -> Row | None:
        """As `Dialect.hot_row`."""
        self.availability.check()
        with self._watched():
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


def open_database(url: str, data_dir: Path, *, wait_seconds: float | None = None) -> Database:
    """The database at `url`; if that is empty, the SQLite file `reckon.db` in `data_dir`.

    `wait_seconds`: how long writers wait for others; None: for long, in a process that answers no requests. Raises
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
        return Database(PostgresDialect(parsed, wait_seconds))
    raise InvalidInputError(
        f"RECKON_DATABASE_URL names {parsed.get_backend_name()}; Reckon keeps its data in SQLite or Postgres",
        field="database_url",
    )
