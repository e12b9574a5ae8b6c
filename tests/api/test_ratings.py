"""Ratings over HTTP: what is answered, and that nothing bad is stored."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

GOOD: dict[str, Any] = {"user_id": "ann", "item_id": "x", "value": 4}


def stored(client: TestClient, user_id: str = "ann") -> dict[str, float]:
    answer = client.get(f"/users/{user_id}/ratings")
    return {row["item_id"]: row["value"] for row in answer.json()["ratings"]} if answer.status_code == 200 else {}


def ago(**gap: float) -> str:
    return (datetime.now(UTC) - timedelta(**gap)).isoformat()


def test_new_then_replaced(client: TestClient) -> None:
    first = client.post("/ratings", json=GOOD)
    assert (first.status_code, first.json()["value"]) == (201, 4.0)
    again = client.post("/ratings", json=GOOD)
    assert (again.status_code, again.json()) == (200, first.json())
    changed = client.post("/ratings", json=GOOD | {"value": 2})
    assert (changed.status_code, changed.json()["value"]) == (200, 2.0)
    assert stored(client) == {"x": 2.0}


def test_older_is_answered_with_stored(client: TestClient) -> None:
    client.post("/ratings", json=GOOD)
    late = client.post("/ratings", json=GOOD | {"value": 1, "rated_at": ago(days=3)})
    assert (late.status_code, late.json()["value"]) == (200, 4.0)


@pytest.mark.parametrize("rated_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_time_out_of_calendar(client: TestClient, rated_at: str) -> None:
    answer = client.post("/ratings", json=GOOD | {"rated_at": rated_at})
    assert (answer.status_code, answer.json()["field"]) == (422, "body.rated_at")
    assert client.put("/items/x", json={"available_until": rated_at}).status_code == 422


def test_deleted_stays_deleted(client: TestClient) -> None:
    rating = GOOD | {"rated_at": ago(hours=1)}
    client.post("/ratings", json=rating)
    for _ in range(2):
        assert client.delete("/users/ann/ratings/x").status_code == 204
    replay = client.post("/ratings", json=rating)
    assert (replay.status_code, replay.json()["value"]) == (200, None)
    assert stored(client) == {}
    assert client.post("/ratings", json=GOOD).status_code == 201


BAD_VALUES = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9223372036854775808",
    "1" + "0" * 400,
    '"4"',
    "true",
    "null",
    "[]",
    "{}",
    "0.99",
    "5.01",
    "-0",
]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_bad_value(client: TestClient, value: str) -> None:
    body = f'{{"user_id": "ann", "item_id": "x", "value": {value}}}'
    answer = client.post("/ratings", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:reckon:problem:invalid-input"
    assert problem["field"] == "body.value"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert client.get("/users/ann").status_code == 404


BAD_IDS = ['"\\ud800"', '"a\\u0000b"', '""', '" x"', '"x "', '"a/b"', '"."', '".."', f'"{"x" * 10_000}"', "5", "null"]


@pytest.mark.parametrize("identifier", BAD_IDS)
@pytest.mark.parametrize("field", ["user_id", "item_id"])
def test_bad_id(client: TestClient, field: str, identifier: str) -> None:
    other = "item_id" if field == "user_id" else "user_id"
    body = f'{{"{field}": {identifier}, "{other}": "x", "value": 3}}'
    answer = client.post("/ratings", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, f"body.{field}")
    assert client.get("/items").json()["items"] == []


def test_ids_are_normalised(client: TestClient) -> None:
    client.post("/ratings", json=GOOD | {"item_id": "e\u0301"})
    assert stored(client) == {"\u00e9": 4.0}
    assert client.get("/items/e\u0301").json()["item_id"] == "\u00e9"


def test_unknown_field(client: TestClient) -> None:
    answer = client.post("/ratings", json=GOOD | {"stars": 5})
    assert (answer.status_code, answer.json()["field"]) == (422, "body.stars")


@pytest.mark.parametrize("rated_at", ["2099-01-01T00:00:00Z", "yesterday", "2020-01-01T00:00:00", "1e999", 0, 1.5])
def test_bad_time(client: TestClient, rated_at: object) -> None:
    answer = client.post("/ratings", json=GOOD | {"rated_at": rated_at})
    assert (answer.status_code, answer.json()["field"]) == (422, "body.rated_at")
    assert stored(client) == {}


def test_five_minutes_ahead(client: TestClient) -> None:
    assert client.post("/ratings", json=GOOD | {"rated_at": ago(minutes=-4)}).status_code == 201


@pytest.mark.parametrize("path", ["/ratings", "/ratings/batch"])
def test_newest_is_the_last_received(client: TestClient, path: str) -> None:
    """Also after a rating by a clock that is ahead of the server's, and after its deletion."""

    def rate(value: float, **time: str) -> float:
        rating = GOOD | {"value": value} | time
        assert client.post(path, json=rating if path == "/ratings" else {"ratings": [rating]}).is_success
        return stored(client)["x"]

    assert rate(5, rated_at=ago(minutes=-4)) == 5
    assert rate(1) == 1
    assert rate(5, rated_at=ago(minutes=-4)) == 5
    assert rate(4, rated_at=ago()) == 4
    assert client.delete("/users/ann/ratings/x").status_code == 204
    assert stored(client) == {}
    assert rate(2) == 2
    assert rate(3) == 3


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_not_a_rating(client: TestClient, body: bytes) -> None:
    answer = client.post("/ratings", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_deep_json(client: TestClient) -> None:
    body = b'{"a":' * 100_000
    answer = client.post("/ratings", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}


def test_large_body(client: TestClient) -> None:
    answer = client.post("/ratings", content=b" " * (2 << 20), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")

    def chunks() -> Any:
        yield from [b" " * (1 << 16)] * 40

    streamed = client.post("/ratings", content=chunks(), headers={"content-type": "application/json"})
    assert streamed.status_code == 413


def test_many_at_once(client: TestClient) -> None:
    def sent(number: int) -> int:
        while (answer := client.post("/ratings", json=GOOD | {"item_id": f"i{number}"})).status_code == 503:
            time.sleep(float(answer.headers["retry-after"]))  # a busy machine is overloaded by 16 callers
        return answer.status_code

    with ThreadPoolExecutor(16) as callers:
        statuses = list(callers.map(sent, range(200)))
    assert statuses == [201] * 200
    assert len(stored(client)) == 100  # the first page
    assert client.get("/metrics").text.count('reckon_ratings_total{status="stored"} 200.0') == 1


def test_batch_judges_rows(client: TestClient) -> None:
    rows = [GOOD, GOOD | {"item_id": "y", "value": 9}, 7, GOOD, GOOD | {"value": 5}, {"user_id": "ann"}]
    answer = client.post("/ratings/batch", json={"ratings": rows})
    assert answer.status_code == 200
    body = answer.json()
    assert {key: body[key] for key in ("stored", "replaced", "unchanged", "rejected")} == {
        "stored": 1,
        "replaced": 1,
        "unchanged": 1,
        "rejected": 3,
    }
    assert [row["status"] for row in body["results"]] == [
        "stored",
        "rejected",
        "rejected",
        "unchanged",
        "replaced",
        "rejected",
    ]
    assert all(row["problem"] for row in body["results"] if row["status"] == "rejected")
    assert stored(client) == {"x": 5.0}


def test_batch_of_nothing(client: TestClient) -> None:
    assert client.post("/ratings/batch", json={"ratings": []}).json()["results"] == []
    assert client.post("/ratings/batch", json={"ratings": [GOOD] * 1_001}).status_code == 422


def test_batch_of_surrogates(client: TestClient) -> None:
    body = b'{"ratings": [{"user_id": "\\ud800", "item_id": "x", "value": 3, "\\udfff": 1}]}'
    answer = client.post("/ratings/batch", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["rejected"]) == (200, 1)


def test_pages_of_ratings(client: TestClient) -> None:
    client.post("/ratings/batch", json={"ratings": [GOOD | {"item_id": f"i{n}"} for n in range(5)]})
    first = client.get("/users/ann/ratings", params={"limit": 3}).json()
    second = client.get("/users/ann/ratings", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [row["item_id"] for row in first["ratings"] + second["ratings"]] == [f"i{n}" for n in range(5)]
    assert second["next_cursor"] is None


def test_pages_by_time(client: TestClient) -> None:
    """Newest first, with equal times, while an older rating is replaced by a newer one."""
    then = ago(days=1)
    rows = [GOOD | {"item_id": f"i{n}", "rated_at": then} for n in range(3)] + [GOOD | {"rated_at": ago(days=2)}]
    client.post("/ratings/batch", json={"ratings": rows})
    query: dict[str, Any] = {"limit": 2, "sort": "time"}
    first = client.get("/users/ann/ratings", params=query).json()
    client.post("/ratings", json=GOOD | {"item_id": "new"})
    second = client.get("/users/ann/ratings", params=query | {"cursor": first["next_cursor"]}).json()
    assert [row["item_id"] for row in first["ratings"] + second["ratings"]] == ["i2", "i1", "i0", "x"]
    assert second["next_cursor"] is None
    for foreign in ({"sort": "item"}, {}, {"sort": "value"}):
        answer = client.get("/users/ann/ratings", params={"cursor": first["next_cursor"]} | foreign)
        assert answer.status_code == 422


def test_cursor_of_another_user(client: TestClient) -> None:
    client.post("/ratings/batch", json={"ratings": [GOOD | {"item_id": f"i{n}"} for n in range(5)]})
    cursor = client.get("/users/ann/ratings", params={"limit": 3}).json()["next_cursor"]
    for path in ("/users/bob/ratings", "/items", "/users/ann/recommendations"):
        answer = client.get(path, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:reckon:problem:token-invalid")


def test_ratings_of_unknown_user(client: TestClient) -> None:
    assert client.get("/users/nobody/ratings").status_code == 404
