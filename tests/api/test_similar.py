"""Similar items over HTTP: options, pages, fields, and what is refused."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

PATH = "/items/item-0/similar"


def get(api: TestClient, path: str = PATH, **parameters: Any) -> Any:
    answer = api.get(path, params=parameters)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_whole_answer(trained: TestClient) -> None:
    answer = get(trained, limit=3)
    described = ["item_id", "recommendation_id", "snapshot_version", "kind"]
    assert list(answer) == [*described, "items", "next_cursor", "limit_reached", "notes"]
    assert (answer["item_id"], answer["snapshot_version"], answer["kind"], len(answer["items"])) == (
        "item-0",
        1,
        "blend",
        3,
    )
    first = answer["items"][0]
    assert list(first) == ["item_id", "title", "similarity", "contributions"]
    assert sum(first["contributions"].values()) == pytest.approx(first["similarity"], abs=1e-4)
    assert get(trained, limit=3, kind="blend")["items"] == answer["items"]
    # The id can be given with an event about an item of the list.
    event = {"event_id": "1", "type": "clicked", "user_id": "user-0", "item_id": ids(answer)[0]}
    sent = trained.post("/events", json={"events": [event | {"recommendation_id": answer["recommendation_id"]}]})
    assert sent.status_code == 200


def test_fields(trained: TestClient) -> None:
    items = get(trained, limit=2, fields="similarity,categories")["items"]
    assert [list(item) for item in items] == [["item_id", "similarity", "categories"]] * 2
    assert all("all" in item["categories"] for item in items)


def test_pages_of_a_user(trained: TestClient) -> None:
    first = get(trained, limit=5, user_id="user-0", filter='"odd" in categories')
    second = get(trained, limit=5, user_id="user-0", filter='"odd" in categories', cursor=first["next_cursor"])
    assert not set(ids(first)) & set(ids(second))
    assert all(int(item_id[5:]) % 2 for item_id in ids(first) + ids(second))
    rated = trained.get("/users/user-0/ratings").json()
    assert not {each["item_id"] for each in rated["ratings"]} & set(ids(first) + ids(second))


def test_cursors_of_others(trained: TestClient) -> None:
    cursor = get(trained, limit=5)["next_cursor"]
    of_lists = trained.get("/users/user-0/recommendations?limit=2").json()["next_cursor"]
    for path, parameters in (
        ("/items/item-1/similar", {"cursor": cursor}),
        (PATH, {"cursor": cursor, "user_id": "user-0"}),
        (PATH, {"cursor": of_lists}),
        (PATH, {"cursor": "x"}),
    ):
        answer = trained.get(path, params=parameters)
        assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"placement": "nowhere"}, "placement"),
        ({"filter": "year >"}, "filter"),
        ({"filter": "nothing.known == 1"}, "filter"),
        ({"fields": "score"}, "fields"),
        ({"kind": "odd"}, "kind"),
        ({"limit": 0}, "limit"),
        ({"user_id": "a/b"}, "user_id"),
        ({"boost": "year > 1990 -> 2"}, "boost"),
    ],
)
def test_refused(trained: TestClient, parameters: dict[str, Any], field: str) -> None:
    answer = trained.get(PATH, params=parameters)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in answer.text


def test_unknown(trained: TestClient) -> None:
    assert trained.get("/items/nothing/similar").status_code == 404
    assert ids(get(trained, user_id="nobody")) == ids(get(trained))


def test_entity_tag_until_something_changes(unpolled: TestClient) -> None:
    path = "/items/item-0/similar?user_id=user-0"
    first = unpolled.get(path)
    tag = first.headers["etag"]
    assert unpolled.get(path).content == first.content
    kept = unpolled.get(path, headers={"if-none-match": tag})
    assert (kept.status_code, kept.content, kept.headers["etag"]) == (304, b"", tag)
    changes: list[tuple[str, str, Any]] = [
        ("POST", "/ratings", {"user_id": "user-0", "item_id": ids(first.json())[0], "value": 5}),
        ("PATCH", f"/items/{ids(first.json())[1]}", {"is_available": False}),
        ("PUT", "/placements/home", {"filter": '"even" in categories'}),
    ]
    for method, changed, body in changes:
        assert unpolled.request(method, changed, json=body).status_code in {200, 201}
        after = unpolled.get(path, headers={"if-none-match": tag})
        assert after.status_code == 200, changed
        assert after.headers["etag"] != tag
        tag = after.headers["etag"]
    # Another user's rating does not change the list; another user or item has a list of its own.
    unpolled.post("/ratings", json={"user_id": "user-1", "item_id": "item-1", "value": 5})
    assert unpolled.get(path, headers={"if-none-match": tag}).status_code == 304
    others = ("/items/item-0/similar", "/items/item-1/similar?user_id=user-0", "/users/user-0/recommendations")
    assert tag not in {unpolled.get(other).headers["etag"] for other in others}
