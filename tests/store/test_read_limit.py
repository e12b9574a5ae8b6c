"""Reads of pages that take too long are given up, and nothing else is."""

import asyncio
import time

import pytest
from starlette.concurrency import run_in_threadpool

from app.errors import StorageUnavailableError
from app.store import Store
from app.store.dialect import UnexpectedDatabaseError
from app.store.read_limit import ReadTooLongError, limited_reads

COUNTED = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"
ENDLESS, SHORT = COUNTED.format(10**9), COUNTED.format(200_000)


def read(store: Store, statement: str) -> None:
    with store.database.reading() as connection:
        connection.exec_driver_sql(statement).all()


def test_given_up(store: Store) -> None:
    started = time.monotonic()
    with limited_reads(0.02), pytest.raises(ReadTooLongError, match=r"in 0\.02 seconds"):
        read(store, ENDLESS)
    assert time.monotonic() - started < 60
    # It is no outage, and whoever gets the connection next is not limited.
    assert store.availability.outage is None
    read(store, SHORT)


def test_raw_cursor(store: Store) -> None:
    """As large reads are done, without SQLAlchemy between."""

    def read_raw() -> None:
        with store.database.reading() as connection:
            connection.connection.cursor().execute(ENDLESS)

    with limited_reads(0.02), pytest.raises(ReadTooLongError):
        read_raw()


def test_other_errors(store: Store) -> None:
    """They say what they are, not that the read took too long."""
    with limited_reads(60), pytest.raises((StorageUnavailableError, UnexpectedDatabaseError)):
        read(store, "SELECT nothing FROM users")


def test_in_a_thread(store: Store) -> None:
    """The limit goes along into the thread that a request waits for, and ends with the block."""

    async def ask() -> None:
        with limited_reads(0.02):
            await run_in_threadpool(read, store, ENDLESS)

    with pytest.raises(ReadTooLongError):
        asyncio.run(ask())
    read(store, SHORT)
