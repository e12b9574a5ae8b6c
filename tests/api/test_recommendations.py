"""Lists over HTTP: parameters, entity tags, explanations, guests, batches."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.serving.provenance import PROPOSERS
from tests.support.service import wait_until

PATH = "/users/user-0/recommendations"


def get(api: TestClient, path: str = PATH, **parameters: Any) -> Any:
    answer = api.get(path, params=parameters)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_entity_tag_until_something_changes(unpolled: TestClient) -> None:
    first = unpolled.get(PATH)
    tag = first.headers["etag"]
    assert unpolled.get(PATH).content == first.content
    again = unpolled.get(PATH, headers={"if-none-match": f'W/"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    whatever = unpolled.get(PATH, headers={"if-none-match": "*"})
    assert (whatever.status_code, whatever.content, whatever.headers["etag"]) == (304, b"", tag)
    changes: list[tuple[str, str, Any]] = [
        ("POST", "/ratings", {"user_id": "user-0", "item_id": ids(first.json())[0], "value": 5}),
        ("PUT", "/items/item-1", {"title": "Another title"}),
        ("PUT", "/placements/home", {"category_cap": 3}),
        ("PUT", "/users/user-0", {"country": "FI"}),
        ("POST", "/events", {"events": [{"event_id": "1", "type": "shown", "user_id": "user-0", "item_id": "item-1"}]}),
    ]
    for method, path, body in changes:
        assert unpolled.request(method, path, json=body).status_code in {200, 201}
        changed = unpolled.get(PATH, headers={"if-none-match": tag})
        assert changed.status_code == 200, path
        assert changed.headers["etag"] != tag
        tag = changed.headers["etag"]
    unpolled.post("/ratings", json={"user_id": "user-1", "item_id": "item-1", "value": 5})
    assert unpolled.get(PATH, headers={"if-none-match": tag}).status_code == 304


def test_tags_of_others_differ(trained: TestClient) -> None:
    tags = [trained.get(f"/users/{user_id}/recommendations").headers["etag"] for user_id in ("user-0", "user-1", "x")]
    tags += [trained.get(PATH, params={"limit": limit}).headers["etag"] for limit in (3, 4)]
    assert len(set(tags)) == 5


def test_ids_that_look_like_questions(trained: TestClient) -> None:
    """An answer kept for one user is never another's, however the two are written."""
    first = trained.get("/users/a%3Fexclude=1/recommendations?limit=2").json()
    second = trained.get("/users/a/recommendations?exclude=1?limit=2").json()
    assert (len(first["items"]), len(second["items"])) == (2, 20)


def test_chosen_sources_follow_the_trends(trained: TestClient) -> None:
    trained.put("/placements/home", json={"sources": ["trending"], "rotation": 0})
    before = trained.get(PATH)
    last = ids(get(trained, limit=100))[-1]
    events = [{"event_id": f"e{n}", "type": "clicked", "user_id": "x", "item_id": last} for n in range(3)]
    trained.post("/events", json={"events": events})
    wait_until(lambda: trained.get(PATH).headers["etag"] != before.headers["etag"])
    assert last in ids(get(trained))


def test_chosen_fields(trained: TestClient) -> None:
    answer = get(trained, fields=["title", "score"], limit=2)
    assert [set(item) for item in answer["items"]] == [{"item_id", "title", "score"}] * 2
    assert answer["recommendation_id"]
    answer = get(trained, fields="reasons", limit=2)
    assert [set(item) for item in answer["items"]] == [{"item_id", "reasons"}] * 2
    assert trained.get(PATH, params={"fields": "secret"}).status_code == 422


