"""What the two databases do differently, as one protocol, and the values that pass through it.

`sqlite.py` and `postgres.py` implement `Dialect`; `database.py` chooses one of them. The files of the tables see the
protocol alone, so that SQL of one database stands in one file.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.exc import StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import ReckonError, UnavailableError

KeyArray = NDArray[np.int64]
ValueArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]

Row = tuple[Any, ...]

ColumnValues = Sequence[Any] | NDArray[np.int64] | NDArray[np.float64]
"""Of one parameter for many rows; numbers are sent faster as an array."""

Made = TypeVar("Made")

MAX_ROWS_ON_LOOP = 1_000
"""So many rows take a millisecond or two to read and to convert; more of them are for a thread."""

VersionColumn = Literal["version", "profile_version"]
"""Which version of a user grows: that of the ratings, or that of the attributes and events."""


@dataclass(frozen=True, slots=True)
class PointRead:
    """A read of few rows by an index, on the path of every answer.

    `statement` holds one `?`, a parameter of type `by`, and names its `columns`. Both databases accept its text;
    Postgres answers several concurrent reads of the same statement at once.
    """

    statement: str
    by: type[str | int]
    columns: tuple[str, ...]

    @property
    def nothing(self) -> str | int:
        """A parameter that no row has: ids are not empty, and keys begin at 1."""
        return self.by()


@dataclass(frozen=True, slots=True)
class ExistingRatings:
    """The stored ratings of given (user, item) pairs; equal lengths n.

    `is_stored` (n,) bool. `value` (n,) float64: NaN for a tombstone. `rated_at` (n,) int64 microseconds UTC,
    `UNKNOWN_TIME` where it is not known. Both are meaningless where nothing is stored.
    """

    is_stored: NDArray[np.bool_]
    value: ValueArray
    rated_at: TimeArray

    def part(self, rows: NDArray[np.intp]) -> "ExistingRatings":
        """A copy of some of them."""
        return ExistingRatings(self.is_stored[rows], self.value[rows], self.rated_at[rows])

    @property
    def dated_values(self) -> tuple[ValueArray, TimeArray]:
        """Values, NaN where there is no rating, and times."""
        return np.where(self.is_stored, self.value, np.nan), self.rated_at


@dataclass(frozen=True)
class Upsert:
    """An insert of many rows into one table, given as columns, that merges into the rows with the same key.

    `columns`: name and Postgres type of each. `key`: the names of the primary key's columns. `merged`: name and new
    value of each column that changes in an existing row, the value as an expression over the columns of the table and
    of `excluded`; where it is empty, an existing row stays as it is.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    merged: tuple[tuple[str, str], ...] = ()

    def _statement(self, rows: str) -> str:
        changes = ", ".join(f"{name} = {value}" for name, value in self.merged)
        return (
            f"INSERT INTO {self.table} ({self._names}) {rows}"
            f" ON CONFLICT ({', '.join(self.key)}) {f'DO UPDATE SET {changes}' if changes else 'DO NOTHING'}"
        )

    @property
    def _names(self) -> str:
        return ", ".join(name for name, _ in self.columns)

    @cached_property
    def of_one_row(self) -> str:
        """The statement with one parameter for each column."""
        return self._statement(f"VALUES ({', '.join('?' * len(self.columns))})")

    @cached_property
    def of_arrays(self) -> str:
        """The statement with one array for each column."""
        arrays = ", ".join(f"%s::{type_}[]" for _, type_ in self.columns)
        given = f"unnest({arrays}) AS given ({self._names})"
        # Rows are locked in the order of their keys, as in every other bulk write, so that writers cannot deadlock.
        return self._statement(f"SELECT * FROM {given} ORDER BY {', '.join(self.key)}")  # noqa: S608  names of ours


