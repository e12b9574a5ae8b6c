"""The rows of processes: renewed, shown as silent, deleted."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.errors import StorageUnavailableError
from app.store import Store
from app.store.presence import Presence
from app.store.processes import ALIVE_WITHIN, KEPT_WITHIN, Identity
from app.store.schema import processes
from tests.support.ratings import incoming
from tests.support.service import wait_until

API = Identity("host-1-a", "api 1", "host", 1, "0.1.0")
WORKER = Identity("host-2-b", "worker", "host", 2, "0.1.0")


def beat(store: Store, identity: Identity, snapshot_version: int | None = None) -> None:
    activity = {"1": {"requests": snapshot_version or 0}}
    store.processes.beat(identity, age=timedelta(seconds=90), snapshot_version=snapshot_version, activity=activity)


def silence(store: Store, identity: Identity, span: timedelta) -> None:
    """Make the last beat of the process older."""
    older = processes.c.beat_at - span // timedelta(microseconds=1)
    with store.database.writing() as connection:
        is_one = processes.c.process_id == identity.process_id
        connection.execute(sa.update(processes).where(is_one).values(beat_at=older))


def test_renewed(store: Store) -> None:
    beat(store, WORKER)
    beat(store, API, 3)
    (first,) = [each for each in store.processes.read().beats if each.name == "api 1"]
    beat(store, API, 4)
    read = store.processes.read()
    assert [each.name for each in read.beats] == ["api 1", "worker"]
    renewed = read.beats[0]
    assert (renewed.snapshot_version, renewed.activity, renewed.pid) == (4, {"1": {"requests": 4}}, 1)
    assert renewed.started_at == first.started_at
    assert first.beat_at < renewed.beat_at <= read.read_at
    assert timedelta(seconds=90) <= read.read_at - renewed.started_at < timedelta(seconds=90 + 60)
    assert read.beats[1].snapshot_version is None


def test_silent(store: Store) -> None:
    beat(store, API)
    silence(store, API, ALIVE_WITHIN)
    beat(store, WORKER)
    assert [each.is_alive for each in store.processes.read().beats] == [False, True]


def test_long_silent(store: Store) -> None:
    """It is shown no longer, and the next beat of another process deletes the row."""
    beat(store, API)
    beat(store, WORKER)
    silence(store, API, KEPT_WITHIN)
    assert [each.name for each in store.processes.read().beats] == ["worker"]
    beat(store, WORKER)
    with store.database.reading() as connection:
        assert connection.execute(sa.select(processes.c.name)).scalars().all() == ["worker"]


def test_presence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a second after its start until it ends, with what was stored meanwhile."""
    monkeypatch.setattr("app.store.presence.FIRST_BEAT_SECONDS", 0.01)
    monkeypatch.setattr("app.store.presence.BEAT_SECONDS", 0.01)
    monkeypatch.setenv("RECKON_PROCESS_NAME", "api 7")
    versions = iter(range(1, 1_000_000))
    presence = Presence(store, "api", snapshot_version=lambda: next(versions), activity=lambda: {"5": {"requests": 1}})
    store.ratings.record(incoming(("ann", "x", 5.0)))
    presence.start()
    wait_until(lambda: any((each.snapshot_version or 0) > 2 for each in store.processes.read().beats))
    (row,) = store.processes.read().beats
    assert (row.name, row.is_alive, row.activity) == ("api 7", True, {"5": {"requests": 1}})
    assert sum(each.ratings for each in store.arrivals.by_hour(2)) == 1
    presence.stop()
    assert store.processes.read().beats == []


def test_short_life(store: Store) -> None:
    """One that ends before its first beat writes nothing but what it stored."""
    presence = Presence(store, "api")
    presence.start()
    store.ratings.record(incoming(("ann", "x", 5.0)))
    presence.stop()
    assert store.processes.read().beats == []
    assert sum(each.ratings for each in store.arrivals.by_hour(2)) == 1


@pytest.mark.parametrize("errors", [(StorageUnavailableError("silent"), ZeroDivisionError()), (ZeroDivisionError(),)])
def test_failing_database(store: Store, monkeypatch: pytest.MonkeyPatch, errors: tuple[Exception, ...]) -> None:
    """It is logged once, whatever fails first, and the beats go on."""
    monkeypatch.setattr("app.store.presence.FIRST_BEAT_SECONDS", 0.001)
    monkeypatch.setattr("app.store.presence.BEAT_SECONDS", 0.001)
    calls = []

    def fail() -> int | None:
        calls.append(1)
        if len(calls) <= 4 * len(errors):
            raise errors[(len(calls) - 1) // 4]
        return 1

    with capture_logs() as logs:
        presence = Presence(store, "api", snapshot_version=fail)
        presence.start()
        wait_until(lambda: bool(store.processes.read().beats))
        presence.stop()
    assert [line["event"] for line in logs] == ["heartbeat of the process not stored"]
