"""Pages of users and of the events of all users, and counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

START = datetime(2026, 1, 1, tzinfo=UTC)


def pages(client: TestClient, path: str, name: str, **options: Any) -> list[list[Any]]:
    got = []
    cursor = None
    while True:
        answer = client.get(path, params=options | ({} if cursor is None else {"cursor": cursor}))
        assert answer.status_code == 200, answer.text
        got.append(answer.json()[name])
        if (cursor := answer.json()["next_cursor"]) is None:
            return got


def test_users(client: TestClient) -> None:
    ids = ["Ann", "ann-2", "JOANNA", "bob", "Ärzte", "100%", "a_b", "back\\slash", "\u017fun"]
    client.post("/users/batch", json={"users": [{"user_id": each, "country": "FI"} for each in ids]})
    assert [[each["user_id"] for each in page] for page in pages(client, "/users", "users", limit=3)] == [
        ids[:3],
        ids[3:6],
        ids[6:],
    ]
    assert client.get("/users?limit=1").json()["users"] == [{"user_id": "Ann", "country": "FI", "attributes": {}}]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("ANN", ["Ann", "ann-2", "JOANNA"]),
        ("ärz", ["Ärzte"]),
        ("A\u0308R", ["Ärzte"]),
        ("%", ["100%"]),
        ("_", ["a_b"]),
        ("K\\S", ["back\\slash"]),
        ("sun", ["\u017fun"]),
        ("zz", []),
    ],
)
def test_users_by_part_of_id(client: TestClient, q: str, found: list[str]) -> None:
    """Alike in both databases, which fold case differently."""
    ids = ["Ann", "ann-2", "JOANNA", "bob", "Ärzte", "100%", "a_b", "back\\slash", "\u017fun"]
    client.post("/users/batch", json={"users": [{"user_id": each} for each in ids]})
    got = pages(client, "/users", "users", q=q, limit=2)
    assert [each["user_id"] for page in got for each in page] == found
    assert all(len(page) == 2 for page in got[:-1])


@pytest.fixture
def eventful(client: TestClient) -> TestClient:
    """Nine events of three users at three times, one a user, item and type."""
    rows = [
        {
            "event_id": f"e{n}",
            "type": ("clicked", "watched", "hidden")[n // 3],
            "user_id": f"u{n % 3}",
            "item_id": f"i{n % 2}",
            "at": (START + timedelta(seconds=n // 3)).isoformat(),
        }
        for n in range(9)
    ]
    for name, weight in (("clicked", 1), ("watched", 2), ("hidden", -1)):
        client.put(f"/event-types/{name}", json={"weight": weight})
    assert client.post("/events", json={"events": rows}).json()["stored"] == 9
    return client


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, [8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"user_id": "u1"}, [7, 4, 1]),
        ({"item_id": "i0"}, [8, 6, 4, 2, 0]),
        ({"type": "watched"}, [5, 4, 3]),
        ({"user_id": "u1", "type": "hidden"}, [7]),
        ({"user_id": "u1", "item_id": "i0", "type": "hidden"}, []),
        ({"user_id": "unknown"}, []),
        ({"item_id": "unknown"}, []),
    ],
)
@pytest.mark.parametrize("limit", [2, 100])
def test_events(eventful: TestClient, filters: dict[str, str], numbers: list[int], limit: int) -> None:
    """Newest first, of equal times the last id first."""
    got = pages(eventful, "/events", "events", limit=limit, **filters)
    assert [each["event_id"] for page in got for each in page] == [f"e{n}" for n in numbers]
    assert all(each["user_id"] == f"u{int(each['event_id'][1:]) % 3}" for page in got for each in page)


def test_events_arrive_between_pages(eventful: TestClient) -> None:
    first = eventful.get("/events?limit=4").json()
    new = {"event_id": "new", "type": "clicked", "user_id": "u0", "item_id": "i0"}
    eventful.post("/events", json={"events": [new]})
    second = eventful.get("/events", params={"limit": 100, "cursor": first["next_cursor"]}).json()
    assert [each["event_id"] for each in first["events"] + second["events"]] == [f"e{n}" for n in range(8, -1, -1)]


def test_undeclared_type(eventful: TestClient) -> None:
    refused = eventful.get("/events?type=watchd")
    assert (refused.status_code, refused.json()["field"]) == (422, "query.type")
    assert "watched" in refused.json()["detail"]


def test_cursor_of_another_listing(eventful: TestClient) -> None:
    cursor = eventful.get("/events?limit=1").json()["next_cursor"]
    assert eventful.get("/events", params={"user_id": "u1", "cursor": cursor}).status_code == 422


def test_counts(eventful: TestClient) -> None:
    eventful.put("/items/i0", json={})
    for item_id in ("i0", "i1", "i2"):
        eventful.post("/ratings", json={"user_id": "u0", "item_id": item_id, "value": 4})
    eventful.delete("/users/u0/ratings/i1")
    assert eventful.get("/counts").json() == {"users": 3, "items": 3, "bare_items": 2, "ratings": 2, "events": 9}
    eventful.delete("/users/u0")
    assert eventful.get("/counts").json() == {"users": 2, "items": 3, "bare_items": 2, "ratings": 0, "events": 6}