class Dialect(Protocol):
    """Opening, locking, point reads and bulk work by arrays."""

    engine: sa.Engine
    driver_error: type[Exception]
    has_own_clock: bool
    """Whether `now` is one clock for all processes. Otherwise it is the clock of this process."""
    is_a_file: bool
    rows_at_once: int
    """Ratings of an import that are written in one transaction, so that other writers wait less than a second."""
    before_connecting: Callable[[], None]
    """Called before a thread opens a connection to a server; raises to refuse it."""

    def probe(self, reads: Sequence[PointRead]) -> None:
        """Reads each once, by a parameter that finds nothing, in the time that the reads of an answer have.

        Raises `ReckonError` if one of them fails.
        """

    def hang_up(self) -> None:
        """Cuts the connections that threads may be waiting for; their operations end with an error."""

    def writing(self, *, uses_reserve: bool = False) -> Iterator[sa.Connection]:
        """Yields the connection of one write transaction, then commits it, or rolls back and raises.

        `uses_reserve`: see `Database.writing`.
        """

    def begin_lasting(self, connection: sa.Connection) -> None:
        """To be called first in a lasting write, one that a restore takes over from the database that it replaces.

        So too in a read that decides whether there is one. Waits for the end of a restore, and then sees what was
        restored: any other statement that waits sees empty tables.
        """

    def reopen_replaced(self, renew: Callable[[sa.Connection], None]) -> bool:
        """Whether another database has taken the place of the one that is open.

        If so, it is opened, and `renew` is called in its first write transaction, before any other read or write of
        this process sees it. Raises `UnavailableError` if it cannot be opened yet.
        """

    def hot_row(self, statement: str, parameter: object) -> Row | None:
        """For threads: the first row of a point read outside any transaction; `statement` has one `?`."""

    async def read_row(self, read: PointRead, parameter: object) -> Row | None:
        """For the event loop: the only row, None where there is none."""

    async def read_rows(self, read: "PointRead", parameters: Sequence[object]) -> list[Row | None]:
        """As `read_row` for each of the parameters, in their order."""

    async def read_columns(
        self, read: PointRead, parameter: object, made_of: Callable[[Sequence[Sequence[Any]]], Made]
    ) -> Made:
        """For the event loop: what `made_of` makes of all rows in any order, given as one sequence for each column.

        Of many rows it makes it in a thread.
        """

    def now(self, connection: sa.Connection) -> int:
        """The database's clock in microseconds UTC; leases of workers on several hosts are compared by it."""

    def user_keys(self, connection: sa.Connection, user_ids: Sequence[str]) -> tuple[KeyArray, list[str]]:
        """(n,) keys of n distinct ids, and the ids that were inserted; locks each user until the transaction ends."""

    def item_keys(self, connection: sa.Connection, item_ids: Sequence[str]) -> tuple[KeyArray, list[str]]:
        """(n,) keys of n distinct ids, and the ids that were inserted, with version 0 for the caller to set."""

    def existing(self, connection: sa.Connection, user_key: KeyArray, item_key: KeyArray) -> ExistingRatings: ...

    def write_ratings(
        self,
        connection: sa.Connection,
        user_key: KeyArray,
        item_key: KeyArray,
        value: ValueArray,
        rated_at: TimeArray,
        is_new: NDArray[np.bool_],
    ) -> None:
        """Inserts or overwrites (n,) ratings of distinct pairs unconditionally. A NaN `value` is a tombstone.

        `is_new`: (n,), nothing is stored for the pair. The users are locked, so that no other writer stores one.
        """

    def bump_users(
        self,
        connection: sa.Connection,
        user_key: KeyArray,
        changes: KeyArray,
        column: VersionColumn = "version",
        *,
        is_direct: bool = False,
    ) -> None:
        """Adds the (n,) `changes` to a version of n distinct users. `is_direct`: they came through the API."""

    def upsert(self, connection: sa.Connection, upsert: Upsert, columns: Sequence[ColumnValues]) -> int:
        """Returns the number of rows inserted or merged; `columns` in the order of the upsert, with distinct keys."""

    def rows_of(self, connection: sa.Connection, statement: str, values: ColumnValues) -> list[Row]:
        """All rows of `statement`, which ends in `= ?`, for each of the distinct values."""

    def rows_of_pairs(
        self, connection: sa.Connection, statement: str, user_key: KeyArray, item_key: KeyArray
    ) -> list[Row]:
        """All rows of `statement`, which reads from `pairs`, a table of the n distinct pairs by its two columns."""

    def lock_table(self, connection: sa.Connection, table: str, mode: Literal["ROW EXCLUSIVE", "EXCLUSIVE"]) -> None:
        """Locks the table until the transaction ends; several may hold it in the first mode, one in the second."""

    # SQLite may lack mathematical functions, and Postgres raises where a power underflows.
    def n_bytes(self, text: str) -> str:
        """SQL of the number of bytes of `text`, an expression of SQL, in UTF-8."""

    def log2_sum(self, left: str, right: str) -> str:
        """SQL of log2(2^left + 2^right) for two expressions whose powers may overflow."""

    def log2(self, number: str) -> str:
        """SQL of log2 of an expression above 0."""

    def all_rows(self, connection: sa.Connection, statement: str, dtype: Any) -> Any:
        """All rows of a large read as a structured array."""

    def row_blocks(self, connection: sa.Connection, statement: str, dtype: Any) -> Iterator[Any]:
        """As `all_rows`, some rows at a time."""

    def purge(self, also: Collection[str]) -> None:
        """Removes what deleted rows of users have left in the files of the database.

        `also`: other tables than those of users, of which rows named them. Other writes wait, on Postgres also reads of
        the tables that are written anew. Raises `UnavailableError` while a long read needs the files as they are, and
        `StorageFullError` if there is no room to write them anew.
        """

    def limited(self, connection: sa.Connection, seconds: float) -> Iterator[None]:
        """A block in which statements raise `ReadTooLongError` after so long, on SQLite counted from its beginning."""

    def size(self, connection: sa.Connection) -> int:
        """The bytes that the tables of this catalogue take on the disk, with their indexes."""

    def remove_leftovers(self) -> None:
        """Removes copies of the database that killed commands have left; they may hold users who are erased."""

    def expected(self, error: BaseException | None) -> ReckonError | None:
        """The `ReckonError` for a driver's error with an operational cause; None for an error that is a defect."""

    def close(self) -> None: ...


class UnexpectedDatabaseError(Exception):
    """A database error that only a defect of this program causes.

    Names the driver's error class and its code alone. The statement, its parameters and the driver's message, which may
    quote stored values, are left out: this error is logged with its traceback.
    """

    has_no_values = True

    def __init__(self, original: BaseException | None) -> None:
        code = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None)
        super().__init__(f"{type(original).__name__} ({code or 'no code'})")


def translated(error: Exception, dialect: Dialect) -> Exception:
    """The error to raise, `from None`, in place of one of SQLAlchemy or the driver; it keeps the traceback."""
    if isinstance(error, PoolTimeoutError):
        return UnavailableError("all connections to the database are in use; try again").with_traceback(
            error.__traceback__
        )
    original = error.orig if isinstance(error, StatementError) else error
    raised = dialect.expected(original) or UnexpectedDatabaseError(original)
    return raised.with_traceback(error.__traceback__)
