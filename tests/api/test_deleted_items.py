"""A deleted item, which people still click and rate, is in no list until it is put again."""

from typing import Any

from fastapi.testclient import TestClient

LISTS = (
    "/charts/newest",
    "/charts/trending",
    "/charts/popular",
    "/users/stranger/recommendations",
    "/users/u001/recommendations?limit=100",
    "/users/u001/recommendations?filter=title%20%3D%20%22Back%22",
    "/users/stranger/home",
    "/items?q=back",
    "/items?limit=1000",
)


def ids_in(answer: Any) -> set[str]:
    """Every `item_id` anywhere in an answer."""
    if isinstance(answer, list):
        return set().union(*map(ids_in, answer))
    if not isinstance(answer, dict):
        return set()
    return {answer.get("item_id", "")}.union(*map(ids_in, answer.values()))


def test_in_no_list(client: TestClient) -> None:
    check(client)


def test_in_no_list_of_a_snapshot(trained: TestClient) -> None:
    check(trained)


def check(client: TestClient) -> None:
    for number in range(5):
        client.put(f"/items/new{number}", json={"title": f"Back {number}"})
    client.delete("/items/new4")
    counts = client.get("/counts").json()
    events = [
        {"event_id": f"late{user}", "type": "clicked", "user_id": f"late{user}", "item_id": "new4"} for user in range(3)
    ]
    assert client.post("/events", json={"events": events}).json()["stored"] == 3
    assert client.post("/ratings", json={"user_id": "late3", "item_id": "new4", "value": 5}).status_code == 201
    for path in LISTS:
        assert "new4" not in ids_in(client.get(path).json()), path
    assert client.get("/items/new4").status_code == 404
    more = {"users": 4, "events": 3, "ratings": 1}
    assert client.get("/counts").json() == {name: count + more.get(name, 0) for name, count in counts.items()}
    assert ids_in(client.get("/users/late3/ratings").json()) == {"new4", ""}
    assert client.put("/items/new4", json={"title": "Back"}).status_code == 201
    assert "new4" in ids_in(client.get("/charts/newest").json())
    assert [client.delete("/items/new4").status_code for _ in range(2)] == [204, 204]
