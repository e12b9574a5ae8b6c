"""`Idempotency-Key`: every POST that writes acts once, and repeats its first answer."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from fastapi import APIRouter
from fastapi.testclient import TestClient

from app.api.idempotency import REPLAYED
from app.api.routing import StrictRoute
from app.auth.keys import new_key
from app.auth.scopes import ALL_SCOPES
from app.main import ROUTERS
from app.store.schema import kept_answers
from app.wiring import Service
from tests.support.service import wait_until

RATING = {"user_id": "ann", "item_id": "alien", "value": 4}
EVENT = {"event_id": "e-1", "type": "clicked", "user_id": "ann", "item_id": "alien"}
REQUESTS: dict[str, tuple[str, Any]] = {
    "/ratings": ("/ratings", RATING),
    "/ratings/batch": ("/ratings/batch", {"ratings": [RATING, "no rating"]}),
    "/events": ("/events", {"events": [EVENT, {}]}),
    "/items/batch": ("/items/batch", {"items": [{"item_id": "alien", "title": "Alien"}]}),
    "/users/batch": ("/users/batch", {"users": [{"user_id": "ann"}]}),
    "/users/{user_id}/merge/{guest_id}": ("/users/ann/merge/user-1", None),
    "/placements/{name}/versions/{number}/restore": ("/placements/shelf/versions/1/restore", None),
    "/training-jobs": ("/training-jobs", {"seed": 3}),
    "/training-jobs/{job_id}/cancel": ("/training-jobs/latest/cancel", None),
    "/snapshots/{version}/activate": ("/snapshots/latest/activate", None),
}
"""Path of each operation that takes the header -> a request for it that writes."""


def send(api: TestClient, path: str, body: Any, *keys: str) -> httpx2.Response:
    headers = [("content-type", "application/json"), *(("idempotency-key", key) for key in keys)]
    return api.post(path, json=body, headers=headers)


def service_of(api: TestClient) -> Service:
    service: Service = api.app.state.service  # type: ignore[attr-defined]  # the type of an ASGI application
    return service


def n_kept(api: TestClient, *, with_body: bool = False) -> int:
    statement = sa.select(sa.func.count(kept_answers.c.body if with_body else kept_answers.c.request_key))
    with service_of(api).store.database.reading() as connection:
        return int(connection.execute(statement).scalar_one())


def problem(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:reckon:problem:")


def test_every_post_is_declared() -> None:
    posts = [route for router in ROUTERS for route in router.routes if "POST" in getattr(route, "methods", ())]
    assert posts
    assert all(isinstance(route, StrictRoute) for route in posts)
    assert {route.path for route in posts if isinstance(route, StrictRoute) and route.acts_once} == set(REQUESTS)


def test_undeclared_is_refused() -> None:
    def post_something() -> None: ...

    with pytest.raises(TypeError, match="post_something handles POST: mark it"):
        APIRouter(route_class=StrictRoute).post("/something")(post_something)


def test_replay(trained: TestClient) -> None:
    document = trained.get("/openapi.json").json()["paths"]
    for settings in ({"diversity": 0.1}, {"diversity": 0.2}):
        assert trained.put("/placements/shelf", json=settings).is_success
    for number, (template, (path, body)) in enumerate(REQUESTS.items()):
        first, again = (send(trained, path, body, f"key-{number}") for _ in range(2))
        assert first.is_success, first.text
        assert "idempotency-replayed" not in first.headers
        assert (again.status_code, again.content) == (first.status_code, first.content), path
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
        assert problem(send(trained, path + "?", {"seed": 4}, f"key-{number}"))[0] == 422
        operation = document[template]["post"]
        assert "Idempotency-Key" in {each["name"] for each in operation["parameters"] if each["in"] == "header"}
        assert {"409", "422", "507"} <= operation["responses"].keys()
    assert n_kept(trained) == len(REQUESTS)
    acts = [entry.action for entry in service_of(trained).store.audit.entries(4)]
    expected = ["snapshots.activate", "training.cancel", "training.request", "placements.restore"]
    assert acts == expected, "a repetition is no act"
    assert service_of(trained).store.users.get("user-1") is None


def test_same_form_without_key(client: TestClient) -> None:
    """The answer is serialised by us, and by the framework where there is no key."""
    for path, body in list(REQUESTS.values())[:5]:
        send(client, path, body)
        plain, keyed = send(client, path, body), send(client, path, body, f"key{path}")
        assert (keyed.status_code, keyed.content) == (plain.status_code, plain.content)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_another_request(client: TestClient) -> None:
    assert send(client, "/ratings", RATING, "k").status_code == 201
    for path, body in [
        ("/ratings", RATING | {"value": 5}),
        ("/ratings/batch", {"ratings": [RATING]}),
        ("/events", {"events": [EVENT]}),
    ]:
        assert problem(send(client, path, body, "k")) == (422, "idempotency-key-reused")
    assert client.get("/users/ann/ratings").json()["ratings"][0]["value"] == 4
    assert client.get("/users/ann/events").json()["events"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("keys", [("",), ("a b",), ("\x7f",), ("k" * 256,), ("a", "b")])
def test_malformed_key(client: TestClient, keys: tuple[str, ...]) -> None:
    answer = send(client, "/ratings", RATING, *keys)
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["field"] == "header.Idempotency-Key"
    assert n_kept(client) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_failures_are_not_kept(client: TestClient) -> None:
    """What was refused may be sent again with the same key, once its cause is gone."""
    assert send(client, "/ratings", RATING | {"value": 9}, "k").status_code == 422
    assert send(client, "/users/ann/merge/bob", None, "m").status_code == 404
    assert n_kept(client) == 0
    send(client, "/ratings", RATING | {"user_id": "bob"})
    assert send(client, "/users/ann/merge/bob", None, "m").status_code == 200
    assert send(client, "/ratings", RATING, "k").status_code in {200, 201}


@pytest.mark.parametrize("path", ["/ratings", "/ratings/batch", "/events", "/items/batch"])
def test_no_effect_without_answer(client: TestClient, path: str) -> None:
    """The answer is part of the transaction: where it cannot be kept, nothing is stored."""
    with service_of(client).store.database.writing() as connection:
        connection.execute(sa.text("ALTER TABLE kept_answers RENAME COLUMN kept_at TO renamed"))
    assert send(client, path, REQUESTS[path][1], "k").status_code >= 500
    # SQLite reports an unknown column as it reports a database that does not answer; the probe finds that it does.
    wait_until(lambda: service_of(client).store.availability.outage is None)
    assert service_of(client).store.users.get("ann") is None
    assert service_of(client).store.items.get("alien") is None
    with service_of(client).store.database.writing() as connection:
        connection.execute(sa.text("ALTER TABLE kept_answers RENAME COLUMN renamed TO kept_at"))
    assert send(client, path, REQUESTS[path][1], "k").is_success


def test_concurrent(client: TestClient) -> None:
    """Without `rated_at` each rating is newer than the last: its time shows which request was carried out."""
    for path, body in (REQUESTS[name] for name in ("/ratings", "/events", "/users/batch")):
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: send(client, path, body, path), range(8)))  # noqa: B023  used at once
        assert len({(answer.status_code, answer.content) for answer in answers}) == 1, answers
        assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1


def test_deleted_user(client: TestClient) -> None:
    """A late repetition does not bring the user back, and nothing of the answer is left."""
    send(client, "/ratings", RATING, "k")
    send(client, "/ratings", RATING | {"user_id": "guest"}, "g")
    assert send(client, "/users/ann/merge/guest", None, "m").status_code == 200
    assert n_kept(client, with_body=True) == 3
    client.delete("/users/ann")
    assert n_kept(client, with_body=True) == 0
    assert problem(send(client, "/ratings", RATING, "k")) == (409, "answer-gone")
    assert client.get("/users/ann").status_code == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_quoted_input(client: TestClient) -> None:
    """A refused row may name any user, so its answer goes with whoever is deleted; that of good rows stays."""
    events = [EVENT | {"user_id": "bob"}, EVENT | {"event_id": "e-2", "type": "ann"}]
    assert "'ann'" in send(client, "/events", {"events": events}, "refused").text
    send(client, "/users/batch", {"users": [{"user_id": "ann"}]}, "good")
    client.delete("/users/ann")
    assert problem(send(client, "/events", {"events": events}, "refused")) == (409, "answer-gone")
    assert send(client, "/users/batch", {"users": [{"user_id": "ann"}]}, "good").headers[REPLAYED] == "true"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_keys_of_each_caller(client: TestClient) -> None:
    """Two API keys never share an Idempotency-Key, and no secret is kept."""
    admin, other = (new_key(scopes=ALL_SCOPES, created_at=datetime.now(UTC)) for _ in range(2))
    for _, key in (admin, other):
        service_of(client).store.api_keys.add(key)
    client.app.state.control.keys.refresh()  # type: ignore[attr-defined]  # as in `service_of`
    answers = []
    for text, _ in (admin, other):
        client.headers["authorization"] = f"Bearer {text}"
        answers += [send(client, "/ratings", RATING, "k") for _ in range(2)]
        secrets = [send(client, "/tokens", {"user_id": "ann"}, "t"), send(client, "/keys", {"scopes": ["admin"]}, "t")]
        assert [answer.status_code for answer in secrets] == [201, 201]
    assert [REPLAYED in answer.headers for answer in answers] == [False, True, False, True]
    assert n_kept(client) == 2


def test_header_is_ignored_elsewhere(client: TestClient) -> None:
    assert client.post("/predictions", json={"pairs": []}, headers={"idempotency-key": "k"}).status_code == 200
    assert client.put("/items/alien", json={}, headers={"idempotency-key": "k"}).status_code == 201
    assert n_kept(client) == 0
