"""`GET /processes`: who runs, and what they did together."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import __version__
from app.main import create_app
from app.observability.consumption import ConsumerMetrics
from app.settings import Settings
from app.store import Store
from app.store.presence import Presence
from app.store.processes import Identity
from tests.support.keys import GuardedApp, bearer
from tests.support.service import wait_until


@pytest.fixture
def beating(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The whole API, which beats all the time."""
    monkeypatch.setattr("app.store.presence.FIRST_BEAT_SECONDS", 0.01)
    monkeypatch.setattr("app.store.presence.BEAT_SECONDS", 0.05)
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened


def test_own_row(beating: TestClient) -> None:
    rating = {"user_id": "ann", "item_id": "x", "value": 5}
    assert beating.post("/ratings", json=rating).status_code == 201
    beating.get("/users/ann/recommendations")
    wait_until(lambda: beating.get("/processes").json()["activity"]["strategies"] != {})
    answer = beating.get("/processes").json()
    (own,) = answer["processes"]
    assert own["consumer"] is None
    assert (own["name"], own["version"], own["snapshot_version"], own["is_alive"]) == ("api", __version__, None, True)
    activity = answer["activity"]
    assert activity["ratings"] == 1
    assert activity["requests"] >= 2
    assert activity["strategies"] == {"popular": 1.0}
    assert 0 < activity["p50_seconds"] <= activity["p99_seconds"]
    minutes = [datetime.fromisoformat(each["minute"]) for each in activity["minutes"]]
    assert len(minutes) == 60
    assert minutes == sorted(minutes)
    assert datetime.now(UTC) - minutes[-1] < timedelta(minutes=2)
    assert sum(each["ratings"] for each in activity["minutes"]) == 1
    assert sum(sum(each["lists"].values()) for each in activity["minutes"]) == 1


def test_clean_end(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends deletes its row, and adds what it stored."""
    monkeypatch.setattr("app.store.presence.FIRST_BEAT_SECONDS", 0.01)
    store = Store.open(settings.database_url, settings.data_dir)
    with TestClient(create_app(settings)) as client:
        wait_until(lambda: bool(store.processes.read().beats))
        client.post("/ratings", json={"user_id": "ann", "item_id": "x", "value": 5})
    assert store.processes.read().beats == []
    assert sum(each.ratings for each in store.arrivals.by_hour(2)) == 1
    store.close()


def test_sums(client: TestClient) -> None:
    """Those of silent processes count as well, for they did it."""
    store: Store = client.app.state.service.store  # type: ignore[attr-defined]  # of our application
    minute = str(store.database.now() // 60_000_000)
    for pid, name in ((1, "api 1"), (2, "api 2")):
        counts = {"requests": pid, "lists": {name: pid}}
        identity = Identity(f"host-{pid}", name, "host", pid, "0.1.0")
        store.processes.beat(identity, age=timedelta(), snapshot_version=pid, activity={minute: counts})
    answer = client.get("/processes").json()
    assert [(each["name"], each["snapshot_version"]) for each in answer["processes"]] == [("api 1", 1), ("api 2", 2)]
    assert answer["activity"]["requests"] == 3
    assert answer["activity"]["strategies"] == {"api 2": 2 / 3, "api 1": 1 / 3}
    assert answer["activity"]["p99_seconds"] is None


def test_consumer(client: TestClient) -> None:
    """With its lag; what it stored counts as that of other processes does."""
    store: Store = client.app.state.service.store  # type: ignore[attr-defined]  # of our application
    metrics = ConsumerMetrics()
    presence = Presence(store, "consumer", activity=metrics.as_json)
    presence.beat()
    (beat,) = client.get("/processes").json()["processes"]
    assert beat["consumer"] == {"messages": 0, "dead_letters": 0, "lag": 0, "partitions": [], "waits_for": None}
    metrics.count_messages("reckon.ratings", 7)
    metrics.count_ratings("stored", 6)
    metrics.count_dead_letters(1)
    metrics.observe_lag({("reckon.ratings", 10): 4, ("reckon.ratings", 2): 30})
    metrics.waits("storage-full", "the disk of the database is nearly full")
    presence.beat()
    answer = client.get("/processes").json()
    assert answer["activity"]["ratings"] == 6
    (beat,) = answer["processes"]
    assert beat["consumer"] == {
        "messages": 7,
        "dead_letters": 1,
        "lag": 34,
        "partitions": [
            {"topic": "reckon.ratings", "partition": 2, "lag": 30},
            {"topic": "reckon.ratings", "partition": 10, "lag": 4},
        ],
        "waits_for": "the disk of the database is nearly full",
    }


def test_tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes are of the deployment: a tenant is shown none, and its database has none."""
    monkeypatch.setattr("app.store.presence.FIRST_BEAT_SECONDS", 0.01)
    guarded = GuardedApp(Settings(data_dir=tmp_path, snapshot_poll_seconds=0.05))
    with guarded.client as client:
        guarded.tenant("shop")
        key = bearer(guarded.key("ratings:write", "admin", tenant="shop"))
        assert client.get("/processes", headers=key).status_code == 403
        client.post("/ratings", json={"user_id": "ann", "item_id": "x", "value": 5}, headers=key)
        main = bearer(guarded.key("console"))
        wait_until(lambda: client.get("/processes", headers=main).json()["processes"] != [])
        own = Store.open("", tmp_path / "tenants" / "shop")
        assert own.processes.read().beats == []
        own.close()
