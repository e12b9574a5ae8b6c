"""Query parameters that are given twice: combined where the documentation says so, refused elsewhere."""

from typing import Any

import pytest
from fastapi.testclient import TestClient


@pytest.fixture
def shelf(client: TestClient) -> TestClient:
    for item_id, categories, year in (("a", ["Drama"], 1990), ("b", ["Comedy"], 1995), ("c", ["War"], 2000)):
        assert client.put(f"/items/{item_id}", json={"categories": categories, "year": year}).status_code == 201
    return client


def ids(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"]}


@pytest.mark.parametrize("path", ["/users/ann/recommendations", "/charts/newest"])
def test_combined(shelf: TestClient, path: str) -> None:
    assert ids(shelf.get(f"{path}?category=drama")) == {"a"}
    assert ids(shelf.get(f"{path}?category=drama&category=comedy&category=x")) == {"a", "b"}
    assert ids(shelf.get(f"{path}?filter=year>1990&filter=year<2000 or year=2001")) == {"b"}
    assert ids(shelf.get(f"{path}?filter=year=1990 or year=2000&filter=year>1995")) == {"c"}
    assert ids(shelf.get(f"{path}?fields=year&fields=title,categories")) == {"a", "b", "c"}
    fault = shelf.get(f"{path}?filter=year>1990&filter=year ~ 2").json()
    assert (fault["field"], "at character 5" in fault["detail"]) == ("filter", True)
    notes = shelf.get(f"{path}?category=drama&category=comdy").json()["notes"]
    assert notes == ["no item has the category 'comdy'; did you mean 'Comedy'?"]


def test_exclusions_add_up(shelf: TestClient) -> None:
    assert ids(shelf.get("/users/ann/recommendations?exclude=a&exclude=b")) == {"c"}


REPEATABLE = {"category", "filter", "exclude", "fields"}


def operations(api: TestClient) -> list[tuple[str, str, str]]:
    document = api.get("/openapi.json").json()
    return [
        (method, path, parameter["name"])
        for path, each in document["paths"].items()
        for method, operation in each.items()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and parameter["name"] not in REPEATABLE
    ]


def test_refused_everywhere(shelf: TestClient) -> None:
    asked = operations(shelf)
    assert {"limit", "cursor", "q", "placement", "boost", "country"} <= {name for *_, name in asked}
    for method, path, name in asked:
        address = path.format_map(
            dict.fromkeys(
                ("user_id", "item_id", "name", "version", "job_id", "guest_id", "erasure_id", "import_id", "number"),
                "a",
            )
            | {"chart": "newest"}
        )
        answer = shelf.request(method.upper(), f"{address}?{name}=1&{name}=1")
        assert (answer.status_code, answer.json()["field"]) == (422, f"query.{name}"), (path, name)
        assert "more than once" in answer.json()["detail"], (path, name)


@pytest.mark.parametrize("path", ["/users/ann/recommendations", "/items"])
def test_too_many(client: TestClient, path: str) -> None:
    """They are refused before they are read."""
    answer = client.get(f"{path}?{'&'.join(f'exclude=i{n}' for n in range(2_001))}")
    assert (answer.status_code, answer.json()["detail"]) == (422, "query: a query string has at most 2,000 parameters")


def test_many_unknown(client: TestClient) -> None:
    answer = client.get(f"/items?{'&'.join(f'p{n}' for n in range(500))}")
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 20)
