"""POST /search, and `fields` on every answer that lists items."""

from typing import Any

import pytest
from fastapi.testclient import TestClient


def test_search(trained: TestClient) -> None:
    first = trained.post("/search", json={"query": "ITEM 1", "user_id": "user-0", "limit": 3})
    assert first.status_code == 200, first.text
    page = first.json()
    assert [page["items"][0][name] for name in ("item_id", "title")] == ["item-1", "Item 1"]
    assert page["items"][0]["text_score"] > page["items"][1]["text_score"]
    body: dict[str, Any] = {"query": "item 1", "user_id": "user-0", "limit": 3, "cursor": page["next_cursor"]}
    second = trained.post("/search", json=body).json()
    assert not {each["item_id"] for each in page["items"]} & {each["item_id"] for each in second["items"]}
    for other in ({"query": "item 2"}, {"user_id": "user-1"}, {"query": ""}):
        assert trained.post("/search", json=body | other).json()["field"] == "cursor"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.query"),
        ({"query": "x" * 10_000}, "body.query"),
        ({"query": "a b " * 40}, "body.query"),
        ({"query": "a\0"}, "body.query"),
        ({"query": "a", "limit": 0}, "body.limit"),
        ({"query": "a", "filter": "colour = 1"}, "filter"),
        ({"query": "a", "fields": ["reasons"]}, "body.fields"),
        ({"query": "a", "placement": "nowhere"}, "placement"),
        ({"query": "a", "colour": 1}, "body.colour"),
    ],
)
def test_bad_search(trained: TestClient, body: Any, field: str) -> None:
    answer = trained.post("/search", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


ATTRIBUTES = {"price": 5, "In Stock": "yes", "tags": ["a"], "weight": 1.0, "is_new": True}


@pytest.fixture
def priced(trained: TestClient) -> TestClient:
    for n in range(60):
        item = {"title": f"Item {n}", "categories": ["all"], "year": 1990 + n, "attributes": ATTRIBUTES}
        assert trained.put(f"/items/item-{n}", json=item).status_code == 200
    return trained


FIELDS = ["title,year,categories", "attributes.price,attributes.`In Stock`,attributes.tags", "attributes.weight"]


def lists(api: TestClient, fields: list[str]) -> dict[str, list[Any]]:
    query: Any = {"limit": 3, "fields": fields}
    items = {"item_ids": ["item-1", "item-2"], "user_id": "user-0", "fields": fields}
    pairs = {"pairs": [{"user_id": "user-0", "item_id": "item-1"}], "fields": fields}
    answers = {
        "recommendations": api.get("/users/user-0/recommendations", params=query).json()["items"],
        "chart": api.get("/charts/popular", params=query).json()["items"],
        "home": api.get("/users/user-0/home", params=query).json()["rows"][0]["items"],
        "mixes": api.get("/users/user-0/mixes", params=query).json()["mixes"][0]["items"],
        "ranking": api.post("/rankings", json=items).json()["items"],
        "predictions": api.post("/predictions", json=pairs).json()["results"],
        "search": api.post("/search", json={"query": "item", "user_id": "user-0"} | query).json()["items"],
    }
    assert all(answers.values())
    return answers


def test_fields_everywhere(priced: TestClient) -> None:
    for name, items in lists(priced, FIELDS).items():
        for item in items:
            stored = priced.get(f"/items/{item['item_id']}").json()
            given = {field: stored[field] for field in ("item_id", "title", "year", "categories")}
            assert item.items() >= given.items(), name
            assert item["attributes"] == {field: ATTRIBUTES[field] for field in ATTRIBUTES if field != "is_new"}
            assert (type(item["attributes"]["price"]), type(item["attributes"]["weight"])) == (int, float)
    assert set(lists(priced, FIELDS)["recommendations"][0]) == {"item_id", "title", "year", "categories", "attributes"}
    assert set(lists(priced, ["year"])["chart"][0]) == {"item_id", "rank", "ratings", "likes", "year"}
    assert set(lists(priced, ["url"])["search"][0]) == {"item_id", "text_score", "url"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/charts/popular?fields=score", None),
        ("GET", "/users/user-0/home?fields=reasons", None),
        ("GET", "/users/user-0/mixes?fields=colour", None),
        ("POST", "/rankings", {"item_ids": ["a"], "fields": ["colour"]}),
        ("POST", "/predictions", {"pairs": [], "fields": ["score"]}),
    ],
)
def test_unknown_fields(trained: TestClient, method: str, path: str, body: Any) -> None:
    answer = trained.request(method, path, json=body)
    assert answer.status_code == 422
    assert answer.json()["field"].endswith("fields")
