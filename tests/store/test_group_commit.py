"""Ratings of many callers in one transaction: each gets its own answer, and none suffers for another."""

import asyncio
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.errors import ReckonError, StorageFullError, StorageUnavailableError, UnavailableError
from app.store import REPLACED, STORED, UNCHANGED, Recorded, Store, migrate
from tests.support.postgres import refusing_connections
from tests.support.ratings import Row, incoming
from tests.support.service import wait_until

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


async def rate(store: Store, *rows: Row) -> Recorded:
    return await store.group_commit.record(incoming(*rows), untimed_at=100)


def all_at_once(store: Store, *callers: list[Row]) -> list[Recorded | BaseException]:
    async def gather() -> list[Recorded | BaseException]:
        return await asyncio.gather(*(rate(store, *rows) for rows in callers), return_exceptions=True)

    return asyncio.run(gather())


def statuses(outcomes: list[Recorded | BaseException]) -> list[list[int]]:
    assert all(isinstance(outcome, Recorded) for outcome in outcomes), outcomes
    return [outcome.status.tolist() for outcome in outcomes if isinstance(outcome, Recorded)]


@contextmanager
def counted_commits(store: Store) -> Iterator[list[str]]:
    commits: list[str] = []
    sa.event.listen(store.database.dialect.engine, "commit", lambda _connection: commits.append("commit"))
    yield commits


def test_everybody_is_stored(store: Store) -> None:
    with counted_commits(store) as commits:
        callers: list[list[Row]] = [[(f"u{n}", f"i{n % 7}", 3)] for n in range(300)]
        outcomes = all_at_once(store, *callers)
    assert statuses(outcomes) == [[STORED]] * 300
    assert store.ratings.count() == 300
    assert len(commits) < 30


def test_order_of_arrival(store: Store) -> None:
    """Equal times: the later arrival; each is told what became of it when its turn came."""
    outcomes = all_at_once(
        store, [("ann", "x", 1)], [("ann", "x", 2), ("bob", "x", 5)], [("ann", "x", 2)], [("ann", "x", 4, 99)]
    )
    assert statuses(outcomes) == [[STORED], [REPLACED, STORED], [UNCHANGED], [UNCHANGED]]
    last = outcomes[3]
    assert isinstance(last, Recorded)
    assert (last.value.tolist(), last.rated_at.tolist()) == ([2], [100])
    assert [rating.value for _, rating in store.ratings.page("ann")] == [2]


def test_clock_of_each(store: Store) -> None:
    async def at_two_times() -> list[int]:
        record = store.group_commit.record
        outcomes = await asyncio.gather(
            record(incoming(("ann", "x", 1)), untimed_at=5), record(incoming(("ann", "y", 1)), untimed_at=6)
        )
        return [int(outcome.rated_at[0]) for outcome in outcomes]

    assert asyncio.run(at_two_times()) == [5, 6]


def test_one_bad_caller(store: Store) -> None:
    """What the checks before should have refused fails alone."""
    outcomes = all_at_once(store, [("ann", "x", 1)], [("bob", "x", 2), ("bob", "y", 1e300)], [("cem", "x", 3)])
    assert type(outcomes[1]).__name__ == "UnexpectedDatabaseError"
    assert statuses([outcomes[0], outcomes[2]]) == [[STORED], [STORED]]
    assert store.users.freshness("bob").user_key is None


def test_thread_outlives_defects(store: Store) -> None:
    """What is no ratings at all fails its own caller; the next one is written."""

    async def one_after_the_other() -> Recorded:
        for defect in (None, Sized()):
            with pytest.raises((TypeError, AttributeError)):
                await asyncio.wait_for(store.group_commit.record(cast("Any", defect), untimed_at=1), 60)
        return await asyncio.wait_for(rate(store, ("ann", "x", 3)), 60)

    assert asyncio.run(one_after_the_other()).status.tolist() == [STORED]


class Sized:
    def __len__(self) -> int:
        return 1


