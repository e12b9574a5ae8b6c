"""Lists and rankings for guests who are known by events and by what they looked at; nothing of it is stored."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

NOW = datetime.now(UTC)
DID = [("watched", "item-3"), ("clicked", "item-11"), ("disliked", "item-2"), ("shown", "item-5"), ("liked", "item-9")]


def did(*events: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"type": kind, "item_id": item_id} for kind, item_id in events]


def timed(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first is the newest."""
    return [event | {"at": (NOW - timedelta(hours=n + 1)).isoformat()} for n, event in enumerate(events)]


def store(api: TestClient, events: Sequence[dict[str, Any]], user_id: str = "same") -> None:
    rows = [event | {"user_id": user_id, "event_id": f"{user_id}-{n}"} for n, event in enumerate(timed(events))]
    assert api.post("/events", json={"events": rows}).json()["stored"] == len(rows)


def asked(api: TestClient, path: str = "/recommendations", **body: Any) -> Any:
    answer = api.post(path, json=body)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def items(answer: Any) -> list[tuple[str, float]]:
    """Scores included: equal lists of other scores would be of another user side."""
    return [(item["item_id"], round(item["score"], 4)) for item in answer["items"]]


def test_same_as_a_user_with_these_events(unpolled: TestClient) -> None:
    store(unpolled, did(*DID))
    stored = asked(unpolled, user_id="same", limit=40)
    assert stored["strategy"] == "fold_in"
    for events in (did(*DID), timed(did(*DID)), timed(did(*DID))[::-1]):
        guest = asked(unpolled, events=events, limit=40)
        assert (guest["strategy"], items(guest)) == ("fold_in", items(stored))
    candidates = [f"item-{n}" for n in range(40)]
    whom: list[dict[str, Any]] = [{"user_id": "same"}, {"events": did(*DID)}]
    ranked = [asked(unpolled, "/rankings", item_ids=candidates, **each) for each in whom]
    assert items(ranked[0]) == items(ranked[1])
    assert ranked[0]["excluded"] == ranked[1]["excluded"] != []


def test_same_with_ratings(unpolled: TestClient) -> None:
    """Ratings count as older than the events, as those of a user whose ratings have no time or an old one."""
    store(unpolled, did(*DID))
    old = (NOW - timedelta(days=9)).isoformat()
    unpolled.post("/ratings", json={"user_id": "same", "item_id": "item-40", "value": 5, "rated_at": old})
    guest = asked(unpolled, events=did(*DID), ratings=[{"item_id": "item-40", "value": 5}], limit=40)
    assert items(guest) == items(asked(unpolled, user_id="same", limit=40))


def test_looked_at_is_as_clicked(unpolled: TestClient) -> None:
    looked_at = ["item-8", "item-3", "item-30"]
    store(unpolled, did(*(("clicked", item_id) for item_id in looked_at)))
    guest = asked(unpolled, viewed_item_ids=looked_at, limit=40)
    assert items(guest) == items(asked(unpolled, user_id="same", limit=40))
    shown = asked(unpolled, viewed_item_ids=looked_at, limit=100)["items"]
    assert set(looked_at) <= {item["item_id"] for item in shown}


def test_consumed_and_disliked_are_left_out(trained: TestClient) -> None:
    shown = {item["item_id"] for item in asked(trained, events=did(*DID), limit=100)["items"]}
    assert not shown & {"item-3", "item-2"}
    assert {"item-11", "item-5", "item-9"} <= shown


def test_explained(trained: TestClient) -> None:
    answer = asked(trained, events=did(("liked", "item-3")), viewed_item_ids=["item-8"], limit=100, explain=True)
    because = {reason["item_id"] for item in answer["items"] for reason in item["reasons"]["because"]}
    assert because == {"item-3", "item-8"}


def test_nothing_is_stored(trained: TestClient) -> None:
    before = trained.get("/items?limit=100").json()
    answer = asked(trained, events=did(("clicked", "gone"), *DID), viewed_item_ids=["lost", "gone"])
    assert answer["ignored_items"] == ["lost", "gone"]
    assert trained.get("/items?limit=100").json() == before
    assert asked(trained)["strategy"] == "popular"


def test_what_is_ignored(trained: TestClient) -> None:
    rated = [{"item_id": "never", "value": 5}, {"item_id": "item-1", "value": 5}]
    answer = asked(trained, ratings=rated, fields=["title"])
    assert (answer["ignored_items"], set(answer["items"][0])) == (["never"], {"item_id", "title"})
    only_unknown = asked(trained, events=did(("clicked", "never")), viewed_item_ids=["never"])
    assert (only_unknown["strategy"], only_unknown["ignored_items"]) == ("popular", ["never"])
    assert asked(trained)["ignored_items"] == []
    assert "ignored_items" not in asked(trained, user_id="user-0")
    ranking = asked(trained, "/rankings", item_ids=["item-1", "absent"], viewed_item_ids=["never"])
    assert (ranking["unknown"], ranking["ignored_items"]) == (["absent"], ["never"])
    assert asked(trained, "/rankings", item_ids=["item-1"], user_id="user-0")["ignored_items"] is None


CLICK = {"type": "clicked", "item_id": "item-1"}
BAD: list[tuple[dict[str, Any], str, str]] = [
    (
        {"events": [CLICK, CLICK | {"type": "hummed"}]},
        "body.events.1.type",
        "no event type 'hummed'; declared are: shown",
    ),
    ({"events": [CLICK | {"portion": 0.5}]}, "body.events.0.portion", "has no portion"),
    ({"events": [CLICK | {"at": (NOW + timedelta(hours=1)).isoformat()}]}, "body.events.0.at", "5 minutes ahead"),
    ({"events": [CLICK | {"at": "yesterday"}]}, "body.events.0.at", ""),
    ({"events": [CLICK, CLICK | {"at": NOW.isoformat()}]}, "body", "of all events or of none"),
    ({"events": [CLICK | {"event_id": "e"}]}, "body.events.0.event_id", ""),
    ({"events": [{"type": "watched", "item_id": "item-1", "portion": 2}]}, "body.events.0.portion", ""),
    ({"events": [CLICK] * 1_001}, "body.events", ""),
    ({"viewed_item_ids": ["i"] * 1_001}, "body.viewed_item_ids", ""),
    ({"viewed_item_ids": [1]}, "body.viewed_item_ids.0", ""),
    ({"viewed_item_ids": ["item-1"], "user_id": "user-0"}, "body", "either a user_id or"),
    ({"events": [CLICK], "user_id": "user-0"}, "body", "either a user_id or"),
]


@pytest.mark.parametrize(("body", "field", "detail"), BAD)
@pytest.mark.parametrize("path", ["/recommendations", "/rankings"])
def test_bad_guest(client: TestClient, path: str, body: dict[str, Any], field: str, detail: str) -> None:
    answer = client.post(path, json=body | ({"item_ids": ["item-1"]} if path == "/rankings" else {}))
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert problem["field"] == field
    assert detail in problem["detail"]
