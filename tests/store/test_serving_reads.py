"""Reads for the event loop: each caller gets its own, and what was written before it asked."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.entities import UNKNOWN_TIME, Item, User
from app.errors import StorageUnavailableError
from app.store import Store
from app.store.dialect import MAX_ROWS_ON_LOOP, PointRead
from app.store.postgres import PostgresDialect
from app.store.serving_reads import HISTORY, INTERACTIONS, VERSIONS, Interactions, RatingHistory
from app.store.shared_reader import SharedReader
from tests.support.events import happened
from tests.support.postgres import hang_up, refusing_connections
from tests.support.ratings import incoming
from tests.support.time_limits import LONG_SECONDS, short_reads

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


def test_versions_and_history(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3), ("ann", "y", 4, 7), ("ann", "z", 5, 9)))
    freshness = asyncio.run(store.reads.freshness("ann"))
    assert freshness == store.users.freshness("ann")
    assert freshness.user_key is not None
    history = asyncio.run(store.reads.history(freshness.user_key))
    assert history.value.tolist() == [5, 4, 3]  # newest first, unknown times last
    assert history.rated_at.tolist() == [9, 7, UNKNOWN_TIME]
    names = store.items.ids_of(history.item_key.tolist())
    assert [names[key] for key in history.item_key.tolist()] == ["z", "y", "x"]
    assert (history.item_key.dtype, history.value.dtype) == (np.dtype("int64"), np.dtype("float64"))


def test_user_of_key(store: Store) -> None:
    ann = User("ann", "FI", {"age": 31, "likes": ["a", "b"]})
    store.users.record([ann])
    key = store.users.freshness("ann").user_key
    assert key is not None
    assert asyncio.run(store.reads.profile(key)) == (ann, None)
    assert asyncio.run(store.reads.profile(key + 1)) == (None, None)


def test_events_gone_between_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who is deleted, or merged, once it is known that there are events."""
    store.events.record(happened(("1", "clicked", "ann", "x", 1)))
    key = store.users.freshness("ann").user_key
    assert key is not None
    assert asyncio.run(store.reads.profile(key))[1] is not None
    read_row = store.reads._dialect.read_row

    async def look_up_and_delete(*asked: Any) -> Any:
        row = await read_row(*asked)
        store.users.delete("ann")
        return row

    monkeypatch.setattr(store.reads._dialect, "read_row", look_up_and_delete)
    assert asyncio.run(store.reads.profile(key)) == (User("ann"), None)


def test_long_history(store: Store) -> None:
    """It is read, and made into arrays, in a thread; what was written before the read is in it."""
    n = MAX_ROWS_ON_LOOP + 1
    store.ratings.record(incoming(*(("ann", f"i{k}", 3, k) for k in range(n))))
    store.events.record(happened(*((f"e{k}", "clicked", "ann", f"i{k}", 1, 0.5) for k in range(n - 1))))
    key = store.users.freshness("ann").user_key
    assert key is not None
    threads: list[int] = []

    async def read(statement: PointRead, made_of: Callable[[Sequence[Sequence[Any]]], Any]) -> Any:
        def noting_the_thread(columns: Sequence[Sequence[Any]]) -> Any:
            threads.append(threading.get_ident())
            return made_of(columns)

        return await store.reads._dialect.read_columns(statement, key, noting_the_thread)

    assert asyncio.run(read(HISTORY, RatingHistory.from_columns)).rated_at.tolist() == [*range(n - 1, -1, -1)]
    few = asyncio.run(read(INTERACTIONS, Interactions.from_columns))
    store.events.record(happened(*((f"f{k}", "clicked", "ann", f"i{k}", 2, None) for k in range(n))))
    many = asyncio.run(read(INTERACTIONS, Interactions.from_columns))
    assert (len(few), len(many)) == (n - 1, n)
    assert sorted(many.count.tolist()) == [1] + [2] * (n - 1)
    assert np.isnan(many.portion).all()
    here = threading.get_ident()
    assert [each == here for each in threads] == [False, True, False]


def test_nothing_known(store: Store) -> None:
    assert asyncio.run(store.reads.freshness("nobody")).user_key is None
    history = asyncio.run(store.reads.history(1))
    assert len(history.item_key) == 0
    assert (history.value.dtype, history.rated_at.dtype) == (np.dtype("float64"), np.dtype("int64"))


def test_columns_of_items(store: Store) -> None:
    """In the order of the ids, with a gap for each that is unknown, and as an item has them."""
    store.items.record([Item("x", title="X", categories=("a", "b")), Item("y", is_available=False)])
    names = ("title", "categories", "is_available")
    x, none, y = asyncio.run(store.reads.item_columns(["x", "no", "y"], names))
    assert x == {"title": "X", "categories": ("a", "b"), "is_available": True}
    assert none is None
    assert y == {"title": None, "categories": (), "is_available": False}


def test_missing_counter(store: Store) -> None:
    """No answer is made of the versions of half a database."""
    with store.database.writing() as connection:
        connection.execute(sa.text("DELETE FROM counters WHERE name = 'placements'"))
    with pytest.raises(LookupError, match="counter"):
        asyncio.run(store.reads.freshness("ann"))


def test_each_its_own(store: Store) -> None:
    store.ratings.record(incoming(*((f"u{n}", f"i{item}", 3, 1) for n in range(50) for item in range(n + 1))))

    async def ask_all() -> None:
        asked = [*(f"u{n}" for n in range(50)), "nobody", "u7", "u7"]
        versions = [each.user_version for each in await asyncio.gather(*map(store.reads.freshness, asked))]
        assert versions == [*range(1, 51), 0, 8, 8]
        keys = [(await store.reads.freshness(user_id)).user_key or 0 for user_id in asked]
        histories = await asyncio.gather(*map(store.reads.history, keys))
        assert [len(each.value) for each in histories] == versions

    asyncio.run(ask_all())