def test_item_columns(trained: TestClient) -> None:
    first, second, third = ids(get(trained, limit=3))
    whole = {
        "title": "First",
        "categories": ["Odd"],
        "year": 1999,
        "attributes": {
            "price": 9.5,
            "n": 3,
            "a.b": "dotted",
            "c,d": ["x"],
            "year": "named as a column",
            "long": "x" * 999,
        },
        "added_at": "2020-01-01T00:00:00.000001Z",
        "description": "Two\nlines",
        "url": "https://example.com/1",
        "image_url": "https://example.com/1.jpg",
    }
    stored = trained.put(f"/items/{first}", json=whole).json()
    trained.put(f"/items/{second}", json={"attributes": {"n": 4}})
    asked: dict[str, Any] = {"filter": f'item_id in ["{first}", "{second}"]', "limit": 3}

    def shown(*fields: str) -> dict[str, Any]:
        answer = get(trained, **asked, fields=fields)
        posted = trained.post("/recommendations", json=asked | {"user_id": "user-0", "fields": list(fields)}).json()
        assert answer["items"] == posted["items"]
        return {item.pop("item_id"): item for item in answer["items"]}

    assert shown("year,attributes.price") == {
        first: {"year": 1999, "attributes": {"price": 9.5}},
        second: {"year": None, "attributes": {}},
    }
    assert shown("year", "attributes.n,year", "attributes.n")[second] == {"year": None, "attributes": {"n": 4}}
    columns = stored.keys() - {"item_id"}
    assert shown(",".join(columns))[first] == {name: stored[name] for name in columns}
    named = shown("attributes.a.b, attributes.year", 'attributes."c,d"')[first]
    assert named == {"attributes": {"a.b": "dotted", "year": "named as a column", "c,d": ["x"]}}
    assert shown("attributes.price,attributes")[first] == {"attributes": whole["attributes"]}
    assert shown("score,is_available")[second].keys() == {"score", "is_available"}
    batch = trained.post("/recommendations/batch", json=asked | {"user_ids": ["user-0"], "fields": ["year"]}).json()
    listed = batch["results"][0]["recommendations"]["items"]
    assert {item["item_id"]: item["year"] for item in listed} == {first: 1999, second: None}
    preview = trained.post("/placements/home/preview", json=asked | {"user_id": "user-0", "fields": ["url"]}).json()
    assert {item["item_id"]: item["url"] for item in preview["items"]} == {first: whole["url"], second: None}
    assert third not in shown("year")


def test_item_columns_are_fresh(trained: TestClient) -> None:
    """The entity tag and the kept answer follow a column that no process holds in memory."""
    (item_id,) = ids(get(trained, limit=1))
    before = trained.get(PATH, params={"limit": 1, "fields": "url"})
    trained.put(f"/items/{item_id}", json={"url": "https://example.com/new"})
    after = trained.get(PATH, params={"limit": 1, "fields": "url", "filter": f'item_id = "{item_id}"'})
    assert after.json()["items"] == [{"item_id": item_id, "url": "https://example.com/new"}]
    assert trained.get(PATH, params={"limit": 1, "fields": "url"}).headers["etag"] != before.headers["etag"]


@pytest.mark.parametrize(
    "fields",
    ["", "secret", "title,", "title,,year", "Title", "attributes.", "price", "attributes", 'attributes."a'],
)
def test_unknown_fields(trained: TestClient, fields: str) -> None:
    answers = [
        trained.get(PATH, params={"fields": ["title", fields]}),
        trained.post("/recommendations", json={"fields": ["title", fields]}),
    ]
    if fields.startswith("attributes") and fields != "attributes.":
        assert [answer.status_code for answer in answers] == [200, 200]
        return
    for answer, place in zip(answers, ("query", "body"), strict=True):
        problem = answer.json()
        assert (answer.status_code, problem["field"]) == (422, f"{place}.fields")
        assert "image_url, attributes.NAME" in problem["detail"]


def test_too_many_fields(trained: TestClient) -> None:
    names = [f"attributes.{n}" for n in range(201)]
    assert trained.post("/recommendations", json={"fields": ["title"] * 100 + names[:100]}).status_code == 200
    for fields in (names, [",".join(names)]):
        answer = trained.post("/recommendations", json={"fields": fields})
        assert answer.status_code == 422
        assert "at most 200" in answer.json()["detail"]


def test_reasons_add_up(trained: TestClient) -> None:
    rated = {rating["item_id"] for rating in trained.get("/users/user-0/ratings").json()["ratings"]}
    plain, explained = get(trained, limit=10), get(trained, limit=10, explain=True)
    assert ids(plain) == ids(explained)
    for item in explained["items"]:
        reasons = item["reasons"]
        assert sum(part["score"] for part in reasons["segments"]) == pytest.approx(item["score"], abs=1e-3)
        assert sum(part["share_percent"] for part in reasons["segments"]) == pytest.approx(100, abs=1)
        assert 1 <= len(reasons["because"]) <= 3
        assert {because["item_id"] for because in reasons["because"]} <= rated
        assert all(0 < because["share_percent"] <= 100 for because in reasons["because"])
        assert reasons["rules"] == []


