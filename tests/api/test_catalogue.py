"""Users and items over HTTP."""

import pytest
from fastapi.testclient import TestClient

ITEM = {
    "title": "Łódź",
    "categories": ["Drama", "Film, noir"],
    "year": 1905,
    "attributes": {"minutes": 12.5, "is_color": False, "languages": ["pl"], "n": 3},
    "is_available": False,
    "available_until": "2030-01-01T00:00:00.000001Z",
    "created_by": "ann",
    "added_at": "2020-01-01T00:00:00Z",
    "description": "Two lines,\nof Łódź.",
    "url": "https://example.com/łódź?page=1#top",
    "image_url": "http://example.com/x.jpg",
}


def test_item_is_replaced_whole(client: TestClient) -> None:
    made = client.put("/items/x", json=ITEM)
    assert (made.status_code, made.json()) == (201, {"item_id": "x"} | ITEM)
    assert client.get("/items/x").json() == made.json()
    emptied = client.put("/items/x", json={})
    assert (emptied.status_code, emptied.json()["title"], emptied.json()["attributes"]) == (200, None, {})


def test_bare_item(client: TestClient) -> None:
    client.post("/ratings", json={"user_id": "ann", "item_id": "x", "value": 4})
    assert client.get("/items/x").json()["title"] is None


def test_deleting_twice(client: TestClient) -> None:
    client.put("/items/x", json=ITEM)
    client.put("/users/ann", json={})
    for path in ("/items/x", "/users/ann"):
        assert [client.delete(path).status_code for _ in range(2)] == [204, 204]
        missing = client.get(path)
        assert (missing.status_code, missing.json()["type"]) == (404, "urn:reckon:problem:not-found")


def test_search_pages(client: TestClient) -> None:
    for n in range(5):
        client.put(f"/items/i{n}", json={"title": f"Star {n}"})
    client.put("/items/other", json={"title": "Moon"})
    first = client.get("/items", params={"q": "sTAR", "limit": 3}).json()
    second = client.get("/items", params={"q": "sTAR", "limit": 3, "cursor": first["next_cursor"]}).json()
    assert [item["item_id"] for item in first["items"] + second["items"]] == [f"i{n}" for n in range(5)]


def test_user_round_trip(client: TestClient) -> None:
    user = {"country": "FI", "attributes": {"age": 31}}
    assert client.put("/users/ann", json=user).status_code == 201
    assert client.put("/users/ann", json=user).status_code == 200
    assert client.get("/users/ann").json() == {"user_id": "ann"} | user


@pytest.mark.parametrize(
    "body",
    [
        {"title": 5},
        {"title": "a\u0000b"},
        {"title": "x" * 1_001},
        {"categories": ["a\u0000"]},
        {"categories": [""]},
        {"year": 1e9},
        {"year": "1999"},
        {"attributes": {"a": {"b": 1}}},
        {"attributes": {"a": None}},
        {"attributes": {"": 1}},
        {"attributes": {"a": 2**63}},
        {"attributes": {str(n): n for n in range(101)}},
        {"is_available": "yes"},
        {"available_until": "2020-01-01"},
        {"created_by": "a/b"},
        {"description": ""},
        {"description": "x" * 10_001},
        {"url": "/films/1"},
        {"url": "javascript:alert(1)"},
        {"url": "https://a.b/c d"},
        {"url": "https://a.b/" + "x" * 2_048},
        {"image_url": "data:image/png;base64,AAAA"},
        {"image_url": ""},
        {"colour": "red"},
    ],
)
def test_bad_item(client: TestClient, body: dict[str, object]) -> None:
    assert client.put("/items/x", json=body).status_code == 422
    assert client.get("/items/x").status_code == 404


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
def test_bad_attribute_number(client: TestClient, number: str) -> None:
    body = f'{{"attributes": {{"a": {number}}}}}'
    for path in ("/items/x", "/users/x"):
        answer = client.put(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_integral_numbers(client: TestClient) -> None:
    """In JSON Schema 1994.0 is an integer, and 1994.5 is none."""
    assert client.put("/items/alien", json={"year": 1994.0}).json()["year"] == 1994
    assert client.put("/items/alien", json={"year": 1994.5}).status_code == 422
    assert client.put("/items/alien", json={"year": True}).status_code == 422
