"""NUL and lone surrogates, which Postgres cannot store: one answer on both databases, never a 500."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

NUL, SURROGATE = "a\0b", "a\ud800b"
RECIPE = [{"name": "rating", "algorithm": "biases"}, {"name": "prior", "algorithm": "popularity"}]


def operations(client: TestClient) -> list[tuple[str, str, dict[str, Any]]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(method, path, described) for path, item in paths.items() for method, described in item.items()]


def filled(path: str, described: dict[str, Any], **texts: str) -> str:
    """The path with a text, already percent-encoded, for each of its parameters: `x` where none is given."""
    for parameter in described.get("parameters", []):
        path = path.replace(f"{{{parameter['name']}}}", texts.get(parameter["name"], "x"))
    return path


def in_address(described: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters of the operation but for headers."""
    return [each for each in described.get("parameters", []) if each["in"] != "header"]


def test_nul_in_address(client: TestClient) -> None:
    """Every parameter of the OpenAPI document; an item to leave out and a chart may have any name."""
    n_asked = 0
    for method, path, described in operations(client):
        for parameter in in_address(described):
            name, place = parameter["name"], parameter["in"]
            url = filled(path, described, **({name: "%00"} if place == "path" else {}))
            answer = client.request(method, url + (f"?{name}=%00" if place == "query" else ""), json={})
            expected = {"exclude": 200, "chart": 404}.get(name, 422)
            if name == "exclude" and "{item_id}" in path:
                expected = 404 if answer.status_code == 404 else 200  # why an item is not shown: there is none
            assert answer.status_code == expected, (method, url, answer.text)
            if expected == 422 and answer.json()["field"] != "body":
                assert name in str(answer.json().get("errors", answer.json()["field"])), (method, url, answer.text)
            n_asked += 1
    assert n_asked > 50


def test_surrogate_in_address(client: TestClient) -> None:
    """A percent-encoded surrogate is no UTF-8."""
    for method, path, described in operations(client):
        for parameter in in_address(described):
            name, place = parameter["name"], parameter["in"]
            url = filled(path, described, **({name: "%ED%A0%80"} if place == "path" else {}))
            answer = client.request(method, url + (f"?{name}=%ED%A0%80" if place == "query" else ""), json={})
            assert (answer.status_code, answer.json()["field"]) == (422, place), (method, url)


@pytest.mark.parametrize("escaped", ["caf%E9", "%ff", "%C3%28", "a%C0%AF"])
def test_other_encoding_in_address(client: TestClient, escaped: str) -> None:
    """Ids in Latin-1 would all be stored as one with U+FFFD."""
    answer = client.put(f"/items/{escaped}", json={"title": "X"})
    assert (answer.status_code, answer.json()["field"]) == (422, "path")
    answer = client.get(f"/items?q={escaped}")
    assert (answer.status_code, answer.json()["field"]) == (422, "query")
    assert client.get("/counts").json()["items"] == 0


@pytest.mark.parametrize("text", [NUL, SURROGATE], ids=["nul", "surrogate"])
@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/items/x", {"title": "?"}, "body.title"),
        ("PUT", "/items/x", {"categories": ["?"]}, "body.categories.0"),
        ("PUT", "/items/x", {"attributes": {"?": 1}}, "body.attributes"),
        ("PUT", "/items/x", {"attributes": {"a": ["?"]}}, "body.attributes.a"),
        ("PUT", "/items/x", {"created_by": "?"}, "body.created_by"),
        ("PUT", "/items/x", {"?": 1}, "body"),
        ("PUT", "/users/x", {"country": "?"}, "body.country"),
        ("PUT", "/users/x", {"attributes": {"a": "?"}}, "body.attributes.a"),
        ("PUT", "/placements/x", {"?": 1}, "body"),
        ("POST", "/ratings", {"user_id": "?", "item_id": "x", "value": 3}, "body.user_id"),
        ("POST", "/ratings", {"user_id": "x", "item_id": "?", "value": 3}, "body.item_id"),
        ("POST", "/rankings", {"item_ids": ["?"]}, "body.item_ids.0"),
        ("POST", "/recommendations", {"user_id": "?"}, "body.user_id"),
        ("POST", "/recommendations", {"category": "?"}, "body.category"),
        ("POST", "/recommendations", {"placement": "?"}, "body.placement"),
        ("POST", "/recommendations", {"cursor": "?"}, "cursor"),
        ("POST", "/recommendations", {"ratings": [{"item_id": "?", "value": 3}]}, "body.ratings.0.item_id"),
        ("POST", "/recommendations/batch", {"user_ids": ["?"]}, "body.user_ids.0"),
        ("POST", "/placements/home/preview", {"user_id": "?"}, "body.user_id"),
        ("POST", "/training-jobs", {"recipe": {"segments": RECIPE, "user_groups": ["?"]}}, "recipe"),
    ],
)
def test_bad_text_in_body(
    client: TestClient, text: str, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    content = json.dumps(body).replace('"?"', json.dumps(text))  # escaped: a surrogate has no bytes of its own
    answer = client.request(method, path, content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert field.removeprefix("body.") in answer.json()["field"]


@pytest.mark.parametrize("text", [NUL, SURROGATE], ids=["nul", "surrogate"])
@pytest.mark.parametrize(
    ("path", "rows", "row"),
    [
        ("/ratings/batch", "ratings", {"user_id": "?", "item_id": "x", "value": 3}),
        ("/events", "events", {"event_id": "?", "type": "clicked", "user_id": "x", "item_id": "x"}),
        ("/events", "events", {"event_id": "1", "type": "?", "user_id": "x", "item_id": "x"}),
        (
            "/events",
            "events",
            {"event_id": "1", "type": "clicked", "user_id": "x", "item_id": "x", "recommendation_id": "?"},
        ),
        ("/predictions", "pairs", {"user_id": "?", "item_id": "x"}),
    ],
)
def test_bad_text_in_row(client: TestClient, text: str, path: str, rows: str, row: dict[str, Any]) -> None:
    content = json.dumps({rows: [row]}).replace('"?"', json.dumps(text))
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["results"][0]["status"]) == (200, "rejected")


def test_expression_keeps_nul(client: TestClient) -> None:
    """Expressions are stored as JSON, which escapes NUL: no item has such a category, and none is shown."""
    settings = {"filter": f'"{NUL}" in categories', "allow_unknown": True}
    client.put("/items/x", json={"title": "X", "categories": ["ab"]})
    assert client.put("/placements/x", json=settings).status_code == 201
    assert client.get("/placements/x").json()["settings"]["filter"] == settings["filter"]
    assert client.get("/users/ann/recommendations?placement=x").json()["items"] == []
