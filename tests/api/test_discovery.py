"""Home pages, mixes, neighbours, charts, rankings and predictions over HTTP: their forms, and bad input."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.service import wait_until

PROBLEM = "application/problem+json"
LISTS = ["/users/ann/home", "/users/ann/mixes", "/charts/popular", "/charts/trending", "/charts/newest"]


@pytest.fixture
def rated(client: TestClient) -> TestClient:
    """Three items, rated once, twice and three times; nothing is learned."""
    rows = [
        {"user_id": f"u{n}", "item_id": item, "value": 4}
        for item, k in (("a", 1), ("b", 3), ("c", 2))
        for n in range(k)
    ]
    client.post("/ratings/batch", json={"ratings": rows})
    wait_until(
        lambda: bool(client.get("/charts/popular").json()["items"])
    )  # what is popular is looked at anew by turns
    return client


def refused(answer: Any, field: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), answer.text
    assert answer.json()["field"] == field


@pytest.mark.parametrize("path", [*LISTS, "/users/ann/similar"])
@pytest.mark.parametrize("limit", ["0", "-1", "101", "1.5", "x", "", "1e999"])
def test_bad_limit(client: TestClient, path: str, limit: str) -> None:
    refused(client.get(path, params={"limit": limit}), "query.limit")


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/users/ann/home", "n_rows", "0"),
        ("/users/ann/home", "n_rows", "21"),
        ("/users/ann/mixes", "n_mixes", "0"),
        ("/users/ann/mixes", "n_mixes", "21"),
        ("/users/ann/home", "nrows", "3"),
        ("/users/ann/similar", "placement", "home"),
        ("/charts/popular", "category", ""),
        ("/charts/popular", "country", ""),
        ("/charts/popular", "category", "x" * 101),
        ("/charts/popular", "country", "a\u0007b"),
        ("/charts/popular", "placement", "home"),
    ],
)
def test_bad_parameter(client: TestClient, path: str, name: str, value: str) -> None:
    refused(client.get(path, params={name: value}), f"query.{name}")


@pytest.mark.parametrize("path", ["/users/ann/home", "/users/ann/mixes"])
def test_unknown_placement(client: TestClient, path: str) -> None:
    answer = client.get(path, params={"placement": "attic"})
    refused(answer, "placement")
    assert "home" in answer.json()["detail"]


@pytest.mark.parametrize("chart", ["worst", "Popular", "x" * 100, "\u00e9", "a b"])
def test_unknown_chart(client: TestClient, chart: str) -> None:
    answer = client.get(f"/charts/{chart}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
    assert "popular, trending, newest" in answer.json()["detail"]


def test_bad_filter(client: TestClient) -> None:
    refused(client.get("/charts/popular", params={"filter": "year >="}), "filter")
    refused(client.post("/rankings", json={"item_ids": ["a"], "filter": "year >="}), "filter")


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "\u00e9", "A" * 5_000])
def test_forged_cursor(client: TestClient, cursor: str) -> None:
    refused(client.get("/charts/popular", params={"cursor": cursor}), "cursor")


def test_cursor_of_another_question(rated: TestClient) -> None:
    """Of another chart, another category, or of a user's recommendations."""
    cursor = rated.get("/charts/newest?limit=1").json()["next_cursor"]
    assert rated.get("/charts/newest", params={"limit": 1, "cursor": cursor}).status_code == 200
    refused(rated.get("/charts/trending", params={"limit": 1, "cursor": cursor}), "cursor")
    refused(rated.get("/charts/newest", params={"category": "x", "cursor": cursor}), "cursor")
    refused(rated.get("/users/ann/recommendations", params={"cursor": cursor}), "cursor")


def test_charts_before_learning(rated: TestClient) -> None:
    popular = rated.get("/charts/popular").json()
    assert popular["chart"] == "popular"
    assert [(item["rank"], item["item_id"], item["ratings"], item["likes"]) for item in popular["items"]] == [
        (1, "b", 3, 3),
        (2, "c", 2, 2),
        (3, "a", 1, 1),
    ]
    trending = rated.get("/charts/trending").json()["items"]
    assert [item["item_id"] for item in trending] == ["b", "c", "a"]
    assert trending[0]["heat"] == pytest.approx(3, rel=0.01)
    assert {item["item_id"] for item in rated.get("/charts/newest").json()["items"]} == {"a", "b", "c"}
    assert rated.get("/charts/popular", params={"category": "none"}).json()["items"] == []


