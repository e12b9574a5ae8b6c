"""The circuit breaker of a database, the deadline of operations in threads, and what an interrupted commit says."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.errors import InvalidInputError, StorageUnavailableError, UnavailableError
from app.store import Store
from app.store.availability import WAIT_SECONDS, Availability
from app.store.database import AMBIGUOUS
from app.store.sqlite_files import DatabaseDamagedError, DatabaseReplacedError
from tests.support.postgres import hang_up
from tests.support.service import wait_until
from tests.support.time_limits import short_reads

on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Switch:
    """A database that answers the probe while `error` is None."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.n_probes = self.n_cuts = 0
        self.availability = Availability(self.probe, self.cut)

    def follow(self) -> None:
        self.availability.follow()
        wait_until(lambda: self.n_probes == 1)

    def probe(self) -> None:
        self.n_probes += 1
        if self.error is not None:
            raise self.error

    def cut(self) -> None:
        self.n_cuts += 1


@pytest.fixture
def switch() -> Iterator[Switch]:
    made = Switch()
    yield made
    made.availability.close()


def test_down_until_probed(switch: Switch) -> None:
    switch.follow()
    switch.availability.check()
    switch.error = UnavailableError("switched off")
    switch.availability.failed(StorageUnavailableError("first"))
    switch.availability.failed(StorageUnavailableError("second"))
    wait_until(lambda: switch.n_probes >= 3)
    with pytest.raises(StorageUnavailableError, match="first"):
        switch.availability.check()
    switch.error = None
    wait_until(lambda: switch.availability.outage is None)
    switch.availability.check()


def test_probe_from_before(switch: Switch) -> None:
    """A probe that began before the failure does not end the outage, although it succeeds after it."""
    started, finish = threading.Event(), threading.Event()

    def first() -> None:
        switch.n_probes += 1
        switch.availability._probe = switch.probe
        started.set()
        assert finish.wait(60)

    switch.error = UnavailableError("switched off")
    switch.availability._probe = first
    switch.availability.follow()
    assert started.wait(60)
    switch.availability.failed(StorageUnavailableError("meanwhile"))
    finish.set()
    wait_until(lambda: switch.n_probes >= 2)
    assert switch.availability.outage is not None


def test_type_of_the_first_error(switch: Switch) -> None:
    """A write says what to do about the files also while the database is down."""
    switch.follow()
    switch.error = DatabaseDamagedError()
    switch.availability.failed(DatabaseDamagedError())
    with pytest.raises(DatabaseDamagedError, match="reckon restore"):
        switch.availability.check()


def test_error_of_another_kind(switch: Switch) -> None:
    """A file that is being replaced turns out to be damaged: one outage, of which the later error tells more."""
    switch.follow()
    switch.error = DatabaseReplacedError("being replaced")
    switch.availability.failed(DatabaseReplacedError("being replaced"))
    begun = switch.availability.outage
    switch.error = DatabaseDamagedError()
    wait_until(lambda: switch.availability.outage != begun)
    with pytest.raises(DatabaseDamagedError):
        switch.availability.check()
    assert begun is not None
    assert switch.availability.outage is not None
    assert switch.availability.outage.since == begun.since


def test_not_followed(switch: Switch) -> None:
    """A command tries again by itself, and waits as long as it wants."""
    switch.availability.failed(StorageUnavailableError("once"))
    switch.availability.check()


def test_long_operation(switch: Switch) -> None:
    """It may take long while the database answers, and is cut off once it does not."""
    switch.follow()
    with switch.availability.watched():
        wait_until(lambda: switch.n_probes >= 2)
        assert switch.n_cuts == 0
        switch.error = UnavailableError("switched off")
        wait_until(lambda: switch.n_cuts > 0)
    assert switch.availability.outage is not None


def test_probe_with_a_defect(switch: Switch) -> None:
    switch.follow()
    switch.error = ZeroDivisionError()
    switch.availability.failed(StorageUnavailableError("first"))
    wait_until(lambda: switch.n_probes >= 2)
    switch.error = None
    wait_until(lambda: switch.availability.outage is None)


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Store]:
    """A store as an API process opens it."""
    opened = Store.open(database_url, tmp_path, wait_seconds=WAIT_SECONDS)
    opened.availability.follow()
    yield opened
    opened.close()


@on_postgres
def test_silent_server(served: Store, database_url: str) -> None:
    """What waits in a thread is cut off, what comes later fails at once, and all is well once the server answers."""
    engine = sa.create_engine(database_url)
    failed: list[Exception] = []

    def read() -> None:
        try:
            served.users.get("ann")
        except StorageUnavailableError as error:
            failed.append(error)

    with short_reads(), engine.connect() as other:
        other.exec_driver_sql("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=read)
        thread.start()
        wait_until(lambda: served.availability.outage is not None)
        thread.join()
        assert len(failed) == 1
        for each in (lambda: served.users.get("ann"), lambda: asyncio.run(served.reads.freshness("ann"))):
            with pytest.raises(StorageUnavailableError):
                each()
        with pytest.raises(StorageUnavailableError):
            served.jobs.enqueue("request")
    engine.dispose()
    wait_until(lambda: served.availability.outage is None)
    assert served.users.get("ann") is None


@on_postgres
def test_commit_that_fails(served: Store, database_url: str) -> None:
    def write(*, until_commit: bool) -> str:
        with (  # noqa: PT012  the end of the block raises
            pytest.raises(StorageUnavailableError) as caught,
            served.database.writing() as connection,
        ):
            connection.exec_driver_sql("DELETE FROM users")
            hang_up(database_url)
            if not until_commit:
                connection.exec_driver_sql("DELETE FROM users")
        wait_until(lambda: served.availability.outage is None)
        return caught.value.detail

    assert AMBIGUOUS in write(until_commit=True)
    assert AMBIGUOUS not in write(until_commit=False)


@on_postgres
def test_locked_row(served: Store, database_url: str) -> None:
    """One user is locked; the database is not down."""
    engine = sa.create_engine(database_url)
    with engine.connect() as other:
        other.exec_driver_sql("INSERT INTO users (user_id) VALUES ('ann')")
        other.commit()
        other.exec_driver_sql("SELECT 1 FROM users WHERE user_id = 'ann' FOR UPDATE")
        with pytest.raises(UnavailableError, match="busy") as caught:
            served.users.delete("ann")
    engine.dispose()
    assert not isinstance(caught.value, StorageUnavailableError)
    assert served.availability.outage is None


@on_sqlite
def test_locked_file(served: Store, tmp_path: Path) -> None:
    """Another program writes: writers are refused in time, readers see nothing of it."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'reckon.db'}")
    with engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="locked"):
            served.jobs.enqueue("request")
        assert asyncio.run(served.reads.freshness("ann")).user_key is None
    engine.dispose()
    assert served.availability.outage is None


def test_input_is_no_outage(served: Store) -> None:
    with pytest.raises(InvalidInputError), served.database.writing():
        raise InvalidInputError("wrong")
    assert served.availability.outage is None
