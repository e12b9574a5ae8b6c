"""What a service answers after its database was restored: nothing that it remembers of the state before."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.store.backup import backup, restore
from app.store.store import Store
from tests.support.trained import train


@pytest.fixture(params=["sqlite"])
def trained_url(trained_url: str) -> str:
    """Only SQLite is restored by a command of ours."""
    return trained_url


def hide(client: TestClient, item_id: str, event_id: str) -> None:
    event = {"event_id": event_id, "type": "hid", "user_id": "ann", "item_id": item_id}
    assert client.post("/events", json={"events": [event]}).json()["stored"] == 1


def test_same_key_and_versions(unpolled: TestClient, trained_url: str, tmp_path: Path) -> None:
    """Nothing made for a user is taken for one of the same key and versions: list, profile, entity tag, token."""
    client, path = unpolled, "/users/ann/recommendations?limit=5"
    client.put("/event-types/hid", json={"weight": -1})
    first, second = (each["item_id"] for each in client.get(path).json()["items"][:2])
    backup(trained_url, tmp_path, tmp_path / "copy")
    hide(client, first, "e1")
    before = client.get(path)
    assert first not in {each["item_id"] for each in before.json()["items"]}
    client.put("/items/lost", json={"title": "Lost"})
    assert client.get("/charts/newest?limit=100").text.count("Lost") == 1
    restore(trained_url, tmp_path, tmp_path / "copy")
    assert client.get("/users/ann").status_code == 404
    hide(client, second, "e2")
    after = client.get(path, headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200
    shown = {each["item_id"] for each in after.json()["items"]}
    assert first in shown
    assert second not in shown
    assert client.get("/charts/newest?limit=100").text.count("Lost") == 0
    refused = client.get(path, params={"cursor": before.json()["next_cursor"]})
    assert (refused.status_code, refused.json()["field"]) == (422, "cursor")
    # The id of a list from before still names its user.
    event = {"event_id": "e3", "type": "hid", "item_id": first}
    event["recommendation_id"] = before.json()["recommendation_id"]
    sent = client.post("/events", json={"events": [event | {"user_id": user_id} for user_id in ("bob", "ann")]})
    assert [each["status"] for each in sent.json()["results"]] == ["rejected", "stored"]


def test_leftover_snapshot_folder(unpolled: TestClient, trained_url: str, tmp_path: Path) -> None:
    """A folder of a version that the restored state does not know does not fail the next run, and stays as it is."""
    live = unpolled.get("/readyz").json()["snapshot_version"]
    leftover = tmp_path / "snapshots" / f"{live + 1:06d}"
    leftover.mkdir()
    (leftover / "manifest.json").write_text("{}")
    store = Store.open(trained_url, tmp_path)
    assert train(store, tmp_path) == live + 2
    store.close()
    assert (leftover / "manifest.json").read_text() == "{}"