def test_moves_are_told(trained: TestClient) -> None:
    last = ids(get(trained, limit=100))[-1]
    trained.put("/placements/home", json={"promote": f'item_id = "{last}"', "promoted_share": 0.1})
    answer = get(trained, limit=10, explain=True)
    (promoted,) = [item for item in answer["items"] if item["item_id"] == last]
    assert "promoted" in promoted["sources"]
    rank = ids(answer).index(last) + 1
    assert {"rule": "promote", "rank_before": None, "rank_after": rank} in promoted["reasons"]["rules"] or any(
        move["rule"] == "promote" and move["rank_after"] == rank for move in promoted["reasons"]["rules"]
    )


def test_guest_as_the_same_user(trained: TestClient) -> None:
    """A guest with the ratings of a stored user gets the same list."""
    ratings = trained.get("/users/user-0/ratings").json()["ratings"]
    ratings.sort(key=lambda rating: rating["rated_at"], reverse=True)
    body = {"ratings": [{"item_id": rating["item_id"], "value": rating["value"]} for rating in ratings], "limit": 30}
    guest = trained.post("/recommendations", json=body)
    assert guest.status_code == 200, guest.json()
    assert guest.json()["strategy"] == "fold_in"
    assert ids(guest.json())[:10] == ids(get(trained, limit=30))[:10]
    assert trained.post("/recommendations", json={}).json()["strategy"] == "popular"
    stored = trained.post("/recommendations", json={"user_id": "user-0", "limit": 30}).json()
    assert ids(stored) == ids(get(trained, limit=30))


def test_guest_pages(trained: TestClient) -> None:
    body = {"ratings": [{"item_id": "item-1", "value": 5}], "limit": 7}
    first = trained.post("/recommendations", json=body).json()
    second = trained.post("/recommendations", json=body | {"cursor": first["next_cursor"]}).json()
    assert not set(ids(first)) & set(ids(second))
    foreign = trained.get(PATH, params={"cursor": first["next_cursor"]})
    assert (foreign.status_code, foreign.json()["type"]) == (422, "urn:reckon:problem:token-invalid")


@pytest.mark.parametrize(
    "body",
    [
        {"ratings": [{"item_id": "item-1", "value": 7}]},
        {"ratings": [{"item_id": "item-1"}]},
        {"ratings": [{"item_id": "item-1", "value": 5}], "user_id": "user-0"},
        {"ratings": [{"item_id": f"i{n}", "value": 5} for n in range(1_001)]},
        {"limit": "5"},
        {"limit": 101},
        {"exclude": [str(n) for n in range(10_001)]},
        {"colour": "red"},
    ],
)
def test_bad_guest(trained: TestClient, body: Any) -> None:
    answer = trained.post("/recommendations", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"filter": "year >"}, "filter"),
        ({"filter": "nonsense = 1"}, "filter"),
        ({"filter": "(" * 2_000}, "filter"),
        ({"filter": "x" * 5_001}, "query.filter"),
        ({"boost": '"odd" in categories -> NaN'}, "boost"),
        ({"boost": '"odd" in categories -> 1e308'}, "boost"),
        ({"boost": "1"}, "boost"),
        ({"placement": "nowhere"}, "placement"),
        ({"min_predicted_rating": "nan"}, "query.min_predicted_rating"),
        ({"min_predicted_rating": "1e999"}, "query.min_predicted_rating"),
        ({"explain": "perhaps"}, "query.explain"),
        ({"limit": "1e1"}, "query.limit"),
        ({"exclude": ["x"] * 1_001}, "query.exclude"),
        ({"cursor": "x" * 10_001}, "query.cursor"),
        ({"cursor": "forged"}, "cursor"),
    ],
)
def test_bad_parameter(trained: TestClient, parameters: Any, field: str) -> None:
    for headers in ({}, {"if-none-match": "*"}):
        answer = trained.get(PATH, params=parameters, headers=headers)
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.json()


