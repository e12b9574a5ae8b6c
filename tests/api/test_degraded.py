"""Answers from memory while the database does not answer: a table that every answer reads is locked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.support.service import wait_until
from tests.support.time_limits import short_reads

GUEST = {"ratings": [{"item_id": "item-1", "value": 5}]}
READS: dict[str, Any] = {
    "GET /users/user-0/recommendations": None,
    "GET /users/user-0/recommendations?fields=title,description,year,attributes.price": None,
    "GET /users/nobody/recommendations": None,
    "GET /users/user-0/recommendations/explain/item-3": None,
    "GET /users/user-0/home": None,
    "GET /users/user-0/mixes": None,
    "GET /items/item-1/similar": None,
    "GET /items/brand-new/similar": None,
    "GET /charts/popular": None,
    "GET /charts/trending": None,
    "GET /charts/trending?country=FI": None,
    "GET /charts/newest": None,
    "POST /recommendations": GUEST,
    "POST /rankings": GUEST | {"item_ids": ["item-3", "item-4"]},
    "POST /search": {"query": "item", "fields": ["title", "categories"]},
    "POST /predictions": {"pairs": [{"user_id": "user-0", "item_id": "item-3"}]},
    "POST /predictions#fields": {"pairs": [{"user_id": "user-0", "item_id": "item-3"}], "fields": ["title", "url"]},
    "POST /placements/home/preview": {"user_id": "user-0"},
}
REFUSED: dict[str, Any] = {
    "POST /ratings": {"user_id": "user-0", "item_id": "item-1", "value": 3},
    "POST /events": {"events": [{"event_id": "1", "type": "clicked", "user_id": "user-0", "item_id": "item-3"}]},
    "DELETE /users/user-0": None,
    "PUT /items/item-1": {"title": "New"},
    "GET /items/item-1": None,
    "GET /users/user-0/similar": None,
}


@pytest.fixture(params=["postgres"])
def trained_url(trained_url: str) -> str:
    """Readers of SQLite cannot be locked out."""
    return trained_url


@pytest.fixture
def api(trained_url: str, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(database_url=trained_url, data_dir=tmp_path, snapshot_poll_seconds=0.05)
    with TestClient(create_app(settings)) as opened:
        yield opened


@contextmanager
def locked(api: TestClient, url: str) -> Iterator[None]:
    """The database is down until the end of the block, and known to be."""
    availability = api.app.state.service.store.availability  # type: ignore[attr-defined]
    engine = sa.create_engine(url)
    with short_reads(), engine.connect() as other:
        other.exec_driver_sql("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        # Also what is made from the last state that was read before.
        assert ask(api, "GET /users/user-9/recommendations", None).json()["degraded"] is True
        assert availability.outage is not None
        yield
    engine.dispose()
    wait_until(lambda: availability.outage is None)


def ask(api: TestClient, operation: str, body: Any) -> Any:
    method, path = operation.partition("#")[0].split(" ")
    return api.request(method, path, json=body)


def known(api: TestClient, user_id: str) -> None:
    """Wait until the process knows the user."""
    known_users = api.app.state.service.request_states._known_users  # type: ignore[attr-defined]
    wait_until(lambda: known_users.key_of(user_id) is not None)


def test_every_answer(api: TestClient, trained_url: str) -> None:
    api.put("/items/brand-new", json={"title": "Brand new"})
    known(api, "user-0")
    before = {operation: ask(api, operation, body).json() for operation, body in READS.items()}
    assert not [operation for operation, answer in before.items() if "degraded" in answer]
    with locked(api, trained_url):
        for operation, body in READS.items():
            answer = ask(api, operation, body)
            assert answer.status_code == 200, (operation, answer.text)
            assert answer.headers["cache-control"] == "no-store", operation
            assert "etag" not in answer.headers, operation
            content = answer.json()
            assert content.pop("degraded") is True, operation
            for name in ("items", "rows", "mixes", "results"):
                assert content.get(name) == before[operation].get(name) or "trending" in operation, (operation, name)
        for operation, body in REFUSED.items():
            answer = ask(api, operation, body)
            assert answer.status_code == 503, operation
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["type"] == "urn:reckon:problem:unavailable"
        ready = api.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert [part["part"] for part in ready.json()["degraded"]] == ["database"]
        assert api.get("/livez").status_code == 200
        batch = api.post("/recommendations/batch", json={"user_ids": ["user-0", "user-1"]})
        assert batch.headers["cache-control"] == "no-store"
        assert [each["recommendations"]["degraded"] for each in batch.json()["results"]] == [True, True]
    ready = api.get("/readyz").json()
    assert (ready["status"], ready["degraded"]) == ("ready", [])
    after = api.get("/users/user-0/recommendations")
    assert "degraded" not in after.json()
    assert "etag" in after.headers


def items(api: TestClient, user_id: str, limit: int = 60) -> list[str]:
    answer = api.get(f"/users/{user_id}/recommendations?limit={limit}")
    assert answer.status_code == 200
    return [item["item_id"] for item in answer.json()["items"]]


def test_last_known_user(api: TestClient, trained_url: str) -> None:
    """What was rated since the snapshot counts if a list was made since then, else the history of the snapshot does."""
    rated = items(api, "user-0")[:3]
    for item_id in rated:
        for user_id in ("user-0", "user-1", "late"):
            api.post("/ratings", json={"user_id": user_id, "item_id": item_id, "value": 5})
    current = items(api, "user-0")
    items(api, "late")
    mapped = set(items(api, "user-2"))
    known(api, "user-1")
    with locked(api, trained_url):
        assert items(api, "user-0") == current
        assert not set(rated) & set(items(api, "late"))
        assert set(items(api, "user-2")) == mapped
        # The process has not seen user-1 since the ratings: those of the snapshot are known.
        assert set(items(api, "user-1")) & set(rated)
        assert json.loads(api.get("/users/user-1/recommendations").content)["strategy"] == "personalized"
    assert not set(items(api, "user-1")) & set(rated)


def test_failure_on_the_way(api: TestClient, trained_url: str) -> None:
    """The versions can be read and the history cannot: the answer is made again, from memory."""
    api.post("/ratings", json={"user_id": "user-3", "item_id": "item-1", "value": 5})
    known(api, "user-3")
    engine = sa.create_engine(trained_url)
    with short_reads(), engine.connect() as other:
        other.exec_driver_sql("LOCK TABLE ratings IN ACCESS EXCLUSIVE MODE")
        answer = api.get("/users/user-3/recommendations")
        assert (answer.status_code, answer.json()["degraded"]) == (200, True)
    engine.dispose()
