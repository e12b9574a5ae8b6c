"""Events over HTTP: each judged by itself, stored once, listed; their types; guests that become users."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.serving.tokens import NO_OWNER, RecommendationToken, TokenSigner
from app.store import Store

GOOD: dict[str, Any] = {"event_id": "e1", "type": "watched", "user_id": "ann", "item_id": "x", "portion": 0.5}


def ago(**gap: float) -> str:
    return (datetime.now(UTC) - timedelta(**gap)).isoformat()


def send(client: TestClient, *events: object) -> Any:
    answer = client.post("/events", json={"events": events})
    assert answer.status_code == 200, answer.json()
    return answer.json()


def listed(client: TestClient, user_id: str = "ann") -> list[str]:
    answer = client.get(f"/users/{user_id}/events")
    return [row["event_id"] for row in answer.json()["events"]] if answer.status_code == 200 else []


@pytest.fixture
def tokens(client: TestClient, database_url: str, tmp_path: Path) -> TokenSigner:  # noqa: ARG001  the client's database
    store = Store.open(database_url, tmp_path)
    try:
        return TokenSigner(store.instance.token_key, store.generation.check())
    finally:
        store.close()


def test_stored_once(client: TestClient) -> None:
    answer = send(client, GOOD, GOOD | {"event_id": "e2"}, GOOD)
    assert [row["status"] for row in answer.pop("results")] == ["stored", "stored", "unchanged"]
    assert answer == {"stored": 2, "unchanged": 1, "rejected": 0}
    assert send(client, GOOD | {"user_id": "bob"})["stored"] == 1  # ids are unique among the events of a user
    assert send(client, GOOD | {"user_id": "bob", "item_id": "y"})["unchanged"] == 1
    assert client.get("/items/y").status_code == 404
    assert client.get("/items/x").json()["title"] is None


def test_clocks_may_differ(client: TestClient) -> None:
    answer = send(client, GOOD | {"at": ago(minutes=-4)}, GOOD | {"event_id": "e2", "at": ago(minutes=-6)})
    assert [row["status"] for row in answer["results"]] == ["stored", "rejected"]


BAD: list[tuple[object, str]] = [
    (
        GOOD | {"type": "hummed"},
        "there is no event type 'hummed'; declared are: shown, clicked,",
    ),
    (GOOD | {"type": "liked"}, "a 'liked' has no portion"),
    (GOOD | {"type": "shown", "portion": 0}, "no portion"),
    (GOOD | {"portion": 1.01}, "portion: "),
    (GOOD | {"portion": -0.01}, "portion: "),
    (GOOD | {"portion": "0.5"}, "portion: "),
    (GOOD | {"portion": True}, "portion: "),
    (GOOD | {"at": ago(days=-1)}, "at is more than 5 minutes ahead"),
    (GOOD | {"at": "2026-01-01T00:00:00"}, "at: "),
    (GOOD | {"at": 1_700_000_000}, "at: "),
    (GOOD | {"at": "0001-01-01T00:00:00+14:00"}, "at: "),
    (GOOD | {"at": "9999-12-31T23:59:59-14:00"}, "at: "),
    (GOOD | {"event_id": ""}, "event_id: "),
    (GOOD | {"event_id": 5}, "event_id: "),
    (GOOD | {"event_id": "x" * 129}, "event_id: "),
    (GOOD | {"event_id": "x" * 100_000}, "event_id: "),
    (GOOD | {"event_id": "a\u0000b"}, "event_id: "),
    (GOOD | {"event_id": "a/b"}, "event_id: "),
    (GOOD | {"user_id": "\u0085"}, "user_id: "),
    (GOOD | {"item_id": None}, "item_id: "),
    *((GOOD | {"placement": "home", "position": bad}, "position: ") for bad in (-1, 1_000_001, 0.5, "0", True)),
    (GOOD | {"placement": "a/b"}, "placement: "),
    (GOOD | {"recommendation_id": "AAAA"}, "this recommendation_id was not issued"),
    (GOOD | {"recommendation_id": "\u00e9"}, "this recommendation_id was not issued"),
    (GOOD | {"recommendation_id": "A" * 1_001}, "recommendation_id: "),
    (GOOD | {"rating": 5}, "rating: "),
    ({}, "event_id: "),
    (None, "row: it is not an object"),
    ([GOOD], "row: it is not an object"),
    ("e1", "row: it is not an object"),
]


@pytest.mark.parametrize(("row", "problem"), BAD)
def test_bad_row_among_good(client: TestClient, row: object, problem: str) -> None:
    answer = send(client, GOOD | {"event_id": "before"}, row, GOOD | {"event_id": "behind"})
    assert [each["status"] for each in answer["results"]] == ["stored", "rejected", "stored"]
    assert problem in answer["results"][1]["problem"]
    assert (answer["stored"], answer["rejected"]) == (2, 1)
    assert sorted(listed(client)) == ["before", "behind"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-0.1", "1" + "0" * 400])
def test_bad_number(client: TestClient, number: str) -> None:
    event = f'{{"event_id": "e1", "type": "watched", "user_id": "ann", "item_id": "x", "portion": {number}}}'
    headers = {"content-type": "application/json"}
    answer = client.post("/events", content=f'{{"events": [{event}]}}', headers=headers)
    assert (answer.status_code, answer.json()["rejected"]) == (200, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"events": [GOOD] * 1_001},
        {"events": []},
        {"events": GOOD},
        {"events": None},
        {},
        [],
        [GOOD],
        {"events": [GOOD], "dry_run": True},
    ],
)
def test_bad_batch(client: TestClient, body: object) -> None:
    answer = client.post("/events", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert listed(client) == []


def test_absurdly_many(client: TestClient) -> None:
    content = b'{"events": [' + b",".join([b"{}"] * 20_000) + b"]}"
    assert client.post("/events", content=content, headers={"content-type": "application/json"}).status_code == 422


def test_all_bad(client: TestClient) -> None:
    assert send(client, GOOD | {"type": "x"}, {})["rejected"] == 2
    assert client.get("/users/ann").status_code == 404


def test_own_time_or_the_clock(client: TestClient) -> None:
    send(client, GOOD | {"event_id": "now"}, GOOD | {"event_id": "late", "at": "1700-01-01T00:00:00+02:00"})
    events = client.get("/users/ann/events").json()["events"]
    assert [event["event_id"] for event in events] == ["now", "late"]
    assert events[1]["at"] == "1699-12-31T22:00:00Z"
    assert abs(datetime.fromisoformat(events[0]["at"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_what_led_to_it(client: TestClient, tokens: TokenSigner) -> None:
    send(client, GOOD)
    own = client.get("/users/ann/recommendations").json()["recommendation_id"]
    assert send(client, GOOD | {"event_id": "e2", "recommendation_id": own})["stored"] == 1
    signed = tokens.recommendation_id(RecommendationToken(tokens.owner("ann"), 7, 1, "e-mail"))
    send(client, GOOD | {"event_id": "e3", "recommendation_id": signed})
    found = {event["event_id"]: event for event in client.get("/users/ann/events").json()["events"]}
    assert (found["e1"]["placement"], found["e1"]["snapshot_version"]) == (None, None)
    assert (found["e2"]["placement"], found["e2"]["snapshot_version"]) == ("home", None)
    assert (found["e3"]["placement"], found["e3"]["snapshot_version"]) == ("e-mail", 7)
    assert {event["position"] for event in found.values()} == {None}


def test_position_in_the_list(client: TestClient) -> None:
    home = client.get("/users/ann/recommendations").json()["recommendation_id"]
    of_list = {"recommendation_id": home, "placement": "home", "position": 0}
    assert send(client, GOOD | of_list)["stored"] == 1
    assert send(client, GOOD | {"event_id": "e2", "placement": "e-mail", "position": 1_000_000})["stored"] == 1
    found = {event["event_id"]: event for event in client.get("/users/ann/events").json()["events"]}
    assert (found["e1"]["placement"], found["e1"]["position"]) == ("home", 0)
    assert (found["e2"]["placement"], found["e2"]["position"]) == ("e-mail", 1_000_000)


def test_origin_contradicts_itself(client: TestClient) -> None:
    home = client.get("/users/ann/recommendations").json()["recommendation_id"]
    other = GOOD | {"event_id": "e2", "recommendation_id": home, "placement": "e-mail"}
    answer = send(client, GOOD | {"position": 0}, other)
    assert [row["problem"] for row in answer["results"]] == [
        "position: it needs the recommendation_id or the placement of the list",
        "placement: the recommendation_id is of a list for 'home', not for 'e-mail'",
    ]


def test_recommendation_of_another(client: TestClient) -> None:
    """Whether the users are stored or not."""
    before = client.get("/users/ann/recommendations").json()["recommendation_id"]
    assert send(client, GOOD | {"user_id": "bob", "recommendation_id": before})["rejected"] == 1
    assert client.get("/users/bob").status_code == 404
    send(client, GOOD, GOOD | {"event_id": "e2", "user_id": "bob"})
    anns = client.get("/users/ann/recommendations").json()["recommendation_id"]
    stolen = GOOD | {"event_id": "e3", "user_id": "bob", "recommendation_id": anns}
    answer = send(client, stolen, GOOD | {"event_id": "e4", "recommendation_id": anns})
    assert [row["status"] for row in answer["results"]] == ["rejected", "stored"]
    assert answer["results"][0]["problem"] == "this recommendation_id was made for another user"
    assert send(client, GOOD | {"event_id": "e5", "recommendation_id": before})["stored"] == 1  # unknown then
    client.delete("/users/ann")
    assert send(client, stolen)["rejected"] == 1
    assert send(client, GOOD | {"event_id": "e6", "recommendation_id": anns})["stored"] == 1
    nobodys = client.post("/recommendations", json={"ratings": []}).json()["recommendation_id"]
    assert send(client, GOOD | {"event_id": "e7", "recommendation_id": nobodys})["stored"] == 1


def test_recommendation_of_a_guest(client: TestClient) -> None:
    """After the merge it counts for the user, and the user's own also under the guest's id."""
    send(client, GOOD, GOOD | {"event_id": "e2", "user_id": "guest"}, GOOD | {"event_id": "e3", "user_id": "bob"})
    guests, anns = (
        client.get(f"/users/{user}/recommendations").json()["recommendation_id"] for user in ("guest", "ann")
    )
    client.post("/users/ann/merge/guest")
    late = [
        GOOD | {"event_id": f"{user}-{name}", "user_id": user, "recommendation_id": named}
        for user in ("guest", "ann")
        for name, named in (("guests", guests), ("anns", anns))
    ]
    assert send(client, *late)["stored"] == 4
    assert len(client.get("/users/ann/events").json()["events"]) == 6
    assert client.get("/users/guest").status_code == client.get("/users/guest/events").status_code == 404
    bobs = [
        GOOD | {"event_id": f"bobs-{name}", "user_id": "bob", "recommendation_id": named}
        for name, named in (("guests", guests), ("anns", anns))
    ]
    assert send(client, *bobs)["rejected"] == 2
    client.put("/users/guest", json={})
    assert send(client, GOOD | {"event_id": "anew", "recommendation_id": guests})["rejected"] == 1


def test_forged_recommendation(client: TestClient) -> None:
    send(client, GOOD)
    token = client.get("/users/ann/recommendations").json()["recommendation_id"]
    forged = token[:10] + ("A" if token[10] != "A" else "B") + token[11:]
    foreign = TokenSigner(b"another database's key").recommendation_id(RecommendationToken(NO_OWNER, None, 1, "home"))
    answer = send(client, *({**GOOD, "event_id": each, "recommendation_id": each} for each in (forged, foreign)))
    assert answer["rejected"] == 2


def test_pages(client: TestClient) -> None:
    send(client, *(GOOD | {"event_id": f"e{n}", "at": ago(seconds=n // 3)} for n in range(9)))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/users/ann/events", params={"limit": 2, **cursor}).json()
        seen += [event["event_id"] for event in page["events"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        send(client, GOOD | {"event_id": f"new-{len(seen)}"})
    assert sorted(seen) == [f"e{n}" for n in range(9)]
    assert client.get("/users/bob/events").status_code == 404
    other = client.get("/users/bob/events", params=cursor)
    assert (other.status_code, other.json()["field"]) == (422, "cursor")
    assert client.get("/users/ann/events?limit=0").status_code == 422


def test_known_without_events(client: TestClient) -> None:
    client.put("/users/ann", json={})
    assert client.get("/users/ann/events").json() == {"events": [], "next_cursor": None}


def test_declared_types(client: TestClient) -> None:
    names = [row["name"] for row in client.get("/event-types").json()["event_types"]]
    assert names == ["shown", "clicked", "liked", "disliked", "watched", "bought"]
    assert send(client, GOOD | {"type": "read"})["rejected"] == 1
    put = client.put("/event-types/read", json={"weight": 2, "is_consumption": True})
    assert put.status_code == 201
    assert put.json() == {"name": "read", "weight": 2, "is_exposure": False, "is_consumption": True}
    assert client.put("/event-types/read", json={"weight": -2.5}).status_code == 200
    assert send(client, GOOD | {"type": "read"})["rejected"] == 1  # no consumption any more
    assert send(client, {**GOOD, "type": "read", "portion": None})["stored"] == 1
    assert client.delete("/event-types/read").status_code == 409
    client.delete("/users/ann")
    for _ in range(2):
        assert client.delete("/event-types/read").status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        *('{"weight": NaN}', '{"weight": 1e308}', '{"weight": "2"}', '{"weight": null}', "{}", "[]"),
        *('{"weight": 1, "is_exposure": 1}', '{"weight": 1, "portion": 1}'),
    ],
)
def test_bad_type(client: TestClient, body: str) -> None:
    answer = client.put("/event-types/read", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert len(client.get("/event-types").json()["event_types"]) == 6


def test_merge(client: TestClient) -> None:
    client.put("/users/guest", json={"country": "FI"})
    client.post("/ratings", json={"user_id": "guest", "item_id": "y", "value": 4})
    send(client, GOOD | {"user_id": "guest"})
    merged = client.post("/users/ann/merge/guest")
    assert merged.status_code == 200
    assert merged.json() == {
        "user": {"user_id": "ann", "country": "FI", "attributes": {}},
        "ratings": 1,
        "events": 1,
    }
    assert listed(client) == ["e1"]
    assert client.get("/users/guest").status_code == 404
    again = client.post("/users/ann/merge/guest")
    assert (again.status_code, again.json()["type"]) == (404, "urn:reckon:problem:not-found")
    assert "one that was merged is gone" in again.json()["detail"]
    assert client.post("/users/ann/merge/ann").json()["field"] == "path.guest_id"
    assert client.post("/users/ann/merge/ann").status_code == 422


def test_own_items_after_merge(client: TestClient) -> None:
    """What the guest made is not recommended to the user, whose maker it is now."""
    client.put("/items/x", json={"created_by": "guest"})
    client.put("/items/y", json={})
    send(client, GOOD | {"user_id": "guest", "item_id": "y", "type": "clicked", "portion": None})

    def shown(user_id: str) -> set[str]:
        return {row["item_id"] for row in client.get(f"/users/{user_id}/recommendations").json()["items"]}

    assert shown("ann") == {"x", "y"}
    assert client.post("/users/ann/merge/guest").status_code == 200
    assert client.get("/items/x").json()["created_by"] == "ann"
    assert (shown("ann"), shown("bob")) == ({"y"}, {"x", "y"})


def test_metrics_by_type(client: TestClient) -> None:
    send(client, GOOD, GOOD, GOOD | {"event_id": "e2", "type": "made-up"})
    text = client.get("/metrics").text
    assert 'reckon_events_total{status="stored",type="watched"} 1.0' in text
    assert 'reckon_events_total{status="unchanged",type="watched"} 1.0' in text
    assert 'reckon_events_total{status="rejected",type=""} 1.0' in text
    assert "made-up" not in text


def test_take_back(client: TestClient) -> None:
    send(client, GOOD)
    assert [client.delete("/events/e1").status_code for _ in range(2)] == [204, 204]
    assert client.get("/users/ann/events").json()["events"] == []
    assert client.get("/charts/trending").json()["items"] == []
    assert send(client, GOOD)["unchanged"] == 1
    assert client.delete("/events/" + "e" * 129).status_code == 422
