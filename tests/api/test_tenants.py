"""The key of a request selects the catalogue, and nothing else does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.settings import Settings
from tests.support.keys import SHOP, GuardedApp, bearer

SCOPES = ("recommendations:read", "ratings:write", "catalogue:write", "training", "console", "admin")


class Catalogues:
    """The main catalogue and two tenants, each with an item `1` of its own title."""

    def __init__(self, guarded: GuardedApp, client: TestClient) -> None:
        self.guarded, self.client = guarded, client
        for name in ("shop", "news"):
            guarded.tenant(name)
        self.keys = {name: bearer(guarded.key(*SCOPES, tenant=name or None)) for name in ("", "shop", "news")}
        for name, key in self.keys.items():
            assert client.put("/items/1", json={"title": f"of {name}"}, headers=key).status_code == 201
            rating = {"user_id": "ann", "item_id": "1", "value": 5}
            assert client.post("/ratings", json=rating, headers=key).status_code == 201


@pytest.fixture
def catalogues(tmp_path: Path) -> Iterator[Catalogues]:
    guarded = GuardedApp(Settings(data_dir=tmp_path, snapshot_poll_seconds=0.05))
    with guarded.client as client:
        yield Catalogues(guarded, client)


def test_key_selects(catalogues: Catalogues) -> None:
    client = catalogues.client
    for name, key in catalogues.keys.items():
        title = client.get("/items/1", headers=key).json()["title"]
        assert title == f"of {name}"
        # Nothing in the request selects another one.
        other = {"tenant": "news", "X-Tenant": "news", "X-Reckon-Tenant": "news", "Host": "localhost"}
        assert client.get("/items/1", headers=key | other).json()["title"] == f"of {name}"
        assert client.get("/items/1", params={"tenant": "news"}, headers=key).status_code == 422
        assert client.put("/items/2", json={"title": "x", "tenant": "news"}, headers=key).status_code == 422
        assert client.get("/counts", headers=key).json()["items"] == 1


def test_on_each_database(settings: Settings) -> None:
    """A schema of Postgres is as apart as a file, for the reads of the event loop, writes and lists."""
    guarded = GuardedApp(settings)
    with guarded.client as client:
        keys = Catalogues(guarded, client).keys
        for name, key in keys.items():
            client.put("/items/2", json={"title": f"second of {name}"}, headers=key)
            answer = client.get("/users/ann/recommendations?fields=title", headers=key).json()
            assert [item["title"] for item in answer["items"]] == [f"second of {name}"]
            assert client.get("/users/ann/ratings", headers=key).json()["ratings"][0]["value"] == 5


def test_what_is_signed(catalogues: Catalogues) -> None:
    """Cursors, recommendation ids, user tokens and receipts of one catalogue are refused in another."""
    client, keys, guarded = catalogues.client, catalogues.keys, catalogues.guarded
    for number in range(2, 6):
        for key in keys.values():
            client.put(f"/items/{number}", json={"title": str(number)}, headers=key)
    cursors = {n: client.get("/items?limit=2", headers=key).json()["next_cursor"] for n, key in keys.items()}
    lists = {n: client.get("/users/ann/recommendations", headers=key).json() for n, key in keys.items()}
    pages = {name: bearer(guarded.key("recommendations:read", origins=[SHOP], tenant=name or None)) for name in keys}
    tokens = {
        name: client.post("/tokens", json={"user_id": "ann"}, headers=key).json()["user_token"]
        for name, key in keys.items()
    }
    for of in keys:
        for to, key in keys.items():
            is_own = of == to
            assert client.get("/items", params={"cursor": cursors[of]}, headers=key).status_code == (
                200 if is_own else 422
            )
            event = {
                "event_id": f"{of}-{to}",
                "type": "clicked",
                "user_id": "ann",
                "item_id": "2",
                "recommendation_id": lists[of]["recommendation_id"],
            }
            answer = client.post("/events", json={"events": [event]}, headers=key).json()
            assert answer["rejected"] == (0 if is_own else 1), answer
            page = pages[to] | {"origin": SHOP, "x-user-token": tokens[of]}
            assert client.get("/users/ann/recommendations", headers=page).status_code == (200 if is_own else 401)


def test_suspended(catalogues: Catalogues) -> None:
    client, keys, guarded = catalogues.client, catalogues.keys, catalogues.guarded
    guarded.store.tenants.move("shop", "suspended", among=["active"])
    guarded.app.state.control.keys.refresh()
    answer = client.get("/items/1", headers=keys["shop"])
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:reckon:problem:tenant-suspended")
    assert client.get("/items/1", headers=keys["news"]).status_code == 200
    guarded.store.tenants.move("shop", "active", among=["suspended"])
    guarded.app.state.control.keys.refresh()
    assert client.get("/items/1", headers=keys["shop"]).json()["title"] == "of shop"


def test_metrics(catalogues: Catalogues) -> None:
    """Those of the deployment are for the main catalogue, and hold no names that a tenant chose."""
    client, keys = catalogues.client, catalogues.keys
    client.put("/event-types/canary", json={"weight": 1}, headers=keys["shop"])
    event = {"event_id": "1", "type": "canary", "user_id": "ann", "item_id": "1"}
    assert client.post("/events", json={"events": [event]}, headers=keys["shop"]).json()["stored"] == 1
    assert client.get("/metrics", headers=keys["shop"]).status_code == 403
    text = client.get("/metrics", headers=keys[""]).text
    assert "canary" not in text
    assert 'reckon_events_total{status="stored",type="other"} 1.0' in text
    assert 'reckon_tenant_requests_total{status="403",tenant="shop"} 1.0' in text


def test_audit(catalogues: Catalogues) -> None:
    """Acts are recorded in the catalogue that they concern."""
    client, keys, guarded = catalogues.client, catalogues.keys, catalogues.guarded
    assert client.post("/training-jobs", json={}, headers=keys["shop"]).status_code == 202
    assert guarded.store.audit.entries(10) == []


def test_log_names_tenant(catalogues: Catalogues, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_service: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("app.api.counts.read_counts", fail)
    with capture_logs() as entries:
        for name in ("", "shop"):
            assert catalogues.client.get("/counts", headers=catalogues.keys[name]).status_code == 500
    assert [each.get("tenant") for each in entries if each["event"] == "defect"] == [None, "shop"]
    assert [each.get("tenant") for each in entries if each["event"] == "request failed"] == [None, "shop"]