def test_reads_own_writes(store: Store) -> None:
    """Every acknowledged write is in the read that begins after it, however many others read meanwhile."""

    async def write_and_read(user_id: str) -> None:
        for n in range(1, 21):
            await asyncio.to_thread(store.ratings.record, incoming((user_id, f"i{n}", 3, n)))
            freshness = await store.reads.freshness(user_id)
            assert freshness.user_version == n
            history = await store.reads.history(freshness.user_key or 0)
            assert history.rated_at.tolist() == list(range(n, 0, -1))

    async def all_at_once() -> None:
        await asyncio.gather(*(write_and_read(f"u{n}") for n in range(4)))

    asyncio.run(all_at_once())


@on_sqlite
def test_local_read_does_not_suspend(store: Store) -> None:
    with pytest.raises(StopIteration):
        store.reads.freshness("ann").send(None)


@on_postgres
def test_caller_who_left(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 1)))

    async def leave_one() -> None:
        tasks = [asyncio.create_task(store.reads.freshness("ann")) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[2], asyncio.CancelledError)
        assert all(answer.user_version == 1 for n, answer in enumerate(answers) if n != 2)  # type: ignore[union-attr]

    asyncio.run(leave_one())


@on_postgres
def test_server_comes_back(store: Store, database_url: str) -> None:
    """A connection lost between requests is made anew; without a server the callers are told, and only they."""

    async def live_through_it() -> None:
        assert (await store.reads.freshness("ann")).user_key is None
        hang_up(database_url)
        assert (await store.reads.freshness("ann")).user_key is None
        with refusing_connections(database_url):
            answers = await asyncio.gather(*(store.reads.freshness("ann") for _ in range(3)), return_exceptions=True)
            assert [type(answer) for answer in answers] == [StorageUnavailableError] * 3
        assert (await store.reads.freshness("ann")).user_key is None

    asyncio.run(live_through_it())


@on_postgres
def test_reader_outlives_defects(store: Store) -> None:
    """A lone surrogate has no bytes: its caller alone gets the driver's error, those who wait for others an answer."""
    store.ratings.record(incoming(("ann", "x", 3)))
    key = store.users.freshness("ann").user_key or 0

    async def live_through_it() -> None:
        asked = (store.reads.freshness("a\ud800"), store.reads.history(key), store.reads.scale())
        bad, history, _scale = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(bad, UnicodeEncodeError)
        assert not isinstance(history, BaseException)
        assert history.value.tolist() == [3]
        assert (await store.reads.freshness("ann")).user_key == key

    asyncio.run(live_through_it())


@on_postgres
def test_silent_server(store: Store) -> None:
    async def wait_in_vain() -> None:
        await store.reads.freshness("ann")
        with store.database.writing() as connection:
            connection.exec_driver_sql("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            with short_reads(), pytest.raises(StorageUnavailableError):
                await asyncio.wait_for(store.reads.freshness("ann"), LONG_SECONDS / 2)
        assert (await store.reads.freshness("ann")).user_key is None

    asyncio.run(wait_in_vain())


@on_postgres
def test_busy_loop(store: Store) -> None:
    """The answer came in time, and the loop had no time to look: it is not given up."""

    async def ask() -> None:
        assert isinstance(store.reads._dialect, PostgresDialect)
        reader = store.reads._dialect._shared_reader
        statement = "SELECT 1, 7 + length(pg_sleep((%s::float8[])[1])::text)"
        assert await reader.row(statement, 0.0) == (7,)
        with short_reads():
            asked = asyncio.ensure_future(reader.row(statement, 0.03))
            for _ in range(10):
                await asyncio.sleep(0)  # until it is sent
            time.sleep(0.5)  # noqa: ASYNC251  the loop is busy
            assert await asked == (7,)

    asyncio.run(ask())


@on_postgres
def test_first_read_breaks_the_connection(database_url: str) -> None:
    """Its caller is told; it is not sent again, since it may be what broke it. The next read has a new connection."""
    dialect = PostgresDialect(sa.make_url(database_url))

    async def live_through_it() -> None:
        own_end = "SELECT 1, pg_terminate_backend(pg_backend_pid()) WHERE %s::text[] IS NOT NULL"
        with pytest.raises(psycopg.OperationalError):
            await dialect._shared_reader.row(own_end, "x")
        session = dialect._shared_reader._session
        assert session is not None
        assert await dialect.read_row(VERSIONS, "ann") is not None
        assert dialect._shared_reader._session is session
        await asyncio.to_thread(dialect.close)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(session._task, LONG_SECONDS)

    asyncio.run(live_through_it())


def test_defect_of_the_session() -> None:
    """It is logged, its callers get it, and the next read opens another session."""
    reader = SharedReader({"host": "a\ud800"})

    async def read_twice() -> None:
        for _ in range(2):
            with pytest.raises(UnicodeError):
                await asyncio.wait_for(reader.row("SELECT %s", "x"), LONG_SECONDS)

    with capture_logs() as logged:
        asyncio.run(read_twice())
    assert [each["event"] for each in logged] == ["shared reader failed"] * 2
    reader.close()


def test_no_server() -> None:
    dialect = PostgresDialect(sa.make_url("postgresql+psycopg://nobody@127.0.0.1:1/nothing"))
    with pytest.raises(StorageUnavailableError):
        asyncio.run(dialect.read_row(VERSIONS, "ann"))
    dialect.close()
