"""Histories of users from a read replica of Postgres, where it has applied what a request must know.

A replica lags behind by an unknown time. The versions of a request always come from the primary. The history is read
from the replica together with the version that it has there, by one statement and so of one state. If that version is
older, or the replica does not answer, the primary is asked: a request sees every change that was acknowledged before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from app.errors import ReckonError
from app.observability.traces import query_span
from app.store.availability import WAIT_SECONDS
from app.store.connection_budget import ConnectionBudget
from app.store.database import Database, open_database
from app.store.dialect import Made, PointRead
from app.store.migration import SchemaError

Outcome = Literal["used", "behind", "down"]
"""What came of a question: answered, older than the request, or not answered."""

OF_RATINGS = PointRead(
    "SELECT version, generation, item_key, value, coalesce(rated_at, -9223372036854775807 - 1) AS rated_at"
    " FROM users JOIN installation ON installation.id = 1"
    " LEFT JOIN ratings ON ratings.user_key = users.user_key AND value IS NOT NULL WHERE users.user_key = ?",
    by=int,
    columns=("version", "generation", "item_key", "value", "rated_at"),
)
OF_INTERACTIONS = PointRead(
    "SELECT profile_version AS version, generation, item_key, type_key, count, first_at, last_at, portion"
    " FROM users JOIN installation ON installation.id = 1"
    " LEFT JOIN interactions ON interactions.user_key = users.user_key WHERE users.user_key = ?",
    by=int,
    columns=("version", "generation", "item_key", "type_key", "count", "first_at", "last_at", "portion"),
)


class State(NamedTuple):
    """What a request must know of a user: this version of this generation of the database, or a later version."""

    generation: str
    version: int


class ReplicaBehindError(Exception):
    """The replica does not have the state yet."""


@dataclass(frozen=True)
class ReadReplica:
    """`count`: called with what came of each question."""

    database: Database
    count: Callable[[Outcome], None] = lambda _outcome: None

    @classmethod
    def open(cls, url: str, count: Callable[[Outcome], None], budget: ConnectionBudget | None = None) -> Self:
        """`url`: of Postgres. `budget`: as of `open_database`, whose errors it raises."""
        database = open_database(url, Path(), wait_seconds=WAIT_SECONDS, budget=budget)
        database.probed = (OF_RATINGS, OF_INTERACTIONS)
        return cls(database, count)

    def close(self) -> None:
        self.database.close()

    def check(self, primary: Database) -> None:
        """Raises `SchemaError` if it is no copy of the primary, and `UnavailableError` if it does not answer."""
        statement = "SELECT database_id FROM installation WHERE id = ?"
        if self.database.dialect.hot_row(statement, 1) != primary.dialect.hot_row(statement, 1):
            raise SchemaError("RECKON_DATABASE_READ_URL names another database, not a replica of RECKON_DATABASE_URL")

    async def columns(
        self, read: PointRead, user_key: int, state: State, made_of: Callable[[Sequence[Sequence[Any]]], Made]
    ) -> Made | None:
        """What `made_of` makes of the columns after the first two of `read`; None where the primary is to be asked."""

        def made(columns: Sequence[Sequence[Any]]) -> Made:
            versions, generations, *others = columns
            # No row: the user is not there yet, or was deleted.
            if not versions or generations[0] != state.generation or versions[0] < state.version:
                raise ReplicaBehindError
            # A user without any has one row, of NULLs.
            return made_of([[] for _ in others] if others[0][0] is None else others)

        availability = self.database.availability
        try:
            with availability.reported(), query_span(read.statement):
                answer = await self.database.dialect.read_columns(read, user_key, made)
        except ReplicaBehindError:
            self.count("behind")
            return None
        except ReckonError:
            self.count("down")
            return None
        self.count("used")
        return answer
