"""One engine, and the two ways to use it: a read transaction and a write transaction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import StatementError

from app.errors import InvalidInputError, ReckonError, UnavailableError
from app.store.columns import ExistingRatings, KeyArray, TimeArray, ValueArray
from app.store.lookup import Lookup, Row
from app.store.upsert import Upsert

Version = Literal["version", "profile_version"]
"""A user's: of the ratings, or of the attributes and events."""


class Dialect(Protocol):
    """What SQLite and Postgres do differently: opening, locking, and bulk work by arrays."""

    reads_are_local: bool  # a read is a function call, cheaper than handing it to a thread
    engine: sa.Engine
    driver_error: type[Exception]

    def writing(self) -> Iterator[sa.Connection]:
        """One write transaction: yields its connection, commits after, or rolls back and raises."""

    def hot_row(self, statement: str, parameter: object) -> tuple[Any, ...] | None:
        """The first row of a small read outside any transaction, by the shortest way; `statement` has one `?`."""

    def hot_rows(self, statement: str, parameter: object) -> list[tuple[Any, ...]]: ...

    async def look_up_row(self, lookup: Lookup, parameter: object) -> Row | None:
        """On the event loop: the only row, None where there is none."""

    async def look_up_rows(self, lookup: Lookup, parameters: Sequence[object]) -> list[Row | None]:
        """As `look_up_row` for each of the parameters, in their order."""

    async def look_up_columns(self, lookup: Lookup, parameter: object) -> Sequence[Sequence[Any]]:
        """On the event loop: of all rows, in any order, one sequence a column."""

    def now(self, connection: sa.Connection) -> int:
        """The database's clock, microseconds UTC: leases of workers on several hosts compare by it."""

    def user_keys(self, connection: sa.Connection, user_ids: Sequence[str]) -> KeyArray:
        """Keys of distinct ids; makes the missing users; holds each user's lock until the end of the transaction."""

    def item_keys(self, connection: sa.Connection, item_ids: Sequence[str]) -> tuple[KeyArray, list[str]]:
        """Keys of distinct ids and which of the ids had to be made (with version 0, for the caller to set)."""

    def existing(self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray) -> ExistingRatings: ...

    def write_ratings(
        self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray, value: ValueArray, rated_at: TimeArray
    ) -> None:
        """Insert or overwrite; the caller has decided. A NaN `value` is a tombstone."""

    def bump_users(
        self, connection: sa.Connection, user_key: KeyArray, changes: KeyArray, of: Version = "version"
    ) -> None: ...

    def upsert(self, connection: sa.Connection, upsert: Upsert, columns: Sequence[Sequence[Any]]) -> int:
        """Returns how many rows were inserted or merged; `columns` as the upsert names them, no key twice."""

    def find_rows(self, connection: sa.Connection, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of `statement`, which ends in `= ?`, for each of the distinct values."""

    def log2_sum(self, one: str, other: str) -> str:
        """The SQL of log2(2^one + 2^other), where two expressions may be too large or small for their powers."""

    def all_rows(self, connection: sa.Connection, statement: str, dtype: Any) -> Any:
        """All rows of a big read as a structured array."""

    def expected(self, error: BaseException | None) -> ReckonError | None:
        """The `ReckonError` for a driver's error that operation causes; None for one that only a defect causes."""

    def close(self) -> None: ...


class UnexpectedDatabaseError(Exception):
    """A database error that only a defect of this program causes.

    Names the driver's error class and its code alone. The statement, its parameters and the driver's message, which may
    quote stored values, are left out: this error is logged with its traceback.
    """

    def __init__(self, original: BaseException | None) -> None:
        code = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None)
        super().__init__(f"{type(original).__name__} ({code or 'no code'})")


def translated(error: Exception, dialect: Dialect) -> Exception:
    """The error to raise, `from None`, in place of one of SQLAlchemy or the driver; it keeps the traceback."""
    original = error.orig if isinstance(error, StatementError) else error
    raised = dialect.expected(original) or UnexpectedDatabaseError(original)
    return raised.with_traceback(error.__traceback__)


class Database:
    """A door to one database: `reading()`, `writing()`, and the dialect's bulk functions."""

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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (StatementError, self.dialect.driver_error) as error:
            # A chained error would put the statement into the log after all.
            raise translated(error, self.dialect) from None

    def close(self) -> None:
        self.dialect.close()


def open_database(url: str, data_dir: Path) -> Database:
    """The database at `url`; where that is empty, the embedded one, `reckon.db` in `data_dir`."""
    from app.store.sqlite import SqliteDialect  # noqa: PLC0415  both dialects build on this file

    if not url:
        data_dir.mkdir(parents=True, exist_ok=True)
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