def test_caller_who_left(store: Store) -> None:
    async def leave_one() -> list[Recorded | BaseException]:
        tasks = [asyncio.create_task(rate(store, (f"u{n}", "x", 3))) for n in range(5)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(leave_one())
    assert isinstance(outcomes.pop(2), asyncio.CancelledError)
    assert statuses(outcomes) == [[STORED]] * 4
    store.group_commit.close()
    assert store.ratings.count() == 5


@on_sqlite
def test_disk_full(store: Store) -> None:
    engine = store.database.dialect.engine
    limits = [1]

    def limit(connection: object, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limits[0]}")  # type: ignore[attr-defined]

    sa.event.listen(engine, "connect", limit)  # SQLite never lowers it below what is in use
    engine.dispose()
    long = "x" * 100
    callers: list[list[Row]] = [[(f"u{n}{long}", f"i{item}{long}", 3) for item in range(200)] for n in range(50)]
    assert {type(outcome) for outcome in all_at_once(store, *callers)} == {StorageFullError}
    assert (store.ratings.count(), store.users.count()) == (0, 0)
    limits[0] = 1 << 30
    engine.dispose()
    assert statuses(all_at_once(store, *callers)) == [[STORED] * 200] * 50


@on_postgres
def test_database_away(store: Store, database_url: str) -> None:
    callers: list[list[Row]] = [[(f"u{n}", "x", 3)] for n in range(20)]
    with refusing_connections(database_url):
        assert {type(outcome) for outcome in all_at_once(store, *callers)} == {StorageUnavailableError}
    assert statuses(all_at_once(store, *callers)) == [[STORED]] * 20


@on_postgres
def test_database_read_only(store: Store) -> None:
    """As a standby is, before it takes over."""
    engine = store.database.dialect.engine
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET default_transaction_read_only = on")
    engine.dispose()
    assert {type(outcome) for outcome in all_at_once(store, [("ann", "x", 3)], [("bob", "x", 3)])} == {UnavailableError}


def test_stop_while_writing(store: Store) -> None:
    """Who is acknowledged is stored; who came too late is told so."""
    outcomes: list[Recorded | BaseException] = []
    is_running = threading.Event()

    async def keep_rating(caller: int) -> None:
        for n in range(10_000):
            try:
                outcomes.append(await rate(store, (f"u{caller}", f"i{n}", 3)))
            except ReckonError as error:
                outcomes.append(error)
                return
            is_running.set()

    async def run() -> None:
        await asyncio.gather(*map(keep_rating, range(8)))

    running = threading.Thread(target=asyncio.run, args=(run(),))
    running.start()
    assert is_running.wait(60)
    time.sleep(0.1)
    store.group_commit.close()
    running.join()
    refused = [outcome for outcome in outcomes if isinstance(outcome, UnavailableError)]
    assert len(refused) == 8
    assert store.ratings.count() == len(outcomes) - len(refused) > 8


def write_beside(url: str, folder: Path, name: str) -> None:
    store = Store.open(url, folder)
    rows: list[list[Row]] = [[(f"{name}{n % 5}", f"i{n}", 3), ("everybody", f"i{n}", 3, n)] for n in range(100)]
    try:
        assert len(statuses(all_at_once(store, *rows))) == 100
    finally:
        store.close()


def test_two_processes(store: Store, database_url: str, tmp_path: Path) -> None:
    """Both write a user's ratings at once: nothing is lost, and the version counts every change."""
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=write_beside, args=(database_url, tmp_path, name)) for name in ("a", "b")]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0]
    assert store.ratings.count() == 300
    assert store.users.freshness("everybody").user_version == 100
    assert np.array_equal(np.sort(store.training_reads.load().user_versions), [20] * 10 + [100])


def test_waiting_together(tmp_path: Path) -> None:
    """Writes that come while one waits in vain for the database are refused with it; each in turn would wait longer."""
    migrate("", tmp_path)
    store = Store.open("", tmp_path, wait_seconds=1)

    async def rate_while_one_waits() -> list[Recorded | BaseException]:
        first = asyncio.ensure_future(rate(store, ("u0", "x", 3)))
        await asyncio.sleep(0)
        await asyncio.to_thread(wait_until, store.group_commit._queue.empty)
        return await asyncio.gather(first, *(rate(store, (f"u{n}", "x", 3)) for n in (1, 2)), return_exceptions=True)

    with closing(sqlite3.connect(tmp_path / "reckon.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        first, *late = asyncio.run(rate_while_one_waits())
    assert isinstance(first, UnavailableError)
    assert [each is first for each in late] == [True, True]
    assert statuses(all_at_once(store, [("u0", "x", 3)])) == [[STORED]]
    store.close()


def test_answer_that_cannot_be_delivered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller waits in vain, and only that one: the next is written and answered."""

    async def lose_one() -> Recorded:
        loop = asyncio.get_running_loop()
        is_lost = threading.Event()

        def fail(*_: object) -> None:
            is_lost.set()
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(loop, "call_soon_threadsafe", fail)
            lost = asyncio.ensure_future(rate(store, ("ann", "x", 3)))
            await asyncio.sleep(0)
            assert is_lost.wait(60)
        answered = await asyncio.wait_for(rate(store, ("bob", "x", 3)), 60)
        assert not lost.done()
        lost.cancel()
        return answered

    with capture_logs() as logged:
        assert asyncio.run(lose_one()).status.tolist() == [STORED]
    assert [(each["event"], each["n_callers"]) for each in logged] == [("ratings were not acknowledged", 1)]
    assert store.ratings.count() == 2
