"""One engine and its two kinds of transaction; the dialect is chosen by the URL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import StatementError

from app.errors import InvalidInputError, UnavailableError
from app.store.dialect import Dialect, translated
from app.store.sqlite import SqliteDialect


class Database:
    """Transactions of one database, and the `dialect` with its point reads and bulk statements."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One read transaction: all of its statements see the same state."""
        with self._translated(), self.dialect.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One write transaction, committed at the end, rolled back when anything is raised."""
        with self._translated():
            yield from self.dialect.writing()

    def now(self) -> int:
        """The time by the clock of the database, microseconds UTC."""
        with self.reading() as connection:
            return self.dialect.now(connection)

    def reopen_replaced(self, renew: Callable[[sa.Connection], None]) -> bool:
        """As `Dialect.reopen_replaced`."""
        with self._translated():
            return self.dialect.reopen_replaced(renew)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (StatementError, self.dialect.driver_error) as error:
            # A chained error would put the statement and its parameters into the log after all.
            raise translated(error, self.dialect) from None

    def close(self) -> None:
        self.dialect.close()


def open_database(url: str, data_dir: Path) -> Database:
    """The database at `url`; if that is empty, the SQLite file `reckon.db` in `data_dir`.

    Raises `InvalidInputError` for a URL of another database, `UnavailableError` if the driver is not installed
    or the folder cannot be made.
    """
    if not url:
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"the folder {data_dir} cannot be made: {error.strerror}; RECKON_DATA_DIR names it"
            raise UnavailableError(message) from error
        url = f"sqlite:///{data_dir / 'reckon.db'}"
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise InvalidInputError("RECKON_DATABASE_URL is not a database URL", field="database_url") from error
    if parsed.get_backend_name() == "sqlite":
        return Database(SqliteDialect(parsed))
    if parsed.get_backend_name() == "postgresql":
        try:
            from app.store.postgres import PostgresDialect  # noqa: PLC0415  its driver is an extra
        except ModuleNotFoundError as error:
            raise UnavailableError("Postgres needs its driver: pip install 'reckon[postgres]'") from error
        return Database(PostgresDialect(parsed))
    raise InvalidInputError(
        f"RECKON_DATABASE_URL names {parsed.get_backend_name()}; Reckon keeps its data in SQLite or Postgres",
        field="database_url",
    )
