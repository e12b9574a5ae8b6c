"""Deleting a user over the API: at once in every answer, with a receipt, and nothing in the log."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.erasure.eraser import Eraser
from app.erasure.receipt import is_genuine, is_of
from app.main import create_app
from app.observability.logs import configure_logs
from app.settings import Settings
from app.snapshots.folders import SnapshotFolders
from app.store import Store

PLACES = ("/users/{}", "/users/{}/ratings", "/users/{}/events", "/users/{}/export", "/users?q={}", "/events?user_id={}")


def fill(client: TestClient, user_id: str) -> None:
    client.put(f"/users/{user_id}", json={"country": "FI", "attributes": {"age": 31}})
    client.post("/ratings", json={"user_id": user_id, "item_id": "x", "value": 5})
    event = {"event_id": f"e-{user_id}", "type": "clicked", "user_id": user_id, "item_id": "y"}
    client.post("/events", json={"events": [event]})


def store_of(client: TestClient) -> Store:
    store: Store = client.app.state.service.store  # type: ignore[attr-defined]
    return store


def test_receipt(client: TestClient, tmp_path: Path) -> None:
    fill(client, "ann")
    answer = client.delete("/users/ann")
    assert answer.status_code == 204
    pending = client.get(answer.headers["location"]).json()
    assert (pending["state"], pending["signature"], pending["completed_at"]) == ("pending", None, None)
    assert client.get("/erasures/latest").json() == pending
    assert Eraser(store_of(client), SnapshotFolders(tmp_path)).proceed()
    receipt = client.get(answer.headers["location"]).json()
    assert (receipt["state"], receipt["removed"]["ratings"], receipt["removed"]["events"]) == ("completed", 1, 1)
    key = store_of(client).instance.token_key
    assert is_genuine(receipt, key)
    assert is_of(receipt, "ann")
    assert not is_of(receipt, "bob")
    assert not is_genuine(receipt | {"removed_snapshots": [1]}, key)
    assert not is_genuine(receipt | {"signature": None}, key)
    assert not is_genuine(receipt, b"another key")


def test_nobody_to_delete(client: TestClient) -> None:
    answer = client.delete("/users/ann")
    assert (answer.status_code, "location" in answer.headers) == (204, False)
    fill(client, "ann")
    assert "location" in client.delete("/users/ann").headers
    assert "location" not in client.delete("/users/ann").headers


def test_gone_at_once(client: TestClient, settings: Settings) -> None:
    """In the process that was asked, and in another one that remembers the user."""
    with TestClient(create_app(settings)) as other:
        fill(client, "ann-of-old")
        for each in (client, other):
            assert each.get("/users/ann-of-old/recommendations").json()["strategy"] != "personalized"
            assert all("ann-of-old" in each.get(place.format("ann-of-old")).text for place in PLACES)
        client.delete("/users/ann-of-old")
        for each in (client, other):
            assert each.get("/users/ann-of-old/recommendations").json()["strategy"] == "popular"
            for place in PLACES[:4]:
                answer = each.get(place.format("ann-of-old"))
                assert answer.status_code == 404 or answer.json().get("ratings", answer.json().get("events")) == []
            assert all("ann-of-old" not in each.get(place.format("ann-of-old")).text for place in PLACES[4:])


def test_caches_forget(settings: Settings) -> None:
    """What processes remember of users is dropped by the next poll after an erasure."""
    settings = settings.model_copy(update={"snapshot_poll_seconds": 3_600})
    with TestClient(create_app(settings)) as client:
        fill(client, "ann")
        client.get("/users/ann/recommendations")
        service = client.app.state.service  # type: ignore[attr-defined]
        assert service.cache._held.entries
        assert service.user_states._profiles
        client.delete("/users/ann")
        service.serving.poll()
        assert not service.cache._held.entries
        assert not service.user_states._profiles


def test_overdue_is_told(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"erasure_hours": 1e-9}))) as client:
        assert client.get("/readyz").json()["warnings"] == []
        fill(client, "ann")
        client.delete("/users/ann")
        (warning,) = client.get("/readyz").json()["warnings"]
        assert "overdue" in warning["reason"]
        assert "reckon_erasures_overdue 1.0" in client.get("/metrics").text


def test_log_names_no_user(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    """A defect is logged with the template of its path."""
    configure_logs("json")
    service = client.app.state.service  # type: ignore[attr-defined]
    service.store.users.get = None  # a defect: it is no function
    assert client.get("/users/ann-of-the-log").status_code == 500
    logged = capsys.readouterr().err
    assert "/users/{user_id}" in logged
    assert "ann-of-the-log" not in logged


def test_back_again(client: TestClient) -> None:
    """An id that comes back is that of a new user: nothing remembers what was erased."""
    fill(client, "ann")
    client.delete("/users/ann")
    client.post("/ratings", json={"user_id": "ann", "item_id": "z", "value": 4})
    assert client.get("/users/ann").json() == {"user_id": "ann", "country": None, "attributes": {}}
    assert [each["item_id"] for each in client.get("/users/ann/ratings").json()["ratings"]] == ["z"]


def test_export(client: TestClient) -> None:
    fill(client, "guest")
    fill(client, "ann")
    client.put("/items/own", json={"title": "Own", "created_by": "ann"})
    client.post("/users/ann/merge/guest")
    client.delete("/users/ann/ratings/x")
    client.delete("/events/e-guest")
    answer = client.get("/users/ann/export")
    assert answer.headers["cache-control"] == "no-store"
    held = json.loads(answer.content)
    assert held["user"] == {"user_id": "ann", "country": "FI", "attributes": {"age": 31}}
    assert [each["guest_id"] for each in held["merged_guests"]] == ["guest"]
    assert held["created_items"] == ["own"]
    assert [each["event_id"] for each in held["deleted_events"]] == ["e-guest"]
    assert [(each["item_id"], each["value"]) for each in held["ratings"]] == [("x", None)]
    assert [each["event_id"] for each in held["events"]] == ["e-ann"]
    assert client.get("/users/nobody/export").status_code == 404


def test_long_export(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.user_data.PAGE_ROWS", 2)
    for n in range(5):
        client.post("/ratings", json={"user_id": "ann", "item_id": f"i{n}", "value": 5})
    at = "2026-01-01T00:00:00Z"
    sent = [{"event_id": f"e{n}", "type": "clicked", "user_id": "ann", "item_id": "i0", "at": at} for n in range(4)]
    client.post("/events", json={"events": sent})
    held = client.get("/users/ann/export").json()
    assert [each["item_id"] for each in held["ratings"]] == [f"i{n}" for n in range(5)]
    assert [each["event_id"] for each in held["events"]] == ["e3", "e2", "e1", "e0"]
