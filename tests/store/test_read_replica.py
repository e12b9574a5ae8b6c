"""Histories from a read replica: a copy of the database that gets no more changes stands for one that lags behind."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from app.entities import EventType, IncomingEvents, User
from app.errors import ReckonError
from app.main import create_app
from app.settings import Settings
from app.store import Store
from app.store.migration import SchemaError
from app.store.read_replica import OF_RATINGS, Outcome, ReadReplica, State
from app.store.serving_reads import ServingReads
from tests.support.databases import MigratedDatabases
from tests.support.ratings import incoming

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


class Outcomes(Counter[Outcome]):
    def count(self, outcome: Outcome) -> None:
        self[outcome] += 1


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(database_url, tmp_path)
    rate(opened, "x", 4.0)
    opened.users.record([User("quiet", "FI")])
    yield opened
    opened.close()


def rate(store: Store, item: str, value: float) -> None:
    store.ratings.record(incoming(("ann", item, value)))


def looked_at(store: Store, n: int) -> None:
    store.events.put_type(EventType("looked", 1.0))
    times = np.arange(n, dtype=np.int64) * 1_000_000
    ids = [f"e-{place}" for place in range(n)]
    store.events.record(
        IncomingEvents(
            event_id=ids,
            type=["looked"] * n,
            user_id=["ann"] * n,
            item_id=["x"] * n,
            at=times,
            portion=np.full(n, np.nan),
            placement=[None] * n,
            snapshot_version=[None] * n,
            position=[None] * n,
        )
    )


def values(reads: ServingReads, user_id: str = "ann") -> list[float]:
    """The ratings of a user, by a request that reads the versions first."""

    async def read() -> list[float]:
        user = await reads.freshness(user_id)
        assert user.user_key is not None
        history = await reads.history(user.user_key, State(user.generation, user.user_version))
        return sorted(history.value.tolist())

    return asyncio.run(read())


def n_events(reads: ServingReads) -> int:
    async def read() -> int:
        user = await reads.freshness("ann")
        assert user.user_key is not None
        _, interactions = await reads.profile(user.user_key, State(user.generation, user.profile_version))
        return 0 if interactions is None else int(interactions.count.sum())

    return asyncio.run(read())


def test_is_asked_first(store: Store, databases: MigratedDatabases, database_url: str) -> None:
    outcomes = Outcomes()
    with databases.postgres.copied(database_url) as url, closing(ReadReplica.open(url, outcomes.count)) as replica:
        replica.check(store.database)
        reads = ServingReads(store.database, replica)
        assert values(reads) == [4.0]
        assert values(reads, "quiet") == []
        assert outcomes == {"used": 2}


def test_one_that_lags_behind(store: Store, databases: MigratedDatabases, database_url: str) -> None:
    """A rating, a change, a removal and events that it has not applied: the primary knows them."""
    outcomes = Outcomes()
    with databases.postgres.copied(database_url) as url, closing(ReadReplica.open(url, outcomes.count)) as replica:
        reads = ServingReads(store.database, replica)
        rate(store, "y", 2.0)
        assert values(reads) == [2.0, 4.0]
        rate(store, "x", 3.0)
        assert values(reads) == [2.0, 3.0]
        store.ratings.remove("ann", "y", at=store.database.now())
        assert values(reads) == [3.0]
        looked_at(store, 3)
        assert n_events(reads) == 3
        assert outcomes == {"behind": 4}


def test_events_that_it_has(store: Store, databases: MigratedDatabases, database_url: str) -> None:
    outcomes = Outcomes()
    looked_at(store, 3)
    with databases.postgres.copied(database_url) as url, closing(ReadReplica.open(url, outcomes.count)) as replica:
        assert n_events(ServingReads(store.database, replica)) == 3
        assert outcomes == {"used": 1}


def test_user_that_it_does_not_know(store: Store, databases: MigratedDatabases, database_url: str) -> None:
    outcomes = Outcomes()
    with databases.postgres.copied(database_url) as url, closing(ReadReplica.open(url, outcomes.count)) as replica:
        store.ratings.record(incoming(("new", "x", 5.0)))
        assert values(ServingReads(store.database, replica), "new") == [5.0]
        assert outcomes == {"behind": 1}


@pytest.mark.usefixtures("store")
def test_another_generation(databases: MigratedDatabases, database_url: str) -> None:
    """As after a restore that it has not applied yet: its versions say nothing."""
    outcomes = Outcomes()
    with databases.postgres.copied(database_url) as url, closing(ReadReplica.open(url, outcomes.count)) as replica:
        state = State("another", 0)
        found = asyncio.run(replica.columns(OF_RATINGS, 1, state, len))
        assert found is None
        assert outcomes == {"behind": 1}


def test_does_not_answer(store: Store, databases: MigratedDatabases, database_url: str) -> None:
    """It is not asked again before it answers, so that no request waits for it."""
    outcomes = Outcomes()
    with databases.postgres.copied(database_url) as url, closing(ReadReplica.open(url, outcomes.count)) as replica:
        replica.database.availability.follow()
        databases.postgres.drop(url)
        reads = ServingReads(store.database, replica)
        for _ in range(3):
            assert values(reads) == [4.0]
        assert outcomes == {"down": 3}
        assert replica.database.availability.outage is not None
        assert store.availability.outage is None
        with pytest.raises(ReckonError):
            replica.check(store.database)


@pytest.mark.usefixtures("store")
def test_another_database(databases: MigratedDatabases, database_url: str, tmp_path: Path) -> None:
    with databases.fresh("postgres", tmp_path) as url, closing(Store.open(url, tmp_path)) as other:
        with other.database.writing() as connection:
            connection.exec_driver_sql("UPDATE installation SET database_id = 'of another service'")
        settings = Settings(database_url=database_url, database_read_url=url, data_dir=tmp_path)
        with pytest.raises(SchemaError, match="names another database"):
            create_app(settings)


def test_replica_of_a_tenant(database_url: str, tmp_path: Path) -> None:
    """It is read in the schema of the tenant, as the primary is."""
    settings = Settings(database_url=database_url, database_read_url=database_url, data_dir=tmp_path)
    own = settings.of_tenant("shop")
    assert own.database_read_url == own.database_url != database_url
    assert Settings(database_url=database_url, data_dir=tmp_path).of_tenant("shop").database_read_url == ""
