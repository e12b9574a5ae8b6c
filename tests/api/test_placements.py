"""Placements by API: valid at once, tried out without a trace."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

ODD = '"odd" in categories'


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def listed(api: TestClient, placement: str = "home") -> list[str]:
    return ids(api.get("/users/user-0/recommendations", params={"placement": placement, "limit": 30}).json())


def test_life_of_a_placement(trained: TestClient) -> None:
    assert [each["name"] for each in trained.get("/placements").json()["placements"]] == ["home"]
    assert trained.get("/placements/email").status_code == 404
    assert trained.get("/users/user-0/recommendations?placement=email").status_code == 422
    made = trained.put("/placements/email", json={"filter": ODD})
    assert (made.status_code, made.json()["settings"]["filter"]) == (201, ODD)
    assert trained.put("/placements/email", json={"filter": ODD}).status_code == 200
    assert all(int(item_id[5:]) % 2 for item_id in listed(trained, "email"))
    assert trained.get("/placements/email").json() == made.json()
    assert trained.delete("/placements/email").status_code == 204
    assert trained.delete("/placements/email").status_code == 204
    assert trained.get("/users/user-0/recommendations?placement=email").status_code == 422


def test_home_goes_back_to_defaults(trained: TestClient) -> None:
    plain = listed(trained)
    assert trained.put("/placements/home", json={"filter": ODD}).status_code == 201
    assert listed(trained) != plain
    trained.delete("/placements/home")
    assert listed(trained) == plain
    assert trained.get("/placements/home").status_code == 200


def test_preview_changes_nothing(trained: TestClient) -> None:
    plain = listed(trained)
    body = {"user_id": "user-0", "limit": 30, "settings": {"filter": ODD}}
    tried = trained.post("/placements/home/preview", json=body)
    assert tried.status_code == 200, tried.json()
    assert ids(tried.json()) != plain
    assert all(int(item_id[5:]) % 2 for item_id in ids(tried.json()))
    assert listed(trained) == plain
    assert trained.get("/placements/home").json()["settings"]["filter"] is None
    assert trained.post("/placements/new/preview", json={"user_id": "user-0"}).status_code == 404
    assert trained.post("/placements/new/preview", json=body).status_code == 200


def test_preview_goes_on(trained: TestClient) -> None:
    body: dict[str, Any] = {"user_id": "user-0", "limit": 5, "placement": "home"}
    whole = ids(trained.post("/placements/home/preview", json=body | {"limit": 10}).json())
    first = trained.post("/placements/home/preview", json=body).json()
    second = trained.post("/placements/home/preview", json=body | {"cursor": first["next_cursor"]}).json()
    assert ids(first) + ids(second) == whole
    for wrong, field in (({"cursor": "garbage"}, "cursor"), ({"placement": "email"}, "body.placement")):
        answer = trained.post("/placements/home/preview", json=body | wrong)
        assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize(
    "settings",
    [
        {"diversity": 1.1},
        {"diversity": float("inf")},
        {"diversity": True},
        {"category_cap": 0},
        {"sources": []},
        {"sources": ["astrology"]},
        {"filter": "year >"},
        {"boost": "year > 1 -> -1"},
        {"promote": ""},
        {"colour": "red"},
        {"rotation_half_life_hours": 0},
    ],
)
def test_bad_settings(trained: TestClient, settings: Any) -> None:
    content = json.dumps(settings).encode()
    answer = trained.put("/placements/home", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert trained.get("/placements/home").json()["settings"]["diversity"] == 0


@pytest.mark.parametrize("name", ["UPPER", "a b", "x" * 65, "-x"])
def test_bad_name(trained: TestClient, name: str) -> None:
    assert trained.put(f"/placements/{name}", json={}).status_code == 422


def test_former_sources(trained: TestClient) -> None:
    """Names of earlier releases are accepted, and answered as what they are now."""
    body = {"sources": ["knn", "popular", "ease"]}
    assert trained.put("/placements/home", json=body).json()["settings"]["sources"] == ["item_item", "popular"]
    tried = trained.post("/placements/home/preview", json={"user_id": "user-0", "settings": body})
    assert tried.status_code == 200, tried.json()
    assert trained.put("/placements/home", json={"sources": ["knn", {}]}).status_code == 422


def test_former_stored_sources(trained: TestClient) -> None:
    application: Any = trained.app
    application.state.service.store.placements.put("home", {"sources": ["popular", "knn"]})
    assert trained.get("/placements/home").json()["settings"]["sources"] == ["popular", "item_item"]
    sources = trained.get("/users/user-0/recommendations").json()["items"][0]["sources"]
    assert set(sources) <= {"popular", "item_item"}


def test_only_some_sources(trained: TestClient) -> None:
    """The list is as long as ever: what the sources do not propose comes behind."""
    plain = listed(trained)
    trained.put("/placements/home", json={"sources": ["popular"]})
    answer = trained.get("/users/user-0/recommendations", params={"limit": 30}).json()
    assert len(answer["items"]) == len(plain)
    assert "popular" in answer["items"][0]["sources"]


@pytest.mark.parametrize(
    ("settings", "field", "part"),
    [
        ({"filter": "'Odd' in categories and colour = 'red'"}, "filter", "character 24"),
        ({"filter": "'oddd' in categories"}, "filter", "did you mean 'odd'"),
        ({"boost": "year > 1 -> 2; `In Stock` -> 3"}, "boost", "character 15"),
        ({"promote": "colour = 1"}, "promote", "no item has an attribute 'colour'; `allow_unknown` stores"),
        ({"demote": "colour = 1"}, "demote", "no item has an attribute 'colour'"),
    ],
)
def test_unknown_names_are_refused(trained: TestClient, settings: Any, field: str, part: str) -> None:
    answer = trained.put("/placements/home", json=settings)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert part in answer.json()["detail"]
    assert trained.get("/placements/home").json()["settings"][field] is None
    allowed = trained.put("/placements/home", json=settings | {"allow_unknown": True})
    assert (allowed.status_code, allowed.json()["settings"]["allow_unknown"]) == (201, True)


def test_names_of_new_items_are_known(trained: TestClient) -> None:
    placement = {"filter": "colour = 'red' and 'New' in categories"}
    assert trained.put("/placements/home", json=placement).status_code == 422
    trained.put("/items/red", json={"categories": ["New"], "attributes": {"colour": "Red"}})
    assert trained.put("/placements/home", json=placement).status_code == 201
    assert listed(trained) == ["red"]


def test_vanished_attribute_warns(trained: TestClient) -> None:
    trained.put("/items/item-0", json={"attributes": {"colour": "red"}})
    assert trained.put("/placements/red", json={"filter": "colour = 'red'"}).status_code == 201
    fine = trained.post("/placements/red/preview", json={"user_id": "nobody"}).json()
    assert (ids(fine), fine["notes"]) == (["item-0"], [])
    trained.delete("/items/item-0")
    with capture_logs() as logs:
        assert listed(trained, "red") == listed(trained, "red") == []
    assert [each["placement"] for each in logs if each["event"] == "placement names nothing"] == ["red"]
    notes = trained.post("/placements/red/preview", json={"user_id": "nobody"}).json()["notes"]
    assert ["no item has an attribute 'colour'" in notes[0], "leave no item" in notes[1]] == [True, True]
    metrics = trained.get("/metrics").text
    assert 'reckon_placement_problems_total{placement="red",problem="unknown_name"}' in metrics
    assert 'reckon_placement_problems_total{placement="red",problem="empty_list"}' in metrics


def test_empty_list_of_a_user_is_no_warning(trained: TestClient) -> None:
    """Nothing is left, but not because of the placement."""
    trained.put("/placements/home", json={"filter": ODD})
    options = {"user_id": "user-0", "settings": {"filter": ODD}, "category": "even"}
    assert trained.post("/placements/home/preview", json=options).json()["notes"] == []


def test_versions(client: TestClient) -> None:
    assert client.get("/placements/email/versions").status_code == 404
    assert client.get("/placements/home/versions").json() == {"name": "home", "versions": []}
    assert client.get("/placements/home").headers["etag"] == '"0"'
    made = client.put("/placements/email", json={"novelty": 0.1})
    assert (made.status_code, made.headers["etag"], made.json()["version"]) == (201, '"1"', 1)
    again = client.put("/placements/email", json={"novelty": 0.1})
    assert (again.status_code, again.headers["etag"]) == (200, '"1"')
    assert client.put("/placements/email", json={"novelty": 0.2}).headers["etag"] == '"2"'
    assert client.get("/placements/email").headers["etag"] == '"2"'
    client.delete("/placements/email")
    listed = client.get("/placements/email/versions").json()["versions"]
    assert [each["number"] for each in listed] == [3, 2, 1]
    assert listed[0]["settings"] is None
    assert [each["settings"]["novelty"] for each in listed[1:]] == [0.2, 0.1]
    assert client.get("/placements/email/versions?limit=1").json()["versions"] == listed[:1]
    for limit in (0, 101):
        assert client.get(f"/placements/email/versions?limit={limit}").status_code == 422
    restored = client.post("/placements/email/versions/1/restore")
    assert (restored.status_code, restored.headers["etag"]) == (200, '"4"')
    assert restored.json() == client.get("/placements/email").json()
    assert restored.json()["settings"]["novelty"] == 0.1
    assert [(each["name"], each["version"]) for each in client.get("/placements").json()["placements"]] == [
        ("home", 0),
        ("email", 4),
    ]


def test_restored_once(client: TestClient) -> None:
    for novelty in (0.1, 0.2):
        client.put("/placements/home", json={"novelty": novelty})
    keyed = {"idempotency-key": "once"}
    first = client.post("/placements/home/versions/1/restore", headers=keyed)
    client.put("/placements/home", json={"novelty": 0.3})
    again = client.post("/placements/home/versions/1/restore", headers=keyed)
    assert (again.status_code, again.json()) == (200, first.json())
    assert client.get("/placements/home").json()["settings"]["novelty"] == 0.3


def test_restore_of_nothing(client: TestClient) -> None:
    client.put("/placements/home", json={})
    client.delete("/placements/home")
    deletion = client.post("/placements/home/versions/2/restore")
    assert (deletion.status_code, deletion.json()["type"]) == (409, "urn:reckon:problem:deleted-version")
    assert client.post("/placements/home/versions/3/restore").status_code == 404
    assert client.post("/placements/email/versions/1/restore").status_code == 404
    for number in ("0", "-1", "x", str(2**63)):
        assert client.post(f"/placements/home/versions/{number}/restore").status_code == 422


def test_vanished_attribute_is_not_restored(trained: TestClient) -> None:
    trained.put("/items/item-0", json={"attributes": {"colour": "red"}})
    trained.put("/placements/home", json={"filter": "colour = 'red'"})
    trained.put("/placements/home", json={})
    trained.delete("/items/item-0")
    answer = trained.post("/placements/home/versions/1/restore")
    assert (answer.status_code, answer.json()["field"]) == (422, "filter")
    assert trained.get("/placements/home").headers["etag"] == '"2"'


@pytest.mark.parametrize("seen", ['"1"', 'W/"1"', '"7", "1"', '"7","1"'])
def test_seen_version_is_changed(client: TestClient, seen: str) -> None:
    client.put("/placements/home", json={"novelty": 0.1})
    assert client.put("/placements/home", json={"novelty": 0.2}, headers={"if-match": seen}).status_code == 200
    client.delete("/placements/home")
    client.put("/placements/email", json={"novelty": 0.1})
    assert client.delete("/placements/email", headers={"if-match": seen}).status_code == 204


@pytest.mark.parametrize("seen", ['"1"', '"3", "1"', '"abc"', '""', '"02a"'])
def test_other_version_was_seen(client: TestClient, seen: str) -> None:
    """Of two operators who edit the same placement, the second is told, and nothing is lost."""
    for novelty in (0.1, 0.2):
        client.put("/placements/home", json={"novelty": novelty})
    before = client.get("/placements/home/versions").json()
    for method, path, body in (
        ("PUT", "/placements/home", {"novelty": 0.3}),
        ("DELETE", "/placements/home", None),
        ("POST", "/placements/home/versions/1/restore", None),
    ):
        answer = client.request(method, path, json=body, headers={"if-match": seen})
        assert (answer.status_code, answer.headers["content-type"]) == (412, "application/problem+json")
        assert answer.json()["type"] == "urn:reckon:problem:changed-meanwhile"
        assert (answer.json()["current_version"], answer.headers["etag"]) == (2, '"2"')
    assert client.get("/placements/home/versions").json() == before


@pytest.mark.parametrize("seen", ["*", "1", "", '"1', '"1" "2"', '"1",', "W/1"])
def test_bad_if_match(client: TestClient, seen: str) -> None:
    client.put("/placements/home", json={"novelty": 0.1})
    for method, body in (("PUT", {"novelty": 0.2}), ("DELETE", None)):
        answer = client.request(method, "/placements/home", json=body, headers={"if-match": seen})
        assert (answer.status_code, answer.json()["field"]) == (422, "header.If-Match")
    assert client.get("/placements/home").headers["etag"] == '"1"'
