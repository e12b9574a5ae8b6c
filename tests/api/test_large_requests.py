"""Large bodies and questions within the limits, and what they cost at most."""

import pytest
from fastapi.testclient import TestClient

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LONG = "x" * 20_000


def post(client: TestClient, body: bytes) -> tuple[int, str]:
    answer = client.post("/ratings/batch", content=body, headers={"content-type": "application/json"})
    return answer.status_code, answer.json().get("detail", "")


def test_largest_batch_is_read(client: TestClient) -> None:
    rows = [{"item_id": f"i{n}", "attributes": {f"a{m}": m for m in range(60)}} for n in range(1_000)]
    answer = client.post("/items/batch", json={"items": rows})
    assert answer.json()["stored"] == len(rows)


def test_long_body_that_is_not_json(client: TestClient) -> None:
    status, detail = post(client, b'{"ratings": "' + LONG.encode())
    assert status == 422
    assert "not JSON" in detail


def test_first_wrong_row(client: TestClient) -> None:
    rows = [{"item_id": "a", "value": 4}, {"item_id": "b"}, {"value": 4}]
    answer = client.post("/recommendations", json={"ratings": rows})
    assert [each["field"] for each in answer.json()["errors"]] == ["body.ratings.1.value"]


def test_categories_of_a_request(client: TestClient) -> None:
    url = "/users/u/recommendations"
    assert client.get(url, params={"category": [f"c{n}" for n in range(100)]}).status_code == 200
    answer = client.get(url, params={"category": [f"c{n}" for n in range(101)]})
    assert answer.status_code == 422
    assert "at most 100" in answer.json()["detail"]


def test_unknown_categories(client: TestClient) -> None:
    """A few are named, with what they may have been meant to be."""
    notes = client.get("/users/u/recommendations", params={"category": [f"c{n}" for n in range(7)]}).json()["notes"]
    assert notes[4:] == ["no item has the category 'c4'", "no item has 2 more of the categories"]
