"""Merge patches of items and users, and batches of them, over HTTP."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

ITEM: dict[str, Any] = {
    "title": "Łódź",
    "categories": ["Drama", "Film, noir"],
    "year": 1905,
    "attributes": {"minutes": 12.5, "languages": ["pl"]},
    "is_available": True,
    "available_until": "2030-01-01T00:00:00.000001Z",
    "created_by": "ann",
    "added_at": "2020-01-01T00:00:00Z",
    "description": "Two lines.",
    "url": "https://example.com/1",
    "image_url": "http://example.com/x.jpg",
}
EMPTY: dict[str, Any] = dict.fromkeys(ITEM) | {"categories": [], "attributes": {}, "is_available": True}


def test_hiding_erases_nothing(client: TestClient) -> None:
    client.put("/items/x", json=ITEM)
    hidden = client.patch("/items/x", json={"is_available": False})
    assert (hidden.status_code, hidden.json()) == (200, {"item_id": "x"} | ITEM | {"is_available": False})
    assert client.get("/items/x").json() == hidden.json()
    assert client.get("/charts/newest").json()["items"] == []
    client.patch("/items/x", json={"is_available": True})
    assert [item["item_id"] for item in client.get("/charts/newest").json()["items"]] == ["x"]


@pytest.mark.parametrize("name", ITEM)
def test_null_clears(client: TestClient, name: str) -> None:
    client.put("/items/x", json=ITEM)
    patched = client.patch("/items/x", json={name: None})
    assert patched.json() == {"item_id": "x"} | ITEM | {name: EMPTY[name]}


@pytest.mark.parametrize("path", ["/items/x", "/users/x"])
def test_attributes_are_merged(client: TestClient, path: str) -> None:
    client.put(path, json={"attributes": {"a": 1, "b": "two", "c": True}})
    patched = client.patch(path, json={"attributes": {"a": 1.5, "b": None, "d": ["x"], "unknown": None}})
    assert patched.json()["attributes"] == {"a": 1.5, "c": True, "d": ["x"]}
    assert client.patch(path, json={"attributes": {}}).json() == patched.json()


def test_user_is_patched(client: TestClient) -> None:
    client.put("/users/ann", json={"country": "FI", "attributes": {"age": 31}})
    moved = client.patch("/users/ann", json={"country": "SE"}).json()
    assert moved == {"user_id": "ann", "country": "SE", "attributes": {"age": 31}} == client.get("/users/ann").json()
    assert client.patch("/users/ann", json={"country": None, "attributes": None}).json()["attributes"] == {}


values = st.none() | st.integers(-5, 5) | st.sampled_from(["", "x"]) | st.booleans()
attributes = st.none() | st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@settings(max_examples=25)
@given(st.dictionaries(st.sampled_from("abc"), values.filter(lambda value: value is not None)), st.lists(attributes))
def test_as_the_standard_says(client: TestClient, stored: dict[str, Any], patches: list[Any]) -> None:
    """The pseudocode of RFC 7396, section 2, on the attributes of a user."""
    client.put("/users/ann", json={"attributes": stored})
    expected = dict(stored)
    for patch in patches:
        answer = client.patch("/users/ann", json={"attributes": patch})
        # A user always has attributes, so removing the member leaves none.
        expected = (
            {} if patch is None else {name: each for name, each in (expected | patch).items() if each is not None}
        )
        assert answer.json()["attributes"] == expected
    assert client.get("/users/ann").json()["attributes"] == expected


@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
def test_media_types(client: TestClient, media_type: str) -> None:
    client.put("/items/x", json=ITEM)
    patched = client.patch("/items/x", content=b'{"year": 1906}', headers={"content-type": media_type})
    assert patched.json()["year"] == 1906


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"year": "1999"}, "body.year"),
        ({"title": ""}, "body.title"),
        ({"url": "javascript:alert(1)"}, "body.url"),
        ({"categories": [""]}, "body.categories.0"),
        ({"attributes": {"a": {"b": 1}}}, "body.attributes.a"),
        ({"attributes": {"a": "x" * 2_000}}, "body.attributes.a"),
        ({"attributes": {"a": ["x", None]}}, "body.attributes.a"),
        ({"colour": "red"}, "body.colour"),
        ([{"op": "remove"}], "body"),
    ],
)
def test_bad_patch(client: TestClient, body: Any, field: str) -> None:
    client.put("/items/x", json=ITEM)
    refused = client.patch("/items/x", json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    if isinstance(body, dict):  # as a PUT says
        assert client.put("/items/x", json=body).json()["field"] == field
    assert client.get("/items/x").json() == {"item_id": "x"} | ITEM


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ({"b": 1}, "an attribute is a text, a number, true or false, or a list of texts"),
        ("x" * 2_000, "String should have at most 1000 characters"),
        ("a\0", "text must not contain control characters"),
        (2**60, "Input should be less than or equal to 9007199254740992"),
        (["x", 1], "1: Input should be a valid string"),
    ],
)
def test_bad_attribute(client: TestClient, value: Any, detail: str) -> None:
    """One error, of the type that the value has."""
    client.put("/users/x", json={})
    for method, path in (("PUT", "/items/x"), ("PATCH", "/users/x")):
        refused = client.request(method, path, json={"attributes": {"a": value}}).json()
        assert refused["errors"] == [{"field": "body.attributes.a", "detail": detail}]
    rows = client.post("/items/batch", json={"items": [{"item_id": "x", "attributes": {"a": value}}]}).json()
    assert rows["results"][0]["problem"] == f"attributes.a: {detail}"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"])
def test_other_media_type(client: TestClient, media_type: str) -> None:
    client.put("/items/x", json=ITEM)
    refused = client.patch("/items/x", content=b'{"year": 1906}', headers={"content-type": media_type})
    assert refused.status_code == 415
    assert "application/json" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/items/x", "/users/x"])
def test_too_many_attributes(client: TestClient, path: str) -> None:
    """A patch of few attributes may make too many of them."""
    client.put(path, json={"attributes": {str(n): n for n in range(100)}})
    refused = client.patch(path, json={"attributes": {"one": 1}})
    assert (refused.status_code, refused.json()["field"]) == (422, "body.attributes")
    swapped = client.patch(path, json={"attributes": {"one": 1, "0": None}})
    assert (swapped.status_code, len(swapped.json()["attributes"])) == (200, 100)


@pytest.mark.parametrize("path", ["/items/x", "/users/x"])
def test_patch_of_nothing(client: TestClient, path: str) -> None:
    """A misspelt id must not make an item or user."""
    refused = client.patch(path, json={"attributes": {"a": 1}})
    assert (refused.status_code, refused.json()["type"]) == (404, "urn:reckon:problem:not-found")
    assert client.get(path).status_code == 404


def test_bare_item_is_catalogued(client: TestClient) -> None:
    client.post("/ratings", json={"user_id": "ann", "item_id": "x", "value": 4})
    assert client.patch("/items/x", json={}).status_code == 200
    assert client.get("/counts").json()["bare_items"] == 1
    client.patch("/items/x", json={"title": "X"})
    assert client.get("/counts").json() == {"users": 1, "items": 1, "bare_items": 0, "ratings": 1, "events": 0}


def test_items_in_a_batch(client: TestClient) -> None:
    client.put("/items/old", json=ITEM)
    client.put("/items/same", json={"title": "Same"})
    rows = [
        {"item_id": "new", "title": "New"},
        {"item_id": "old", "title": "Replaced"},
        {"item_id": "same", "title": "Same"},
        {"item_id": "bad", "year": "x"},
        {"title": "no id"},
        "text",
        {"item_id": "new", "title": "Newer"},
    ]
    answer = client.post("/items/batch", json={"items": rows}).json()
    statuses = ["stored", "replaced", "unchanged", "rejected", "rejected", "rejected", "replaced"]
    assert [each["status"] for each in answer["results"]] == statuses
    assert [answer[name] for name in ("stored", "replaced", "unchanged", "rejected")] == [1, 2, 1, 3]
    problems = [each["problem"] for each in answer["results"]]
    assert [problems[row].partition(":")[0] for row in (3, 4, 5)] == ["year", "item_id", "row"]
    assert client.get("/items/new").json()["title"] == "Newer"
    # The row is the whole item, as in a PUT.
    assert client.get("/items/old").json()["year"] is None
    assert client.get("/items/bad").status_code == 404


def test_users_in_a_batch(client: TestClient) -> None:
    client.put("/users/ann", json={"country": "FI"})
    rows = [{"user_id": "ann", "attributes": {"age": 3}}, {"user_id": "bob", "country": "SE"}, {"user_id": "a/b"}]
    answer = client.post("/users/batch", json={"users": rows}).json()
    assert [each["status"] for each in answer["results"]] == ["replaced", "stored", "rejected"]
    assert client.get("/users/ann").json() == {"user_id": "ann", "country": None, "attributes": {"age": 3}}


@pytest.mark.parametrize(("path", "name"), [("/items/batch", "items"), ("/users/batch", "users")])
def test_size_of_a_batch(client: TestClient, path: str, name: str) -> None:
    counts = {"stored": 0, "replaced": 0, "unchanged": 0, "rejected": 0, "results": []}
    assert client.post(path, json={name: []}).json() == counts
    refused = client.post(path, json={name: [{}] * 1_001})
    assert (refused.status_code, refused.json()["field"]) == (422, f"body.{name}")
    whole = [{f"{name[:-1]}_id": str(n)} for n in range(1_000)]
    assert client.post(path, json={name: whole}).json()["stored"] == 1_000