def test_lists_before_learning(rated: TestClient) -> None:
    for user_id in ("u0", "nobody"):
        home = rated.get(f"/users/{user_id}/home").json()
        assert (home["strategy"], home["snapshot_version"]) == ("popular", None)
        assert rated.get(f"/users/{user_id}/mixes").json()["mixes"] == []
    assert [row["row_id"] for row in rated.get("/users/nobody/home").json()["rows"]] == ["picked"]
    assert rated.get("/users/u0/home").json()["rows"] == []
    assert rated.get("/users/u0/similar").json()["users"] == []
    assert rated.get("/users/nobody/similar").status_code == 404


def test_ranking_before_learning(rated: TestClient) -> None:
    ranking = rated.post("/rankings", json={"user_id": "u2", "item_ids": ["a", "c", "b", "x", "c"]}).json()
    assert [item["item_id"] for item in ranking["items"]] == ["c", "a"]
    assert ranking["excluded"] == [{"item_id": "b", "rule": "already_consumed"}]
    assert ranking["unknown"] == ["x"]
    guest = rated.post("/rankings", json={"ratings": [{"item_id": "c", "value": 5}], "item_ids": ["a", "b", "c"]})
    assert [item["item_id"] for item in guest.json()["items"]] == ["b", "a"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.item_ids"),
        ({"item_ids": []}, "body.item_ids"),
        ({"item_ids": ["x"] * 1_001}, "body.item_ids"),
        ({"item_ids": "abc"}, "body.item_ids"),
        ({"item_ids": ["a", 7]}, "body.item_ids.1"),
        ({"item_ids": ["a/b"]}, "body.item_ids.0"),
        ({"item_ids": ["a"], "user_id": ""}, "body.user_id"),
        ({"item_ids": ["a"], "limit": 5}, "body.limit"),
        ({"item_ids": ["a"], "explain": "yes"}, "body.explain"),
        ({"item_ids": ["a"], "ratings": [{"item_id": "a", "value": 9}]}, "body.ratings.0.value"),
        ({"item_ids": ["a"], "ratings": [{"item_id": "a"}]}, "body.ratings.0.value"),
        ({"item_ids": ["a"], "placement": "attic"}, "placement"),
        ({"item_ids": ["a"], "user_id": "u", "ratings": [{"item_id": "a", "value": 3}]}, "body"),
    ],
)
def test_bad_ranking(client: TestClient, body: dict[str, Any], field: str) -> None:
    refused(client.post("/rankings", json=body), field)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(client: TestClient, number: str) -> None:
    headers = {"content-type": "application/json"}
    bodies = [
        f'{{"item_ids": ["a"], "min_predicted_rating": {number}}}',
        f'{{"item_ids": ["a"], "ratings": [{{"item_id": "a", "value": {number}}}]}}',
    ]
    for body in bodies:
        assert client.post("/rankings", content=body, headers=headers).status_code == 422


def test_predictions_judge_rows_one_by_one(rated: TestClient) -> None:
    pairs = [
        {"user_id": "u0", "item_id": "a"},
        {"user_id": "u0"},
        "nonsense",
        {"user_id": "u0", "item_id": "a/b"},
        {"user_id": "u0", "item_id": 7},
        {"user_id": "u0", "item_id": "a", "value": 3},
        {"user_id": "nobody", "item_id": "nothing"},
    ]
    answer = rated.post("/predictions", json={"pairs": pairs})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [row["index"] for row in results] == list(range(7))
    assert [row["status"] for row in results] == ["predicted", *["rejected"] * 5, "predicted"]
    assert results[0] == {
        "index": 0,
        "status": "predicted",
        "user_id": "u0",
        "item_id": "a",
        "predicted_rating": None,
        "uncertainty": None,
        "strategy": "popular",
        "item": "new",
    }
    assert (results[6]["strategy"], results[6]["item"]) == ("popular", "unknown")
    assert "item_id" in results[1]["problem"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.pairs"),
        ({"pairs": [{"user_id": "u", "item_id": "i"}] * 1_001}, "body.pairs"),
        ({"pairs": {}}, "body.pairs"),
        ({"pairs": [], "explain": True}, "body.explain"),
    ],
)
def test_bad_predictions(client: TestClient, body: dict[str, Any], field: str) -> None:
    refused(client.post("/predictions", json=body), field)


def test_no_pairs(client: TestClient) -> None:
    assert client.post("/predictions", json={"pairs": []}).json() == {"snapshot_version": None, "results": []}


def test_many_users_at_once(rated: TestClient) -> None:
    pairs = [{"user_id": f"u{n}", "item_id": "a"} for n in range(1_000)]
    results = rated.post("/predictions", json={"pairs": pairs}).json()["results"]
    assert [row["user_id"] for row in results] == [pair["user_id"] for pair in pairs]
