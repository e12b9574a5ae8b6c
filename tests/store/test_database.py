"""What an error of the database says, and what it must not say."""

import asyncio
import socket
import sys
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.entities import User
from app.errors import StorageFullError, StorageUnavailableError, UnavailableError
from app.store import Store, postgres
from app.store.database import open_database
from app.store.dialect import UnexpectedDatabaseError
from app.store.serving_reads import VERSIONS

USER_ID = "a-user-of-ours"
BAD_JOB = sa.text(
    "INSERT INTO training_jobs (job_id, state, trigger, created_at) VALUES (:job_id, 'no state', 'request', 0)"
)


def text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("door", ["reading", "writing"])
def test_statement_stays_out_of_errors(store: Store, door: str) -> None:
    with pytest.raises(UnexpectedDatabaseError) as caught, getattr(store.database, door)() as connection:
        connection.execute(BAD_JOB, {"job_id": USER_ID})
    assert any(code in str(caught.value) for code in ("SQLITE_CONSTRAINT_CHECK", "23514"))
    assert USER_ID not in text_of(caught.value)
    assert "[SQL" not in text_of(caught.value)
    assert "test_statement_stays_out_of_errors" in text_of(caught.value)  # where it happened is still told


def test_parameter_stays_out_of_errors(store: Store) -> None:
    """Of the point reads, which go around SQLAlchemy; no driver knows how to send a dictionary."""
    dialect = store.database.dialect
    with pytest.raises(UnexpectedDatabaseError) as in_thread:
        dialect.hot_row(VERSIONS.statement, {USER_ID: 1})
    with pytest.raises(UnexpectedDatabaseError) as on_loop:
        asyncio.run(dialect.read_row(VERSIONS, {USER_ID: 1}))
    for caught in (in_thread, on_loop):
        assert USER_ID not in text_of(caught.value)
        assert "[SQL" not in text_of(caught.value)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_no_free_connection(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are in use here; the database itself answers."""
    monkeypatch.setattr(postgres, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(postgres, "POOL_SIZE", 1)
    database = open_database(database_url, tmp_path, wait_seconds=0.1)
    with database.reading():
        with pytest.raises(UnavailableError, match="all connections to the database are in use") as caught:
            database.now()
        assert not isinstance(caught.value, StorageUnavailableError)
    assert database.now() > 0
    database.close()


def test_without_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "app.store.postgres")
    with pytest.raises(UnavailableError, match=r"pip install 'reckon\[postgres\]'"):
        open_database("postgresql://127.0.0.1/reckon", tmp_path)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_full_disk_of_the_server(store: Store) -> None:
    """What the server says then, it says here by itself."""
    full = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    with pytest.raises(StorageFullError, match="no room left"), store.database.writing() as connection:
        connection.exec_driver_sql(full)
    assert store.users.count() == 0


def test_server_that_accepts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something listens, and never answers."""
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/nothing"
        database = open_database(url, tmp_path, wait_seconds=1)
        for ask in (database.now, lambda: database.dialect.probe([VERSIONS])):
            with pytest.raises(StorageUnavailableError, match="does not answer"):
                ask()
        database.close()


def test_shared_clock(store: Store) -> None:
    """That of a server is one for all hosts; a file has none of its own."""
    shared = store.shared_clock()
    if store.database.dialect.is_a_file:
        assert shared is None
    else:
        assert shared is not None
        assert 0 <= store.database.now() - shared < 60_000_000


def test_size(store: Store) -> None:
    """It grows by what is stored, with its indexes."""
    before = store.database.size()
    store.users.record([User(f"{n}-{'x' * 90}") for n in range(5_000)])
    assert 5_000 * 90 < store.database.size() - before < 10 << 20


def test_engine_hides_parameters(store: Store) -> None:
    """A use of the engine itself raises SQLAlchemy's own error."""
    with store.database.dialect.engine.connect() as connection, pytest.raises(sa.exc.IntegrityError) as caught:
        connection.execute(BAD_JOB, {"job_id": USER_ID})
    assert f"'{USER_ID}'" not in str(caught.value)
