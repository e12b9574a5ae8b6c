"""`GET /arrivals`: totals, and what arrived by the hour."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.settings import Settings
from app.store import Store
from tests.support.keys import GuardedApp, bearer
from tests.support.service import wait_until


def test_totals_and_hours(client: TestClient) -> None:
    store: Store = client.app.state.service.store  # type: ignore[attr-defined]  # of our application
    empty = client.get("/arrivals").json()
    assert len(empty["hours"]) == 168
    assert {total["n"] for total in empty["totals"].values()} == {0}
    for item_id in "xy":
        client.post("/ratings", json={"user_id": "ann", "item_id": item_id, "value": 5})
    client.delete("/users/ann/ratings/x")
    store.arrivals.flush()
    answer = client.get("/arrivals?hours=2").json()
    assert {kind: total["n"] for kind, total in answer["totals"].items()} == {
        "ratings": 1,
        "events": 0,
        "users": 1,
        "items": 2,
    }
    earlier, now = (datetime.fromisoformat(each["hour"]) for each in answer["hours"])
    assert now - earlier == timedelta(hours=1)
    assert sum(each["ratings"] for each in answer["hours"]) == 2
    assert answer["totals"]["ratings"]["counted_at"] == empty["totals"]["ratings"]["counted_at"]


@pytest.mark.parametrize("hours", ["0", "841", "-1", "1.5", "all"])
def test_bad_hours(client: TestClient, hours: str) -> None:
    assert client.get("/arrivals", params={"hours": hours}).status_code == 422


def test_tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each catalogue has its own, which its service adds up while it is open, and when it is closed."""
    monkeypatch.setattr("app.wiring.FLUSH_SECONDS", 0.0)
    guarded = GuardedApp(Settings(data_dir=tmp_path, snapshot_poll_seconds=0.05))
    with guarded.client as client:
        guarded.tenant("shop")
        shop = bearer(guarded.key("ratings:write", "console", tenant="shop"))
        client.post("/ratings", json={"user_id": "ann", "item_id": "x", "value": 5}, headers=shop)

        def n_ratings() -> int:
            hours = client.get("/arrivals?hours=2", headers=shop).json()["hours"]
            return sum(each["ratings"] for each in hours)

        wait_until(lambda: n_ratings() == 1)
        main = client.get("/arrivals", headers=bearer(guarded.key("console"))).json()
        assert main["totals"]["ratings"]["n"] == 0
        monkeypatch.setattr("app.wiring.FLUSH_SECONDS", 3_600.0)
        client.post("/ratings", json={"user_id": "ann", "item_id": "y", "value": 5}, headers=shop)
    own = Store.open("", tmp_path / "tenants" / "shop")
    assert sum(each.ratings for each in own.arrivals.by_hour(2)) == 2
    own.close()
