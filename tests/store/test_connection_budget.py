"""The pools of several databases share a number of connections."""

from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from app.errors import UnavailableError
from app.store.connection_budget import ConnectionBudget
from app.store.database import Database, open_database


@pytest.fixture
def budget() -> ConnectionBudget:
    return ConnectionBudget(3)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_shared_by_pools(database_url: str, tmp_path: Path, budget: ConnectionBudget) -> None:
    def opened() -> Database:
        database = open_database(database_url, tmp_path, wait_seconds=0.2, budget=budget)
        closing.callback(database.close)
        return database

    def reading(database: Database) -> ExitStack:
        held = ExitStack()
        closing.callback(held.close)
        held.enter_context(database.reading()).execute(sa.text("SELECT 1"))
        return held

    with ExitStack() as closing:
        one, other = opened(), opened()
        first, overflow, last = reading(one), reading(one), reading(other)
        with pytest.raises(UnavailableError, match="use all connections"):
            reading(other)
        overflow.close()  # the pool keeps one and closes the other
        first.close()
        reading(other)
        with pytest.raises(UnavailableError, match="use all connections"):
            reading(other)
        reading(one).close()  # its own is still there
        last.close()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_what_is_gone_counts_no_more(database_url: str, budget: ConnectionBudget) -> None:
    """Nor does an attempt that failed: a server that is away for long must not use up the budget."""

    def connect() -> psycopg.Connection:
        return psycopg.connect(database_url.replace("postgresql+psycopg", "postgresql"))

    def fail() -> psycopg.Connection:
        raise psycopg.OperationalError

    for _ in range(5):
        with pytest.raises(psycopg.OperationalError):
            budget.connect(fail, 0)
    held = [budget.connect(connect, 0) for _ in range(3)]
    with pytest.raises(UnavailableError):
        budget.connect(connect, 0)
    held[0].close()
    held[1].close()
    held += [budget.connect(connect, 0) for _ in range(2)]
    with pytest.raises(UnavailableError):
        budget.connect(connect, 0)
    for connection in held:
        connection.close()
