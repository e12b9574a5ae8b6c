"""With RECKON_UNKNOWN_ITEMS=reject, ratings and events of unknown items are refused, each row by itself."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings

REASON = "there is no such item, and unknown items are refused (RECKON_UNKNOWN_ITEMS=reject)"


@pytest.fixture
def strict(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"unknown_items": "reject"}))) as opened:
        opened.put("/items/x", json={})
        yield opened


def test_one_rating(strict: TestClient) -> None:
    rating = {"user_id": "ann", "item_id": "no", "value": 4}
    refused = strict.post("/ratings", json=rating)
    assert (refused.status_code, refused.json()["field"], refused.json()["detail"]) == (422, "body.item_id", REASON)
    assert [strict.get(path).status_code for path in ("/users/ann", "/items/no")] == [404, 404]
    assert strict.post("/ratings", json=rating | {"item_id": "x"}).status_code == 201
    strict.put("/items/no", json={})
    assert strict.post("/ratings", json=rating).status_code == 201


def test_batches(strict: TestClient) -> None:
    rows = [{"user_id": user, "item_id": item, "value": 4} for user, item in (("ann", "x"), ("bob", "no"))]
    answer = strict.post("/ratings/batch", json={"ratings": rows}).json()
    assert (answer["stored"], answer["rejected"], answer["results"][1]["problem"]) == (1, 1, f"item_id: {REASON}")
    events = [
        {"event_id": str(n), "type": "clicked", "user_id": user, "item_id": item}
        for n, (user, item) in enumerate([("bob", "no"), ("ann", "x")])
    ]
    answer = strict.post("/events", json={"events": events}).json()
    assert (answer["stored"], answer["rejected"], answer["results"][0]["problem"]) == (1, 1, f"item_id: {REASON}")
    assert strict.get("/users/bob").status_code == 404