@pytest.mark.parametrize(
    ("parameters", "body"),
    [
        ({"min_predicted_rating": "3.5"}, {"min_predicted_rating": 3.5}),
        ({"min_predicted_rating": "3"}, {"min_predicted_rating": 3}),
        ({"exclude": ["item-1", "item-3"]}, {"exclude": ["item-1", "item-3"]}),
        ({"category": "Odd"}, {"category": "Odd"}),
        ({"filter": "year > 1990"}, {"filter": "year > 1990"}),
        ({"boost": "year > 1990 -> 2"}, {"boost": "year > 1990 -> 2"}),
        ({"limit": "3", "fields": ["title", "score"]}, {"limit": 3, "fields": ["title", "score"]}),
        ({"explain": "true", "placement": "home"}, {"explain": True, "placement": "home"}),
    ],
)
def test_address_and_body_ask_alike(trained: TestClient, parameters: Any, body: Any) -> None:
    posted = trained.post("/recommendations", json=body | {"user_id": "user-0"})
    assert posted.status_code == 200, posted.json()
    assert get(trained, **parameters)["items"] == posted.json()["items"]


def test_other_spelling_of_an_id(client: TestClient) -> None:
    """Ids are kept in NFC; an id in NFD is the same id."""
    for item_id in ("caf\u00e9", "tea"):
        client.post("/ratings", json={"user_id": "ann", "item_id": item_id, "value": 5})
    path = "/users/bob/recommendations"
    assert ids(get(client, path)) == ["caf\u00e9", "tea"]
    assert ids(get(client, path, exclude="cafe\u0301")) == ["tea"]
    assert ids(get(client, path, filter='item_id = "cafe\u0301"')) == ["caf\u00e9"]


def test_messages_help(trained: TestClient) -> None:
    unknown = trained.get(PATH, params={"filter": "colour = 1"}).json()["detail"]
    assert "character 0" in unknown
    assert "categories" in unknown
    assert "home" in trained.get(PATH, params={"placement": "nowhere"}).json()["detail"]


def test_batch(trained: TestClient) -> None:
    users = ["user-0", "nobody", "user-1"]
    answer = trained.post("/recommendations/batch", json={"user_ids": users, "limit": 5})
    assert answer.status_code == 200, answer.json()
    results = answer.json()["results"]
    assert [result["user_id"] for result in results] == users
    assert [result["recommendations"]["strategy"] for result in results] == ["personalized", "popular", "personalized"]
    assert ids(results[0]["recommendations"]) == ids(get(trained, limit=5))
    titled = trained.post("/recommendations/batch", json={"user_ids": users, "limit": 2, "fields": ["title"]}).json()
    assert set(titled["results"][0]["recommendations"]["items"][0]) == {"item_id", "title"}
    for bad in ([], ["u"] * 101, [7], ["a/b"]):
        assert trained.post("/recommendations/batch", json={"user_ids": bad}).status_code == 422


def test_why_not(trained: TestClient) -> None:
    whole = ids(get(trained, limit=100))
    rated = trained.get("/users/user-0/ratings").json()["ratings"][0]["item_id"]
    explain = f"{PATH}/explain"

    def asked(item_id: str, **parameters: Any) -> Any:
        return get(trained, f"{explain}/{item_id}", **({"limit": 10} | parameters))

    assert asked("no such item")["stage"] == "unknown"
    assert (asked(rated)["stage"], asked(rated)["rule"]) == ("restricted", "already_consumed")
    assert (asked(whole[0])["stage"], asked(whole[0])["rank"]) == ("shown", 1)
    assert asked(whole[0], exclude=whole[0])["rule"] == "requested"
    assert asked(whole[0], filter="year > 1")["rule"] == "filter"
    last = asked(whole[-1])
    assert last["stage"] in {"outranked", "not_proposed"}
    assert 10 < last["rank_by_score"] <= len(whole)  # the last ones are equal
    assert last["score"] < last["score_needed"]
    trained.put("/items/" + whole[0], json={"is_available": False})
    assert asked(whole[0])["rule"] == "available"
    trained.put("/placements/home", json={"demote": f'item_id = "{whole[1]}"', "demotion": 1.0})
    assert (asked(whole[1])["stage"], asked(whole[1])["rule"]) == ("moved_down", "demote")


def test_card_lists_the_sources(trained: TestClient) -> None:
    sources = trained.get("/snapshots/1").json()["card"]["sources"]
    assert {"nearest", "similar", "category", "popular", "trending", "newest"} <= set(sources) <= set(PROPOSERS)
    proposed = {source for item in get(trained, limit=50)["items"] for source in item["sources"]}
    assert proposed <= set(sources)
